"""Fights: somebody who keeps changing what Guard keeps restoring. Per object, Guard backs off and says who it is."""

from __future__ import annotations

from collections import deque

from guard.state.ids import ObjectKey

# A person who tries three times in a minute is no fight; a controller in a loop is one after a second.
HEALS = 5
WINDOW_SECONDS = 60.0
FIRST_DELAY_SECONDS = 1.0
LONGEST_DELAY_SECONDS = 300.0


class Fights:
    """Times are monotonic seconds, passed in."""

    def __init__(self) -> None:
        self._heals: dict[ObjectKey, deque[float]] = {}

    def healed(self, key: ObjectKey, *, at: float) -> None:
        self._heals.setdefault(key, deque(maxlen=64)).append(at)

    def begins(self, key: ObjectKey) -> bool:
        """Whether the last heal turned this into a fight."""
        return len(self._heals.get(key, ())) == HEALS

    def delay(self, key: ObjectKey, *, at: float) -> float:
        """Seconds to wait before the next repair: none, until it is a fight; then doubling with each heal."""
        heals = self._heals.get(key)
        if not heals:
            return 0.0
        rounds = len(heals) - HEALS
        pause = min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0**rounds) if rounds >= 0 else 0.0
        if at - heals[-1] > WINDOW_SECONDS + pause:
            del self._heals[key]
            return 0.0
        return max(0.0, heals[-1] + pause - at)

    def forget(self, key: ObjectKey) -> None:
        self._heals.pop(key, None)
