"""Writes that change no value and take ownership: what stands there stays, and is kept from nobody afterwards."""

from __future__ import annotations

import pytest

from guard.base import codec
from guard.base.codec import JsonObject, children
from tests.e2e.conftest import App, World
from tools.guardrun import eventually

IDENTITY = ("resourceVersion", "uid", "creationTimestamp", "generation", "managedFields")


async def taken(app: App, world: World, reference: str, manager: str) -> JsonObject:
    """A person applies by force what stands there, whole, as the manager; returns it as it was."""
    before = await world.get(reference, app.namespace)
    metadata = {name: value for name, value in before["metadata"].items() if name not in IDENTITY}
    body = {**{name: value for name, value in before.items() if name != "status"}, "metadata": metadata}
    flags = ("--server-side", "--force-conflicts", "--field-manager", manager, "-f", "-")
    await world.plane.kubectl("apply", *flags, identity="person", input=codec.encode(body).decode())
    return before


async def relieved(app: App, world: World, reference: str, manager: str) -> JsonObject:
    """Wait until the manager holds nothing of the object any more."""
    found: list[JsonObject] = []

    async def look() -> bool:
        found[:] = [await world.get(reference, app.namespace)]
        return all(entry["manager"] != manager for entry in children(found[0]["metadata"], "managedFields"))

    await eventually(look, what=lambda: f"{manager} relieved of {reference}; the log ends:\n{world.guard.tail()}")
    return found[0]


def content(body: JsonObject) -> JsonObject:
    metadata = {name: value for name, value in body["metadata"].items() if name not in {"resourceVersion", "managedFields"}}
    return {**body, "metadata": metadata}


@pytest.mark.case(2)
@pytest.mark.parametrize("reference", ["deployment/web", "service/web", "configmap/settings"])
@pytest.mark.parametrize("manager", ["kubectl", "foo"])
async def test_a_forced_apply_of_what_stands_there_changes_nothing(app: App, world: World, reference: str, manager: str) -> None:
    before = await taken(app, world, reference, manager)
    after = await relieved(app, world, reference, manager)
    assert content(after) == content(before)
    kind = str(before["kind"])
    assert not [record for record in world.recorded(before["metadata"]["name"], app.namespace) if record.get("kind") == kind]


@pytest.mark.case(27)
@pytest.mark.parametrize("manager", ["kubectl", "foo"])
async def test_what_git_drops_goes_though_a_person_applied_the_very_file(app: App, world: World, manager: str) -> None:
    flags = ("--server-side", "--force-conflicts", "--field-manager", manager, "-f", "-")
    await world.plane.kubectl("apply", *flags, identity="person", input=app.text)
    await relieved(app, world, "configmap/settings", manager)
    await world.declare({app.file: app.text.replace("  size: large\n", "")})
    assert (await world.get("configmap/settings", app.namespace))["data"] == {"color": "blue"}


@pytest.mark.case(5)
async def test_an_addition_is_one_still_when_a_person_repeats_it_under_another_name(world: World, fresh: str) -> None:
    await world.add_sync(fresh, enforcement={"heal": False})
    reference = f"configmap/{fresh}-first"
    await world.past("patch", reference, "--type=merge", "-p", '{"data":{"extra":"1"}}')
    before = await world.get(reference, "default")
    body = {**before, "metadata": {"name": f"{fresh}-first", "namespace": "default"}}
    flags = ("--server-side", "--force-conflicts", "--field-manager", "foo", "-f", "-")
    await world.plane.kubectl("apply", *flags, identity="person", input=codec.encode(body).decode())
    assert (await world.get(reference, "default"))["data"] == {"a": "b", "extra": "1"}
    await world.enforce(fresh, {})
    await world.settled(fresh)

    async def healed() -> bool:
        return bool((await world.get(reference, "default"))["data"] == {"a": "b"})

    await eventually(healed, what=lambda: f"the addition taken away; the log ends:\n{world.guard.tail()}")


@pytest.mark.case(8)
async def test_a_person_who_takes_a_machines_entry_makes_guard_take_nothing_away(app: App, world: World) -> None:
    reference, flags = "configmap/settings", ("-n", app.namespace, "--type=json", "--field-manager", "kubectl-edit", "-p")
    put = '{"metadata":{"annotations":{"operator":"1"}}}'
    machine = ("patch", reference, "-n", app.namespace, "--type=merge", "--field-manager", "shop-operator", "-p", put)
    await world.plane.kubectl(*machine, identity="operator")
    before = await world.get(reference, app.namespace)
    entries = children(before["metadata"], "managedFields")
    renamed = [{**entry, "manager": "kubectl-edit"} if entry["manager"] == "shop-operator" else entry for entry in entries]
    patch = codec.encode([{"op": "replace", "path": "/metadata/managedFields", "value": renamed}]).decode()
    await world.plane.kubectl("patch", reference, *flags, patch, identity="person")
    after = await relieved(app, world, reference, "kubectl-edit")
    assert content(after) == content(before)
    dropped = codec.encode([{"op": "replace", "path": "/metadata/managedFields", "value": renamed[:1]}]).decode()
    await world.plane.kubectl(*machine[:-1], put.replace("1", "2"), identity="operator")
    refused = await world.refused("patch", reference, *flags[:-1], "-p", dropped)
    assert "its ownership cannot be changed by hand" in refused.stderr
