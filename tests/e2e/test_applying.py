"""Commits that are applied in order, and objects that cannot become what Git says where they stand."""

from __future__ import annotations

from itertools import pairwise

import pytest

from guard.base import codec
from guard.base.codec import JsonObject, child, children
from tests.e2e.conftest import App, Followed, World, config_map
from tests.e2e.test_healing import healed
from tools.guardrun import eventually

RECREATE = "gitopsguard.dev/recreate: Enabled"


def waved(name: str, namespace: str, wave: int) -> str:
    annotated = f"  namespace: {namespace}\n  annotations:\n    gitopsguard.dev/wave: '{wave}'\n"
    return config_map(name, namespace, "  a: b").replace(f"  namespace: {namespace}\n", annotated)


def waved_service(name: str, wave: int) -> str:
    """Of the last stage, as workloads are."""
    return f"""apiVersion: v1
kind: Service
metadata:
  name: {name}
  namespace: default
  annotations: {{gitopsguard.dev/wave: "{wave}"}}
spec:
  ports: [{{port: 80}}]
"""


def frozen(name: str, color: str, *, annotation: str = "") -> str:
    text = config_map(name, "default", f"  color: {color}")
    if annotation:
        text = text.replace("  namespace: default\n", f"  namespace: default\n  annotations:\n    {annotation}\n")
    return text + "immutable: true\n"


@pytest.mark.case(25)
async def test_waves_come_one_after_the_other_whatever_the_order_of_files(world: World, fresh: str) -> None:
    waves = {"d": -3, "a": 2, "c": 0, "b": 1}
    files: dict[str, str | None] = {
        f"apps/{fresh}/{name}.yaml": waved(f"{fresh}-{name}", "default", waves[name]) for name in waves
    }
    await world.declare(files)
    versions = {
        name: int((await world.get(f"configmap/{fresh}-{name}", "default"))["metadata"]["resourceVersion"]) for name in waves
    }
    assert sorted(versions, key=lambda name: versions[name]) == ["d", "c", "b", "a"]
    await world.declare(dict.fromkeys(files))


@pytest.mark.case(25)
async def test_a_wave_waits_for_the_health_of_the_one_before_for_as_long_as_it_takes(followed: Followed) -> None:
    """Nobody runs pods here, so the Deployment is healthy when its status says so."""
    world, name = followed.world, f"{followed.name}-web"
    deployment = App(world, "default").text.split("---\n")[3].replace("name: web\n", f"name: {name}\n", 1)
    await followed.patch({"timeout": "2s", "retryInterval": "1s"})
    followed.repository.commit({"web.yaml": deployment, "later.yaml": waved_service(f"{followed.name}-later", 1)})
    message = await followed.says("wave 1 (1 object) waits for", reason="ApplyFailed")
    assert f"Deployment default/{name}" in message

    async def failed() -> float:
        return await world.guard.metric("guard_syncs_total", result="failed", sync=f"guard-system/{followed.name}")

    before = await failed()

    async def attempted() -> bool:
        return await failed() > before + 3

    await eventually(attempted, what="some more attempts")
    # What is still so is not told again with each of them.
    lines = [codec.decode(line) for line in world.guard.log.read_bytes().splitlines() if followed.name.encode() in line]
    told = [line["error"] for line in lines if line["event"] == "not all objects could be applied"]
    assert told
    assert all(one != other for one, other in pairwise(told))
    assert not await world.exists("service", f"{followed.name}-later", "default")
    generation = (await world.get(f"deployment/{name}", "default"))["metadata"]["generation"]
    condition = {"type": "Available", "status": "True", "reason": "a", "message": "b"}
    counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), 2)
    status = codec.encode({"status": {**counts, "observedGeneration": generation, "conditions": [condition]}}).decode()
    await world.plane.kubectl(
        "patch", f"deployment/{name}", "-n", "default", "--subresource=status", "--type=merge", "-p", status, identity="admin"
    )

    async def there() -> bool:
        return await world.exists("service", f"{followed.name}-later", "default")

    await eventually(there, what=lambda: f"the later wave; the log ends:\n{world.guard.tail()}")


