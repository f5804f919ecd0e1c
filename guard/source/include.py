"""Which files of a repository are read at all, said by patterns as those of .gitignore, but for what is wanted."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from pathspec import GitIgnoreSpec

from guard.base.errors import ConfigError


class Include:
    """Without patterns everything is wanted. Raises ConfigError for a pattern that git would not know, and where none of them
    lets anything in.

    `digest` names the patterns: what was read by others is another thing; it is empty without any.
    """

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        lines = tuple(patterns)
        for line in lines:
            _check(line)
        self._spec = GitIgnoreSpec.from_lines(lines) if lines else None
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
