"""What the API server asks Guard about and what it does not, counted in a world in which nobody else asks for anything."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.e2e.conftest import App, World, running_world
from tests.e2e.test_refusing import image


class Alone:
    """A world, and an application in it."""

    def __init__(self, world: World, app: App) -> None:
        self.world = world
        self.app = app

    async def kubectl(self, *arguments: str) -> None:
        await self.world.plane.kubectl(*arguments, "-n", self.app.namespace)

    async def asked(self, what: str = "requests") -> float:
        return await self.world.guard.metric(f"guard_admission_{what}_total")


@pytest.fixture(scope="module")
async def world_alone(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with running_world(tmp_path_factory.mktemp("alone")) as found:
        yield found


@pytest.fixture
async def alone(world_alone: World, fresh: str) -> Alone:
    app = App(world_alone, fresh)
    await world_alone.declare({app.file: app.text})
    return Alone(world_alone, app)


@pytest.mark.case(10)
async def test_undeclared_objects_of_the_same_kind_and_namespace_are_not_touched(alone: Alone) -> None:
    await alone.kubectl("create", "configmap", "mine", "--from-literal=a=1")
    await alone.kubectl("create", "deployment", "mine", "--image=busybox")
    before = await alone.asked()
    await alone.kubectl("patch", "configmap/mine", '-p={"data":{"a":"2"}}')
    await alone.kubectl("scale", "deployment/mine", "--replicas=3")
    await alone.kubectl("delete", "configmap/mine", "deployment/mine")
    assert await alone.asked() == before
    assert not await alone.world.exists("configmap", "mine", alone.app.namespace)


@pytest.mark.case(10)
async def test_an_undeclared_object_costs_one_lookup_and_is_not_decoded(alone: Alone) -> None:
    # A creation of a declared kind reaches Guard whatever its name: no selector can tell it apart.
    requests, undecoded = await alone.asked(), await alone.asked("undecoded")
    await alone.kubectl("create", "configmap", "other", "--from-literal=a=1")
    assert await alone.asked() - requests == 1
    assert await alone.asked("undecoded") - undecoded == 1


async def test_the_sync_controllers_own_requests_never_reach_the_webhook(world_alone: World, fresh: str) -> None:
    app = App(world_alone, fresh)
    requests = await world_alone.guard.metric("guard_admission_requests_total")
    await world_alone.declare({app.file: app.text})
    await world_alone.declare({app.file: app.text.replace("nginx:1.25", "nginx:1.27")})
    assert image(await world_alone.get("deployment/web", app.namespace)) == "nginx:1.27"
    assert await world_alone.guard.metric("guard_admission_requests_total") == requests


@pytest.mark.case(5, 8)
async def test_a_status_itself_is_free(alone: Alone) -> None:
    requests, world = await alone.asked(), alone.world
    for identity in ("operator", "person"):
        patch = '-p={"status":{"replicas":1,"observedGeneration":1}}'
        arguments = ("-n", alone.app.namespace, "--subresource=status", "--type=merge", patch)
        await world.plane.kubectl("patch", "deployment/web", *arguments, identity=identity)
    assert (await world.get("deployment/web", alone.app.namespace))["status"]["replicas"] == 1
    assert await alone.asked() == requests
