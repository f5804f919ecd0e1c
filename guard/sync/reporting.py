"""Saying how a Sync is: in its status, in the journal, in the log and in the metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

import msgspec

from guard import telemetry
from guard.api import EndedJob, ObjectCounts, Progress, Sync, SyncStatus, find_condition
from guard.audit import Counts, Record, References
from guard.audit.record import Event
from guard.base import naming
from guard.base.clock import Clock, rfc3339
from guard.base.errors import (
    ClusterError,
    ConfigError,
    DependencyCycle,
    DependencyError,
    GuardError,
    RenderError,
    SourceError,
    VerificationError,
)
from guard.cluster import Client
from guard.source import Trust
from guard.state.ids import Kind
from guard.sync.attempt import Attempt
from guard.sync.prune import Pruned
from guard.sync.status import Health, Outcome, advanced, blind, fighting, in_force, progressing, publish, suspended
from guard.sync.trust import REFUSED

FAILURES_NAMED = 3
# Often enough for people who watch, and a write that the API server hardly notices.
PROGRESS_SECONDS = 1.0

# The first that fits.
_REASONS: Mapping[type[GuardError], str] = {
    VerificationError: REFUSED,
    SourceError: "SourceFailed",
    RenderError: "RevisionRejected",
    DependencyCycle: "DependencyCycle",
    DependencyError: "DependencyNotReady",
    ConfigError: "InvalidSpec",
}

_log = telemetry.get("sync")


class Reporter:
    """Of one Sync. `synced` is told its name and `applied` or `failed` after each attempt that did anything."""

    def __init__(
        self,
        sync: Sync,
        *,
        client: Client,
        clock: Clock,
        references: References,
        write: Callable[[Record], None],
        synced: Callable[[str, str], None],
        fights: Callable[[str], tuple[str, ...]] = lambda _sync: (),
        unwatched: Callable[[str], tuple[str, ...]] = lambda _sync: (),
        trust: Callable[[], Trust] = Trust,
    ) -> None:
        self.status: SyncStatus = sync.status
        # Whether the API server may hold an older one, since a write failed: whatever is said next says this, too.
        self.is_owed = False
        self._name = sync.key
        self._client = client
        self._clock = clock
        self._references = references
        self._write = write
        self._synced = synced
        self._fights = fights
        self._unwatched = unwatched
        self._trust = trust
        self._failed_message = ""
        self._health: Health | None = None
        self._last: tuple[Sync, Outcome] | None = None
        # One write at a time, each made from the one before.
        self._lock = asyncio.Lock()
        self._shown_at = 0.0

    # ---- what the status says

    def was_done(self, sync: Sync, *, requested: str) -> bool:
        """Whether the status says that this very Sync was reconciled without fault, or that nothing but a newer revision is."""
        ready = find_condition(self.status.conditions, "Ready")
        return (
            ready is not None
            and (ready.status != "False" or ready.reason in _REASONS.values())
            and self.status.observed_generation == sync.metadata.generation
            and self.status.last_handled_reconcile_at == requested
        )

    # ---- how an attempt goes

    async def announce(self, sync: Sync, kinds: Iterable[Kind], *, revision: str) -> None:
        """Name kinds in the status before the first of their objects is applied: pruning goes by them, and so does what is
        registered while the Sync is not loaded, also after a Guard that was killed in between. So is the revision, if there is
        one, since what was begun is to be recalled. Raises ClusterError.
        """
        async with self._lock:
            status = msgspec.structs.replace(self.status, kinds=tuple(sorted({*kinds, *self.status.kinds})))
            if revision:
                status = in_force(sync, status, revision, signed=self._trust().signed)
            if status != self.status or self.is_owed:
                await publish(self._client, sync, status)
                self.status, self.is_owed = status, False

    async def progress(self, attempt: Attempt, *, revision: str, done: int, total: int) -> None:
        """Say how far an attempt is, from its second second on and once a second."""
        now = self._clock.monotonic()
        if now - max(attempt.started, self._shown_at) < PROGRESS_SECONDS or self._lock.locked():
            return
        self._shown_at = now
        message = f"applying {revision}: {done} of {naming.plural(total, 'object')}"
        await self._publish(
            attempt.sync,
            lambda status: progressing(
                attempt.sync, status, Progress(done=done, total=total), message=message, now=self._clock.now()
            ),
        )

    async def finished(
        self,
        attempt: Attempt,
        revision: str,
        counts: Counts,
        failures: tuple[str, ...],
        *,
        objects: ObjectCounts,
        kinds: frozenset[Kind],
        pruned: Pruned,
        ended_jobs: tuple[EndedJob, ...],
        opened: int,
        first: bool,
        stalled: bool,
    ) -> None:
        """An attempt came to its end, with a line for each object that could not be applied or pruned. `kinds` are those to
        look through for pruning, `opened` counts the objects that break-glass leaves to people, `first` says that everything was
        looked at, `stalled` that another attempt can only fail again.
        """
        message = (
            f"{naming.plural(objects.declared, 'object')} as declared in {revision}"
            if not failures
            else f"{naming.plural(len(failures), 'fault')} at {revision}: " + "; ".join(failures[:FAILURES_NAMED])
        )
        if opened:
            message += f"; {naming.plural(opened, 'object')} left to people by break-glass"
        took = (self._clock.monotonic() - attempt.started) * 1000
        is_news = message != self._failed_message if failures else counts.applied or counts.pruned or first
        if is_news:
            self._record("sync-failed" if failures else "synced", revision, message=message, counts=counts, took=took)
        self._failed_message = message if failures else ""
        self._synced(self._name, "failed" if failures else "applied")
        done = {"sync": self._name, "revision": revision, "took_ms": round(took, 1), **_shown(counts)}
        if not failures:
            _log.info("synced", **done)
        elif is_news:
            _log.warning("not all objects could be applied", error=message, **done)
        await self._say(
            attempt.sync,
            Outcome(
                ready=not failures,
                reason=_reason(failures, pruned),
                message=message,
                stalled=stalled,
                pruning="; ".join(pruned.notes),
                attempted=revision,
                applied_revision=revision,
                objects=objects,
                kinds=tuple(sorted(kinds)),
                held_back=pruned.held,
                handled=attempt.requested,
                ended_jobs=ended_jobs,
            ),
        )

    async def failed(self, attempt: Attempt, error: GuardError, *, revision: str) -> None:
        """The revision stays out, and what was in force stays in force."""
        reason = next((reason for kind, reason in _REASONS.items() if isinstance(error, kind)), "ClusterFailed")
        message = str(error)
        if message != self._failed_message:
            _log.warning("sync failed", sync=self._name, revision=revision or _refused(error), reason=reason, error=message)
            self._tell_failure(error, revision, reason=reason)
            self._failed_message = message
        self._synced(self._name, "failed")
        # What is wrong with a revision or the Sync stays so, whoever tries again; all else may mend itself.
        stalled = isinstance(error, RenderError | VerificationError | DependencyCycle | ConfigError)
        outcome = Outcome(
            ready=False,
            reason=reason,
            message=message,
            stalled=stalled,
            attempted=revision or _refused(error),
            handled=attempt.requested,
            refused=message if isinstance(error, VerificationError) else "",
        )
        await self._say(attempt.sync, outcome)

    async def unchanged(
        self,
        attempt: Attempt,
        revision: str,
        *,
        drifted: int,
        ended_jobs: tuple[EndedJob, ...],
        kinds: frozenset[Kind],
        pruned: Pruned,
    ) -> None:
        """Nothing to do; but a source that had failed meanwhile is well again, drift may have come or gone, and so may what is on
        its way out.
        """
        status, sync = self.status, attempt.sync
        ready = find_condition(status.conditions, "Ready")
        is_well = ready is not None and ready.status != "False"
        objects = msgspec.structs.replace(status.objects, drifted=drifted)
        seen = status.observed_generation == sync.metadata.generation
        pruning = "; ".join(pruned.notes)
        was_pruning = self._last[1].pruning if self._last is not None else ""
        is_news = (objects, ended_jobs, tuple(sorted(kinds)), pruning) != (
            status.objects,
            status.ended_jobs,
            status.kinds,
            was_pruning,
        )
        message = ready.message if ready is not None and ready.status == "True" else f"as declared in {revision}"
        if self._last is not None and self._last[1].ready:
            message = self._last[1].message  # without what health adds to it
        self._failed_message = ""
        if pruned.deleted:
            took = (self._clock.monotonic() - attempt.started) * 1000
            self._record("synced", revision, message=message, counts=Counts(pruned=pruned.deleted), took=took)
        outcome = Outcome(
            ready=True,
            reason="Applied",
            message=message,
            pruning=pruning,
            attempted=revision,
            objects=objects,
            kinds=tuple(sorted(kinds)),
            ended_jobs=ended_jobs,
        )
        if is_well and seen and not (is_news or self._troubles_changed() or self.is_owed):
            self._last = (sync, outcome)
        else:
            await self._say(sync, outcome)

    async def suspended(self, sync: Sync) -> None:
        await self._publish(sync, lambda status: suspended(sync, status, now=self._clock.now()))

    def judged(self, health: Health | None) -> None:
        """How well what was applied is by now, to be said with the next write; None while that is not known."""
        self._health = health

    async def health(self, health: Health) -> None:
        """The same, said at once."""
        self._health = health
        if self._last is not None:
            await self._say(*self._last)

    async def _say(self, sync: Sync, outcome: Outcome) -> None:
        self._last = (sync, outcome)
        await self._publish(
            sync,
            lambda status: advanced(
                sync,
                status,
                outcome,
                health=self._health,
                fights=self._fights(self._name),
                unwatched=self._unwatched(self._name),
                trust=self._trust(),
                now=self._clock.now(),
            ),
        )

    def _troubles_changed(self) -> bool:
        wanted = {"Fighting": fighting(self._fights(self._name)), "Unwatched": blind(self._unwatched(self._name))}
        said = {name: find_condition(self.status.conditions, name) for name in wanted}
        return any((known.message if (known := said[name]) else "") != (new[2] if new else "") for name, new in wanted.items())

    async def _publish(self, sync: Sync, change: Callable[[SyncStatus], SyncStatus]) -> None:
        async with self._lock:
            status = change(self.status)
            if status == self.status and not self.is_owed:
                return
            self.status, self.is_owed = status, True
            try:
                await publish(self._client, sync, status)
            except ClusterError as error:
                _log.warning("the status could not be written", sync=self._name, error=str(error))
                return
            self.is_owed = False

    def _tell_failure(self, error: GuardError, revision: str, *, reason: str) -> None:
        is_refusal = isinstance(error, VerificationError)
        self._record(
            "revision-refused" if is_refusal else "sync-failed",
            revision or _refused(error),
            message=str(error),
            counts=None,
            took=0.0,
            reason=reason,
            user=error.signer if is_refusal else "",
        )

    def _record(
        self, event: Event, revision: str, *, message: str, counts: Counts | None, took: float, reason: str = "", user: str = ""
    ) -> None:
        self._write(
            Record(
                time=rfc3339(self._clock.now()),
                id=self._references.new(),
                event=event,
                reason=reason,
                sync=self._name,
                revision=revision,
                user=user,
                message=message,
                counts=counts,
                took_ms=round(took, 1),
            )
        )


def _refused(error: GuardError) -> str:
    """The revision that was refused before it could be taken."""
    return error.revision if isinstance(error, VerificationError) else ""


def _reason(failures: tuple[str, ...], pruned: Pruned) -> str:
    if not failures:
        return "Applied"
    return "PruneHeldBack" if pruned.held.revision and failures == pruned.faults else "ApplyFailed"


def _shown(counts: Counts) -> dict[str, int]:
    return {"applied": counts.applied, "unchanged": counts.unchanged, "pruned": counts.pruned, "failed": counts.failed}
