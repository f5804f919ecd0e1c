from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pathspec import GitIgnoreSpec
from pathspec.patterns.gitignore.base import GitIgnorePatternError

from guard.base.errors import ConfigError
from guard.source.include import Include

PATHS = ["clusters/prod/a.yaml", "clusters/dev/a.yaml", "apps/a.yaml", "apps/.hidden", "docs/a.md", "x/apps/b.yaml"]


@pytest.mark.parametrize(
    ("patterns", "wanted"),
    [
        ([], PATHS),
        (["/clusters/prod"], ["clusters/prod/a.yaml"]),
        (["clusters/"], ["clusters/prod/a.yaml", "clusters/dev/a.yaml"]),
        (["apps/"], ["apps/a.yaml", "apps/.hidden", "x/apps/b.yaml"]),
        (["*.yaml", "!clusters/dev/**"], ["clusters/prod/a.yaml", "apps/a.yaml", "x/apps/b.yaml"]),
        (["*", "!docs/**"], [path for path in PATHS if path != "docs/a.md"]),
        (["/clusters/*", "!/clusters/dev"], ["clusters/prod/a.yaml"]),
        (["# clusters", "**/b.yaml"], ["x/apps/b.yaml"]),
        (["nothing"], []),
    ],
)
def test_patterns_are_those_of_gitignore_for_what_is_wanted(patterns: list[str], wanted: list[str]) -> None:
    include = Include(patterns)

    assert [path for path in PATHS if include.wants(path)] == wanted


def test_other_patterns_have_another_digest() -> None:
    lists = [["a", "b"], ["b", "a"], ["a"], ["ab"]]

    assert Include().digest == ""
    assert len({Include(patterns).digest for patterns in lists}) == len(lists)
    assert Include(["a"]).digest == Include(["a"]).digest


@pytest.mark.parametrize("pattern", ["", "!", "/", "a[b", "[z-a]", "a\\", "a\nb"])
def test_what_git_would_not_know_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigError, match="is not a pattern") as caught:
        Include(["apps", pattern])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("patterns", [["!docs"], ["# apps"]])
def test_patterns_that_let_nothing_in_are_refused(patterns: list[str]) -> None:
    with pytest.raises(ConfigError, match="leave out everything"):
        Include(patterns)


_WORDS = st.sampled_from(["a", "b", "*", "**", "/", "/**/", "?", "[ab]", "*a", "!", ".", "\\*"])
_NAMES = st.text("ab.*", min_size=1, max_size=4).filter(lambda name: name not in {".", ".."})


@given(pattern=st.lists(_WORDS, min_size=1, max_size=8).map("".join), names=st.lists(_NAMES, min_size=1, max_size=6))
def test_patterns_match_what_they_do_elsewhere(pattern: str, names: list[str]) -> None:
    path = "/".join(names)
    try:
        expected = GitIgnoreSpec.from_lines(["*", pattern]).match_file(path)
        include = Include(["*", pattern])
    except (GitIgnorePatternError, ConfigError):
        return
    assert include.wants(path) == expected


@pytest.mark.parametrize(
    "pattern", ["*a*a*a*a*a*b", "**/*a*/**/*a*b", "*a*/*a*/*a*/x", "/a/**/*a*/**/*a/**/b", "?*a*?*a[a-z]*a*a*b"]
)
@pytest.mark.parametrize("path", ["/".join(["a" * 255] * 16), "/".join(["a" * 39] * 100)])
def test_no_pattern_takes_long(pattern: str, path: str) -> None:
    include = Include([pattern])
    began = time.thread_time()

    assert not include.wants(path)

    assert time.thread_time() - began < 0.5
