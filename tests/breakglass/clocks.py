"""Clocks of which tests say what they show."""

from __future__ import annotations

from datetime import datetime, timedelta


class SetClock:
    """Time passes, and the time of day is set, when a test says so."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._monotonic = 0.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def passes(self, seconds: float) -> None:
        self._monotonic += seconds
        self._now += timedelta(seconds=seconds)

    def is_set(self, now: datetime) -> None:
        self._now = now
