"""What people's writes took into managedFields without changing a value, as a forced apply of what stands there does."""

from __future__ import annotations

import msgspec

from guard.state.fields import EMPTY, FieldSet
from guard.state.ids import ObjectKey

# Twice as long as healing backs off at most.
KEPT_SECONDS = 600.0
MOST_OBJECTS = 4096


class Taken(msgspec.Struct, frozen=True):
    """`fields` were nobody's addition before: they are not to be taken for one, nor kept from Git. `again` are those that only a
    person's tool had held, so additions still, whoever holds them now. `entries` are the identities of the entries that took
    them.
    """

    fields: FieldSet = EMPTY
    again: FieldSet = EMPTY
    entries: frozenset[tuple[str, ...]] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.entries)

    def union(self, other: Taken) -> Taken:
        return Taken(
            fields=self.fields.union(other.fields), again=self.again.union(other.again), entries=self.entries | other.entries
        )


NOTHING_TAKEN = Taken()


class Takings:
    """What is still to be taken back, by object; seconds are of one monotonic clock."""

    def __init__(self) -> None:
        self._taken: dict[ObjectKey, tuple[Taken, float]] = {}

    def note(self, key: ObjectKey, taken: Taken, *, at: float) -> None:
        """A write that takes this is about to be stored."""
        known = self.of(key, at=at)
        self._taken.pop(key, None)
        if len(self._taken) >= MOST_OBJECTS:
            del self._taken[next(iter(self._taken))]
        self._taken[key] = (known.union(taken), at)

    def of(self, key: ObjectKey, *, at: float) -> Taken:
        taken, since = self._taken.get(key, (NOTHING_TAKEN, at))
        return taken if at - since <= KEPT_SECONDS else NOTHING_TAKEN

    def settled(self, key: ObjectKey) -> None:
        """All of it has been given back."""
        self._taken.pop(key, None)
