"""What admission has seen of writes that it let through, so that healing need not ask the API server about each of them again.

A review of an update shows the object as it will be stored, managedFields and generation included. When it was judged to leave
what Git declares alone, the watch's event of that very write needs no verifying apply. One review vouches for one event: a write
that nobody judged finds nobody to vouch for it, and a review whose write never came is forgotten after a few seconds.
"""

from __future__ import annotations

from collections import deque

import msgspec

from guard.state.fields import EMPTY, FieldSet
from guard.state.ids import ObjectKey
from guard.state.managed import Stamp, are_alike, stamps
from guard.state.metadata import Metadata

KEPT_SECONDS = 10.0
MOST_OF_AN_OBJECT = 16
MOST_OBJECTS = 4096


class Taken(msgspec.Struct, frozen=True):
    """Fields that a person's write took into entries of these managers as they were, as a forced apply does: nobody's addition,
    and not to be kept from Git either.
    """

    fields: FieldSet = EMPTY
    managers: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.fields)

    def union(self, other: Taken) -> Taken:
        return Taken(fields=self.fields.union(other.fields), managers=self.managers | other.managers)


NOTHING_TAKEN = Taken()


class _Seen(msgspec.Struct, frozen=True):
    managed: tuple[Stamp, ...]
    generation: int
    before: str
    at: float
    taken: Taken


class Vouched:
    """Times are monotonic seconds of one clock."""

    def __init__(self) -> None:
        self._seen: dict[ObjectKey, deque[_Seen]] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def note(
        self, key: ObjectKey, *, managed: tuple[Stamp, ...], generation: int, before: str, at: float, taken: Taken = NOTHING_TAKEN
    ) -> None:
        """An update was let through that leaves what Git declares as it is. `managed` are its managedFields, `before` is the
        resourceVersion that it changes.
        """
        seen = self._seen.get(key)
        if seen is None:
            if len(self._seen) >= MOST_OBJECTS:
                self._forget(at)
            seen = self._seen[key] = deque(maxlen=MOST_OF_AN_OBJECT)
        seen.append(_Seen(managed=managed, generation=generation, before=before, at=at, taken=taken))

    def vouches(self, key: ObjectKey, metadata: Metadata, *, after: str, at: float) -> Taken | None:
        """Whether what a watch shows is what a review was let through for, right `after` the version that the watch showed before
        (a write in between was perhaps judged by nobody): what it took then, else None. Asked a second time, it is not.
        """
        seen = self._seen.get(key)
        shown = stamps(metadata.entries) if seen else ()
        while seen:
            one = seen.popleft()
            if (
                at - one.at <= KEPT_SECONDS
                and one.before == after
                and one.generation == metadata.generation
                and are_alike(one.managed, shown)
            ):
                if not seen:
                    del self._seen[key]
                return one.taken
        self._seen.pop(key, None)
        return None

    def _forget(self, at: float) -> None:
        """Drop what is too old; all of it if nothing is, since a note that is missing costs one apply."""
        for key in [key for key, seen in self._seen.items() if at - seen[-1].at > KEPT_SECONDS]:
            del self._seen[key]
        if len(self._seen) >= MOST_OBJECTS:
            self._seen.clear()
