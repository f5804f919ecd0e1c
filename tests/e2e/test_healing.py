"""Drift that gets past the webhook, and how soon it is gone. Resync is off: only the watches can see it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest

from guard.base.codec import JsonObject
from guard.heal.watching import SPOOF_SECONDS
from tests.e2e.conftest import App, World, config_map
from tools.guardrun import eventually

LABEL = "gitopsguard.dev/sync"
# Healing takes milliseconds; the bound is no measurement. A repair that hangs does so for longer.
HEALED_SECONDS = 20.0


async def healed(world: World, resource: str, name: str, namespace: str, right: Callable[[JsonObject], bool]) -> JsonObject:
    """Wait until the object is there and right; returns it."""
    found: list[JsonObject] = []

    async def look() -> bool:
        if not await world.exists(resource, name, namespace):
            return False
        found[:] = [await world.get(f"{resource}/{name}", namespace)]
        return right(found[0])

    await eventually(look, what=lambda: f"{resource}/{name} healed; the log ends:\n{world.guard.tail()}", seconds=HEALED_SECONDS)
    return found[0]


def containers(deployment: JsonObject) -> dict[str, str]:
    return {found["name"]: found["image"] for found in deployment["spec"]["template"]["spec"]["containers"]}


def heals(world: World, namespace: str) -> list[JsonObject]:
    return [record for record in world.guard.records() if record["event"] == "healed" and record.get("namespace") == namespace]


async def recorded(world: World, namespace: str, reason: str) -> JsonObject:
    """The heal's record: it is written after the API server has taken the repair."""
    found: list[JsonObject] = []

    def look() -> bool:
        found[:] = [record for record in heals(world, namespace) if record["reason"] == reason]
        return bool(found)

    await eventually(look, what=f"a record of {reason}")
    return found[-1]


@pytest.mark.case(19)
async def test_an_edit_past_the_webhook_is_undone_and_recorded(app: App, world: World) -> None:
    await world.past("set", "image", "deployment/web", "web=nginx:1.26", "-n", app.namespace)
    await healed(world, "deployment", "web", app.namespace, lambda found: containers(found) == {"web": "nginx:1.25"})
    record = await recorded(world, app.namespace, "Restored")
    assert record["fields"] == [{"path": "spec.template.spec.containers[name=web].image"}]
    assert record["managers"] == ["kubectl-set"]
    assert record["origin"] == f"{app.file}:{app.line('kind: Deployment')}"
    assert 0 < record["tookMs"] < HEALED_SECONDS * 1000


@pytest.mark.case(19)
async def test_scaling_past_the_webhook_is_undone(app: App, world: World) -> None:
    await world.past("scale", "deployment/web", "--replicas=9", "-n", app.namespace)
    await healed(world, "deployment", "web", app.namespace, lambda found: found["spec"]["replicas"] == 2)


@pytest.mark.case(19)
async def test_a_deleted_object_comes_back(app: App, world: World) -> None:
    before = await world.get("configmap/settings", app.namespace)
    await world.past("delete", "configmap/settings", "-n", app.namespace)
    after = await healed(world, "configmap", "settings", app.namespace, lambda _found: True)
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert after["data"] == before["data"]
    await recorded(world, app.namespace, "Recreated")


@pytest.mark.case(19)
async def test_a_removed_label_comes_back(app: App, world: World) -> None:
    before = await world.get("service/web", app.namespace)
    await world.past("label", "service/web", f"{LABEL}-", "-n", app.namespace)
    after = await healed(world, "service", "web", app.namespace, lambda found: LABEL in found["metadata"].get("labels", {}))
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["spec"] == before["spec"]
    await recorded(world, app.namespace, "LabelRestored")


@pytest.mark.case(19)
async def test_an_added_container_is_taken_away(app: App, world: World) -> None:
    patch = '{"spec":{"template":{"spec":{"containers":[{"name":"sidecar","image":"busybox"}]}}}}'
    await world.past("patch", "deployment/web", "-n", app.namespace, "-p", patch)
    await healed(world, "deployment", "web", app.namespace, lambda found: containers(found) == {"web": "nginx:1.25"})
    record = await recorded(world, app.namespace, "Restored")
    assert record["fields"] == [{"path": "spec.template.spec.containers[name=sidecar]"}]


@pytest.mark.case(19)
async def test_added_keys_and_labels_are_taken_away_and_machines_fields_stay(app: App, world: World) -> None:
    live = await world.get("configmap/settings", app.namespace)
    live["metadata"].setdefault("annotations", {})["operator.example.com/seen"] = "yes"
    path = f"/api/v1/namespaces/{app.namespace}/configmaps/settings?fieldManager=operator"
    await world.plane.call("PUT", path, body=live, identity="operator")
    await world.past(
        "patch", "configmap/settings", "-n", app.namespace, '-p={"data":{"extra":"1"},"metadata":{"labels":{"x":"y"}}}'
    )
    after = await healed(world, "configmap", "settings", app.namespace, lambda found: "extra" not in found["data"])
    assert "x" not in after["metadata"]["labels"]
    assert after["metadata"]["annotations"] == {"operator.example.com/seen": "yes"}


