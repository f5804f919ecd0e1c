"""A Guard that starts with nothing but the cluster: its data folder is new, and Git is away."""

from __future__ import annotations

import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from guard.base import codec
from guard.base.codec import JsonObject, child
from tests.e2e.conftest import App, World
from tests.e2e.test_syncing import not_ready, versions
from tools.guardrun import eventually


@asynccontextmanager
async def only_the_cluster(world: World, *meanwhile: Callable[[], Awaitable[object]]) -> AsyncGenerator[None]:
    """As a pod that was rescheduled while Git is down. `meanwhile` is done while no Guard runs."""
    away = world.repository.directory.with_name("away")
    kept = world.guard.data.with_name("kept")
    await world.guard.stop()
    world.repository.directory.rename(away)
    world.guard.data.rename(kept)
    try:
        for act in meanwhile:
            await act()
        await world.guard.start()
        await eventually(world.guard.ready, what=lambda: f"Guard is ready without Git; its log ends:\n{world.guard.tail()}")
        yield
    finally:
        if world.guard.data.exists():
            away.rename(world.repository.directory)
            await world.guard.kill()
            shutil.rmtree(world.guard.data)
            kept.rename(world.guard.data)
            await world.guard.start()
    await world.guard.applied(world.repository.git("rev-parse", "HEAD"))


async def back(world: World) -> None:
    """Git is there again."""
    world.repository.directory.with_name("away").rename(world.repository.directory)
    await world.guard.reconcile()
    await world.guard.applied(world.repository.git("rev-parse", "HEAD"))
    world.repository.directory.rename(world.repository.directory.with_name("away"))


@pytest.mark.case(34)
async def test_people_are_refused_by_what_was_applied_last_and_told_so(app: App, world: World) -> None:
    async with only_the_cluster(world):
        namespace = ("-n", app.namespace)
        for command in (
            ("delete", "configmap/settings", *namespace),
            ("label", "configmap/settings", "gitopsguard.dev/sync-", *namespace),
            ("scale", "deployment/web", "--replicas=5", *namespace),
            ("delete", "namespace", app.namespace),
        ):
            await world.refused(*command)
        refused = await world.refused("set", "image", "deployment/web", "web=nginx:2", *namespace)
        assert "spec.template.spec.containers[name=web].image: Git had nginx:1.25, you asked for nginx:2" in refused.stderr
        commit = str((await world.guard.sync("apps"))["status"]["lastAppliedRevision"]).rpartition(":")[2][:7]
        where = f"Change it in Git, which Guard could not read since it started; main@{commit} was applied last"
        assert where in refused.stderr
        message = (await not_ready(world))["message"]
        assert "in force is what was applied last, as far as the cluster tells" in message


@pytest.mark.case(34)
async def test_what_gets_past_is_healed(app: App, world: World) -> None:
    namespace = ("-n", app.namespace)
    secret = (await world.get("secret/login", app.namespace))["data"]

    async def as_git_says() -> bool:
        for resource, name in (("configmap", "settings"), ("secret", "login"), ("deployment", "web"), ("service", "web")):
            if not await world.exists(resource, name, app.namespace):
                return False
        settings = await world.get("configmap/settings", app.namespace)
        deployment = await world.get("deployment/web", app.namespace)
        containers = deployment["spec"]["template"]["spec"]["containers"]
        return (
            settings["data"] == {"color": "blue", "size": "large"}
            and (await world.get("secret/login", app.namespace))["data"] == secret
            and [container["image"] for container in containers] == ["nginx:1.25"]
            and deployment["spec"]["replicas"] == 2
            and "gitopsguard.dev/sync" in child(settings["metadata"], "labels")
        )

    async with only_the_cluster(world):
        container = '{"spec":{"replicas":3,"template":{"spec":{"containers":[{"name":"web","image":"a"}]}}}}'
        await world.past("patch", "configmap/settings", *namespace, '-p={"data":{"color":"red"}}')
        await world.past("label", "configmap/settings", "gitopsguard.dev/sync-", *namespace)
        await world.past("patch", "deployment/web", *namespace, f"-p={container}")
        await world.past("delete", "service/web", "secret/login", *namespace)
        await eventually(as_git_says, what=lambda: f"all is as Git says; the log ends:\n{world.guard.tail()}")


@pytest.mark.case(34)
async def test_when_git_is_back_nothing_is_written_and_nothing_was_pruned(app: App, world: World) -> None:
    before: dict[str, str] = {}

    async def drift() -> None:
        """Somebody's values now, and Git's again when Git is back."""
        await world.past("patch", "configmap/settings", "-n", app.namespace, '-p={"data":{"color":"red","extra":"1"}}')

    async def data() -> JsonObject:
        found: JsonObject = (await world.get("configmap/settings", app.namespace))["data"]
        return found

    async def others() -> dict[str, str]:
        return {
            name: version for name, version in (await versions(world)).items() if name != f"ConfigMap {app.namespace}/settings"
        }

    async with only_the_cluster(world, drift):
        before = await others()
        assert await data() == {"color": "red", "extra": "1", "size": "large"}
        await back(world)
        assert await data() == {"color": "blue", "size": "large"}
        assert await others() == before
        refused = await world.refused("delete", "configmap/settings", "-n", app.namespace)
        assert f"Change it in Git: {app.file}:" in refused.stderr


@pytest.mark.case(34)
async def test_what_does_not_tell_what_git_declared_of_it_stays_protected_by_its_label(app: App, world: World) -> None:
    async def wiped() -> None:
        body = await world.get("configmap/settings", app.namespace)
        body["metadata"]["managedFields"] = [{}]
        await world.past("replace", "-f", "-", text=codec.encode(body).decode())

    async with only_the_cluster(world, wiped):
        refused = await world.refused("delete", "configmap/settings", "-n", app.namespace)
        assert "which Guard has not loaded yet" in refused.stderr
