"""What admission has seen of writes that it let through, so that healing need not ask the API server about each of them again.

A review of an update shows the object as it will be stored, managedFields and generation included. When it was judged to leave
what Git declares alone, the watch's event of that very write needs no verifying apply. One review vouches for one event: a write
that nobody judged finds nobody to vouch for it, and a review whose write never came is forgotten after a few seconds.
"""

from __future__ import annotations

from collections import deque

import msgspec

from guard.state.ids import ObjectKey
from guard.state.managed import Stamp, are_alike, stamps
from guard.state.metadata import Metadata

KEPT_SECONDS = 10.0
MOST_OF_AN_OBJECT = 16
# Of managedFields: 3,000 notes of 5 KB. Notes that no event asks for (healing is off) stay until there is no room.
MOST_BYTES = 16 * 1024 * 1024


class _Seen(msgspec.Struct, frozen=True):
    managed: tuple[Stamp, ...]
    generation: int
    before: str
    at: float
    size: int


class Vouched:
    """Times are monotonic seconds of one clock."""

    def __init__(self) -> None:
        self._seen: dict[ObjectKey, deque[_Seen]] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._seen)

    def note(self, key: ObjectKey, *, managed: tuple[Stamp, ...], generation: int, before: str, at: float) -> None:
        """An update was let through that leaves what Git declares as it is. `managed` are its managedFields, `before` is the
        resourceVersion that it changes.
        """
        size = sum([len(fields) for _, _, fields in managed])
        one = _Seen(managed=managed, generation=generation, before=before, at=at, size=size)
        if self._bytes + size > MOST_BYTES:
            self._forget(at)
        seen = self._seen.setdefault(key, deque())
        if len(seen) == MOST_OF_AN_OBJECT:
            self._bytes -= seen.popleft().size
        seen.append(one)
        self._bytes += size

    def vouches(self, key: ObjectKey, metadata: Metadata, *, after: str, at: float) -> bool:
        """Whether what a watch shows is what a review was let through for, right `after` the version that the watch showed before
        (a write in between was perhaps judged by nobody); asked a second time, it is not.
        """
        seen = self._seen.get(key)
        shown = stamps(metadata.entries) if seen else ()
        while seen:
            one = seen.popleft()
            self._bytes -= one.size
            if (
                at - one.at <= KEPT_SECONDS
                and one.before == after
                and one.generation == metadata.generation
                and are_alike(one.managed, shown)
            ):
                if not seen:
                    del self._seen[key]
                return True
        self._seen.pop(key, None)
        return False

    def _forget(self, at: float) -> None:
        """Drop what is too old; all of it if little is, since a note that is missing costs one apply."""
        for key in [key for key, seen in self._seen.items() if at - seen[-1].at > KEPT_SECONDS]:
            self._bytes -= sum(one.size for one in self._seen.pop(key))
        if self._bytes > MOST_BYTES // 2:
            self._seen.clear()
            self._bytes = 0
