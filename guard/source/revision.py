"""How a revision of a Git source is written: `main@sha1:<commit>`, or `sha1:<commit>` where a commit was asked for."""

from __future__ import annotations

import re

from guard.base.errors import SourceError

COMMIT = re.compile(r"[0-9a-f]{40}")


def written(name: str, commit: str) -> str:
    return f"{name}@sha1:{commit}" if name else f"sha1:{commit}"


def commit_of(revision: str) -> str:
    """The commit that a revision names. Raises SourceError for anything else, such as a bucket's revision."""
    algorithm, _, commit = revision.rpartition("@")[2].partition(":")
    if algorithm != "sha1" or not COMMIT.fullmatch(commit):
        raise SourceError(f"{revision!r} is not a revision of a Git repository")
    return commit
