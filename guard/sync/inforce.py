"""What of a Sync is in force, and what of that is to be applied and pruned yet."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable

from msgspec import Struct, structs

from guard.api import HeldBack, Sync
from guard.apply import Writer
from guard.base.clock import Clock
from guard.base.errors import RenderError
from guard.cluster import Client, Served, definitions
from guard.state.desired import Declared
from guard.state.ids import Kind, ObjectKey
from guard.sync import plan
from guard.sync.applying import APPLIES_AT_ONCE, Done, Progress, Settled, apply_all, nothing_to_wait_for
from guard.sync.goal import Goal
from guard.sync.plan import Groups, Plan
from guard.sync.ports import Index
from guard.sync.prune import Pruned, Pruner


class Resolved(Struct, frozen=True):
    """A revision's plan, and by what was served when it was resolved."""

    plan: Plan
    served: Served


class InForce:
    """Of the Sync `name` (`namespace/name`); `take` alone changes what is in force. So many objects are applied `at_once`, and
    what a wave applied is `settled` before the next.
    """

    def __init__(
        self,
        name: str,
        *,
        label: str,
        index: Index,
        client: Client,
        writer: Writer,
        clock: Clock,
        at_once: int = APPLIES_AT_ONCE,
        settled: Settled = nothing_to_wait_for,
    ) -> None:
        self._name = name
        self._label = label
        self._index = index
        self._client = client
        self._writer = writer
        self._pruner = Pruner(name, label=label, index=index, client=client, writer=writer, clock=clock)
        self._at_once = at_once
        self._settled = settled
        self.plan = plan.NOTHING
        self._served: Served | None = None
        # What of the plan was not applied yet (None: nothing was), and for which goal, the revision aside.
        self._due: frozenset[ObjectKey] | None = None
        self._basis: Goal | None = None
        # Whether to resolve everything, since what is not in the manifests may have changed.
        self._anew = True

    # ---- from manifests to a plan

    async def resolve(self, groups: Groups, *, namespace: str) -> Resolved:
        """The plan of a revision, beside the one in force; `namespace` is that of objects that name none. Raises RenderError or
        ClusterError.
        """
        try:
            return await self._resolved(groups, await self._index.served(fresh=False), namespace=namespace)
        except RenderError:
            # A kind may have come since the API server was last asked.
            return await self._resolved(groups, await self._index.served(fresh=True), namespace=namespace)

    async def _resolved(self, groups: Groups, served: Served, *, namespace: str) -> Resolved:
        before = self.plan
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
            sync=self._name,
            label=self._label,
            namespace=namespace,
        )
        return Resolved(found, served)

    def changed(self, found: Plan) -> tuple[Declared, ...]:
        """What there is to apply of a plan beside the one in force. Another line in a file is nothing to apply."""
        before = self.plan.objects
        return tuple(one for one in found.put if one.key not in before or before[one.key].body is not one.body)

    def due_of(self, found: Plan) -> tuple[Declared, ...]:
        """What of a plan is in force and was not applied yet."""
        due = self.plan.objects.keys() if self._due is None else self._due
        return tuple(found.objects[key] for key in due if key in found.objects)

    def news(self, found: Plan, goal: Goal, *, again: bool) -> Collection[Declared]:
        """What of a plan is not in force and applied for this goal already: all of it where more than the revision is new, or
        when asked to do it `again`.
        """
        if again or self._basis != goal.basis:
            return found.objects.values()
        return {one.key: one for one in (*self.changed(found), *self.due_of(found))}.values()

    # ---- into force

    async def take(self, resolved: Resolved, *, revision: str, also: Iterable[Kind], whole: bool = True) -> None:
        """Put a plan in force, and remember what of it there is to do. One that is not `whole` lacks what another Sync holds, and
        is resolved anew next time. Raises RenderError or ClusterError.
        """
        found = resolved.plan
        changed = {declared.key for declared in self.changed(found)}
        await self._index.take(self._name, found, revision=revision, also=also)
        if self._due is not None:
            self._due = frozenset(key for key in self._due | changed if key in found.objects)
        self._pruner.dropped(found.gone)
        self.plan, self._served = found, resolved.served
        self._anew = not whole

    def begin(self, goal: Goal, *, heals: bool, again: bool) -> None:
        """With another goal than the last one, but for the revision, there is everything to do, and so there is when asked to do
        it `again`; neither where healing is off, or was alone turned off since.
        """
        basis, before = goal.basis, self._basis
        is_turned_off = before is not None and not heals and before.without_enforcement == basis.without_enforcement
        if (before != basis and not is_turned_off) or (again and heals):
            self._due = None
            self._pruner.look_at_all()
        self._basis = basis

    def stay(self, goal: Goal) -> None:
        """Go by this goal from now on, without anything to do for it."""
        self._basis = goal.basis

    def resolve_anew(self) -> None:
        """What is not in the manifests may have changed."""
        self._anew = True

    def all_due(self) -> None:
        self._due = None

    def nothing_due(self) -> None:
        """What is in force was applied before, or is not to be."""
        self._due = frozenset()

    @property
    def rests(self) -> bool:
        """Whether nothing of what is in force is to be applied."""
        return self._due is not None and not self._due

    @property
    def is_left(self) -> bool:
        """Whether something is still to be applied or pruned after an attempt at all of it."""
        return bool(self._due) or self._pruner.is_left

    def is_due(self, *, heals: bool) -> bool:
        """Whether there is anything to apply of what is in force; where healing is off, what was applied before is not."""
        return self.plan is not plan.NOTHING and (heals if self._due is None else bool(self._due))

    async def apply(self, sync: Sync, *, progress: Progress) -> Done:
        """Apply what is due; what could not be applied stays so. `progress` is told how many of how many are done. Raises
        ClusterError.
        """
        objects = self.plan.objects
        due = tuple(objects.values()) if self._due is None else tuple(objects[key] for key in self._due)
        held = {one.key: by for one in due if (by := self._holder(one)) != self._name}
        due = tuple(one for one in due if one.key not in held)
        clean = sync.spec.enforcement.additions == "Deny"
        done = await apply_all(
            due,
            client=self._client,
            writer=self._writer,
            clean=clean,
            at_once=self._at_once,
            timeout=sync.spec.timeout_seconds,
            settled=self._settled,
            progress=progress,
        )
        lost = tuple(f"{objects[key].origin}: {key}: {by} declares it as well, and keeps it" for key, by in held.items())
        done = structs.replace(
            done, failures=(*done.failures, *lost), failed=done.failed | held.keys(), stalled=done.stalled and not held
        )
        self._due = done.due
        return done

    def _holder(self, declared: Declared) -> str:
        """The Sync whose the object is: what the platform declares it takes from a tenant."""
        found = self._index.state.get(declared.key)
        return found.sync if found is not None else self._name

    @property
    def is_to_prune(self) -> bool:
        """Whether anything is left, or may be, of what is declared no more."""
        return self._pruner.is_due

    async def release_strangers(self, kinds: Iterable[Kind]) -> None:
        """Give up what an earlier Sync of this name has left, of kinds that this one has not applied before. Raises
        ClusterError.
        """
        await self._pruner.release_strangers(kinds)

    async def prunable(self, kinds: Iterable[Kind]) -> tuple[ObjectKey, ...]:
        """What pruning would take away, of these kinds as well. Raises ClusterError."""
        return await self._pruner.prunable({*kinds, *self._index.state.kinds_of(self._name)})

    async def prune(self, sync: Sync, *, revision: str, kinds: Iterable[Kind], held: HeldBack) -> Pruned:
        """One round of pruning, looking through these kinds as well; `held` is what was held back so far. Raises
        ClusterError.
        """
        return await self._pruner.prune(sync, revision=revision, declared=self.plan.objects, kinds=kinds, before=held)
