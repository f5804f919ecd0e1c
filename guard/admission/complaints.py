"""What the listener refuses, counted and logged: anyone who can reach the port can cause it, so nothing grows with it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias

from guard import telemetry

# Each reason is documented where it is given: `server` for requests, `connections` for connections.
Reason: TypeAlias = Literal[
    "connections",
    "disconnected",
    "failure",
    "http",
    "late",
    "media-type",
    "memory",
    "method",
    "path",
    "review",
    "size",
    "slow",
    "tls",
]

INTERVAL_SECONDS = 60.0

_log = telemetry.get("admission")


class Meter(Protocol):
    """What the listener counts; telemetry's Metrics fits."""

    def admission_rejected(self, *, reason: str) -> None: ...


class Complaints:
    """Counts every complaint; logs one line a reason and `interval` seconds, with the number that went unsaid since the last.

    A line names the peer and the kind of error, never a text from the request: a header that cannot be read may be a token.
    """

    def __init__(
        self, meter: Meter, *, interval: float = INTERVAL_SECONDS, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._meter = meter
        self._interval = interval
        self._monotonic = monotonic
        self._next: dict[Reason, float] = {}
        self._unsaid: dict[Reason, int] = {}

    def add(self, reason: Reason, *, peer: str = "", error: BaseException | None = None) -> None:
        """`error` is shown whole, with its traceback, where the fault is Guard's own (reason `failure`), else by its type."""
        self._meter.admission_rejected(reason=reason)
        now = self._monotonic()
        if now < self._next.get(reason, now):
            self._unsaid[reason] = self._unsaid.get(reason, 0) + 1
            return
        self._next[reason] = now + self._interval
        kind = type(error).__name__ if error else ""
        unsaid = self._unsaid.pop(reason, 0)
        shown = error if reason == "failure" else None
        _log.warning("a request was refused", reason=reason, peer=peer, error=kind, unsaid=unsaid, exc_info=shown)
