"""What is known of the health of one Sync's objects: what was found when, what is still to be looked at, and what that makes
together. No I/O; moments are given.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Collection, Iterable
from datetime import datetime
from heapq import nsmallest

from msgspec import Struct

from guard.api import HealthCounts
from guard.base import naming
from guard.base.clock import rfc3339_seconds
from guard.state.desired import Declared
from guard.state.health import Health, can_ail
from guard.state.ids import Kind, ObjectKey
from guard.sync.status import Health as Report
from guard.sync.status import HealthReason

FAULTS_NAMED = 3
_HELD = sys.maxsize  # no look counts


class _Ill(Struct, frozen=True):
    """`since` is the moment at which the object was first found not to be healthy, `at` when it came into this state."""

    health: Health
    since: float
    at: datetime


class Findings:
    """Objects come by `declare` and are held back until their manifests are applied: what is found of them before says nothing of
    what is declared now.
    """

    def __init__(self) -> None:
        self.objects: dict[ObjectKey, Declared] = {}
        self.of_kind: Counter[Kind] = Counter()
        # Which look counts as one at what is declared now, by number.
        self._unseen: dict[ObjectKey, int] = {}
        self._ill: dict[ObjectKey, _Ill] = {}
        self._looks = 0
        self._began = 0.0
        # Whether all that is declared was looked at once.
        self.is_known = False

    def declare(self, put: Iterable[Declared], gone: Iterable[ObjectKey]) -> None:
        for key in gone:
            self._forget(key)
        for declared in put:
            known = self.objects.get(declared.key)
            if known is not None and known.body is declared.body:
                self.objects[declared.key] = declared
                continue
            self._forget(declared.key)
            if can_ail(declared.body):
                self.objects[declared.key] = declared
                self.of_kind[declared.kind] += 1
                self._unseen[declared.key] = _HELD

    def begin(self, now: float) -> None:
        """The time that objects are given to become healthy starts over."""
        self._began = now

    def release(self, keys: Iterable[ObjectKey] | None = None) -> list[ObjectKey]:
        """These (None: all that are held) are applied; returns those that are to be looked at."""
        self._looks += 1
        found = [key for key in (tuple(self._unseen) if keys is None else keys) if self._unseen.get(key) == _HELD]
        for key in found:
            self._unseen[key] = self._looks
        self.is_known = self.is_known or not self._unseen
        return found

    def look(self) -> int:
        """The number of a look that begins now."""
        return self._looks

    def found(self, key: ObjectKey, health: Health, *, look: int, now: float, at: datetime) -> None:
        if key not in self.objects or look < self._unseen.get(key, 0):
            return
        self._unseen.pop(key, None)
        self.is_known = self.is_known or not self._unseen
        if health.state == "healthy":
            self._ill.pop(key, None)
        else:
            known = self._ill.get(key)
            is_same = known is not None and known.health.state == health.state
            self._ill[key] = _Ill(health, known.since if known else now, known.at if known and is_same else at)

    def is_held(self, key: ObjectKey) -> bool:
        """Whether it is yet to be applied: until then no look counts."""
        return self._unseen.get(key) == _HELD

    @property
    def ill(self) -> Collection[ObjectKey]:
        return self._ill.keys()

    def has_failed(self, key: ObjectKey) -> bool:
        return key in self._ill and self._ill[key].health.state == "unhealthy"

    def is_healthy(self, key: ObjectKey) -> bool:
        return key not in self._ill and key not in self._unseen

    def next_late(self, *, now: float, timeout: float) -> float | None:
        """The seconds until the next object has had its time; None where none is waited for."""
        left = (timeout - self._waited(ill, now) for ill in self._ill.values() if ill.health.state == "progressing")
        return min((seconds for seconds in left if seconds > 0), default=None)

    def report(self, *, now: float, timeout: float) -> Report:
        states = Counter(ill.health.state for ill in self._ill.values())
        waiting = states["progressing"] + len(self._unseen)
        counts = HealthCounts(
            healthy=len(self.objects) - len(self._ill) - len(self._unseen), progressing=waiting, unhealthy=states["unhealthy"]
        )
        reason: HealthReason = "Progressing" if waiting else "Healthy"
        if any(ill.health.state == "progressing" and self._waited(ill, now) >= timeout for ill in self._ill.values()):
            reason = "TimedOut"
        if counts.unhealthy:
            reason = "Unhealthy"
        return Report(counts=counts, reason=reason, message=self._message(counts, reason))

    def lines(self, keys: Iterable[ObjectKey]) -> tuple[str, ...]:
        """One line for each of these that is not healthy, what failed for good and what is ill for longest first."""
        keys = sorted(keys, key=self._urgency)
        unseen = (f"{key}: it could not be looked at yet" for key in keys if key in self._unseen)
        return (*(_line(key, self._ill[key]) for key in keys if key in self._ill), *unseen)

    def _message(self, counts: HealthCounts, reason: HealthReason) -> str:
        total = naming.plural(len(self.objects), "object")
        if reason == "Healthy":
            return f"{total} healthy" if self.objects else "nothing is declared that could be unhealthy"
        not_healthy = counts.progressing + counts.unhealthy
        named = self.lines(nsmallest(FAULTS_NAMED, self._ill, key=self._urgency))
        more = not_healthy - len(named)
        also = (f"and {more} more",) if named and more else ()
        late = " within the timeout" if reason == "TimedOut" else ""
        return "; ".join((f"{not_healthy} of {total} not healthy{late}", *named, *also))

    def _urgency(self, key: ObjectKey) -> tuple[bool, float, ObjectKey]:
        ill = self._ill.get(key)
        return (ill.health.state != "unhealthy", ill.since, key) if ill else (True, 0.0, key)

    def _waited(self, ill: _Ill, now: float) -> float:
        return now - max(ill.since, self._began)

    def _forget(self, key: ObjectKey) -> None:
        known = self.objects.pop(key, None)
        if known is not None:
            self.of_kind[known.kind] -= 1
        self._unseen.pop(key, None)
        self._ill.pop(key, None)


def _line(key: ObjectKey, ill: _Ill) -> str:
    """`Deployment shop/web: 1 of 3 replicas are available (progressing since 2026-01-02T03:04:05Z)`."""
    return f"{key}: {ill.health.message} ({ill.health.state} since {rfc3339_seconds(ill.at)})"
