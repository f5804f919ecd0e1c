"""One Sync's loop: fetch, render, check, take into force, apply, prune, say how it went.

An ordered list of steps, each of which may end the attempt with an error; what was in force then stays in force, and the next
poll tries again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import msgspec

from guard import telemetry
from guard.api import ACCEPT_REVISION, EndedJob, ObjectCounts, Sync, SyncStatus, find_condition
from guard.apply import Writer
from guard.audit import Counts, Record, References
from guard.base.backoff import Backoff
from guard.base.clock import Clock
from guard.base.concurrency import end, unless
from guard.base.errors import ClusterError, DependencyError, GuardError
from guard.cluster import Client
from guard.source import Trust
from guard.state.desired import Declared
from guard.state.ids import ObjectKey
from guard.sync import entry, gate, plan, rights, tenancy
from guard.sync.applying import APPLIES_AT_ONCE, Done, learn_all
from guard.sync.attempt import Attempt
from guard.sync.deletion import keep
from guard.sync.doubt import CONFIRM
from guard.sync.goal import Goal, goal_of, last_request
from guard.sync.health import HealthChecker
from guard.sync.inforce import InForce, Resolved
from guard.sync.ports import Index, Source
from guard.sync.prune import Pruned
from guard.sync.rebuild import Rebuilt
from guard.sync.reporting import Reporter
from guard.sync.resolving import Resolver
from guard.sync.spending import spend
from guard.sync.status import Health

RETRY_FIRST_SECONDS, RETRY_MOST_SECONDS = 2.0, 60.0
# A Sync that is suspended does nothing until it is woken; it looks at itself now and then all the same.
SUSPENDED_SECONDS = 3600.0
READ_OFF = "in force is what was applied last, as far as the cluster tells"

_log = telemetry.get("sync")


class Reconciler:
    """Runs one Sync until cancelled. `wake` makes it look at once; `update` hands it the Sync's newest version. `dependencies`
    raises DependencyError where a Sync has to wait for others before it applies a revision. Objects are asked about and applied
    so many `at_once`.
    """

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
        fights: Callable[[str], tuple[str, ...]] = lambda _sync: (),
        unwatched: Callable[[str], tuple[str, ...]] = lambda _sync: (),
        trust: Callable[[], Trust] = Trust,
        dependencies: Callable[[Sync, str], None] = lambda _sync, _revision: None,
        at_once: int = APPLIES_AT_ONCE,
    ) -> None:
        self.sync = sync
        self.loaded = asyncio.Event()
        self.wake = asyncio.Event()
        # For one of the Syncs that it depends on.
        self.is_waiting = False
        self._source = source
        self._index = index
        self._client = client
        self._writer = writer
        self._clock = clock
        self._wait = wait
        self._drifted = drifted
        self._dependencies = dependencies
        self._reporter = Reporter(
            sync,
            client=client,
            clock=clock,
            references=references,
            write=write,
            synced=synced,
            fights=fights,
            unwatched=unwatched,
            trust=trust,
        )
        self.health = HealthChecker(
            client,
            label=self.label,
            clock=clock,
            timeout=lambda: self.sync.spec.timeout_seconds,
            has_ended=writer.has_ended,
            told=self._judged,
        )
        self._at_once = at_once
        self._in_force = InForce(
            self.name,
            label=self.label,
            index=index,
            client=client,
            writer=writer,
            clock=clock,
            at_once=at_once,
            settled=self._settled,
        )
        self._resolver = Resolver(
            sync=lambda: self.sync,
            status=lambda: self.status,
            source=source,
            in_force=self._in_force,
            index=index,
            client=client,
        )
        self._applying: Goal | None = None
        self._done: Goal | None = None
        # Apply everything again, where healing is on.
        self._again = False
        # Something that was left to people by break-glass may be due.
        self._closed = False
        self._backoff = Backoff(first=RETRY_FIRST_SECONDS, most=RETRY_MOST_SECONDS)
        # Only Git, or whoever looks after the cluster, can help: no use in trying again soon.
        self._is_stalled = False
        self._learning: asyncio.Task[None] | None = None
        # What was applied since a start, to be told with the first attempt.
        self._recalled = Counts()
        # What is in force, where it is no revision but what the cluster says of one.
        self.read_off: Rebuilt | None = None

    @property
    def name(self) -> str:
        return self.sync.key

    @property
    def label(self) -> str:
        return self.sync.label

    @property
    def status(self) -> SyncStatus:
        """As it was said last."""
        return self._reporter.status

    def update(self, sync: Sync) -> None:
        """A newer version of the resource; a change of its spec, a request to reconcile and the confirmation of a prune are
        looked at at once.
        """
        known = self.sync
        self.sync = sync
        if sync.metadata.generation != known.metadata.generation or _asked(sync) != _asked(known):
            self.wake.set()

    def resync(self) -> None:
        """Apply everything again at once, whether or not anything seems to have changed; where healing is on."""
        if self.sync.heals:
            self._again = True
            self._in_force.resolve_anew()
            self.wake.set()

    def closed(self) -> None:
        """Break-glass on something is over: what was left to people meanwhile is due."""
        self._closed = True
        self.wake.set()

    async def run(self) -> None:
        self._recall_ended_jobs()
        was_done = self._reporter.was_done(self.sync, requested=last_request(self.sync))
        looking = asyncio.create_task(self.health.run(), name=f"health {self.name}")
        try:
            while True:
                if not self.loaded.is_set():
                    await self._recall(was_done=was_done)
                seconds = await self._round()
                await self._wait(self.wake, min(seconds, RETRY_MOST_SECONDS) if self._reporter.is_owed else seconds)
        finally:
            await end((looking,))

    async def _round(self) -> float:
        """One attempt, whatever comes of it; returns the seconds until the next one."""
        spec = self.sync.spec
        if spec.suspend:
            # What changed meanwhile is not healed, so afterwards everything is looked at.
            self._again = True
            await self._reporter.suspended(self.sync)
            return SUSPENDED_SECONDS
        attempt = Attempt(sync=self.sync, requested=last_request(self.sync), started=self._clock.monotonic())
        try:
            ok = await self._attempt(attempt)
        except Exception as error:  # noqa: BLE001 (a fault of Guard's own in one Sync stops neither others nor enforcement)
            _log.exception("a sync failed for a reason that Guard does not know", sync=self.name)
            fault = GuardError(f"internal error: {type(error).__name__}", hint="the log says more")
            await self._reporter.failed(msgspec.structs.replace(attempt, requested=""), fault, revision="")
            ok = False
        if ok:
            self._backoff.reset()
            return spec.source.interval_seconds
        if spec.retry_seconds is not None:
            return spec.retry_seconds
        return min(spec.source.interval_seconds, RETRY_MOST_SECONDS if self._is_stalled else self._backoff.next())

    async def close(self) -> None:
        if self._learning is not None:
            await end((self._learning,))
        await self._source.close()

    async def _recall(self, *, was_done: bool) -> None:
        """After a start, put in force what was in force last, before asking the source: neither enforcement nor healing waits for
        Git, and a Git that is down or broken meanwhile leaves it so. Where the API server was the trouble, the next round tries
        again; what another Sync has taken over by then is its, and what the account may touch no more nobody's.
        """
        try:
            tenancy.check(self.sync)
            found = await self._resolver.at_hand()
            if found is None:
                return
            revision, resolved, self.read_off = found.revision, found.resolved, found.read_off
            lost = {conflict.loser.key for conflict in self._index.state.conflicts(self.name, resolved.plan.put)}
            # The right may have been taken away meanwhile.
            account = tenancy.account_of(self.sync)
            forbidden = await rights.forbidden(resolved.plan.objects.values(), user=account, client=self._client)
            lost |= {one.key for one in forbidden}
            resolved = msgspec.structs.replace(resolved, plan=plan.without(resolved.plan, lost))
            await self._take(resolved, revision=revision, whole=not lost and self.read_off is None)
            goal = goal_of(self.sync, revision)
            if self.sync.heals:
                self._begin(goal)
                attempt = Attempt(sync=self.sync, requested="", started=self._clock.monotonic())
                self._recalled = (await self._apply(attempt, revision)).counts
            elif was_done or self.sync.spec.suspend:
                # Healing is off for a reason, and a restart is none to undo what people did meanwhile.
                self._begin(goal)
                self._in_force.nothing_due()
                # Git's own of the same revision is put in force when it can be read, and not applied either.
                self._done = goal if self.read_off is None else None
                objects = tuple(resolved.plan.objects.values())
                self._learning = asyncio.create_task(self._learn(objects), name=f"learn {self.name}")
                self.health.applied()
        except Exception as error:  # noqa: BLE001 (the first attempt, which follows, says what is wrong)
            _log.info("what was in force last is not at hand", sync=self.name, error=telemetry.told(error))

    async def _learn(self, objects: tuple[Declared, ...]) -> None:
        """In which form the API server stores what Git declares, where no apply tells."""
        try:
            await learn_all(objects, writer=self._writer)
        except ClusterError as error:
            # The manifests themselves serve until then; the next apply tells as well.
            _log.warning("Git's values were not learned", sync=self.name, error=str(error))

    async def _attempt(self, attempt: Attempt) -> bool:
        """True when the Sync is as it should be."""
        revision, in_force, self._is_stalled = "", self._in_force, False
        try:
            tenancy.check(attempt.sync)
            # Before anything is applied that is to go with it.
            await keep(self._client, attempt.sync, wanted=attempt.sync.spec.deletion_policy == "Prune")
            revision = await self._source.fetch()
            goal = goal_of(attempt.sync, revision)
            if self._is_done(goal):
                await spend(self._client, attempt.sync, revision=revision, held=self.status.held_back.revision)
                return await self._go_on_pruning(attempt, revision)
            self._dependencies(attempt.sync, revision)
            resolved = await self._resolver.resolve(revision)
            found = resolved.plan
            asked = in_force.news(found, goal, again=self._again)
            account = await entry.check(found, sync=attempt.sync, asked=asked, index=self._index, client=self._client)
            lessons = await gate.check(
                in_force.changed(found),
                due=in_force.due_of(found),
                declared=found.objects,
                writer=self._writer,
                at_once=self._at_once,
                account=account,
            )
        except GuardError as error:
            self.is_waiting = isinstance(error, DependencyError)
            if self.read_off is not None:
                error.hint = "; ".join(filter(None, (error.hint, READ_OFF)))
            await self._reporter.failed(attempt, error, revision=revision)
            await self._go_on(attempt)
            return False
        self.is_waiting = False
        # From here on what was in force is so no more; what fails before has changed nothing.
        first, self._done = self._done is None or self._again, None
        stands_in = self._stands_in_for(revision)
        try:
            await self._take(resolved, revision=revision)
            if self.read_off is not None:
                self.read_off = None
                (in_force.nothing_due if stands_in else in_force.all_due)()
            self._writer.believe(lessons)
            self._begin(goal)
            recalled, self._recalled = self._recalled, Counts()
            self._closed = False
            done = await self._apply(attempt, revision)
            pruned = await self._prune(attempt.sync, revision, waits=bool(done.held) or done.blocked)
            await self._index.settle(self.name)
            # Before the status says that it is in force.
            await self._source.keep(revision)
            await spend(self._client, attempt.sync, revision=revision, held=pruned.held.revision)
        except GuardError as error:
            await self._reporter.failed(attempt, error, revision=revision)
            return False
        failures = (*done.failures, *pruned.faults)
        # What is held back waits for somebody.
        waits = bool(pruned.held.revision) and len(pruned.faults) == 1
        self._is_stalled = bool(failures) and (done.stalled or not done.failures) and (waits or not pruned.faults)
        counts = Counts(
            applied=recalled.applied + done.counts.applied,
            unchanged=recalled.unchanged + done.counts.unchanged,
            pruned=pruned.deleted,
            failed=len(failures),
        )
        declared = len(in_force.plan.objects)
        await self._reporter.finished(
            attempt,
            revision,
            counts,
            failures,
            objects=ObjectCounts(
                declared=declared,
                applied=declared - len(done.failed | done.held),
                drifted=self._drifted(self.name),
                failed=len(done.failed) + len(pruned.faults),
            ),
            kinds=self._index.state.kinds_of(self.name) | pruned.kinds,
            pruned=pruned,
            ended_jobs=self._ended_jobs(),
            opened=len(done.opened),
            first=first,
            stalled=self._is_stalled,
        )
        if failures:
            return False
        self._done = goal
        return pruned.is_done

    async def prunable(self) -> tuple[ObjectKey, ...]:
        """What Git declares no longer and is to be pruned, for whoever asks what differs; nothing where pruning is off. Raises
        ClusterError.
        """
        return await self._in_force.prunable(self.status.kinds) if self.sync.spec.prune else ()

    async def _prune(self, sync: Sync, revision: str, *, waits: bool = False) -> Pruned:
        """One round; none where it `waits`: what was not tried, or failed, may be to take the place of what is to go."""
        if waits:
            return Pruned(kinds=frozenset(self.status.kinds), held=self.status.held_back, is_done=False)
        return await self._in_force.prune(sync, revision=revision, kinds=self.status.kinds, held=self.status.held_back)

    async def _go_on_pruning(self, attempt: Attempt, revision: str) -> bool:
        """Nothing is left to do, but perhaps to see off what others hold."""
        pruned = await self._prune(attempt.sync, revision) if self._in_force.is_to_prune else Pruned()
        await self._reporter.unchanged(
            attempt,
            revision,
            drifted=self._drifted(self.name),
            ended_jobs=self._ended_jobs(),
            kinds=self._index.state.kinds_of(self.name) | pruned.kinds,
            pruned=pruned,
        )
        if pruned.faults:
            self._done = None
        return pruned.is_done

    async def _go_on(self, attempt: Attempt) -> None:
        """What is in force is applied, whatever keeps the next revision out: what could not be applied before, and all of it when
        a resync asks for that.
        """
        heals = self.sync.heals
        if self._again and heals:
            self._again = False
            self._in_force.all_due()
        if not self._in_force.is_due(heals=heals):
            return
        try:
            await self._apply(attempt, self._index.state.revision(self.name))
        except ClusterError as error:
            _log.warning("what is in force could not be applied", sync=self.name, error=str(error))

    async def _take(self, resolved: Resolved, *, revision: str, whole: bool = True) -> None:
        await self._in_force.take(resolved, revision=revision, also=self.status.kinds, whole=whole)
        gone = (declared.key for declared in resolved.plan.gone)
        self.health.declare(resolved.plan.put, gone, goal=(revision, last_request(self.sync)))
        self.loaded.set()

    def _begin(self, goal: Goal) -> None:
        self._in_force.begin(goal, heals=self.sync.heals, again=self._again)
        self._again = False

    async def _apply(self, attempt: Attempt, revision: str) -> Done:
        kinds = self._index.state.kinds_of(self.name)
        # In whichever version: what was applied in another one is this Sync's own, and to be pruned.
        known = {kind.group_kind for kind in self.status.kinds}
        if new := {kind for kind in kinds if kind.group_kind not in known}:
            await self._in_force.release_strangers(new)
        is_news = self.read_off is None and not self._in_force.rests
        await self._reporter.announce(attempt.sync, kinds, revision=revision if is_news else "")

        async def progress(done: int, total: int) -> None:
            await self._reporter.progress(attempt, revision=revision, done=done, total=total)

        self._applying = goal_of(attempt.sync, revision)
        try:
            return await self._in_force.apply(attempt.sync, progress=progress)
        finally:
            self.health.applied()
            # What was applied is to be looked at: until then nobody is to read how well it was before.
            self._reporter.judged(self._health())

    async def _settled(self, objects: Sequence[Declared]) -> tuple[str, ...]:
        """A wave waits for the health of the last one, but not while there is something newer to apply, which may mend it."""
        faults = await unless(self.health.settled(objects), self._newer())
        return ("something newer has come",) if faults is None else faults

    async def _newer(self) -> None:
        """Until the Sync, or what its source has, is another than what is being applied. Whoever asked for a look meanwhile gets
        one afterwards as well: this one may have failed, or end for what it runs beside, and it is for nothing but the goal.
        """
        is_asked = False
        try:
            while True:
                is_asked |= await self._wait(self.wake, self.sync.spec.source.interval_seconds)
                with suppress(GuardError):
                    if goal_of(self.sync, await self._source.fetch()) != self._applying:
                        is_asked = True
                        return
        finally:
            if is_asked:
                self.wake.set()

    async def _judged(self, health: Health) -> None:
        """What a Sync said before a restart stands until everything was looked at again."""
        if not self.sync.spec.suspend and self._health() is not None:
            await self._reporter.health(health)

    def _health(self) -> Health | None:
        return self.health.report(whole=find_condition(self.status.conditions, "Healthy") is not None)

    def _stands_in_for(self, revision: str) -> bool:
        """Whether healing is off, and what was read off the cluster was left as it is: so is what Git says of that revision."""
        is_same = self.read_off is not None and revision == self._index.state.revision(self.name)
        return is_same and not self.sync.heals and self._in_force.rests

    def _is_done(self, goal: Goal) -> bool:
        """Whether nothing is left to do. A change of enforcement alone applies everything again where healing is on; where it was
        just turned off, an apply would undo the very change that it was turned off for.
        """
        heals = self.sync.heals
        if self._closed and self._in_force.is_left:
            return False
        if self._done is None or (self._again and heals) or self._done.without_enforcement != goal.without_enforcement:
            return False
        if not heals:
            # Remembered, so that turning healing on again is a change, and applies.
            self._done = goal
            self._in_force.stay(goal)
        return self._done == goal

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


def _asked(sync: Sync) -> tuple[str, ...]:
    """What people have asked of it by annotations."""
    return last_request(sync), *(sync.metadata.annotations.get(name, "") for name in (CONFIRM, ACCEPT_REVISION))
