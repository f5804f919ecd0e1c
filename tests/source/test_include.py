from __future__ import annotations

import pytest

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
