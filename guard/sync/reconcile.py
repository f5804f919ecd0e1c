"""One Sync's loop: fetch, render, check, take into force, apply, prune, say how it went.

An ordered list of steps, each of which may end the attempt with an error; what was in force then stays in force, and the next
poll tries again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from guard import telemetry
from guard.api import EndedJob, ObjectCounts, Sync, SyncStatus, find_condition, label_value
from guard.apply import Writer
from guard.audit import Counts, Record, References
from guard.audit.record import Event
from guard.base import naming
from guard.base.backoff import Backoff
from guard.base.clock import Clock, rfc3339
from guard.base.errors import ApiStatusError, ClusterError, GuardError, RenderError, SourceError
from guard.cluster import Client, Served, definitions
from guard.state.desired import Declared
from guard.state.ids import NAMESPACE, Kind, ObjectKey
from guard.sync import gate, plan, prune
from guard.sync.applying import Done, apply_all, learn_all
from guard.sync.goal import Goal, goal_of, last_request
from guard.sync.plan import Groups, Plan
from guard.sync.ports import Index, Source
from guard.sync.status import Outcome, advanced, publish

RETRY_FIRST_SECONDS, RETRY_MOST_SECONDS = 2.0, 60.0
FAILURES_NAMED = 3
# Past that a listing of each kind costs the API server less.
LOOKED_FOR_ONE_BY_ONE = 20

_log = telemetry.get("sync")

_REASONS = {SourceError: "SourceFailed", RenderError: "RevisionRejected"}


class _Resolved(msgspec.Struct, frozen=True):
    """A revision's plan, and by what was served when it was resolved."""

    plan: Plan
    served: Served


