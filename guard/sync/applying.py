"""Applying a revision's objects: in order, many at once, one object's fault not stopping the others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import TypeAlias

import msgspec

from guard import telemetry
from guard.apply import Writer, is_crowded, policy, told
from guard.audit import Counts
from guard.base import naming
from guard.base.backoff import Backoff
from guard.base.concurrency import for_each
from guard.base.errors import ApiStatusError, ClusterError, Unreachable
from guard.cluster import Client
from guard.state.desired import Declared
from guard.state.ids import DEFINITION, NAMESPACE, ObjectKey
from guard.sync.establishing import established
from guard.sync.order import Rank, steps

LEARNED_AT_ONCE = 4  # in the background: the seats are for those who write
APPLIES_AT_ONCE = 10  # the API server's own fairness gives one client about as many seats
# Objects of one step may depend on one another in ways that only the API server knows (a webhook's own Service): another look
# settles most of it. What takes longer is the next attempt's.
RETRY_SECONDS = 10.0
RETRY_FIRST_SECONDS, RETRY_MOST_SECONDS = 0.1, 2.0
TIMEOUT_SECONDS = 300.0  # as a Sync's `timeout` by default
_NAMED = 3  # objects that a held wave is said to wait for; the rest is a count

# Waits until the objects are healthy, and says what is wrong with those that do not become so.
Settled: TypeAlias = Callable[[Sequence[Declared]], Awaitable[tuple[str, ...]]]
# Told how many of how many objects are done.
Progress: TypeAlias = Callable[[int, int], Awaitable[None]]

_log = telemetry.get("sync")


async def nothing_to_wait_for(_objects: Sequence[Declared]) -> tuple[str, ...]:
    """Where nobody looks at health."""
    return ()


async def _untold(_done: int, _total: int) -> None:
    """Where nobody looks at progress."""


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """How many objects were written or found as they should be, and one line for each that could not be applied, and for each
    wave that waits. `failed` are the objects that could not be applied, `held` those of the waves that wait, `unsettled` those
    that waves wait for, `opened` those that break-glass leaves to people, about which nothing was done: all of them stay due. It
    is `stalled` where another attempt can only fail again, until Git or the cluster changes, and `blocked` where something failed
    for which pruning can make no room.
    """

    counts: Counts
    failures: tuple[str, ...] = ()
    failed: frozenset[ObjectKey] = frozenset()
    held: frozenset[ObjectKey] = frozenset()
    opened: frozenset[ObjectKey] = frozenset()
    unsettled: frozenset[ObjectKey] = frozenset()
    stalled: bool = False
    blocked: bool = False

    @property
    def due(self) -> frozenset[ObjectKey]:
        return self.failed | self.held | self.opened | self.unsettled


async def apply_all(
    objects: Collection[Declared],
    *,
    client: Client,
    writer: Writer,
    clean: bool,
    at_once: int = APPLIES_AT_ONCE,
    timeout: float = TIMEOUT_SECONDS,  # noqa: ASYNC109 (of each wait; the applies themselves have none)
    settled: Settled = nothing_to_wait_for,
    progress: Progress = _untold,
) -> Done:
    """Apply everything. `clean` takes people's additions away; before a higher wave what was applied of lower ones is to be
    `settled`; `progress` is told after each object how many of how many are done. Raises Unreachable when the API server is gone.
    """

    async def told(done: int) -> None:
        await progress(done, len(objects))

    attempt = _Attempt(
        client=client, writer=writer, clean=clean, at_once=at_once, timeout=timeout, settled=settled, progress=told
    )
    for rank, step in steps(objects):
        await attempt.take(rank, step)
    return attempt.done()


class _Attempt:
    def __init__(
        self,
        *,
        client: Client,
        writer: Writer,
        clean: bool,
        at_once: int,
        timeout: float,
        settled: Settled,
        progress: Callable[[int], Awaitable[None]],
    ) -> None:
        self._client = client
        self._writer = writer
        self._clean = clean
        self._at_once = at_once
        self._timeout = timeout
        self._settled = settled
        self._progress = progress
        self._applied = 0
        self._unchanged = 0
        self._failures: dict[ObjectKey, str] = {}
        self._is_stalled = True
        self._is_blocked = False
        self._held: dict[ObjectKey, int] = {}
        self._opened: set[ObjectKey] = set()
        # What higher waves wait for, by the wave that it is of, and what was applied and not waited for yet.
        self._faults: list[tuple[int, str]] = []
        self._unsettled: dict[int, list[Declared]] = {}
        # What was waited for in vain. It stays due, since otherwise the next attempt would have nothing to wait for.
        self._awaited: set[ObjectKey] = set()
        # Nothing that we do not know stands in a namespace that this attempt made.
        self._new: set[str] = set()

    async def take(self, rank: Rank, objects: Sequence[Declared]) -> None:
        """Apply the objects of a rank, unless something of a lower wave is not as it should be."""
        await self._settle(below=rank.wave)
        if any(wave < rank.wave for wave, _ in self._faults):
            self._held |= {declared.key: rank.wave for declared in objects}
            return
        await self._apply(rank, objects)
        applied = [one for one in objects if one.key not in self._failures and one.key not in self._opened]
        definitions = [declared for declared in applied if declared.kind == DEFINITION]
        for declared, fault in await established(definitions, client=self._client, seconds=self._timeout):
            self._fail(rank, declared, fault)
        self._unsettled.setdefault(rank.wave, []).extend(declared for declared in applied if declared.key not in self._failures)

    def done(self) -> Done:
        failures = [*self._failures.values(), *self._waits()]
        return Done(
            counts=Counts(applied=self._applied, unchanged=self._unchanged),
            failures=tuple(failures),
            failed=frozenset(self._failures),
            held=frozenset(self._held),
            opened=frozenset(self._opened),
            unsettled=frozenset(self._awaited),
            stalled=self._is_stalled and bool(failures),
            blocked=self._is_blocked,
        )

    def _waits(self) -> Iterable[str]:
        for wave in sorted({*self._held.values()}):
            count = sum(1 for found in self._held.values() if found == wave)
            reasons = [text for lower, text in self._faults if lower < wave]
            more = f"; and {len(reasons) - _NAMED} more" if len(reasons) > _NAMED else ""
            yield f"wave {wave} ({naming.plural(count, 'object')}) waits for {'; '.join(reasons[:_NAMED])}{more}"

    async def _settle(self, *, below: int) -> None:
        for wave in sorted(wave for wave in self._unsettled if wave < below):
            objects = tuple(self._unsettled.pop(wave))
            faults = await self._settled(objects)
            if faults:
                self._is_stalled = False
                self._awaited |= {declared.key for declared in objects}
            self._faults += [(wave, fault) for fault in faults]

    async def _apply(self, rank: Rank, objects: Sequence[Declared]) -> None:
        backoff = Backoff(first=RETRY_FIRST_SECONDS, most=RETRY_MOST_SECONDS)
        end = asyncio.get_running_loop().time() + RETRY_SECONDS
        waiting: list[Declared] = list(objects)
        while waiting:
            errors = await for_each(waiting, self._one, at_once=self._at_once)
            failed = [(declared, error) for declared, error in zip(waiting, errors, strict=True) if error is not None]
            pause = backoff.next()
            in_time = asyncio.get_running_loop().time() + pause < end
            waiting = [declared for declared, error in failed if in_time and policy(error) == "retry"]
            for declared, error in failed:
                if not (in_time and policy(error) == "retry"):
                    self._is_stalled = self._is_stalled and policy(error) == "stall"
                    self._is_blocked = self._is_blocked or not is_crowded(error)
                    self._fail(rank, declared, told(error, declared.secrecy))
            if waiting:
                await asyncio.sleep(pause)

    def _fail(self, rank: Rank, declared: Declared, text: str) -> None:
        self._failures[declared.key] = f"{declared.origin}: {declared.key}: {text}"
        self._faults.append((rank.wave, str(declared.key)))

    async def _one(self, declared: Declared) -> ClusterError | None:
        try:
            result = await self._writer.apply(declared, clean=self._clean, is_new=declared.key.namespace in self._new)
        except Unreachable:
            raise
        except ClusterError as error:
            return error
        if result is not None and result.is_open:
            self._opened.add(declared.key)
        elif result is not None and result.changed:
            self._applied += 1
            if result.created and declared.kind == NAMESPACE:
                self._new.add(declared.key.name)
        else:
            self._unchanged += 1
        await self._progress(self._applied + self._unchanged)
        return None


async def learn_all(objects: Iterable[Declared], *, writer: Writer) -> None:
    """Ask the API server in which form it stores each object, some at once; one that it would refuse is left as Git writes it.
    Raises Unreachable when the API server is gone.
    """

    async def one(declared: Declared) -> None:
        try:
            await writer.learn(declared)
        except ApiStatusError as error:
            _log.info("Git's value was not learned", object=str(declared.key), error=told(error, declared.secrecy))

    await for_each(tuple(objects), one, at_once=LEARNED_AT_ONCE)
