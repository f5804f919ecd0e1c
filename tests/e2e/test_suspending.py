"""Syncs that are suspended: nothing is written for them, and what is in force is defended all the same."""

from __future__ import annotations

import asyncio

import pytest

from guard.base.codec import JsonObject, child
from tests.e2e.conftest import Followed, World, config_map
from tools.guardrun import eventually

# Longer than a Sync that looks every second takes to notice anything.
A_WHILE = 3.0


async def test_nothing_is_fetched_applied_pruned_or_healed_until_it_is_resumed(world: World, followed: Followed) -> None:
    other = f"{followed.name}-other"
    await followed.commit({"other.yaml": config_map(other, "default", "  color: blue")})
    await followed.patch({"suspend": True})
    commit = followed.repository.commit({"map.yaml": followed.colored("red"), "other.yaml": None})
    await world.past("patch", "configmap", followed.name, "-n", "default", "--type=merge", '-p={"data":{"color":"black"}}')
    before = await world.get(f"configmap/{followed.name}", "default")
    await asyncio.sleep(A_WHILE)
    assert await world.get(f"configmap/{followed.name}", "default") == before
    assert await world.exists("configmap", other, "default")
    await followed.patch({"suspend": False})
    await followed.applied(commit)
    assert await followed.color() == "red"
    assert not await world.exists("configmap", other, "default")


async def test_manual_changes_are_refused_as_before(world: World, followed: Followed) -> None:
    await followed.patch({"suspend": True})
    refused = await world.refused(
        "patch", "configmap", followed.name, "-n", "default", "--type=merge", '-p={"data":{"color":"red"}}'
    )
    assert "Git has blue" in refused.stderr
    await world.refused("delete", "configmap", followed.name, "-n", "default")


async def test_what_drifted_meanwhile_is_healed_with_no_new_revision(world: World, followed: Followed) -> None:
    await followed.patch({"suspend": True})
    await world.past("delete", "configmap", followed.name, "-n", "default")
    await asyncio.sleep(A_WHILE)
    assert not await world.exists("configmap", followed.name, "default")
    await followed.patch({"suspend": False})

    async def is_back() -> bool:
        return await world.exists("configmap", followed.name, "default")

    await eventually(is_back, what="the config map is back")
    assert await followed.color() == "blue"


async def test_a_sync_made_again_under_its_name_is_another_one(world: World, followed: Followed) -> None:
    """Were it taken for the same, its status would say nothing of what it applied."""
    body = await world.guard.sync(followed.name)
    fresh: JsonObject = {
        **{name: body[name] for name in ("apiVersion", "kind", "spec")},
        "metadata": {"name": followed.name, "namespace": "guard-system"},
    }
    await world.plane.kubectl("delete", "sync", followed.name, "-n", "guard-system", identity="admin")
    await world.plane.call("POST", "/apis/gitopsguard.dev/v1alpha1/namespaces/guard-system/syncs", body=fresh)
    await followed.applied(followed.repository.git("rev-parse", "HEAD"))
    status = child(await world.guard.sync(followed.name), "status")
    assert status["objects"]["declared"] == 1
    await world.refused("delete", "configmap", followed.name, "-n", "default")


@pytest.mark.parametrize("spec", [{"retryInterval": "1s"}, {"retryInterval": ""}])
async def test_a_failed_attempt_is_tried_again(world: World, followed: Followed, spec: JsonObject) -> None:
    await followed.patch({**spec, "source": {"interval": "1h"}})
    moved = followed.repository.directory.rename(followed.repository.directory.with_name("moved"))
    await world.guard.reconcile(followed.name)
    await followed.says("", reason="SourceFailed")
    moved.rename(followed.repository.directory)

    async def is_well() -> bool:
        return (await followed.ready())["status"] == "True"

    await eventually(is_well, what="the source is looked at again long before the interval is over")
