"""Applying a revision's objects: stage by stage, many at once, one object's fault not stopping the others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import TypeAlias

import msgspec

from guard import telemetry
from guard.apply import Writer, told
from guard.audit import Counts
from guard.base.backoff import Backoff
from guard.base.codec import child, children
from guard.base.concurrency import for_each
from guard.base.errors import ApiStatusError, ClusterError, Unreachable
from guard.cluster import Client, object_path
from guard.state.desired import Declared
from guard.state.ids import ObjectKey
from guard.sync.plan import stages

LEARNED_AT_ONCE = 4  # in the background: the seats are for those who write
APPLIES_AT_ONCE = 10  # the API server's own fairness gives one client about as many seats
# Objects of one stage may depend on one another in ways that only the API server knows (a webhook's own Service): another look
# settles most of it.
ATTEMPTS = 4
ESTABLISHED_SECONDS = 30.0

_log = telemetry.get("sync")


class Done(msgspec.Struct, frozen=True):
    """How many objects were written or found as they should be, one line for each that could not be applied, and those that
    break-glass leaves to people: nothing was done about them.
    """

    counts: Counts
    failures: tuple[str, ...] = ()
    failed: frozenset[ObjectKey] = frozenset()
    opened: frozenset[ObjectKey] = frozenset()


# Told how many of how many objects are done.
Progress: TypeAlias = Callable[[int, int], Awaitable[None]]


class _Tally:
    def __init__(self) -> None:
        self.applied = 0
        self.unchanged = 0
        self.failures: dict[ObjectKey, str] = {}
        self.opened: set[ObjectKey] = set()

    def count(self, *, changed: bool) -> None:
        if changed:
            self.applied += 1
        else:
            self.unchanged += 1


async def apply_all(objects: Collection[Declared], *, client: Client, writer: Writer, clean: bool, progress: Progress) -> Done:
    """Apply everything. `clean` takes people's additions away, `progress` is told after each object how many of how many are
    done. Raises Unreachable when the API server is gone.
    """
    tally = _Tally()

    async def one(declared: Declared) -> ClusterError | None:
        try:
            result = await writer.apply(declared, clean=clean)
        except Unreachable:
            raise
        except ClusterError as error:
            return error
        if result is not None and result.is_open:
            tally.opened.add(declared.key)
        else:
            tally.count(changed=result is not None and result.changed)
        await progress(tally.applied + tally.unchanged, len(objects))
        return None

    for stage in stages(objects):
        waiting = list(stage)
        backoff = Backoff(first=0.1, most=1.0)
        for attempt in range(ATTEMPTS):
            errors = await for_each(waiting, one, at_once=APPLIES_AT_ONCE)
            failed = [(declared, error) for declared, error in zip(waiting, errors, strict=True) if error is not None]
            if not failed:
                break
            if attempt == ATTEMPTS - 1:
                tally.failures |= {
                    declared.key: f"{declared.origin}: {declared.key}: {told(error, declared.key)}" for declared, error in failed
                }
            else:
                waiting = [declared for declared, _ in failed]
                await asyncio.sleep(backoff.next())
        await _established(stage, client=client)
    counts = Counts(applied=tally.applied, unchanged=tally.unchanged)
    return Done(
        counts,
        failures=tuple(tally.failures.values()),
        failed=frozenset(tally.failures),
        opened=frozenset(tally.opened),
    )


async def _established(stage: Sequence[Declared], *, client: Client) -> None:
    """Wait until the API server serves the kinds that the stage defined; what is not served then fails by itself, named."""
    definitions = [declared for declared in stage if declared.kind.kind == "CustomResourceDefinition"]
    try:
        async with asyncio.timeout(ESTABLISHED_SECONDS):
            for declared in definitions:
                path = object_path(declared.kind, namespace="", name=declared.key.name)
                while not _is_established(children(child(await client.get(path), "status"), "conditions")):  # noqa: ASYNC110 (the API server's)
                    await asyncio.sleep(0.05)
    except TimeoutError:
        return


def _is_established(conditions: Sequence[dict[str, str]]) -> bool:
    return any(found.get("type") == "Established" and found.get("status") == "True" for found in conditions)


async def learn_all(objects: Iterable[Declared], *, writer: Writer) -> None:
    """Ask the API server in which form it stores each object, some at once; one that it would refuse is left as Git writes it.
    Raises Unreachable when the API server is gone.
    """

    async def one(declared: Declared) -> None:
        try:
            await writer.learn(declared)
        except ApiStatusError as error:
            _log.info("Git's value was not learned", object=str(declared.key), error=told(error, declared.key))

    await for_each(tuple(objects), one, at_once=LEARNED_AT_ONCE)
