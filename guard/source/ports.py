"""What every kind of source does, and says about its revisions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from msgspec import Struct

from guard.state.snapshot import Tree

# Where people find a line (from 1) of a file of one revision: a web page, or `s3://<bucket>/<key>?versionId=<id>`; empty where
# there is no such place. From memory: a refused request waits for it.
Link: TypeAlias = Callable[[str, int], str]


class Signed(Struct, frozen=True, kw_only=True):
    """Who signed a revision: `by` is the name that the key goes by, `key` its fingerprint; `at` is RFC 3339 in UTC, empty where
    the signature does not say.
    """

    revision: str
    by: str
    key: str
    at: str = ""

    def __str__(self) -> str:
        return f"{self.by} ({self.key})" if self.by else self.key


class Trust(Struct, frozen=True, kw_only=True):
    """How far what was fetched last can be relied on; nothing is known before anything `is_fetched`. `signed` is None where
    signatures are not asked for; `weakness` says why revisions are less than immutable, as people read it, and is empty where
    they are not.
    """

    is_fetched: bool = False
    signed: Signed | None = None
    weakness: str = ""


class Source(Protocol):
    """Where revisions come from. Errors name the place, never a secret."""

    async def fetch(self) -> str:
        """The newest revision, held from now on. Raises SourceError; VerificationError for one that is not signed as asked."""
        ...

    def tree(self, revision: str) -> Tree:
        """The files of a revision that is held; needs no network. Raises SourceError for what is no revision of this source."""
        ...

    async def keep(self, revision: str, *, owner: str = "") -> None:
        """Hold `revision` as the last good one of `owner` (a Sync), in place of the one before."""
        ...

    async def close(self) -> None:
        """Stop what runs. Can be called twice."""
        ...

    @property
    def trust(self) -> Trust:
        """How far what was fetched last can be relied on."""
        ...

    def link(self, revision: str) -> Link:
        """For a revision that was read."""
        ...
