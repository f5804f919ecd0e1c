"""Objects whose managedFields speak of a version that their kind had once."""

from __future__ import annotations

import asyncio

import pytest

from guard.apply import Writer
from guard.base.clock import SystemClock
from guard.base.codec import JsonObject
from guard.base.errors import ApiStatusError
from guard.cluster import Client, discover, object_path
from guard.state import Declared, Kind, View
from guard.state.ids import DEFINITION
from guard.state.managed import entries
from tests.e2e.conftest import widget_definition
from tests.state.samples import declared_as, object_of
from tools.guardrun import eventually


def kind(group: str, version: str) -> Kind:
    return Kind(group=group, version=version, kind="Widget", resource="widgets", namespaced=True)


def widget(group: str, version: str, namespace: str, **spec: str | int) -> Declared:
    of = kind(group, version)
    return declared_as(of, object_of(of, name="one", namespace=namespace, spec=dict(spec)))


def path(declared: Declared) -> str:
    return object_path(declared.kind, namespace=declared.key.namespace, name=declared.key.name)


@pytest.fixture
async def group(client: Client, namespace: str) -> str:
    """Of a Widget in v1 and v2."""
    found = f"{namespace}.example.com"
    await client.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", widget_definition(found))

    async def served() -> bool:
        return await versions(client, found) == frozenset({f"{found}/v1", f"{found}/v2"})

    await eventually(served, what="both versions are served")
    return found


async def versions(client: Client, group: str) -> frozenset[str]:
    return (await discover(client)).versions(group, "Widget")


def writer(client: Client) -> Writer:
    return Writer(lambda _sync: client, view=View(), clock=SystemClock())


async def drop_v1(client: Client, group: str, declared: Declared) -> None:
    """As whoever ends a version does: store another one, write all objects anew, drop it from what was stored, and then."""
    place = object_path(DEFINITION, namespace="", name=f"widgets.{group}")
    body = await client.get(place)
    first, second = body["spec"]["versions"]
    body["spec"]["versions"] = [{**first, "storage": False}, {**second, "storage": True}]
    body = await client.put(place, body)
    # It takes a moment until the new version is stored.
    await asyncio.sleep(1.0)
    stored = object_path(kind(group, "v2"), namespace=declared.key.namespace, name=declared.key.name)
    await client.put(stored, await client.get(stored), manager="migration")
    body["status"]["storedVersions"] = ["v2"]
    body = await client.put(place + "/status", body)
    body["spec"]["versions"] = body["spec"]["versions"][1:]
    await client.put(place, body)

    async def gone() -> bool:
        return await versions(client, group) == frozenset({f"{group}/v2"})

    await eventually(gone, what="v1 is served no more")
    await asyncio.sleep(1.0)


async def test_an_entry_of_a_version_that_is_gone_stops_no_apply(client: Client, group: str, namespace: str) -> None:
    old, new, writing = widget(group, "v1", namespace), widget(group, "v2", namespace, color="blue"), writer(client)
    await writing.apply(new)
    await client.merge_patch(path(old), {"metadata": {"annotations": {"seen": "1"}}}, manager="operator")
    await drop_v1(client, group, new)
    await client.merge_patch(path(new), {"spec": {"color": "red"}}, manager="kubectl-edit")
    await writing.apply(new)
    after = await client.get(path(new))
    assert after["spec"] == {"color": "blue"}
    assert after["metadata"]["annotations"] == {"seen": "1"}
    assert {entry.api_version for entry in entries(after)} == {f"{group}/v2"}


async def test_our_own_entry_goes_on_in_the_version_that_git_declares(client: Client, group: str, namespace: str) -> None:
    old, writing = widget(group, "v1", namespace, color="blue", size=1), writer(client)
    await writing.apply(old)
    await drop_v1(client, group, old)
    declared = widget(group, "v2", namespace, color="green")
    await writing.apply(declared)
    after = await client.get(path(declared))
    # What Git dropped together with the version goes, too.
    assert after["spec"] == {"color": "green"}
    assert {entry.api_version for entry in entries(after)} == {f"{group}/v2"}


async def test_a_dry_run_is_answered_all_the_same(client: Client, group: str, namespace: str) -> None:
    old, writing = widget(group, "v1", namespace, color="blue"), writer(client)
    await writing.apply(old)
    await drop_v1(client, group, old)
    learned = await writing.ask(widget(group, "v2", namespace, color="green"))
    assert ("f:spec", "f:color") in learned.fields


async def test_another_trouble_of_the_api_server_changes_nothing(client: Client, group: str, namespace: str) -> None:
    declared = widget(group, "v2", namespace, color="blue")
    writing = writer(client)
    await writing.apply(declared)
    before: JsonObject = await client.get(path(declared))
    with pytest.raises(ApiStatusError):
        await writing.apply(widget(group, "v3", namespace, color="green"))
    assert await client.get(path(declared)) == before
