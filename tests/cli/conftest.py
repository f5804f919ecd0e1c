"""Syncs on a real API server, without a Guard: the tests write what one would say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from guard.api import SYNC, sync_crd
from guard.base.codec import Json, JsonObject
from guard.cluster import Client, collection_path, object_path
from guard.sync import install_definition
from tools.controlplane import ControlPlane
from tools.guardrun import sync_document

REVISION = "main@sha1:3f2c1ab0000000000000000000000000000000aa"
TIME = "2026-01-02T03:04:05Z"


def ready(status: str = "True", *, reason: str = "Applied", message: str = "10 objects as declared") -> JsonObject:
    return {
        "type": "Ready",
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": TIME,
        "observedGeneration": 1,
    }


class Synced:
    """A Sync, and what Guard says about it."""

    def __init__(self, client: Client, namespace: str, name: str, kubeconfig: Path) -> None:
        self.client = client
        self.name = name
        self.namespace = namespace
        self.key = f"{namespace}/{name}"
        self.kubeconfig = kubeconfig
        self.path = object_path(SYNC, namespace=namespace, name=name)

    async def create(self, **spec: Json) -> None:
        body = sync_document(self.name, "https://git.example.com/apps", **spec)
        body["metadata"]["namespace"] = self.namespace
        await self.client.post(collection_path(SYNC, namespace=self.namespace), body, manager="kubectl-create")

    async def says(self, *conditions: JsonObject, **status: Json) -> None:
        """Guard writes its status."""
        found = {"conditions": [*conditions], "observedGeneration": 1, **status}
        await self.client.merge_patch(f"{self.path}/status", {"status": found}, manager="guard")

    async def body(self) -> JsonObject:
        return await self.client.get(self.path)

    async def delete(self) -> None:
        await self.client.call("DELETE", self.path)


@pytest.fixture
async def sync_of(client: Client, control_plane: ControlPlane, namespace: str) -> Callable[[str], Synced]:
    """Syncs of a namespace of its own, by their names."""
    await install_definition(client, sync_crd(), kind=SYNC)
    return lambda name: Synced(client, namespace, name, control_plane.kubeconfig("admin"))


@pytest.fixture
async def apps(sync_of: Callable[[str], Synced]) -> Synced:
    found = sync_of("apps")
    await found.create()
    return found
