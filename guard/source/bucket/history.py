"""Finds an earlier revision in what a bucket tells of its versions. No I/O."""

from __future__ import annotations

import bisect
import hashlib
import re
from collections.abc import Callable, Iterable

from msgspec import Struct

from guard.source.bucket.answers import Version
from guard.source.bucket.revision import line

# Ten seconds of a core: 1,000 objects (100 KB of lines) are looked at in 80,000 states, 10,000 in 8,000.
MOST_HASHED = 8 * 1024**3
_SECOND = len("2026-01-02T03:04:05")
# Ids that begin with the time, to the millisecond (https://github.com/ulid/spec). versitygw makes such; of a version that was
# replaced it tells not when it came, but when it went.
_ULID = re.compile("[0-7][0-9A-HJKMNP-TV-Z]{25}")


class TooFarBack(Exception):
    """There is more history than can be looked through."""


def find(versions: Iterable[Version], digest: str, *, wanted: Callable[[str], bool]) -> tuple[Version, ...] | None:
    """What a revision consisted of: the keys that `wanted` lets in, each in the version that was the newest at one time, such
    that the digest is this one. The latest such time wins. None where there was none.

    S3 tells times by the second; a revision that was listed while several objects changed in one second may not be found.
    """
    changes = _changes(versions, wanted)
    state = _State()
    for change in changes:
        state.put(change.after.key, change.after)
    left = MOST_HASHED
    for change in (*reversed(changes), None):
        if state.digest() == digest:
            return state.versions()
        left -= state.size
        if left < 0:
            raise TooFarBack
        if change is not None:
            state.put(change.after.key, change.before)
    return None


class _State:
    """What is in the bucket at one time. Kept so that going to another one costs no more than the digest does."""

    def __init__(self) -> None:
        self._versions: dict[str, Version] = {}
        self._keys: list[str] = []
        self._lines: dict[str, bytes] = {}
        self.size = 0

    def put(self, key: str, version: Version | None) -> None:
        """`None`, or the mark of a deletion, takes the key away."""
        self.size -= len(self._lines.get(key, b""))
        if version is None or version.is_deletion:
            if self._versions.pop(key, None):
                del self._keys[bisect.bisect_left(self._keys, key)]
                del self._lines[key]
            return
        if key not in self._versions:
            bisect.insort(self._keys, key)
        self._versions[key] = version
        self._lines[key] = line(key, version.version, version.etag)
        self.size += len(self._lines[key])

    def digest(self) -> str:
        return hashlib.sha256(b"".join([self._lines[key] for key in self._keys])).hexdigest()

    def versions(self) -> tuple[Version, ...]:
        return tuple(self._versions[key] for key in self._keys)


class _Change(Struct, frozen=True):
    """What came, and what of that key it took the place of."""

    moment: tuple[str, int]
    before: Version | None
    after: Version


def _changes(versions: Iterable[Version], wanted: Callable[[str], bool]) -> list[_Change]:
    """The oldest first; of one second first what changed for the first time in it."""
    by_key: dict[str, list[Version]] = {}
    for each in versions:
        if wanted(each.key):
            by_key.setdefault(each.key, []).append(each)
    are_timed = all(_ULID.fullmatch(each.version) for found in by_key.values() for each in found if each.version)
    changes: list[_Change] = []
    for found in by_key.values():
        before, second, number = None, "", 0
        for after in _ordered(found, are_timed=are_timed):
            now = after.version if are_timed else max(second, after.modified[:_SECOND])
            number, second = number + 1 if now == second else 0, now
            changes.append(_Change(moment=(now, number), before=before, after=after))
            before = after
    return sorted(changes, key=lambda change: change.moment)


def _ordered(found: list[Version], *, are_timed: bool) -> list[Version]:
    """All versions of a key, the oldest first."""
    if are_timed:
        return sorted(found, key=lambda each: each.version)
    # Listed the newest first; should a store list deletions apart, times tell.
    found.reverse()
    return sorted(found, key=lambda each: (each.is_latest, each.modified))
