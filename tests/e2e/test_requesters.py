"""Who is asking: known from the request's user alone, never from what it says about itself."""

from __future__ import annotations

import pytest

from guard.base import codec
from guard.base.codec import JsonObject
from tests.e2e.conftest import App, World, config_map

AS_PERSON = ("--as=bob@example.com", "--as-group=platform", "--as-group=system:masters")


@pytest.mark.case(15)
async def test_who_impersonates_a_person_is_judged_as_that_person(app: App, world: World) -> None:
    edit = ("patch", "configmap/settings", "-n", app.namespace)
    refused = await world.refused(*edit, '-p={"data":{"extra":"1"}}', *AS_PERSON, identity="admin")
    assert "data.extra: not in Git, you asked to add 1" in refused.stderr
    record = world.recorded("settings", app.namespace)[-1]
    assert (record["user"], record["groups"]) == ("bob@example.com", ["platform", "system:masters", "system:authenticated"])
    # As a machine that writes with a machine's tool, the same person may add.
    machine = ("--as=system:serviceaccount:automation:operator", "--as-group=system:masters", "--field-manager=operator")
    await world.plane.kubectl(*edit, '-p={"metadata":{"annotations":{"seen":"1"}}}', *machine, identity="admin")
    await world.refused(*edit, '-p={"data":{"color":"red"}}', *machine, identity="admin")


@pytest.mark.case(15)
@pytest.mark.parametrize("manager", ["guard", "guard-repair", "kube-controller-manager", "before-guard"])
@pytest.mark.parametrize("identity", ["person", "operator"])
async def test_no_field_manager_makes_anybody_the_controller(untouched: App, world: World, manager: str, identity: str) -> None:
    before = await world.get("configmap/settings", untouched.namespace)
    who = "operator" if identity == "operator" else "person"
    red = config_map("settings", untouched.namespace, "  color: red\n  size: large")
    for command in (
        ("apply", "--server-side", "--force-conflicts", "-f", "-"),
        ("patch", "configmap/settings", "-n", untouched.namespace, '-p={"data":{"color":"red"}}'),
        ("delete", "configmap/settings", "-n", untouched.namespace),
    ):
        named = () if command[0] == "delete" else (f"--field-manager={manager}",)
        await world.refused(*command, *named, identity=who, text=red if "-f" in command else None)
    assert await world.get("configmap/settings", untouched.namespace) == before


@pytest.mark.case(15)
async def test_an_entry_written_by_hand_into_managed_fields_proves_nothing(untouched: App, world: World) -> None:
    path = f"/api/v1/namespaces/{untouched.namespace}/configmaps/settings"
    before = await world.get("configmap/settings", untouched.namespace)
    body: JsonObject = {**before, "data": {"color": "red", "size": "large"}}
    refused = await world.refused(
        "patch",
        "configmap/settings",
        "-n",
        untouched.namespace,
        "--type=merge",
        '-p={"data":{"color":"red"},"metadata":{"managedFields":[{}]}}',
    )
    assert "data.color: Git has blue, you asked for red" in refused.stderr or "managedFields" in refused.stderr
    await world.refused("replace", "--raw", f"{path}?fieldManager=guard", "-f", "-", text=codec.encode(body).decode())
    assert await world.get("configmap/settings", untouched.namespace) == before


@pytest.mark.case(8, 15)
async def test_nobody_creates_foreign_objects_under_our_field_manager(world: World, fresh: str) -> None:
    body = config_map(fresh, "default", "  a: b")
    refused = await world.refused("apply", "--server-side", "--field-manager=guard", "-f", "-", text=body)
    assert "in the name of Guard's own field managers" in refused.stderr
    assert not await world.exists("configmap", fresh, "default")
