from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, cast

import pytest

from guard.api import Sync, SyncStatus
from guard.base.codec import JsonObject
from guard.cluster import Client, Event
from guard.sync import Departures, Reconciler, Syncs, syncs
from tools.guardrun import sync_document


class Stub:
    """A Reconciler whose ending takes a while."""

    def __init__(self, sync: Sync) -> None:
        self.sync, self.status = sync, SyncStatus()
        self.is_waiting = self.is_closed = False
        self.running, self.ending, self.go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def run(self) -> None:
        self.running.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ending.set()
            await self.go_on.wait()

    async def close(self) -> None:
        self.is_closed = True


async def nothing(*_: object) -> None:
    pass


async def test_a_sync_that_is_dropped_as_a_stop_comes_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Stub] = []
    gone = asyncio.Event()
    document = sync_document("apps", "https://git.example/deploy")

    async def watch(*_: object) -> AsyncGenerator[Event[JsonObject]]:
        yield Event(type="ADDED", object=document)
        await gone.wait()
        yield Event(type="DELETED", object=document)

    def make(sync: Sync) -> Reconciler:
        made.append(Stub(sync))
        return cast("Reconciler", made[0])

    monkeypatch.setattr(syncs, "watch", watch)
    departures = Departures(cast("Any", None))
    known = Syncs(cast("Client", None), make=make, changed=nothing, dropped=nothing, departures=departures)
    task = asyncio.create_task(known.run())
    while not made:  # noqa: ASYNC110 (made by the task)
        await asyncio.sleep(0)
    (sync,) = made
    await sync.running.wait()
    gone.set()
    await sync.ending.wait()
    task.cancel()
    sync.go_on.set()
    await asyncio.wait((task,))
    await known.close()
    assert sync.is_closed
