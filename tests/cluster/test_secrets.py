from __future__ import annotations

import base64

import pytest

from guard.base.errors import SourceError
from guard.cluster import Client, read_secret
from tools.controlplane import ControlPlane


async def create(plane: ControlPlane, namespace: str, **data: bytes) -> None:
    body = {"metadata": {"name": "hook"}, "data": {key: base64.b64encode(value).decode() for key, value in data.items()}}
    await plane.call("POST", f"/api/v1/namespaces/{namespace}/secrets", body=body)


async def test_what_a_secret_holds_is_read(control_plane: ControlPlane, client: Client, namespace: str) -> None:
    await create(control_plane, namespace, token="grün".encode(), empty=b"", odd=b"\xff")
    assert await read_secret(client, namespace, "hook") == {"token": "grün".encode(), "empty": b"", "odd": b"\xff"}


async def test_a_secret_without_data_holds_nothing(control_plane: ControlPlane, client: Client, namespace: str) -> None:
    await create(control_plane, namespace)
    assert await read_secret(client, namespace, "hook") == {}


async def test_a_secret_that_is_not_there_is_named(client: Client, namespace: str) -> None:
    with pytest.raises(SourceError, match=f"there is no Secret {namespace}/hook"):
        await read_secret(client, namespace, "hook")


async def test_a_secret_that_may_not_be_read_is_named(client: Client, namespace: str) -> None:
    nobody = client.acting_as(lambda: {"Impersonate-User": "nobody"})
    with pytest.raises(SourceError, match=f"may not read Secret {namespace}/hook"):
        await read_secret(nobody, namespace, "hook")
