"""One clock, passed to whoever needs the time."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """The time of day, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start, unmoved by clock jumps."""
        ...


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


def rfc3339(moment: datetime) -> str:
    """`2026-01-02T03:04:05.678Z`: sorts as text, readable by every log system."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def rfc3339_seconds(moment: datetime) -> str:
    """`2026-01-02T03:04:05Z`: the form of a Kubernetes metav1.Time."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
