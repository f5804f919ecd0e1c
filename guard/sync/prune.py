"""Taking away what a Sync once declared and declares no more."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import msgspec

from guard import telemetry
from guard.api import HeldBack, Sync
from guard.apply import Writer
from guard.base.clock import Clock
from guard.base.errors import ApiStatusError, ClusterError
from guard.cluster import Client
from guard.state.desired import Declared
from guard.state.ids import NAMESPACE, Kind, ObjectKey
from guard.sync import doubt
from guard.sync.doubt import CONFIRM, NOTHING_HELD
from guard.sync.leftovers import Found, Leftover, Looking, served_as
from guard.sync.ports import Index
from guard.sync.removing import Removed, Remover
from guard.sync.spending import take_away

# Past that a listing of each kind costs the API server less.
LOOKED_FOR_ONE_BY_ONE = 20

_log = telemetry.get("sync")


class Pruned(msgspec.Struct, frozen=True, kw_only=True):
    """How far a prune has come: how many objects went, one line for each fault and for what is on its way, what is held back, the
    kinds that have to be looked through again, and whether it `is_done`. What is on its way is no fault; but another look is due.
    """

    deleted: int = 0
    released: int = 0
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    held: HeldBack = NOTHING_HELD
    kinds: frozenset[Kind] = frozenset()
    is_done: bool = True


class Pruner:
    """What there is to prune of one Sync. What is to be known across restarts is in the Sync's status: the kinds and what is held
    back. All else is looked for again.
    """

    def __init__(self, name: str, *, label: str, index: Index, client: Client, writer: Writer, clock: Clock) -> None:
        self._index = index
        self._client = client
        self._looking = Looking(client, label=label, state=lambda: index.state)
        self._remover = Remover(client, sync=name, looking=self._looking, writer=writer, index=index, clock=clock)
        # What is to be looked for; None: all that is ours.
        self._gone: dict[ObjectKey, Kind] | None = None
        # What may go since it was let go or confirmed once: a round that left some of it is gone on with.
        self._granted: frozenset[ObjectKey] = frozenset()
        # Whether what was served when the API server was last asked may be so no more.
        self._fresh = False

    def dropped(self, gone: Iterable[Declared]) -> None:
        """These are declared no more."""
        if self._gone is not None:
            self._gone |= {declared.key: declared.kind for declared in gone}

    def look_at_all(self) -> None:
        """Next time, whatever is known to be dropped."""
        self._gone = None

    @property
    def is_due(self) -> bool:
        """Whether there is anything to look for."""
        return self._gone is None or bool(self._gone)

    @property
    def is_left(self) -> bool:
        """Whether something was left when it was looked for."""
        return bool(self._gone)

    async def prune(
        self,
        sync: Sync,
        *,
        revision: str,
        declared: Mapping[ObjectKey, Declared],
        kinds: Iterable[Kind],
        before: HeldBack,
    ) -> Pruned:
        """One round, of a revision that declares these and is in force; `kinds` are to be looked through, and `before` is what
        was held back so far. Raises Unreachable.
        """
        kinds = frozenset(kinds)
        if not sync.spec.prune:
            # What is dropped meanwhile is found by its kind once pruning is on.
            self._gone = None
            return Pruned(kinds=kinds)
        if not self.is_due:
            return Pruned()
        found = await self._find({*kinds, *self._index.state.kinds_of(sync.key)})
        kinds -= found.vanished
        claims = self._index.claims
        due = [one for one in found.leftovers if not (one.stays or one.since or claims.claimant(one.key))]
        reason = _reason(due, declared, limit=sync.spec.prune_limit)
        confirmed = sync.metadata.annotations.get(CONFIRM, "")
        keys = frozenset(one.key for one in due)
        held = NOTHING_HELD
        if not keys <= self._granted:
            held = doubt.held(due, before=before, reason=reason, revision=revision, confirmed=confirmed)
        self._granted = frozenset() if held.revision else keys
        if held.revision:
            self._remember(found, found.leftovers)
            faults = (doubt.told(held, reason), *found.faults)
            return Pruned(faults=faults, notes=found.unserved, held=held, kinds=kinds, is_done=False)
        removed = await self._remover.remove(
            _without_containers(found), seconds=sync.spec.timeout_seconds, confidential=sync.decrypts
        )
        self._remember(found, removed.remaining)
        faults = (*found.faults, *removed.faults)
        is_done = found.is_whole and not (faults or removed.remaining)
        if is_done and confirmed == revision:
            await self._settle(sync)
        return Pruned(
            deleted=removed.deleted,
            released=removed.released,
            faults=faults,
            notes=(*removed.notes, *found.unserved),
            kinds=frozenset() if is_done else kinds,
            is_done=is_done,
        )

    async def prunable(self, kinds: Iterable[Kind]) -> tuple[ObjectKey, ...]:
        """What of these kinds a prune would take away, looked up and left alone. Raises ClusterError, also where not all of it
        can be told.
        """
        found = await self._looking.through(kinds, served=await self._index.served(fresh=False))
        if found.faults:
            raise ClusterError("; ".join(found.faults))
        return tuple(one.key for one in found.leftovers if not one.stays)

    async def release_strangers(self, kinds: Iterable[Kind]) -> Removed:
        """Give up what carries this Sync's label and is of kinds that it has not applied before: an earlier Sync of this name has
        left it, and it is not this one's to prune. Raises ClusterError, also where one of them could not be given up: from then
        on nothing would tell it from this one's own.
        """
        found = await self._looking.through(kinds, served=await self._index.served(fresh=False))
        strangers = [one for one in found.leftovers if not one.since]
        released = await self._remover.release(strangers, confidential=True)  # what that one declared nobody knows
        if faults := (*found.faults, *released.faults):
            raise ClusterError(faults[0])
        return released

    async def _find(self, kinds: Collection[Kind]) -> Found:
        few = self._gone if self._gone is not None and len(self._gone) <= LOOKED_FOR_ONE_BY_ONE else None
        wanted = kinds if few is None else frozenset(few.values())
        served = await self._index.served(fresh=self._fresh)
        if not self._fresh and any(served_as(kind, served) is None for kind in wanted):
            served = await self._index.served(fresh=True)
        if few is None:
            found = await self._looking.through(wanted, served=served)
        else:
            found = await self._looking.among(few, served=served)
        self._fresh = not found.is_whole
        return found

    def _remember(self, found: Found, remaining: Iterable[Leftover]) -> None:
        """What could not be looked through may hold anything."""
        self._gone = None if not found.is_whole else {one.key: one.kind for one in remaining}

    async def _settle(self, sync: Sync) -> None:
        """A confirmation counts once: the same revision under another path is another matter."""
        try:
            await take_away(self._client, sync, CONFIRM)
        except ApiStatusError as error:
            _log.info("the confirmation of a prune stays", sync=sync.key, error=error.message)


def _reason(due: Collection[Leftover], declared: Mapping[ObjectKey, Declared], *, limit: int) -> str:
    if not due:
        return ""
    namespaces = sum((key.group, key.kind) == (NAMESPACE.group, NAMESPACE.kind) for key in declared)
    return doubt.doubt(due, declared=len(declared), namespaces_left=namespaces, limit=limit)


def _without_containers(found: Found) -> list[Leftover]:
    """What others live in waits where not everything could be looked through."""
    return [one for one in found.leftovers if found.is_whole or not one.is_container]