class Reconciler:
    """Runs one Sync until cancelled. `wake` makes it look at once; `update` hands it the Sync's newest version."""

    def __init__(
        self,
        sync: Sync,
        *,
        source: Source,
        index: Index,
        client: Client,
        writer: Writer,
        clock: Clock,
        references: References,
        write: Callable[[Record], None],
        wait: Callable[[asyncio.Event, float], Awaitable[bool]],
        synced: Callable[[str, str], None],
        drifted: Callable[[str], int],
    ) -> None:
        self.sync = sync
        self.status: SyncStatus = sync.status
        self.loaded = asyncio.Event()
        self.wake = asyncio.Event()
        self._source = source
        self._index = index
        self._client = client
        self._writer = writer
        self._clock = clock
        self._references = references
        self._write = write
        self._wait = wait
        self._synced = synced
        self._drifted = drifted
        self._done: Goal | None = None
        self._backoff = Backoff(first=RETRY_FIRST_SECONDS, most=RETRY_MOST_SECONDS)
        self._failed_message = ""
        self._learning: asyncio.Task[None] | None = None
        # What is in force, and by what was served when it was resolved.
        self._plan = plan.NOTHING
        self._served: Served | None = None
        # What of it was not applied yet (None: nothing was), what is to be pruned yet (None: look at all that is ours), and for
        # which goal, the revision aside.
        self._due: frozenset[ObjectKey] | None = None
        self._gone: dict[ObjectKey, Kind] | None = None
        self._basis: Goal | None = None
        # Resolve everything anew, since what is not in the manifests may have changed.
        self._anew = True
        # Apply everything again, where healing is on.
        self._again = False
        # What was applied since a start, to be told with the first attempt.
        self._recalled = Counts()

    @property
    def name(self) -> str:
        return f"{self.sync.metadata.namespace}/{self.sync.metadata.name}"

    @property
    def label(self) -> str:
        return label_value(self.sync.metadata.namespace, self.sync.metadata.name)

    def update(self, sync: Sync) -> None:
        """A newer version of the resource; a change of its spec or a request to reconcile is looked at at once."""
        known = self.sync
        self.sync = sync
        if sync.metadata.generation != known.metadata.generation or last_request(sync) != last_request(known):
            self.wake.set()

    def resync(self) -> None:
        """Apply everything again at once, whether or not anything seems to have changed; where healing is on."""
        if self.sync.spec.enforcement.heals:
            self._again = self._anew = True
            self.wake.set()

    async def run(self) -> None:
        self._recall_ended_jobs()
        was_done = self._was_done()
        while True:
            if not self.loaded.is_set():
                await self._recall(was_done=was_done)
            try:
                ok = await self.attempt()
            except Exception as error:  # noqa: BLE001 (a fault of Guard's own in one Sync stops neither others nor enforcement)
                _log.exception("a sync failed for a reason that Guard does not know", sync=self.name)
                fault = GuardError(f"internal error: {type(error).__name__}", hint="the log says more")
                await self._fail(fault, revision="", requested="")
                ok = False
            seconds = self.sync.spec.source.interval_seconds
            if ok:
                self._backoff.reset()
            else:
                seconds = min(seconds, self._backoff.next())
            await self._wait(self.wake, seconds)

    async def close(self) -> None:
        if self._learning is not None:
            self._learning.cancel()
            await asyncio.gather(self._learning, return_exceptions=True)
        await self._source.close()

    async def _recall(self, *, was_done: bool) -> None:
        """After a start, put the revision in force that was applied last, before asking the source: neither enforcement nor
        healing waits for Git, and a Git that is down or broken meanwhile leaves it so. Where the API server was the trouble, the
        next round tries again; what another Sync has taken over by then is its.
        """
        revision = self.status.last_applied_revision
        if not revision:
            return
        try:
            resolved = await self._resolve(revision)
            lost = {conflict.loser.key for conflict in self._index.state.conflicts(self.name, resolved.plan.put)}
            found = plan.without(resolved.plan, lost)
            await self._take(found, served=resolved.served, revision=revision)
            self._anew = bool(lost)
            goal = goal_of(self.sync, revision)
            if self.sync.spec.enforcement.heals:
                self._begin(goal)
                self._recalled = (await self._apply()).counts
            elif was_done:
                # Healing is off for a reason, and a restart is none to undo what people did meanwhile.
                self._begin(goal)
                self._done, self._due = goal, frozenset()
                objects = tuple(found.objects.values())
                self._learning = asyncio.create_task(self._learn(objects), name=f"learn {self.name}")
        except Exception as error:  # noqa: BLE001 (the first attempt, which follows, says what is wrong)
            _log.info("the last applied revision is not at hand", sync=self.name, revision=revision, error=str(error))

    async def _learn(self, objects: tuple[Declared, ...]) -> None:
        """In which form the API server stores what Git declares, where no apply tells."""
        try:
            await learn_all(objects, writer=self._writer)
        except ClusterError as error:
            # The manifests themselves serve until then; the next apply tells as well.
            _log.warning("Git's values were not learned", sync=self.name, error=str(error))

    async def attempt(self) -> bool:
        """One round. True when the Sync is as it should be."""
        # As it is now: what changes meanwhile is another goal, and looked at again.
        sync, requested = self.sync, last_request(self.sync)
        revision = ""
        try:
            revision = await self._source.fetch()
            goal = goal_of(sync, revision)
            if self._is_done(goal):
                return await self._recovered(revision)
            started = self._clock.monotonic()
            resolved = await self._resolve(revision)
            found = resolved.plan
            plan.refuse_conflicts(found, state=self._index.state, sync=self.name)
            lessons = await gate.check(self._changed(found), due=self._due_of(found), declared=found.objects, writer=self._writer)
        except GuardError as error:
            await self._fail(error, revision=revision, requested=requested)
            await self._go_on()
            return False
        # From here on what was in force is so no more; what fails before has changed nothing.
        first, self._done = self._done is None or self._again, None
        kinds = self.status.kinds
        try:
            await self._take(found, served=resolved.served, revision=revision)
            self._writer.believe(lessons)
            self._anew = False
            self._begin(goal)
            await self._announce()
            recalled, self._recalled = self._recalled, Counts()
            done = await self._apply()
            held, pruned = await self._prune(revision, kinds)
            await self._index.settle(self.name)
            # Before the status says that it is in force.
            await self._source.keep(revision)
        except GuardError as error:
            await self._fail(error, revision=revision, requested=requested)
            return False
        failures = (*done.failures, *held)
        counts = Counts(
            applied=recalled.applied + done.counts.applied,
            unchanged=recalled.unchanged + done.counts.unchanged,
            pruned=pruned,
            failed=len(failures),
        )
        await self._finish(revision, counts, failures, first=first, requested=requested, started=started)
        if failures:
            return False
        self._done = goal
        return True

    async def _go_on(self) -> None:
        """What is in force is applied, whatever keeps the next revision out: what could not be applied before, and all of it when
        a resync asks for that.
        """
        heals = self.sync.spec.enforcement.heals
        if self._again and heals:
            self._again, self._due = False, None
        is_due = heals if self._due is None else bool(self._due)
        if self._plan is plan.NOTHING or not is_due:
            return
        try:
            await self._announce()
            await self._apply()
        except ClusterError as error:
            _log.warning("what is in force could not be applied", sync=self.name, error=str(error))

    async def _take(self, found: Plan, *, served: Served, revision: str) -> None:
        """Put a plan in force, and remember what of it there is to do."""
        changed = {declared.key for declared in self._changed(found)}
        await self._index.take(self.name, found, revision=revision, also=self.status.kinds)
        if self._due is not None:
            self._due = frozenset(key for key in self._due | changed if key in found.objects)
        if self._gone is not None:
            self._gone |= {declared.key: declared.kind for declared in found.gone}
        self._plan, self._served = found, served
        self.loaded.set()

    def _changed(self, found: Plan) -> tuple[Declared, ...]:
        """What there is to apply of a plan beside the one in force. Another line in a file is nothing to apply."""
        before = self._plan.objects
        return tuple(one for one in found.put if one.key not in before or before[one.key].body is not one.body)

    def _begin(self, goal: Goal) -> None:
        """With another goal than the last one, but for the revision, there is everything to do; not where healing alone was
        turned off since.
        """
        basis, before, heals = goal.basis, self._basis, goal.spec.enforcement.heals
        is_turned_off = before is not None and not heals and before.without_enforcement == basis.without_enforcement
        if (before != basis and not is_turned_off) or (self._again and heals):
            self._due = self._gone = None
        self._basis, self._again = basis, False

    def _due_of(self, found: Plan) -> tuple[Declared, ...]:
        """What of a plan is in force and was not applied yet."""
        due = self._plan.objects.keys() if self._due is None else self._due
        return tuple(found.objects[key] for key in due if key in found.objects)

    async def _announce(self) -> None:
        """Name the kinds in the status before the first of their objects is applied: pruning goes by them, and so does what is
        registered while the Sync is not loaded, also after a Guard that was killed in between.
        """
        kinds = self._index.state.kinds_of(self.name) - {*self.status.kinds}
        if kinds:
            status = msgspec.structs.replace(self.status, kinds=tuple(sorted({*kinds, *self.status.kinds})))
            await publish(self._client, self.sync, status)
            self.status = status

    async def _apply(self) -> Done:
        """What is due of the plan in force; what could not be applied stays so."""
        objects = self._plan.objects
        due = tuple(objects.values()) if self._due is None else tuple(objects[key] for key in self._due)
        clean = self.sync.spec.enforcement.additions == "Deny"
        done = await apply_all(due, client=self._client, writer=self._writer, clean=clean)
        self._due = done.due
        return done

    def _was_done(self) -> bool:
        """Whether the status says that this very Sync was reconciled without fault, or that nothing but a newer revision is."""
        ready = find_condition(self.status.conditions, "Ready")
        return (
            ready is not None
            and (ready.status == "True" or ready.reason in _REASONS.values())
            and self.status.observed_generation == self.sync.metadata.generation
            and self.status.last_handled_reconcile_at == last_request(self.sync)
        )

    def _is_done(self, goal: Goal) -> bool:
        """Whether nothing is left to do. A change of enforcement alone applies everything again where healing is on; where it was
        just turned off, an apply would undo the very change that it was turned off for.
        """
        heals = goal.spec.enforcement.heals
        if self._done is None or (self._again and heals) or self._done.without_enforcement != goal.without_enforcement:
            return False
        if not heals:
            # Remembered, so that turning healing on again is a change, and applies.
            self._done, self._basis = goal, goal.basis
        return self._done == goal

    async def _resolve(self, revision: str) -> _Resolved:
        groups = await self._source.groups(revision)
        if not any(groups.values()):
            raise RenderError(f"the revision declares nothing below {self.sync.spec.path}", hint="nothing is changed or pruned")
        try:
            return await self._resolved(groups, await self._index.served(fresh=False))
        except RenderError:
            # A kind may have come since the API server was last asked.
            return await self._resolved(groups, await self._index.served(fresh=True))

    async def _resolved(self, groups: Groups, served: Served) -> _Resolved:
        before, namespace = self._plan, self.sync.spec.target_namespace
        anew = self._anew or before.namespace != namespace or self._served is None or not served.same_as(self._served)
        # Out of the loop: 10,000 manifests take a hundredth of a second here, and a third of one below.
        work = await asyncio.to_thread(plan.compare, groups, before=before, anew=anew)
        custom = await asyncio.to_thread(plan.kinds_to_define, work, find=served.find)
        known = await definitions(self._client, custom)
        found = await asyncio.to_thread(
            plan.resolve,
            work,
            find=served.find,
            define=lambda kind: known[kind] if kind in known else served.definition(kind),
            sync=self.name,
            label=self.label,
            namespace=namespace,
        )
        return _Resolved(found, served)

    async def _prune(self, revision: str, kinds: tuple[Kind, ...]) -> tuple[tuple[str, ...], int]:
        """Prune; returns what was held back or failed, and how many objects went."""
        if not self.sync.spec.prune:
            return (), 0
        state, objects = self._index.state, self._plan.objects
        if self._gone is None or len(self._gone) > LOOKED_FOR_ONE_BY_ONE:
            looked = {*kinds, *state.kinds_of(self.name)}
            found = await prune.candidates(self._client, looked, label=self.label, state=state)
        else:
            found = await prune.candidates_among(self._client, self._gone, label=self.label, state=state)
        namespaces = (key for key in objects if (key.group, key.kind) == (NAMESPACE.group, NAMESPACE.kind)) if found else ()
        doubt = prune.doubt(found, declared=len(objects), namespaces_left=sum(1 for _ in namespaces))
        if doubt and self.sync.metadata.annotations.get(prune.CONFIRM) != revision:
            return (f"nothing is pruned: {doubt}; to confirm, annotate the Sync with {prune.CONFIRM}={revision}",), 0
        failures: list[str] = []
        gone = 0
        for candidate in found:
            try:
                gone += await self._writer.delete(
                    candidate.path, key=candidate.key, uid=candidate.uid, resource_version=candidate.resource_version
                )
            except ApiStatusError as error:
                failures.append(f"{candidate.key} could not be pruned: {error.message}")
        if not failures:
            self._gone = {}
        return tuple(failures), gone

    async def _finish(
        self,
        revision: str,
        counts: Counts,
        failures: tuple[str, ...],
        *,
        first: bool,
        requested: str,
        started: float,
    ) -> None:
        objects = self._plan.objects
        message = (
            f"{naming.plural(len(objects), 'object')} as declared in {revision}"
            if not failures
            else f"{naming.plural(len(failures), 'fault')} at {revision}: " + "; ".join(failures[:FAILURES_NAMED])
        )
        took = (self._clock.monotonic() - started) * 1000
        news = counts.applied or counts.pruned or first
        if news if not failures else message != self._failed_message:
            self._record("sync-failed" if failures else "synced", revision, message=message, counts=counts, took=took)
        self._failed_message = message if failures else ""
        self._synced(self.name, "failed" if failures else "applied")
        _log.info("synced", sync=self.name, revision=revision, took_ms=round(took, 1), **_shown(counts))
        kinds = self._index.state.kinds_of(self.name)
        await self._publish(
            Outcome(
                ready=not failures,
                reason="ApplyFailed" if failures else "Applied",
                message=message,
                attempted=revision,
                applied_revision=revision,
                objects=ObjectCounts(
                    declared=len(objects),
                    applied=len(objects) - len(failures),
                    drifted=self._drifted(self.name),
                    failed=len(failures),
                ),
                # A kind that could not be pruned yet has to be looked at again.
                kinds=tuple(sorted(kinds.union(self.status.kinds) if failures else kinds)),
                handled=requested,
                ended_jobs=self._ended_jobs(),
            )
        )

    async def _fail(self, error: GuardError, *, revision: str, requested: str) -> None:
        """The revision stays out, and what was in force stays in force."""
        reason = next((reason for kind, reason in _REASONS.items() if isinstance(error, kind)), "ClusterFailed")
        message = str(error)
        if message != self._failed_message:
            _log.warning("sync failed", sync=self.name, revision=revision, reason=reason, error=message)
            self._record("sync-failed", revision, message=message, counts=None, took=0.0, reason=reason)
            self._failed_message = message
        self._synced(self.name, "failed")
        await self._publish(Outcome(ready=False, reason=reason, message=message, attempted=revision, handled=requested))

    async def _recovered(self, revision: str) -> bool:
        """Nothing to do; but a source that had failed meanwhile is well again, and drift may have come or gone."""
        ready = find_condition(self.status.conditions, "Ready")
        well = ready is not None and ready.status == "True"
        objects = msgspec.structs.replace(self.status.objects, drifted=self._drifted(self.name))
        seen = self.status.observed_generation == self.sync.metadata.generation
        ended = self._ended_jobs()
        if not well or not seen or objects != self.status.objects or ended != self.status.ended_jobs:
            message = ready.message if ready is not None and well else f"as declared in {revision}"
            self._failed_message = ""
            outcome = Outcome(
                ready=True, reason="Applied", message=message, attempted=revision, objects=objects, ended_jobs=ended
            )
            await self._publish(outcome)
        return True

    def _ended_jobs(self) -> tuple[EndedJob, ...]:
        """Of this Sync's Jobs, those that went by their time to live."""
        declared = self._index.state.of_sync(self.name)
        return tuple(
            EndedJob(namespace=key.namespace, name=key.name, digest=digest)
            for key, digest in sorted(self._writer.all_ended().items())
            if key in declared
        )

    def _recall_ended_jobs(self) -> None:
        for job in self.status.ended_jobs:
            self._writer.ended(ObjectKey(group="batch", kind="Job", namespace=job.namespace, name=job.name), job.digest)

    async def _publish(self, outcome: Outcome) -> None:
        status = advanced(self.sync, self.status, outcome, now=self._clock.now())
        if status == self.status:
            return
        try:
            await publish(self._client, self.sync, status)
        except ClusterError as error:
            _log.warning("the status could not be written", sync=self.name, error=str(error))
            return
        self.status = status

    def _record(self, event: Event, revision: str, *, message: str, counts: Counts | None, took: float, reason: str = "") -> None:
        self._write(
            Record(
                time=rfc3339(self._clock.now()),
                id=self._references.new(),
                event=event,
                reason=reason,
                sync=self.name,
                revision=revision,
                message=message,
                counts=counts,
                took_ms=round(took, 1),
            )
        )


def _shown(counts: Counts) -> dict[str, int]:
    return {"applied": counts.applied, "unchanged": counts.unchanged, "pruned": counts.pruned, "failed": counts.failed}
