"""Putting one object right, and saying what was wrong with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import msgspec

from guard import telemetry
from guard.apply import Applied, Known, Writer, told
from guard.audit import FieldChange, Record, References
from guard.audit.record import Event
from guard.base.backoff import Backoff
from guard.base.clock import Clock, rfc3339
from guard.base.errors import ApiStatusError, ClusterError
from guard.heal.fights import Fights
from guard.state import fields
from guard.state.desired import Declared, View
from guard.state.fields import Path
from guard.state.ids import ObjectKey
from guard.state.metadata import Metadata
from guard.state.policy import Enforcement

REPAIRS_AT_ONCE = 16
FIELDS_NAMED = 10

_log = telemetry.get("heal")


class Drift(msgspec.Struct, frozen=True):
    """Why an object is looked at: the watch's last word about it. `at` is monotonic seconds; `gone` when the object was
    deleted or lost our label, which look the same.
    """

    metadata: Metadata
    at: float
    gone: bool = False


class Repairer:
    """Repairs at once, one object at a time for each object, several objects side by side. An object that cannot be repaired is
    tried again with backoff and does not stop the others.
    """

    def __init__(
        self,
        *,
        view: View,
        writer: Writer,
        enforcement: Callable[[str], Enforcement],
        clock: Clock,
        references: References,
        write: Callable[[Record], None],
        healed: Callable[[str, str, float], None],
    ) -> None:
        self._view = view
        self._writer = writer
        self._enforcement = enforcement
        self._clock = clock
        self._references = references
        self._write = write
        self._healed = healed
        self._fights = Fights()
        self._drifted: dict[ObjectKey, str] = {}
        self._pending: dict[ObjectKey, Drift] = {}
        self._tasks: dict[ObjectKey, asyncio.Task[None]] = {}
        self._held: dict[ObjectKey, Drift] = {}
        self._limit = asyncio.Semaphore(REPAIRS_AT_ONCE)

    def look(self, key: ObjectKey, drift: Drift) -> None:
        """Repair the object if it needs it; the newest drift of an object replaces one that nobody has looked at yet."""
        declared = self._view.state.get(key)
        if declared is not None and self._writer.is_open(key, sync=declared.sync):
            self._hold(declared, drift)
            return
        if declared is not None and not self._enforcement(declared.sync).heal:
            self._leave(declared, drift)
            return
        waiting = self._pending.get(key)
        # What was taken away keeps its time: `took` counts from the first sign of drift.
        self._pending[key] = msgspec.structs.replace(drift, at=waiting.at) if waiting else drift
        known = self._tasks.get(key)
        if known is None or known.done():
            task = asyncio.create_task(self._work(key), name=f"heal {key}")
            self._tasks[key] = task
            task.add_done_callback(lambda done: self._ended(key, done))

    def _ended(self, key: ObjectKey, task: asyncio.Task[None]) -> None:
        # Another one may have begun between this one's end and this call.
        if self._tasks.get(key) is task:
            del self._tasks[key]

    def closed(self, objects: Iterable[Declared]) -> None:
        """Break-glass on these is over: put right what became of them, seen or not."""
        now = self._clock.monotonic()
        for declared in objects:
            drift = self._held.pop(declared.key, Drift(metadata=Metadata(), at=now))
            self.look(declared.key, msgspec.structs.replace(drift, at=now))

    def _hold(self, declared: Declared, drift: Drift) -> None:
        """Leave it to people, and remember what they did until break-glass is over."""
        self._held[declared.key] = drift
        self._leave(declared, drift)

    def right(self, key: ObjectKey) -> None:
        """The object was seen as the last apply left it, by whomever that apply was asked for."""
        if key not in self._tasks:
            self._drifted.pop(key, None)

    def drifted(self, sync: str) -> int:
        """How many of a Sync's objects are known to differ from Git: healing is off, fails, or waits out a fight."""
        return sum(name == sync for name in self._drifted.values())

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self, key: ObjectKey) -> None:
        backoff = Backoff(first=0.1, most=60.0)
        while (drift := self._pending.pop(key, None)) is not None:
            declared = self._view.state.get(key)
            if declared is None:
                self._drifted.pop(key, None)
                return
            if not self._enforcement(declared.sync).heal:
                self._leave(declared, drift)
                continue
            self._drifted[key] = declared.sync
            pause = self._fights.delay(key, at=self._clock.monotonic())
            if pause:
                await asyncio.sleep(pause)
            try:
                await self._repair(declared, drift)
                self._drifted.pop(key, None)
                backoff.reset()
            except ClusterError as error:
                self._failed(declared, drift, error)
                self._pending.setdefault(key, drift)
                await asyncio.sleep(backoff.next())

    def _leave(self, declared: Declared, drift: Drift) -> None:
        """Healing is off: count what metadata shows to have drifted, and what shows to be right again."""
        known = self._writer.known(declared.key)
        if drift.gone or (known is not None and known.fields.minus(drift.metadata.our_fields)):
            self._drifted[declared.key] = declared.sync
        else:
            self._drifted.pop(declared.key, None)

    async def _repair(self, declared: Declared, drift: Drift) -> None:
        key = declared.key
        known = self._writer.known(key)
        clean = self._enforcement(declared.sync).additions == "Deny"
        async with self._limit:
            applied = await self._writer.apply(declared, unless_newer_than=drift.metadata.resource_version, clean=clean)
        if applied is not None and applied.is_open:
            self._hold(declared, drift)
        if applied is None or not applied.changed:
            return
        now = self._clock.monotonic()
        took = now - drift.at
        paths = _lost(known, drift, applied)
        cause = "gone" if drift.gone else "changed"
        reason = "Recreated" if applied.created else "LabelRestored" if drift.gone else "Restored"
        managers = _managers(drift, paths)
        self._healed(cause, "healed", took)
        self._record("healed", declared, reason=reason, paths=paths, managers=managers, took=took)
        self._fights.healed(key, frozenset(paths), at=now)
        if self._fights.begins(key):
            self._record("fight", declared, reason="FieldKeepsComingBack", paths=paths, managers=managers, took=0.0)

    def _failed(self, declared: Declared, drift: Drift, error: ClusterError) -> None:
        took = self._clock.monotonic() - drift.at
        self._healed("gone" if drift.gone else "changed", "failed", took)
        reason = error.reason if isinstance(error, ApiStatusError) else "Unreachable"
        self._record("heal-failed", declared, reason=reason, paths=(), managers=(), took=took, message=told(error, declared.key))

    def _record(
        self,
        event: Event,
        declared: Declared,
        *,
        reason: str,
        paths: tuple[Path, ...],
        managers: tuple[str, ...],
        took: float,
        message: str = "",
    ) -> None:
        key = declared.key
        _log.info(event, object=str(key), reason=reason, took_ms=round(took * 1000, 1), managers=managers)
        self._write(
            Record(
                time=rfc3339(self._clock.now()),
                id=self._references.new(),
                event=event,
                reason=reason,
                sync=declared.sync,
                revision=self._view.state.revision(declared.sync),
                group=key.group,
                kind=key.kind,
                namespace=key.namespace,
                name=key.name,
                origin=str(declared.origin),
                fields=tuple(FieldChange(path=fields.written(path)) for path in paths[:FIELDS_NAMED]),
                managers=managers,
                took_ms=round(took * 1000, 1),
                message=message,
            )
        )


def _lost(known: Known | None, drift: Drift, applied: Applied) -> tuple[Path, ...]:
    """The declared fields that somebody had taken from our entry, and the additions that were removed."""
    if drift.gone or known is None or not drift.metadata.resource_version:
        return applied.removed
    taken = known.fields.minus(drift.metadata.our_fields)
    return (*taken.paths(), *applied.removed)


def _managers(drift: Drift, paths: tuple[Path, ...]) -> tuple[str, ...]:
    """The field managers that hold what was lost, as the drifted object showed them."""
    wanted = set(paths)
    found = {
        entry.manager for entry in drift.metadata.entries if not entry.is_guard and any(path in entry.fields for path in wanted)
    }
    return tuple(sorted(found))
