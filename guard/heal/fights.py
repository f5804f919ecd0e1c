"""Fights: somebody who keeps changing the fields that Guard keeps restoring. Per object, Guard backs off and says who it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias

import msgspec

from guard.state.fields import SELF, Path
from guard.state.ids import ObjectKey

# A person who tries again and again is no fight; a controller in a loop gets here within a second.
HEALS = 10
# Who acts on a schedule rarely does so oftener than twice a minute, and is then healed at once each time.
WINDOW_SECONDS = 30.0
FIRST_DELAY_SECONDS = 1.0
LONGEST_DELAY_SECONDS = 300.0
MOST_FIELDS = 64  # of one object; who takes more of them is after the object

WHOLE: Path = ()  # stands for the object itself, which was deleted or lost our label
UNSEEN: Path = (SELF,)  # stands for what no metadata shows: an order, a mutating webhook's doing, additions before they are found

Way: TypeAlias = Literal["changed", "deleted", "unlabelled"]


class Heals(msgspec.Struct, frozen=True):
    """Heals of one field: how many, and who had changed it last, as far as anything shows."""

    count: int
    managers: tuple[str, ...] = ()


class Fight(msgspec.Struct, frozen=True):
    """Heals of one object in a row, by field; when the newest was, and what had been done to the object by then."""

    heals: Mapping[Path, Heals]
    last: float
    way: Way = "changed"

    @property
    def count(self) -> int:
        """Heals of the field that was healed most often."""
        return max(heals.count for heals in self.heals.values())

    @property
    def managers(self) -> tuple[str, ...]:
        """Who it is with."""
        return tuple(sorted({manager for path in self.paths for manager in self.heals[path].managers}))

    @property
    def is_one(self) -> bool:
        """Whether these are so many that it is a fight."""
        return self.count >= HEALS

    @property
    def paths(self) -> frozenset[Path]:
        """What it is about."""
        return frozenset(path for path, heals in self.heals.items() if heals.count >= HEALS)

    @property
    def next(self) -> float:
        """When the next repair is due: at once, until it is a fight; then after a pause that doubles with each heal."""
        # 2**32 is past the longest; the bound keeps the power from growing without end.
        rounds = min(self.count - HEALS, 32)
        return self.last + (min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0**rounds) if rounds >= 0 else 0.0)

    @property
    def over(self) -> float:
        """When it has ended, should nobody come back."""
        return self.next + WINDOW_SECONDS


class Fights:
    """Times are monotonic seconds, passed in."""

    def __init__(self) -> None:
        self._fights: dict[ObjectKey, Fight] = {}

    def __iter__(self) -> Iterator[tuple[ObjectKey, Fight]]:
        """The fights under way."""
        return ((key, fight) for key, fight in self._fights.items() if fight.is_one)

    def __len__(self) -> int:
        """How many objects were healed lately."""
        return len(self._fights)

    def healed(self, key: ObjectKey, changed: Mapping[Path, tuple[str, ...]], *, way: Way, at: float) -> Fight:
        """The fields that were restored, or WHOLE or UNSEEN, each with who had changed it. Returns how it stands then."""
        known = self._fights.get(key)
        heals = dict(known.heals) if known and at <= known.over else {}
        if len(heals) >= MOST_FIELDS:
            # What is fought about stays so, or its end would never be told.
            heals = {path: found for path, found in heals.items() if found.count >= HEALS}
        for path, managers in changed.items():
            heals[path] = Heals(count=heals[path].count + 1 if path in heals else 1, managers=managers)
        fight = self._fights[key] = Fight(heals=heals, last=at, way=way)
        return fight

    def of(self, key: ObjectKey, *, at: float) -> Fight | None:
        """The fight about an object, if there is one."""
        fight = self._fights.get(key)
        return fight if fight is not None and fight.is_one and at <= fight.over else None

    def delay(self, key: ObjectKey, paths: frozenset[Path], *, at: float) -> float:
        """Seconds to wait before a repair of these fields. What the fight is not about does not wait for it."""
        fight = self.of(key, at=at)
        if fight is None or not (paths <= fight.paths or UNSEEN in paths):
            return 0.0
        return max(0.0, fight.next - at)

    def ended(self, key: ObjectKey, *, at: float) -> Fight | None:
        """The fight about an object whose time is over, though nobody has looked since; it is forgotten."""
        fight = self._fights.get(key)
        return self._fights.pop(key) if fight is not None and fight.is_one and at > fight.over else None

    def end(self, *, at: float) -> list[tuple[ObjectKey, Fight]]:
        """Forget those whose time is over; returns what of them were fights."""
        over = [(key, fight) for key, fight in self._fights.items() if at > fight.over]
        for key, _ in over:
            del self._fights[key]
        return [(key, fight) for key, fight in over if fight.is_one]
