"""Syncs that come after others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from guard.base.codec import JsonObject, child, children
from tests.e2e.conftest import SYNCS, World, config_map
from tools.guardrun import Repository, eventually, sync_document


class Pair:
    """Two Syncs of one repository, of which `apps` depends on `infra`."""

    def __init__(self, world: World, repository: Repository, name: str) -> None:
        self.world = world
        self.repository = repository
        self.infra, self.apps = f"{name}-infra", f"{name}-apps"

    def files(self, color: str) -> dict[str, str | None]:
        return {
            "infra/map.yaml": config_map(self.infra, "default", f"  color: {color}"),
            "apps/map.yaml": config_map(self.apps, "default", f"  color: {color}"),
        }

    async def create(self, name: str, path: str, *needs: str) -> None:
        body = sync_document(name, self.repository.directory, path=path, dependsOn=[{"name": need} for need in needs])
        await self.world.plane.call("POST", SYNCS, body=body)

    async def condition(self, name: str, type_: str) -> JsonObject:
        status = child(await self.world.guard.sync(name), "status")
        nothing: JsonObject = {}
        return next((found for found in children(status, "conditions") if found["type"] == type_), nothing)

    async def says(self, name: str, reason: str, text: str) -> None:
        async def told() -> bool:
            ready = await self.condition(name, "Ready")
            return ready.get("reason") == reason and text in str(ready.get("message"))

        await eventually(told, what=lambda: f"{name} says {reason}: {text}; the log ends:\n{self.world.guard.tail()}")

    async def version(self, name: str) -> int:
        return int((await self.world.get(f"configmap/{name}", "default"))["metadata"]["resourceVersion"])


@pytest.fixture
async def pair(world: World, fresh: str, tmp_path: Path) -> AsyncIterator[Pair]:
    found = Pair(world, Repository(tmp_path / "repository"), fresh)
    yield found
    await world.plane.kubectl(
        "delete", "syncs", "-n", "guard-system", "--ignore-not-found", found.infra, found.apps, identity="admin"
    )


@pytest.mark.case(25)
async def test_a_sync_waits_for_the_one_it_depends_on_and_says_so(pair: Pair) -> None:
    pair.repository.commit({**pair.files("blue"), "infra/map.yaml": "kind: Nonsense\n"})
    await pair.create(pair.apps, "apps", pair.infra)
    await pair.says(pair.apps, "DependencyNotReady", f"guard-system/{pair.infra}, which does not exist")
    await pair.create(pair.infra, "infra")
    await pair.says(pair.apps, "DependencyNotReady", f"guard-system/{pair.infra}, which is not ready")
    assert (await pair.condition(pair.apps, "Reconciling"))["status"] == "True"
    assert not await pair.world.exists("configmap", pair.apps, "default")
    commit = pair.repository.commit(pair.files("blue"))
    await pair.world.guard.applied(commit, sync=pair.apps)
    assert await pair.version(pair.infra) < await pair.version(pair.apps)


@pytest.mark.case(25)
async def test_each_commit_is_applied_by_the_first_one_first(pair: Pair) -> None:
    commit = pair.repository.commit(pair.files("blue"))
    await pair.create(pair.infra, "infra")
    await pair.create(pair.apps, "apps", pair.infra)
    await pair.world.guard.applied(commit, sync=pair.apps)
    for color in ("red", "green", "yellow"):
        commit = pair.repository.commit(pair.files(color))
        await pair.world.guard.applied(commit, sync=pair.apps)
        assert (await pair.world.get(f"configmap/{pair.apps}", "default"))["data"] == {"color": color}
        assert await pair.version(pair.infra) < await pair.version(pair.apps)


async def test_a_first_one_that_fails_keeps_what_is_in_force_of_the_other_enforced(pair: Pair) -> None:
    commit = pair.repository.commit(pair.files("blue"))
    await pair.create(pair.infra, "infra")
    await pair.create(pair.apps, "apps", pair.infra)
    await pair.world.guard.applied(commit, sync=pair.apps)
    pair.repository.commit({**pair.files("red"), "infra/map.yaml": "kind: Nonsense\n"})
    await pair.says(pair.apps, "DependencyNotReady", "which is not ready")
    await pair.world.refused("patch", "configmap", pair.apps, "-n", "default", "--type=merge", '-p={"data":{"color":"red"}}')
    await pair.world.past("delete", "configmap", pair.apps, "-n", "default")

    async def is_back() -> bool:
        return await pair.world.exists("configmap", pair.apps, "default")

    await eventually(is_back, what="what is in force is healed")
    assert (await pair.world.get(f"configmap/{pair.apps}", "default"))["data"] == {"color": "blue"}


async def test_syncs_that_depend_on_one_another_are_told_so_and_go_on_once_they_do_not(pair: Pair) -> None:
    commit = pair.repository.commit(pair.files("blue"))
    await pair.create(pair.infra, "infra", pair.apps)
    await pair.create(pair.apps, "apps", pair.infra)
    for name in (pair.infra, pair.apps):
        await pair.says(name, "DependencyCycle", "depend on one another")
        assert (await pair.condition(name, "Stalled"))["status"] == "True"
    patch = '[{"op": "remove", "path": "/spec/dependsOn"}]'
    await pair.world.plane.kubectl(
        "patch", "sync", pair.infra, "-n", "guard-system", "--type=json", f"-p={patch}", identity="admin"
    )
    await pair.world.guard.applied(commit, sync=pair.apps)
    assert await pair.condition(pair.apps, "Stalled") == {}


async def test_kubectl_waits_for_a_sync(pair: Pair) -> None:
    pair.repository.commit(pair.files("blue"))
    await pair.create(pair.infra, "infra")
    await pair.create(pair.apps, "apps", pair.infra)
    waited = await pair.world.plane.kubectl(
        *("wait", "--for=condition=Ready", "--timeout=60s", "-n", "guard-system", f"syncs.gitopsguard.dev/{pair.apps}"),
        identity="admin",
    )
    assert "condition met" in waited.stdout
    assert await pair.world.exists("configmap", pair.apps, "default")
