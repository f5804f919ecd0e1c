"""One exponential backoff."""

from __future__ import annotations

import random


class Backoff:
    """Delays in seconds that double from `first` up to `most`, each cut by up to a third at random so that many
    waiting parties do not come back together.
    """

    def __init__(self, *, first: float, most: float) -> None:
        self._first = first
        self._most = most
        self._attempt = 0

    def next(self) -> float:
        # 2**32 is past any `most`; the bound keeps the power from growing without end.
        delay = min(self._most, self._first * 2 ** min(self._attempt, 32))
        self._attempt += 1
        return delay * (1 - random.random() / 3)  # noqa: S311 (spreading load, not a secret)

    def reset(self) -> None:
        self._attempt = 0