@pytest.mark.case(25)
async def test_a_wave_that_is_no_integer_keeps_a_commit_out(followed: Followed) -> None:
    followed.repository.commit({"wave.yaml": waved(f"{followed.name}-w", "default", 1).replace("'1'", "'soon'")})
    await followed.says("wave.yaml:1: ", reason="RevisionRejected")
    assert "is 'soon', but has to be an integer" in await followed.says("gitopsguard.dev/wave")
    assert not await followed.world.exists("configmap", f"{followed.name}-w", "default")


@pytest.mark.case(31)
async def test_an_immutable_field_fails_with_the_way_out_and_stops_nothing_else(followed: Followed) -> None:
    name = f"{followed.name}-frozen"
    await followed.commit({"frozen.yaml": frozen(name, "blue")})
    followed.repository.commit({"frozen.yaml": frozen(name, "red"), "map.yaml": followed.colored("green")})
    message = await followed.says("immutable", reason="ApplyFailed")
    assert f"frozen.yaml:1: ConfigMap default/{name}: data.color is immutable: Git has red, the cluster has blue" in message
    assert "annotate it gitopsguard.dev/recreate: Enabled in Git" in message
    await followed.becomes("green")
    assert (await followed.data(name)) == {"color": "blue"}
    # With the annotation it goes through.
    await followed.commit({"frozen.yaml": frozen(name, "red", annotation=RECREATE)})
    assert (await followed.data(name)) == {"color": "red"}


@pytest.mark.case(31)
async def test_what_asks_for_it_is_made_anew_and_that_is_no_drift(followed: Followed) -> None:
    name, world = f"{followed.name}-frozen", followed.world
    await followed.commit({"frozen.yaml": frozen(name, "blue", annotation=RECREATE)})
    before = await world.get(f"configmap/{name}", "default")
    await followed.commit({"frozen.yaml": frozen(name, "red", annotation=RECREATE)})
    after = await world.get(f"configmap/{name}", "default")
    assert after["data"] == {"color": "red"}
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    await world.settled(followed.name)
    assert (await world.get(f"configmap/{name}", "default")) == after
    assert [record["event"] for record in world.recorded(name)] == []
    assert child(await world.guard.sync(followed.name), "status")["objects"]["drifted"] == 0


@pytest.mark.case(31)
async def test_an_immutable_field_changed_past_the_webhook_is_healed_by_making_the_object_anew(followed: Followed) -> None:
    name, world = f"{followed.name}-frozen", followed.world
    await followed.commit({"frozen.yaml": frozen(name, "blue", annotation=RECREATE)})
    # Guard would be quicker than kubectl, which deletes and then creates.
    await followed.patch({"enforcement": {"heal": False}})
    await world.past("replace", "--force", "-f", "-", text=frozen(name, "red"))
    assert (await followed.data(name)) == {"color": "red"}
    await followed.patch({"enforcement": {"heal": True}})
    await healed(world, "configmap", name, "default", lambda found: bool(found["data"] == {"color": "blue"}))


@pytest.mark.case(27)
async def test_a_name_that_git_once_declared_is_adopted_again_when_people_made_it_since(followed: Followed) -> None:
    """Also when the object was held by finalizers after it was pruned, and its kind is watched all along."""
    name, world = f"{followed.name}-again", followed.world
    held = config_map(name, "default", "  a: b").replace("  namespace", "  finalizers: [example.com/held]\n  namespace")
    await followed.commit({"again.yaml": held})
    await followed.commit({"again.yaml": None})

    async def terminating() -> bool:
        return "deletionTimestamp" in (await world.get(f"configmap/{name}", "default"))["metadata"]

    await eventually(terminating, what="the object is pruned")
    await world.past("patch", f"configmap/{name}", "-n", "default", "--type=merge", '-p={"metadata":{"finalizers":null}}')

    async def gone() -> bool:
        return not await world.exists("configmap", name, "default")

    await eventually(gone, what="the object is gone")
    await world.plane.kubectl("create", "configmap", name, "-n", "default", "--from-literal=theirs=1")
    await followed.commit({"again.yaml": config_map(name, "default", "  a: b")})
    await world.settled(followed.name)
    assert (await followed.data(name)) == {"a": "b", "theirs": "1"}


