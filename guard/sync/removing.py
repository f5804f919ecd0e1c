"""Taking leftovers away in the reverse of the order of applying, and waiting for those that others hold."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from itertools import groupby

import msgspec

from guard import telemetry
from guard.apply import Writer, told
from guard.base import naming
from guard.base.backoff import Backoff
from guard.base.clock import Clock
from guard.base.concurrency import for_each
from guard.base.errors import ApiStatusError
from guard.cluster import Client
from guard.state.builtin import GROUPS
from guard.state.ids import NAMESPACE, ObjectKey
from guard.state.secrecy import secrecy_of
from guard.sync.leftovers import Leftover, Looking
from guard.sync.ports import Index
from guard.sync.release import release

AT_ONCE = 10  # as many as are applied at once
TRIES = 3  # others may write an object all the time
NAMED = 3
# Most finalizers are worked off within a second or two; what takes longer is looked at again in the next round, since nobody is
# to wait for it with a new revision.
PATIENCE_SECONDS = 3.0
CONFLICT = 409

_log = telemetry.get("sync")


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """What became of leftovers: how many were deleted and given up, one line for each that could not be (`faults`) or is on its
    way (`notes`), and what is there yet.
    """

    deleted: int = 0
    released: int = 0
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    remaining: tuple[Leftover, ...] = ()


class Remover:
    """Of one Sync (`namespace/name`). `remove` is called again as long as anything remains; what is on its way is remembered in
    between.
    """

    def __init__(self, client: Client, *, sync: str, looking: Looking, writer: Writer, index: Index, clock: Clock) -> None:
        self._client = client
        self._sync = sync
        self._looking = looking
        self._writer = writer
        self._index = index
        self._clock = clock
        # Since when objects are known to be on their way, by uid, in monotonic seconds.
        self._going: dict[str, float] = {}

    async def remove(self, found: Collection[Leftover], *, seconds: float, confidential: bool) -> Removed:
        """Delete these, but for those that are to stay. What is applied later goes first; the rest waits until it is gone, at
        most for these `seconds`, and what others live in without an end. What the API server says of them is not shown where any
        may be `confidential`. Raises Unreachable.
        """
        self._going = {one.uid: self._going.get(one.uid, self._clock.monotonic()) for one in found if one.since}
        staying = _staying(found)
        due = [one for one in found if one not in staying]
        kept = {one.key: note for one in due if (note := self._kept(one))}
        unloaded = self._index.unloaded
        if due and unloaded:
            # An object may have moved to a Sync of which nobody knows yet what it declares.
            note = f"nothing is pruned before {', '.join(sorted(unloaded))} is loaded"
            return Removed(notes=(note,), remaining=tuple(found))
        round_ = _Round(due, confidential=confidential, kept=[one for one in due if one.key in kept])
        released = await self._release(staying, round_)
        await self._take_away([one for one in due if one.key not in kept], round_, seconds=seconds)
        remaining = tuple(round_.remaining())
        notes = (*_going(round_.pending.values()), *_waiting(round_.waiting), *list(kept.values())[:NAMED])
        return Removed(deleted=round_.deleted, released=released, faults=tuple(round_.faults), notes=notes, remaining=remaining)

    async def release(self, found: Sequence[Leftover], *, confidential: bool) -> Removed:
        """Give these up, all of them; `confidential` as above. Raises Unreachable."""
        round_ = _Round((), confidential=confidential)
        released = await self._release(found, round_)
        return Removed(released=released, faults=tuple(round_.faults), remaining=tuple(round_.failed))

    async def _release(self, staying: Sequence[Leftover], round_: _Round) -> int:
        """What others live in first: a Guard that is killed in between must not delete it with what was to stay in it."""
        released = 0
        for batch in ([one for one in staying if one.is_container], [one for one in staying if not one.is_container]):
            done = await for_each(batch, lambda one: self._released(one, round_), at_once=AT_ONCE)
            released += sum(done)
        return released

    async def _released(self, leftover: Leftover, round_: _Round) -> bool:
        self._writer.forget(leftover.key)
        try:
            return await release(self._client, leftover, looking=self._looking)
        except ApiStatusError as error:
            round_.fail(leftover, f"{leftover.key} could not be given up: {round_.told(error, leftover)}")
            return False

    async def _take_away(self, due: Iterable[Leftover], round_: _Round, *, seconds: float) -> None:
        for _, group in groupby(sorted(due, key=_last_applied_first), key=_step):
            step = list(group)
            if self._must_wait(round_, seconds=seconds):
                await self._see_off(round_)
            if self._must_wait(round_, seconds=seconds):
                round_.later(step)
                continue
            if any(one.is_container for one in step):
                # What is in it has to be gone, however long that takes.
                await self._see_off(round_)
            await for_each([one for one in step if not one.since], lambda one: self._delete(one, round_), at_once=AT_ONCE)
            for one in step:
                if one.since:
                    round_.pending[one.key] = one

    def _must_wait(self, round_: _Round, *, seconds: float) -> bool:
        now = self._clock.monotonic()
        return any(now - self._going.get(one.uid, now) < seconds for one in round_.pending.values())

    async def _see_off(self, round_: _Round) -> None:
        """Give what began to go in this round a moment to do so."""
        backoff = Backoff(first=0.1, most=1.0)
        end = self._clock.monotonic() + PATIENCE_SECONDS
        while round_.fresh and self._clock.monotonic() < end:
            await asyncio.sleep(backoff.next())
            fresh = list(round_.fresh.values())
            now = await for_each(fresh, self._again, at_once=AT_ONCE)
            for one, seen in zip(fresh, now, strict=True):
                if seen is None:
                    del round_.pending[one.key], round_.fresh[one.key]
                else:
                    round_.pending[one.key] = seen
        round_.fresh.clear()

    async def _again(self, leftover: Leftover) -> Leftover | None:
        try:
            return await self._looking.again(leftover)
        except ApiStatusError:
            return leftover

    async def _delete(self, leftover: Leftover, round_: _Round) -> None:
        if leftover.is_container:
            if held := self._declared_in(leftover):
                declared = f"Git declares {naming.plural(held, 'object')} in it"
                round_.fail(leftover, f"{leftover.key} is not pruned: {declared}")
                return
            if any(leftover.holds(one) for one in round_.remaining()):
                round_.later([leftover])
                return
        try:
            await self._deleted(leftover, round_)
        except ApiStatusError as error:
            round_.fail(leftover, f"{leftover.key} could not be pruned: {round_.told(error, leftover)}")

    async def _deleted(self, leftover: Leftover, round_: _Round) -> None:
        """Under the version that was looked at: another Sync that has taken the object meanwhile has changed its label."""
        found: Leftover | None = leftover
        for attempt in range(TRIES):
            try:
                outcome = await self._writer.delete(
                    found.path, key=found.key, sync=self._sync, uid=found.uid, resource_version=found.resource_version
                )
            except ApiStatusError as error:
                if error.code != CONFLICT or attempt == TRIES - 1:
                    raise
                found = await self._looking.again(found)
                if found is None or found.since or found.stays:
                    # Gone, taken by somebody, on its way, or to be looked at as what it is now: in the next round.
                    if found is not None:
                        round_.later([found])
                    return
            else:
                round_.note(found, outcome)
                self._going[found.uid] = self._clock.monotonic()
                return

    def _declared_in(self, leftover: Leftover) -> int:
        state = self._index.state
        if leftover.kind.group_kind == NAMESPACE.group_kind:
            return sum(state.in_namespace(leftover.key.name).values())
        return sum(state.of_definition(leftover.key.name).values())

    def _kept(self, leftover: Leftover) -> str:
        """Why the object is not touched for now; empty where it may go."""
        if leftover.since:
            return ""
        if claimant := self._index.claims.claimant(leftover.key):
            return f"{leftover.key} is left to {claimant}, which declares it"
        if self._writer.is_open(leftover.key, sync=self._sync):
            return f"{leftover.key} is left to break-glass"
        return ""


class _Round:
    """What happened so far."""

    def __init__(self, due: Iterable[Leftover], *, confidential: bool, kept: Iterable[Leftover] = ()) -> None:
        self._confidential = confidential
        self._kept = tuple(kept)
        self.deleted = 0
        self.faults: list[str] = []
        self.failed: list[Leftover] = []
        self.waiting: list[Leftover] = []
        # On their way, and those of them that began in this round.
        self.pending: dict[ObjectKey, Leftover] = {one.key: one for one in due if one.since}
        self.fresh: dict[ObjectKey, Leftover] = {}

    def note(self, leftover: Leftover, outcome: str) -> None:
        self.deleted += outcome in {"gone", "going"}
        if outcome == "going":
            self.pending[leftover.key] = self.fresh[leftover.key] = leftover
        elif outcome == "declared":
            _log.info("another Sync declares what was to be pruned", object=str(leftover.key))

    def told(self, error: ApiStatusError, leftover: Leftover) -> str:
        return told(error, secrecy_of(leftover.key, confidential=self._confidential))

    def fail(self, leftover: Leftover, fault: str) -> None:
        self.failed.append(leftover)
        self.faults.append(fault)

    def later(self, step: Iterable[Leftover]) -> None:
        self.waiting += [one for one in step if not one.since]

    def remaining(self) -> Iterable[Leftover]:
        return (*self.pending.values(), *self.failed, *self.waiting, *self._kept)


def _staying(found: Collection[Leftover]) -> list[Leftover]:
    """What is to be left where it is, and what that stands in."""
    staying = [one for one in found if one.stays and not one.since]
    containers = [one for one in found if one.is_container and not one.stays and not one.since]
    return [*staying, *(one for one in containers if any(map(one.holds, staying)))] if staying else []


def _step(leftover: Leftover) -> tuple[int, int, bool, bool]:
    """Where it stands in the order of deleting. Within a wave custom resources go before what may be their controller: their
    finalizers are that one's to work off.
    """
    stage, wave, late = leftover.rank
    return -stage, -wave, not late, leftover.kind.group in GROUPS


def _last_applied_first(leftover: Leftover) -> tuple[tuple[int, int, bool, bool], ObjectKey]:
    return _step(leftover), leftover.key


def _going(pending: Iterable[Leftover]) -> Iterable[str]:
    """The oldest first."""
    found = sorted(pending, key=lambda one: (one.since or "~", one.key))
    for one in found[:NAMED]:
        since = f" since {one.since}" if one.since else ""
        holders = f", held by {', '.join(one.finalizers)}" if one.finalizers else ""
        yield f"{one.key} is being deleted{since}{holders}"
    if len(found) > NAMED:
        yield f"{naming.plural(len(found) - NAMED, 'more object')} being deleted"


def _waiting(waiting: Sequence[Leftover]) -> Iterable[str]:
    if waiting:
        yield f"{naming.plural(len(waiting), 'object')} to be deleted after that"
