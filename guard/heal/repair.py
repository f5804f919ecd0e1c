"""Putting objects right: at once, each one by itself, for as long as it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import msgspec

from guard import telemetry
from guard.apply import Writer
from guard.base.backoff import Backoff
from guard.base.clock import Clock
from guard.base.codec import child
from guard.base.concurrency import Places, end, within
from guard.base.errors import ClusterError
from guard.heal.report import Drift, Report
from guard.state.desired import Declared, View
from guard.state.ids import DEFINITION, NAMESPACE, SYNC_LABEL, ObjectKey
from guard.state.metadata import Metadata
from guard.state.policy import Enforcement

REPAIRS_AT_ONCE = 16
# A repair takes some milliseconds. One that takes this long waits for somebody else, a webhook perhaps that does not answer, and
# lets others by; half of the client's connections are left to all else.
HANGS_SECONDS = 1.0
REPAIRS_AT_MOST = 50
FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 0.1, 60.0
SETTLE_SECONDS = 5.0  # how late the end of a fight may be seen

# What others of Git's objects live in, and cannot be made without.
_HOLDERS = frozenset((kind.group, kind.kind) for kind in (DEFINITION, NAMESPACE))

_log = telemetry.get("heal")


class _Case:
    """An object that is looked at: the newest drift that nobody has taken up yet, and what waits for the next try."""

    def __init__(self, drift: Drift) -> None:
        self.drift: Drift | None = drift
        self.fails = False
        self._now = asyncio.Event()

    def put(self, drift: Drift) -> None:
        # What was taken away keeps its time: `took` counts from the first sign of drift.
        self.drift = msgspec.structs.replace(drift, at=self.drift.at) if self.drift else drift

    def take(self) -> Drift | None:
        drift, self.drift = self.drift, None
        return drift

    def hurry(self) -> None:
        """Wait no longer."""
        self._now.set()

    async def wait(self, seconds: float) -> bool:
        """True when there is a reason to go on at once."""
        self._now.clear()
        return await within(self._now, seconds)


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
        report: Report,
    ) -> None:
        self._view = view
        self._writer = writer
        self._enforcement = enforcement
        self._clock = clock
        self._report = report
        self._drifted: set[ObjectKey] = set()
        self._cases: dict[ObjectKey, _Case] = {}
        self._tasks: dict[ObjectKey, asyncio.Task[None]] = {}
        self._held: dict[ObjectKey, Drift] = {}
        self._places = Places(REPAIRS_AT_ONCE, patience=HANGS_SECONDS, most=REPAIRS_AT_MOST)
        self._settling: asyncio.TimerHandle | None = None

    def heals(self, declared: Declared) -> bool:
        """Whether its Sync wants drift undone."""
        return self._enforcement(declared.sync).heal

    def look(self, key: ObjectKey, drift: Drift, *, again: bool = False) -> None:
        """Repair the object if it needs it; the newest drift of an object replaces one that nobody has looked at yet. `again` is
        for what a new list showed: a try that failed may succeed now, as it may once the object has gone.
        """
        declared = self._view.state.get(key)
        if declared is not None and self._writer.is_open(key, sync=declared.sync):
            self._hold(declared, drift)
            return
        if declared is not None and not self.heals(declared) and self._is_settled(declared, drift):
            self._leave(declared, drift)
            return
        case = self._cases.get(key)
        if case is None:
            self._cases[key] = case = _Case(drift)
            self._tasks[key] = asyncio.create_task(self._work(key, case), name=f"heal {key}")
            return
        case.put(drift)
        if (again or drift.gone) if case.fails else not self._report.pause(key, self._writer.known(key), drift):
            case.hurry()

    def closed(self, objects: Iterable[Declared]) -> None:
        """Break-glass on these is over: put right what became of them, seen or not."""
        now = self._clock.monotonic()
        for declared in objects:
            held = self._held.pop(declared.key, None)
            if held is not None:
                self.look(declared.key, msgspec.structs.replace(held, at=now))
            elif self.heals(declared):
                self.look(declared.key, Drift(metadata=Metadata(), at=now))
        for key in [key for key in self._held if self._view.state.get(key) is None]:
            del self._held[key]

    def _hold(self, declared: Declared, drift: Drift) -> None:
        """Leave it to people, and remember what they did until break-glass is over."""
        self._held[declared.key] = drift
        self._leave(declared, drift)

    def right(self, key: ObjectKey) -> None:
        """The object was seen as the last apply left it, by whomever that apply was asked for."""
        if key not in self._cases:
            self._drifted.discard(key)

    def drifted(self, sync: str) -> int:
        """How many of a Sync's objects are known to differ from Git: healing is off, fails, or waits out a fight."""
        known = {key: self._view.state.get(key) for key in self._drifted}
        self._drifted.difference_update(key for key, declared in known.items() if declared is None)
        return sum(declared is not None and declared.sync == sync for declared in known.values())

    async def close(self) -> None:
        await end(self._tasks.values())
        if self._settling is not None:
            self._settling.cancel()

    async def _work(self, key: ObjectKey, case: _Case) -> None:
        backoff = Backoff(first=FIRST_RETRY_SECONDS, most=LONGEST_RETRY_SECONDS)
        try:
            while (drift := case.take()) is not None:
                drift = await self._in_turn(key, drift, case)
                declared = self._view.state.get(key)
                if declared is None:
                    self._drifted.discard(key)
                    self._report.is_right(key)
                    continue
                if await self._is_done(declared, drift):
                    case.fails = False
                    backoff.reset()
                else:
                    case.fails = True
                    if case.drift is not None and case.drift.gone:
                        continue  # while it was tried
                    case.drift = case.drift or drift
                    if await case.wait(backoff.next()):
                        backoff.reset()
        finally:
            # Nothing is awaited since the last look for drift: what comes now makes a case of its own.
            del self._cases[key], self._tasks[key]

    async def _in_turn(self, key: ObjectKey, drift: Drift, case: _Case) -> Drift:
        """Wait while a fight makes it wait, which may take minutes: what Git declares then is what counts."""
        declared = self._view.state.get(key)
        if declared is None or case.fails or not self.heals(declared):
            return drift
        pause = self._report.pause(key, self._writer.known(key), drift)
        if pause:
            self._drifted.add(key)
            await case.wait(pause)
        return case.take() or drift

    async def _is_done(self, declared: Declared, drift: Drift) -> bool:
        """One try; False when it has to be made again."""
        key = declared.key
        try:
            if not self.heals(declared):
                is_there = await self._writer.label(declared)
                self._leave(declared, msgspec.structs.replace(drift, gone=not is_there))
                return True
            self._drifted.add(key)
            if await self._is_left_open(declared, drift):
                return True
        except ClusterError as error:
            self._report.failed(declared, drift, error)
            return False
        except Exception:  # noqa: BLE001 (a fault of Guard's own with one object is tried again, and told)
            _log.exception("a repair failed for a reason that Guard does not know", object=str(key))
            return False
        self._drifted.discard(key)
        self._report.is_right(key)
        return True

    def _is_settled(self, declared: Declared, drift: Drift) -> bool:
        """Whether there is nothing to put back nor to wait for, where healing is off: our label stands there, and no apply is
        under way that this may be the event of.
        """
        wanted = child(child(declared.body, "metadata"), "labels").get(SYNC_LABEL)
        labelled = not drift.gone and (drift.metadata.labels or {}).get(SYNC_LABEL) == wanted
        return labelled and not self._writer.is_writing(declared.key)

    def _leave(self, declared: Declared, drift: Drift) -> None:
        """Healing is off: count what metadata shows to have drifted, and what shows to be right again."""
        known, seen = self._writer.known(declared.key), drift.metadata
        is_old = known is not None and int(seen.resource_version or 0) <= known.fingerprint.version
        if drift.gone or (known is not None and not is_old and known.fields.minus(seen.our_fields)):
            self._drifted.add(declared.key)
        else:
            self._drifted.discard(declared.key)

    async def _is_left_open(self, declared: Declared, drift: Drift) -> bool:
        """Repair the object; True where that is not to be, since break-glass holds it open by now."""
        known = self._writer.known(declared.key)
        clean = self._enforcement(declared.sync).additions == "Deny"
        await self._writer.quiet(declared.key)  # a recreation may take long, and holds up nobody else
        async with self._places.one():
            applied = await self._writer.apply(declared, unless_newer_than=drift.metadata.resource_version, clean=clean)
        if applied is not None and applied.is_open:
            # What is held by now has been seen since, and counts.
            if declared.key not in self._held:
                self._hold(declared, drift)
            return True
        if applied is None or not applied.changed:
            return False
        self._report.restored(declared, known, drift, applied)
        if self._settling is None:
            self._settle_later()
        if applied.created and (declared.key.group, declared.key.kind) in _HOLDERS:
            for case in self._cases.values():
                if case.fails:
                    case.hurry()
        return False

    def _settle_later(self) -> None:
        self._settling = asyncio.get_running_loop().call_later(SETTLE_SECONDS, self._settle)

    def _settle(self) -> None:
        self._settling = None
        self._report.settle()
        if not self._report.is_quiet():
            self._settle_later()
