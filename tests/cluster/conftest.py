"""What tests of a troubled connection share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from guard.cluster import Client, connect
from tests.cluster.proxies import Proxy
from tools.controlplane import ControlPlane


@pytest.fixture(scope="session")
async def mortal(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ControlPlane]:
    """An API server and an etcd of their own, for tests that stop and kill them."""
    async with ControlPlane.start(tmp_path_factory.mktemp("mortal")) as plane:
        yield plane


@pytest.fixture
async def proxy(mortal: ControlPlane) -> AsyncIterator[Proxy]:
    async with Proxy.before(mortal) as found:
        yield found


@pytest.fixture
async def proxied(mortal: ControlPlane, proxy: Proxy, tmp_path: Path) -> AsyncIterator[Client]:
    """A client that reaches its API server through the proxy alone."""
    found = Client(await connect(kubeconfig=proxy.kubeconfig(mortal, tmp_path / "proxied")))
    yield found
    await found.close()
