"""Fights: somebody who keeps changing the field that Guard keeps restoring. Per object, Guard backs off and says who it is."""

from __future__ import annotations

from collections import deque

from guard.state.fields import Path
from guard.state.ids import ObjectKey

# A person who tries again and again is no fight; a controller in a loop gets here within a second.
HEALS = 10
WINDOW_SECONDS = 60.0
FIRST_DELAY_SECONDS = 1.0
LONGEST_DELAY_SECONDS = 300.0
REMEMBERED = 32  # heals of one object; by then the delay has long reached its limit


class Fights:
    """Counts the heals of an object in a row that had a field in common. Times are monotonic seconds, passed in."""

    def __init__(self) -> None:
        self._heals: dict[ObjectKey, deque[tuple[float, frozenset[Path]]]] = {}

    def healed(self, key: ObjectKey, paths: frozenset[Path], *, at: float) -> None:
        """`paths` are the fields that were restored; empty when the whole object was."""
        heals = self._heals.setdefault(key, deque(maxlen=REMEMBERED))
        if heals and not (paths == heals[-1][1] or paths & heals[-1][1]):
            # Another field: somebody at work on the object, not the same quarrel.
            heals.clear()
        heals.append((at, paths))

    def begins(self, key: ObjectKey) -> bool:
        """Whether the last heal turned this into a fight."""
        return len(self._heals.get(key, ())) == HEALS

    def delay(self, key: ObjectKey, *, at: float) -> float:
        """Seconds to wait before the next repair: none, until it is a fight; then doubling with each heal."""
        heals = self._heals.get(key)
        if not heals:
            return 0.0
        rounds, last = len(heals) - HEALS, heals[-1][0]
        pause = min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0**rounds) if rounds >= 0 else 0.0
        if at - last > WINDOW_SECONDS + pause:
            del self._heals[key]
            return 0.0
        return max(0.0, last + pause - at)
