"""Names for records, short enough to be read out on the phone."""

from __future__ import annotations

import secrets
from threading import Lock

from ulid import ULID

from guard.base.clock import Clock

RANDOM_BITS = 80  # of a ULID's 128; the other 48 are milliseconds


class References:
    """Makes ULIDs that strictly increase, also within a millisecond and when the clock steps back."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = 0
        self._lock = Lock()

    def new(self) -> str:
        milliseconds = int(self._clock.now().timestamp() * 1000)
        fresh = (milliseconds << RANDOM_BITS) | secrets.randbits(RANDOM_BITS)
        with self._lock:
            self._last = max(fresh, self._last + 1)
            return str(ULID.from_int(self._last))
