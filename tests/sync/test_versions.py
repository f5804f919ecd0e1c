"""What a Sync applied in one version of a kind is its own in every other."""

from __future__ import annotations

import asyncio

import pytest

from guard.base.errors import ApiStatusError
from guard.cluster import Client, Served, object_path
from guard.state import DesiredState, Kind, Manifest
from guard.state.ids import Origin
from guard.sync import Groups
from tests.sync.pruning import sync_of
from tests.sync.reconcilers import Indexed, reconciler_of

OLD, NEW = (
    Kind(
        group="autoscaling",
        version=version,
        kind="HorizontalPodAutoscaler",
        resource="horizontalpodautoscalers",
        namespaced=True,
    )
    for version in ("v1", "v2")
)


class BothServed(Indexed):
    async def served(self, *, fresh: bool) -> Served:
        del fresh
        return Served([OLD, NEW])


class TwoRevisions:
    """A source whose second revision writes `kept` in another version, and has no `dropped` any more."""

    def __init__(self, namespace: str) -> None:
        self.revision = "main@sha1:a"
        self._groups: dict[str, Groups] = {
            "main@sha1:a": {name: (scaler(OLD, name, namespace),) for name in ("kept", "dropped")},
            "main@sha1:b": {"kept": (scaler(NEW, "kept", namespace),)},
        }

    async def fetch(self) -> str:
        return self.revision

    async def groups(self, revision: str) -> Groups:
        return self._groups[revision]

    async def keep(self, revision: str) -> None: ...

    async def close(self) -> None: ...


def scaler(kind: Kind, name: str, namespace: str) -> Manifest:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    body = {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"maxReplicas": 2, "scaleTargetRef": target},
    }
    return Manifest(body=body, origin=Origin(file=f"{name}.yaml", line=1))


@pytest.mark.case(26)
async def test_what_is_dropped_while_the_rest_of_its_kind_moves_to_another_version_is_pruned(
    client: Client, namespace: str
) -> None:
    source, over = TwoRevisions(namespace), asyncio.Event()

    async def wait(_wake: asyncio.Event, _seconds: float) -> bool:
        if source.revision.endswith("b"):
            over.set()
            await asyncio.Event().wait()
        source.revision = "main@sha1:b"
        return True

    index = BothServed(DesiredState())
    reconciler = reconciler_of(sync_of(f"versions-{namespace}"), source=source, index=index, client=client, wait=wait)
    running = asyncio.create_task(reconciler.run())
    async with asyncio.timeout(60):
        await over.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await reconciler.close()

    await client.get(object_path(NEW, namespace=namespace, name="kept"))
    with pytest.raises(ApiStatusError, match="not found"):
        await client.get(object_path(NEW, namespace=namespace, name="dropped"))
