"""A Reconciler of its own, with the index of tests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeAlias

from guard.api import Sync
from guard.apply import Writer
from guard.audit import References
from guard.base.clock import SystemClock
from guard.base.errors import Unreachable
from guard.cluster import Client, Served
from guard.state import DesiredState, View
from guard.state.ids import Kind
from guard.sync import Plan, Source
from guard.sync.claims import Claims
from guard.sync.reconcile import Reconciler
from tests.state.samples import CONFIG_MAP

Wait: TypeAlias = Callable[[asyncio.Event, float], Awaitable[bool]]


class Indexed:
    """The index by itself; what is served it hears when the API server is `up`."""

    def __init__(self, state: DesiredState) -> None:
        self.state = state
        self.up = False
        self.also: tuple[Kind, ...] = ()
        self.claims = Claims()
        self.unloaded: frozenset[str] = frozenset()

    async def served(self, *, fresh: bool) -> Served:
        if not self.up:
            raise Unreachable(f"the API server hangs up ({fresh=})", where="discovery")
        return Served([CONFIG_MAP])

    async def take(self, sync: str, found: Plan, *, revision: str, also: Iterable[Kind]) -> None:
        gone = [declared.key for declared in found.gone]
        self.state = self.state.with_changes(sync, found.put, gone, revision=revision)
        self.also = tuple(also)

    async def settle(self, sync: str) -> None: ...


def reconciler_of(sync: Sync, *, source: Source, index: Indexed, client: Client, wait: Wait) -> Reconciler:
    clock = SystemClock()
    return Reconciler(
        sync,
        source=source,
        index=index,
        client=client,
        writer=Writer(lambda _sync: client, view=View(), clock=clock),
        clock=clock,
        references=References(clock),
        write=lambda _record: None,
        wait=wait,
        synced=lambda _sync, _result: None,
        drifted=lambda _sync: 0,
    )