JOB = """apiVersion: batch/v1
kind: Job
metadata:
  name: {name}
  namespace: default
  annotations: {{{recreate}}}
spec:
  template:
    spec:
      restartPolicy: Never
      containers:
        - {{name: run, image: "busybox:{tag}"}}
"""
STATEFUL_SET = """apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: {name}
  namespace: default
  annotations: {{{recreate}}}
spec:
  serviceName: {service}
  selector:
    matchLabels: {{app: {name}}}
  template:
    metadata:
      labels: {{app: {name}}}
    spec:
      containers:
        - {{name: run, image: "busybox:1"}}
"""


async def pods(cluster: World, owner: str) -> list[JsonObject]:
    """The pods whose controller has this name."""
    found: JsonObject = await cluster.plane.call("GET", "/api/v1/namespaces/default/pods")
    return [pod for pod in children(found, "items") if any(one["name"] == owner for one in owners(pod))]


def owners(pod: JsonObject) -> list[JsonObject]:
    return children(child(pod, "metadata"), "ownerReferences")


async def one_pod(cluster: World, owner: str, uid: str) -> JsonObject:
    found: list[JsonObject] = []

    async def there() -> bool:
        found[:] = await pods(cluster, owner)
        return len(found) == 1 and owners(found[0])[0]["uid"] == uid

    await eventually(there, what=f"one pod of {owner}")
    return found[0]


@pytest.mark.case(31)
async def test_a_job_is_made_anew_once_the_pods_of_the_last_one_are_gone(cluster: World, fresh: str) -> None:
    file = f"apps/{fresh}.yaml"
    await cluster.declare({file: JOB.format(name=fresh, tag=1, recreate=RECREATE)})
    before = await cluster.get(f"job/{fresh}", "default")
    old = await one_pod(cluster, fresh, before["metadata"]["uid"])
    commit = cluster.repository.commit({file: JOB.format(name=fresh, tag=2, recreate=RECREATE)})
    await cluster.guard.reconcile()
    await cluster.guard.applied(commit)
    after = await cluster.get(f"job/{fresh}", "default")
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    new = await one_pod(cluster, fresh, after["metadata"]["uid"])
    assert new["spec"]["containers"][0]["image"] == "busybox:2"
    assert new["metadata"]["name"] != old["metadata"]["name"]
    assert [record["event"] for record in cluster.recorded(fresh)] == []
    await cluster.declare({file: None})


@pytest.mark.case(31)
async def test_a_stateful_set_that_is_made_anew_keeps_its_pods(cluster: World, fresh: str) -> None:
    file = f"apps/{fresh}.yaml"
    await cluster.declare({file: STATEFUL_SET.format(name=fresh, service="one", recreate=RECREATE)})
    before = await cluster.get(f"statefulset/{fresh}", "default")
    old = await one_pod(cluster, fresh, before["metadata"]["uid"])
    commit = cluster.repository.commit({file: STATEFUL_SET.format(name=fresh, service="two", recreate=RECREATE)})
    await cluster.guard.reconcile()
    await cluster.guard.applied(commit)
    after = await cluster.get(f"statefulset/{fresh}", "default")
    assert after["spec"]["serviceName"] == "two"
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    new = await one_pod(cluster, fresh, after["metadata"]["uid"])
    assert new["metadata"]["uid"] == old["metadata"]["uid"]
    assert [record["event"] for record in cluster.recorded(fresh)] == []
    await cluster.declare({file: None})
