from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from guard.cluster import connect
from tests.heal.healing import Healing, SlowClient
from tests.state.samples import CONFIG_MAP, declared_as, object_of, view_of
from tools.controlplane import ControlPlane


@pytest.fixture
async def healing(control_plane: ControlPlane, namespace: str) -> AsyncIterator[Healing]:
    client = SlowClient(await connect(kubeconfig=control_plane.kubeconfig("admin")))
    client.lists, client.stored, client.answers = asyncio.Event(), asyncio.Event(), asyncio.Event()
    declared = declared_as(CONFIG_MAP, object_of(CONFIG_MAP, namespace=namespace, data={"color": "blue"}))
    found = Healing(client, view=view_of(declared), declared=declared)
    yield found
    await found.watching.close()
    await client.close()