@pytest.mark.case(19)
async def test_a_restart_by_a_person_is_left_alone(app: App, world: World) -> None:
    await world.plane.kubectl("rollout", "restart", "deployment/web", "-n", app.namespace)
    await world.past("set", "image", "deployment/web", "web=nginx:1.26", "-n", app.namespace)
    after = await healed(world, "deployment", "web", app.namespace, lambda found: containers(found) == {"web": "nginx:1.25"})
    assert "kubectl.kubernetes.io/restartedAt" in after["spec"]["template"]["metadata"]["annotations"]


@pytest.mark.case(19)
async def test_many_drifts_at_once_are_all_undone(world: World, fresh: str) -> None:
    names = [f"{fresh}-{number}" for number in range(30)]
    text = "---\n".join(config_map(name, "default", "  color: blue") for name in names)
    await world.declare({f"apps/{fresh}.yaml": text})
    await world.past("patch", "configmap", *names, '-p={"data":{"color":"red"}}')

    async def blue() -> bool:
        listed = await world.plane.kubectl("get", "configmap", *names, "-o", "json", identity="admin")
        return all(item["data"] == {"color": "blue"} for item in listed.json()["items"])

    await eventually(blue, what="thirty config maps blue again", seconds=HEALED_SECONDS)


@pytest.mark.case(22)
async def test_an_edit_under_our_own_field_manager_is_undone(app: App, world: World) -> None:
    body = config_map("settings", app.namespace, "  color: red")
    await world.past("apply", "--server-side", "--force-conflicts", "--field-manager=guard", "-f", "-", text=body)
    wanted = {"color": "blue", "size": "large"}
    await healed(world, "configmap", "settings", app.namespace, lambda found: found["data"] == wanted)


@pytest.mark.case(23)
async def test_the_webhook_configuration_deleted_or_edited_comes_back(world: World) -> None:
    name = "validatingwebhookconfiguration/gitopsguard"
    before = (await world.plane.kubectl("get", name, "-o", "json", identity="admin")).json()
    await world.plane.kubectl("delete", name, identity="admin")

    async def back() -> bool:
        found = await world.plane.kubectl("get", name, "-o", "json", "--ignore-not-found", identity="admin")
        return bool(found.stdout) and found.json()["webhooks"] == before["webhooks"]

    await eventually(back, what="the deleted configuration back", seconds=HEALED_SECONDS)
    weaker = '[{"op":"replace","path":"/webhooks/0/failurePolicy","value":"Ignore"}]'
    await world.plane.kubectl("patch", name, "--type=json", "-p", weaker, identity="admin")
    await eventually(back, what="the edited configuration back", seconds=HEALED_SECONDS)
    refused = await world.refused("delete", "configmap/base")
    assert "deleting it is refused" in refused.stderr
    reasons = [record["reason"] for record in world.guard.records() if record["event"] == "healed"]
    assert reasons.count("RegistrationRestored") >= 2


async def test_nothing_is_written_while_nothing_drifts(app: App, world: World) -> None:
    before = await world.get("deployment/web", app.namespace)
    # Past the time in which Guard looks twice at its own writes.
    await asyncio.sleep(3)
    assert await world.get("deployment/web", app.namespace) == before


async def test_a_write_that_admission_has_judged_costs_no_apply_and_drift_after_it_is_healed(app: App, world: World) -> None:
    # For two seconds after our own apply every write is looked at, since managedFields have seconds.
    await asyncio.sleep(SPOOF_SECONDS + 0.5)
    since = world.asked()
    for value in range(5):
        flags = ("--overwrite", "-n", app.namespace, f"example.com/seen={value}")
        for name in ("deployment/web", "configmap/settings"):
            await world.plane.kubectl("annotate", name, *flags, "--field-manager=operator", identity="operator")
    await world.past("set", "image", "deployment/web", "web=nginx:1.26", "-n", app.namespace)
    await healed(world, "deployment", "web", app.namespace, lambda found: containers(found) == {"web": "nginx:1.25"})
    # The repair, and perhaps a second look at what it left behind.
    assert 1 <= world.patches("web", app.namespace, since=since) <= 3
    assert world.patches("settings", app.namespace, since=since) == 0


@pytest.mark.case(24)
async def test_objects_whose_repair_hangs_do_not_hold_up_the_others(world: World, fresh: str) -> None:
    """A webhook that takes connections and never answers, asked about many more objects than are repaired at once."""
    hanging = [f"{fresh}-{number}" for number in range(40)]
    file = f"apps/{fresh}.yaml"
    await world.declare({file: "---\n".join(config_map(name, "default", "  a: b") for name in (*hanging, fresh))})
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1000)
        webhook: JsonObject = {
            "name": f"{fresh}.example.com",
            "clientConfig": {"url": f"https://127.0.0.1:{silent.getsockname()[1]}/"},
            "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}],
            "matchConditions": [{"name": "hanging", "expression": f"object.metadata.name.startsWith('{fresh}-')"}],
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "timeoutSeconds": 30,
        }
        webhooks = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
        await world.plane.call("POST", webhooks, body={"metadata": {"name": fresh}, "webhooks": [webhook]})
        try:
            await world.past("delete", "configmap", "-n", "default", *hanging)
            await world.past("delete", "configmap", "-n", "default", fresh)
            await healed(world, "configmap", fresh, "default", lambda found: found["data"] == {"a": "b"})
            assert not await world.exists("configmap", hanging[-1], "default")
        finally:
            await world.plane.call("DELETE", f"{webhooks}/{fresh}")
    for name in hanging:
        await eventually(lambda name=name: world.exists("configmap", name, "default"), what=f"{name} is back", seconds=120)
