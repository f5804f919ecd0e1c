"""Others who do not give in, and what that costs everybody else: nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from guard.base import codec
from guard.base.codec import JsonObject, child, children
from guard.heal.fights import HEALS
from tests.e2e.conftest import App, Followed, World, config_map
from tests.e2e.test_healing import healed
from tools.guardrun import eventually

# A fight begins within seconds, and is over half a minute after the other side gave up.
FOUGHT_SECONDS = 60.0


@asynccontextmanager
async def repeating(step: Callable[[], Awaitable[object]]) -> AsyncGenerator[None]:
    """Somebody who does this over and over again inside the block."""

    async def loop() -> None:
        while True:
            await step()

    task = asyncio.create_task(loop(), name="a stubborn controller")
    try:
        yield
        assert not task.done(), "it gave up"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def told(world: World) -> str:
    """What the Sync says, in whatever condition."""
    status = child(await world.guard.sync("apps"), "status")
    return "\n".join(str(found.get("message", "")) for found in children(status, "conditions"))


@pytest.mark.case(21)
@pytest.mark.timeout(600)
async def test_a_controller_that_does_not_give_in_is_named_backed_off_from_and_forgotten_when_it_ends(
    app: App, world: World
) -> None:
    path = f"/apis/apps/v1/namespaces/{app.namespace}/deployments/web"

    async def scale() -> None:
        current: JsonObject = await world.plane.call("GET", path)
        if current["spec"]["replicas"] != 5:
            patch = codec.encode({"spec": {"replicas": 5}}).decode()
            await world.past("patch", "deployment/web", "-n", app.namespace, "--field-manager=scaler", "-p", patch)

    def fights() -> list[JsonObject]:
        return [record for record in world.recorded("web", app.namespace) if record["event"] == "fight"]

    line = f"Deployment {app.namespace}/web: spec.replicas keeps being changed by scaler (healed "

    async with repeating(scale):
        await eventually(fights, what="a record of the fight", seconds=FOUGHT_SECONDS)

        async def said() -> bool:
            return line in await told(world)

        await eventually(said, what="the Sync names the fight", seconds=FOUGHT_SECONDS)
        assert await world.guard.metric("guard_fights", sync="guard-system/apps") >= 1
        # It waits ever longer: seven heals more would take two minutes.
        await asyncio.sleep(5.0)
        heals = [record for record in world.recorded("web", app.namespace) if record["event"] == "healed"]
        assert HEALS <= len(heals) <= HEALS + 6
        # Another field of the same object does not wait for it, nor does another object.
        await world.past("set", "image", "deployment/web", "web=nginx:1.26", "-n", app.namespace)
        await world.past("patch", "configmap/settings", "-n", app.namespace, '-p={"data":{"color":"red"}}')
        await healed(world, "configmap", "settings", app.namespace, lambda found: found["data"]["color"] == "blue")

        def image(found: JsonObject) -> bool:
            return bool(found["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:1.25")

        await healed(world, "deployment", "web", app.namespace, image)
    (fight,) = fights()
    assert fight["managers"] == ["scaler"]
    assert fight["fields"] == [{"path": "spec.replicas"}]
    assert fight["message"].startswith(line)

    async def forgotten() -> bool:
        return line not in await told(world)

    await eventually(forgotten, what="the Sync names it no more", seconds=240.0, every=0.5)
    assert "fight-ended" in {record["event"] for record in world.recorded("web", app.namespace)}
    assert (await world.get("deployment/web", app.namespace))["spec"]["replicas"] == 2

    async def none_is_left() -> bool:
        return await world.guard.metric("guard_fights", sync="guard-system/apps") == 0

    await eventually(none_is_left, what="no fight of the Sync is counted")


@pytest.mark.case(24)
async def test_an_object_that_cannot_be_applied_does_not_stop_the_others(app: App, world: World, fresh: str) -> None:
    policy: JsonObject = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": fresh},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "resourceRules": [
                    {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["deployments"]}
                ]
            },
            "matchConditions": [
                {"name": "own", "expression": f"object.metadata.namespace == '{app.namespace}'"},
                {"name": "guard", "expression": "request.userInfo.username.startsWith('system:serviceaccount:guard-system')"},
            ],
            "validations": [{"expression": "false", "message": "nobody applies this"}],
        },
    }
    binding: JsonObject = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": fresh},
        "spec": {"policyName": fresh, "validationActions": ["Deny"]},
    }
    documents = "\n---\n".join(codec.encode(body).decode() for body in (policy, binding))
    await world.plane.kubectl("apply", "-f", "-", input=documents, identity="admin")
    number = 0

    def failures() -> list[JsonObject]:
        return [record for record in world.recorded("web", app.namespace) if record["event"] == "heal-failed"]

    async def fails() -> bool:
        """The policy takes a moment to work."""
        nonlocal number
        number += 1
        await world.past("set", "image", "deployment/web", f"web=nginx:2.{number}", "-n", app.namespace)
        await asyncio.sleep(0.5)
        return bool(failures())

    try:
        await eventually(fails, what="Guard cannot repair the deployment")
        await world.past("patch", "configmap/settings", "-n", app.namespace, '-p={"data":{"color":"red"}}')
        await world.past("delete", "secret/login", "-n", app.namespace)
        await healed(world, "configmap", "settings", app.namespace, lambda found: found["data"]["color"] == "blue")
        await healed(world, "secret", "login", app.namespace, lambda _found: True)
        # However often it is tried, it is told of once.
        await asyncio.sleep(2.0)
        (failure,) = failures()
        assert "nobody applies this" in failure["message"]

        async def is_counted() -> bool:
            return await world.guard.metric("guard_heals_total", result="failed") > 2

        await eventually(is_counted, what="each attempt is counted")
    finally:
        await world.plane.kubectl("delete", "-f", "-", input=documents, identity="admin")

    def right(found: JsonObject) -> bool:
        return bool(found["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:1.25")

    async def restored() -> bool:
        return right(await world.get("deployment/web", app.namespace))

    await eventually(restored, what="the deployment restored, once it can be")


@pytest.mark.case(19)
async def test_the_label_comes_back_also_where_healing_is_off_and_nothing_else_does(world: World, fresh: str) -> None:
    await world.add_sync(fresh, enforcement={"mode": "Audit", "heal": False})
    name = f"{fresh}-first"
    await world.past("patch", f"configmap/{name}", "-n", "default", '-p={"data":{"a":"c"}}')
    await world.past("label", f"configmap/{name}", "-n", "default", "gitopsguard.dev/sync-")
    after = await healed(
        world, "configmap", name, "default", lambda found: "gitopsguard.dev/sync" in found["metadata"].get("labels", {})
    )
    assert after["data"] == {"a": "c"}
    ours = next(entry for entry in after["metadata"]["managedFields"] if entry["manager"] == "guard")
    assert "f:gitopsguard.dev/sync" in ours["fieldsV1"]["f:metadata"]["f:labels"]
    await world.past("delete", f"configmap/{name}", "-n", "default")
    await asyncio.sleep(1.0)
    assert not await world.exists("configmap", name, "default")
    await world.plane.kubectl("delete", "sync", fresh, "-n", "guard-system", identity="admin")


async def repaint(world: World, name: str, color: str) -> None:
    patch = f'-p={{"data":{{"color":"{color}"}}}}'
    await world.past("patch", "configmap", name, "-n", "default", "--field-manager=painter", "--type=merge", patch)


async def waiting(world: World, followed: Followed) -> None:
    """A fight about the color of the config map, whose next repair is seconds away."""
    for number in range(HEALS + 3):
        await repaint(world, followed.name, f"red-{number}")
        await followed.becomes("blue")
    await repaint(world, followed.name, "red")


@pytest.mark.case(21)
async def test_what_is_committed_while_a_repair_waits_out_a_fight_is_what_it_restores(world: World, followed: Followed) -> None:
    await followed.commit({"map.yaml": config_map(followed.name, "default", "  color: blue\n  size: large")})
    await waiting(world, followed)
    await followed.commit({"map.yaml": config_map(followed.name, "default", "  color: blue\n  size: small")})
    await repaint(world, followed.name, "red")
    assert await followed.data(followed.name) == {"color": "red", "size": "small"}
    await eventually(lambda: is_painted(followed), what="the color is restored", seconds=FOUGHT_SECONDS)
    assert await followed.data(followed.name) == {"color": "blue", "size": "small"}


async def is_painted(followed: Followed) -> bool:
    return await followed.color() == "blue"


@pytest.mark.case(26)
async def test_what_is_pruned_while_its_repair_waits_out_a_fight_stays_away(world: World, followed: Followed) -> None:
    other = config_map(f"{followed.name}-other", "default", "  color: blue")
    await followed.commit({"other.yaml": other})
    await waiting(world, followed)
    await followed.commit({"map.yaml": None})
    # Longer than the repair waits.
    await asyncio.sleep(15.0)
    assert not await world.exists("configmap", followed.name, "default")
