"""Which files of a repository are read at all, said by patterns as those of .gitignore, but for what is wanted."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from operator import attrgetter
from typing import cast

from pathspec import GitIgnoreSpec
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from guard.base.errors import ConfigError

# What pathspec's regular expressions consist of: their beginning, with `**/` or not; `/**` in the middle; the end; a slash; `*`
# within a name; what stands for one character or for a whole name.
_PART = re.compile(
    r"(?P<begin>\^(?:\(\?:\.\+/\)\?)?)|(?P<folders>\(\?:/\.\+\)\?)|(?P<end>\(\?(?::\(\?)?P<ps_d>/\).*)|(?P<slash>/)"
    r"|(?P<star>(?:\[\^/\]\*)+)|(?P<one>\\.|\[\^?\]?(?:\\.|[^\]\\])*\]\+?|.)",
    re.DOTALL,
)


class Include:
    """Without patterns everything is wanted. Raises ConfigError for a pattern that git would not know, and where none of them
    lets anything in.

    `digest` names the patterns: what was read by others is another thing; it is empty without any.
    """

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        lines = tuple(patterns)
        for line in lines:
            _check(line)
        self._spec = GitIgnoreSpec(map(_linear, GitIgnoreSpec.from_lines(lines).patterns)) if lines else None
        if self._spec and not any(pattern.include for pattern in self._spec.patterns):
            raise ConfigError("the patterns of include leave out everything", hint="begin with one that is wanted, such as *")
        self.digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16] if lines else ""

    def wants(self, path: str) -> bool:
        """Whether a file is read; `path` is from the repository's root."""
        return self._spec is None or self._spec.match_file(path)


def _check(line: str) -> None:
    try:
        known = (
            bool(line.strip())
            and line.isprintable()
            and all(pattern.include is not None or line.startswith("#") for pattern in GitIgnoreSpec.from_lines([line]).patterns)
        )
    except (ValueError, re.error):
        known = False
    if not known:
        raise ConfigError(f"{line!r} of include is not a pattern", hint="patterns are those of .gitignore, for what is wanted")


def _linear(pattern: GitIgnoreSpecPattern) -> GitIgnoreSpecPattern:
    """The same pattern, in a form that takes no more time than the length of a path and of the pattern account for. As pathspec
    has it, five `*` in a name take a minute, in which nothing else of Guard runs.
    """
    # Its own annotation leaves open whether it is of text or of bytes.
    regex = cast("re.Pattern[str] | None", attrgetter("regex")(pattern))
    if regex is None:
        return pattern
    parts = [(found.lastgroup or "", found[0]) for found in _PART.finditer(regex.pattern)]
    return GitIgnoreSpecPattern(re.compile(_atomic(parts)), pattern.include)


def _atomic(parts: list[tuple[str, str]]) -> str:
    """Of several ways to match what stands between two `*`, or two `**`, the first one does: what follows takes any rest. So
    none of it is gone back into.
    """
    done, name = "", ""
    star = False
    for kind, text in parts:
        if kind == "star":
            name = f"(?>{name.replace('[^/]*', '[^/]*?', 1)})" if star else name
            done, name, star = done + name, "[^/]*", True
        elif kind == "one":
            name += text
        else:
            done, name, star = done + name, "", False
            if kind == "folders":
                lazy = done.replace("(?:/.+)?", "(?:/.+?)??").replace("^(?:.+/)?", "^(?:.+?/)??")
                done = f"(?>{lazy}(?=/))"
            done += text
    return done + name
