from __future__ import annotations

import asyncio

import msgspec

from guard.api import REQUESTED_AT, parse_sync
from guard.base.codec import JsonObject
from guard.cluster import Client
from guard.state import DesiredState, Manifest
from guard.state.ids import GUARD_NAMESPACE, Origin
from guard.sync import Groups, Reconciler
from guard.sync.order import WAVE
from tests.sync.reconcilers import Indexed, reconciler_of

SYNC = {
    "apiVersion": "gitopsguard.dev/v1alpha1",
    "kind": "Sync",
    "metadata": {"name": "asked", "namespace": "default", "generation": 1},
    "spec": {"source": {"git": {"url": "https://git.example.com/deploy"}}},
}


class OneRevision:
    """A source of one revision, whose config maps these are."""

    def __init__(self, *bodies: JsonObject) -> None:
        self.fetches = 0
        self._groups: Groups = {
            "a.yaml": tuple(
                Manifest(body={"apiVersion": "v1", "kind": "ConfigMap", **body}, origin=Origin(file="a.yaml", line=1))
                for body in bodies
            )
        }

    async def groups(self, revision: str) -> Groups:
        assert revision == "main@sha1:a"
        return self._groups

    async def keep(self, revision: str) -> None: ...

    async def close(self) -> None: ...


class AskedMeanwhile(OneRevision):
    """A source during whose first fetch somebody runs `guard reconcile`."""

    def __init__(self, namespace: str) -> None:
        super().__init__({"metadata": {"name": "mine", "namespace": namespace}})
        self.reconciler: Reconciler

    async def fetch(self) -> str:
        self.fetches += 1
        if self.fetches == 1:
            known = self.reconciler.sync
            metadata = msgspec.structs.replace(known.metadata, annotations={REQUESTED_AT: "now"})
            self.reconciler.update(msgspec.structs.replace(known, metadata=metadata))
        return "main@sha1:a"


async def test_a_request_that_comes_during_a_fetch_is_answered(client: Client, namespace: str) -> None:
    source, index = AskedMeanwhile(namespace), Indexed(DesiredState())
    index.up = True
    waits = 0

    async def wait(wake: asyncio.Event, _seconds: float) -> bool:
        nonlocal waits
        waits += 1
        await wake.wait()
        wake.clear()
        return True

    source.reconciler = reconciler_of(parse_sync(SYNC, where="test"), source=source, index=index, client=client, wait=wait)
    running = asyncio.create_task(source.reconciler.run())
    async with asyncio.timeout(60):
        while waits < 2:  # noqa: ASYNC110 (no event tells that it waits)
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await source.reconciler.close()

    assert source.fetches == 2
    assert source.reconciler.status.last_handled_reconcile_at == "now"


class PushedBetweenWaves(OneRevision):
    """A source to which somebody pushes while a wave waits for the one before; the look at it then takes longer than the wave."""

    def __init__(self, namespace: str) -> None:
        metadata: JsonObject = {"namespace": namespace, "annotations": {WAVE: "1"}}
        super().__init__({"metadata": {"name": "a", "namespace": namespace}}, {"metadata": {**metadata, "name": "b"}})

    async def fetch(self) -> str:
        self.fetches += 1
        if self.fetches == 2:
            await asyncio.Event().wait()
        return "main@sha1:a"


async def test_a_push_that_comes_while_a_wave_waits_is_not_lost(client: Client, namespace: str) -> None:
    source, index = PushedBetweenWaves(namespace), Indexed(DesiredState())
    index.up = True

    async def wait(wake: asyncio.Event, _seconds: float) -> bool:
        if source.fetches == 1:
            wake.set()
        await wake.wait()
        wake.clear()
        return True

    metadata = {"name": "asked", "namespace": GUARD_NAMESPACE, "generation": 1}
    sync = parse_sync({**SYNC, "metadata": metadata}, where="test")
    reconciler = reconciler_of(sync, source=source, index=index, client=client, wait=wait)
    running = asyncio.create_task(reconciler.run())
    try:
        async with asyncio.timeout(60):
            while source.fetches < 3:  # noqa: ASYNC110 (no event tells of it)
                await asyncio.sleep(0.01)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await reconciler.close()
