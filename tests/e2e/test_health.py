"""How well what was applied is, with a real kube-controller-manager and pods that kwok plays: what the Sync's status says is held
against what the API server holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from guard.base import codec
from guard.base.codec import Json, JsonObject, child, children
from tests.e2e.conftest import SYNCS, World, config_map, widget, widget_definition
from tools.guardrun import Repository, eventually, sync_document

SECONDS = 60.0


class Watched:
    """A repository of its own, the Sync that follows it, and what that says of its health."""

    def __init__(self, world: World, repository: Repository, name: str) -> None:
        self.world = world
        self.repository = repository
        self.name = name

    async def follow(self, files: dict[str, str | None], **spec: Json) -> None:
        self.repository.commit({"base.yaml": config_map(self.name, "default", "  color: blue"), **files})
        await self.world.plane.call("POST", SYNCS, body=sync_document(self.name, self.repository.directory, **spec))

    async def status(self) -> JsonObject:
        return child(await self.world.guard.sync(self.name), "status")

    async def condition(self, name: str) -> JsonObject:
        nothing: JsonObject = {}
        return next((found for found in children(await self.status(), "conditions") if found["type"] == name), nothing)

    async def becomes(self, name: str, status: str, reason: str, *texts: str) -> None:
        async def is_so() -> bool:
            found = await self.condition(name)
            return (found.get("status"), found.get("reason")) == (status, reason) and all(
                text in found["message"] for text in texts
            )

        try:
            await eventually(is_so, what=f"{name} {status} {reason}", seconds=SECONDS)
        except AssertionError as error:
            raise AssertionError(f"{error}: {await self.status()}\n{self.world.guard.tail()}") from None

    async def counts(self) -> tuple[int, int, int]:
        found = child(await self.status(), "health")
        return found["healthy"], found["progressing"], found["unhealthy"]

    async def kubectl(self, *arguments: str) -> str:
        return (await self.world.plane.kubectl(*arguments, identity="admin")).stdout

    async def set_status(self, reference: str, status: JsonObject) -> None:
        """What a controller that does not run here would say."""
        patch = codec.encode({"status": status}).decode()
        await self.kubectl("patch", reference, "-n", "default", "--subresource=status", "--type=merge", "-p", patch)


@pytest.fixture
async def watched(played: World, fresh: str, tmp_path: Path) -> AsyncIterator[Watched]:
    yield Watched(played, Repository(tmp_path / "repository"), fresh)
    await played.plane.kubectl("delete", "sync", fresh, "-n", "guard-system", identity="admin")


def workload(kind: str, name: str, *, plays: str = "", spec: str = "") -> str:
    annotations = f"\n      annotations: {{gitopsguard.dev/kwok: {plays}}}" if plays else ""
    return f"""apiVersion: apps/v1
kind: {kind}
metadata:
  name: {name}
  namespace: default
spec:
  {spec}
  selector:
    matchLabels: {{app: {name}}}
  template:
    metadata:
      labels: {{app: {name}}}{annotations}
    spec:
      containers:
        - name: web
          image: example.com/web:1
"""


def job(name: str, *, plays: str = "", spec: str = "") -> str:
    annotations = f"{{gitopsguard.dev/kwok: {plays}}}" if plays else "{}"
    return f"""apiVersion: batch/v1
kind: Job
metadata:
  name: {name}
  namespace: default
spec:
  {spec}
  template:
    metadata:
      annotations: {annotations}
    spec:
      restartPolicy: Never
      containers:
        - name: run
          image: example.com/run:1
"""


def volume_claim(name: str, storage_class: str) -> str:
    return f"""apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {name}
  namespace: default
spec:
  storageClassName: {storage_class}
  accessModes: [ReadWriteOnce]
  resources:
    requests:
      storage: 1Gi
"""


async def test_workloads_that_roll_out_make_the_sync_healthy_and_kubectl_can_wait_for_it(watched: Watched) -> None:
    name = watched.name
    await watched.follow(
        {
            "a.yaml": workload("Deployment", name, spec="replicas: 3"),
            "b.yaml": workload("StatefulSet", f"{name}-s", spec=f"replicas: 2\n  serviceName: {name}"),
            "c.yaml": workload("DaemonSet", f"{name}-d"),
            "d.yaml": job(f"{name}-j"),
        }
    )
    await watched.becomes("Ready", "True", "Applied")
    await watched.kubectl("wait", "--for=condition=Healthy", f"sync/{name}", "-n", "guard-system", f"--timeout={SECONDS:.0f}s")
    assert await watched.counts() == (4, 0, 0)
    deployment = await watched.world.get(f"deployment/{name}", "default")
    assert deployment["status"]["availableReplicas"] == 3
    assert "4 objects healthy" in (await watched.condition("Healthy"))["message"]


async def test_a_deployment_that_exceeds_its_progress_deadline_is_named_before_the_timeout(watched: Watched) -> None:
    name = watched.name
    spec = "replicas: 2\n  progressDeadlineSeconds: 2"
    await watched.follow({"a.yaml": workload("Deployment", name, plays="unready", spec=spec)}, timeout="1h")
    await watched.becomes("Healthy", "Unknown", "Progressing", f"Deployment default/{name}: ")
    await watched.becomes("Healthy", "False", "Unhealthy", f"Deployment default/{name}: the progress deadline is exceeded")
    assert (await watched.condition("Ready"))["status"] == "True"
    assert await watched.counts() == (0, 0, 1)
    # The next commit is not held back, and mends it.
    watched.repository.commit({"a.yaml": workload("Deployment", name, spec=spec)})
    await watched.becomes("Healthy", "True", "Healthy")


async def test_with_wait_ready_is_false_when_something_is_not_healthy_in_time(watched: Watched) -> None:
    name = watched.name
    pods = workload("StatefulSet", name, plays="unready", spec=f"replicas: 1\n  serviceName: {name}")
    await watched.follow({"a.yaml": pods}, wait=True, timeout="3s")
    await watched.becomes("Ready", "Unknown", "Progressing", "not all healthy yet")
    assert (await watched.condition("Reconciling"))["status"] == "True"
    await watched.becomes("Ready", "False", "HealthCheckFailed", f"StatefulSet default/{name}: 0 of 1 replica is ready")
    await watched.becomes("Healthy", "False", "TimedOut", f"StatefulSet default/{name}")
    # A stateful set replaces no pod that was never ready, whatever its template says.
    watched.repository.commit({"a.yaml": workload("StatefulSet", name, spec=f"replicas: 1\n  serviceName: {name}")})
    await watched.becomes("Healthy", "Unknown", "Progressing")
    await watched.kubectl("delete", "pod", f"{name}-0", "-n", "default", "--wait=false")
    await watched.becomes("Ready", "True", "Applied")
    assert not await watched.condition("Reconciling")


async def test_who_depends_on_a_sync_that_waits_begins_when_that_is_healthy(watched: Watched) -> None:
    name, other = watched.name, f"{watched.name}-after"
    waiting = workload("Deployment", name, plays="pending", spec="replicas: 1")
    await watched.follow(
        {"a/web.yaml": waiting, "b/map.yaml": config_map(other, "default", "  color: blue")}, path="a", wait=True
    )
    after = sync_document(other, watched.repository.directory, path="b", dependsOn=[{"name": name}])
    await watched.world.plane.call("POST", SYNCS, body=after)
    await watched.becomes("Ready", "Unknown", "Progressing")

    async def ready(of: str) -> str:
        status = child(await watched.world.guard.sync(of), "status")
        return next((str(found["reason"]) for found in children(status, "conditions") if found["type"] == "Ready"), "")

    async def waits() -> bool:
        return await ready(other) == "DependencyNotReady"

    await eventually(waits, what=f"{other} waits", seconds=SECONDS)
    pods = (await watched.kubectl("get", "pods", "-n", "default", "-l", f"app={name}", "-o", "name")).split()
    conditions = [{"type": "Ready", "status": "True"}]
    await watched.set_status(pods[0], {"phase": "Running", "conditions": conditions})

    async def is_applied() -> bool:
        return await ready(other) == "Applied"

    await eventually(is_applied, what=f"{other} is applied", seconds=SECONDS)
    await watched.world.plane.kubectl("delete", "sync", other, "-n", "guard-system", identity="admin")


async def test_a_wave_waits_for_the_health_of_the_last_one_and_not_for_its_timeout_when_a_commit_mends_it(
    watched: Watched,
) -> None:
    name = watched.name
    later = workload("Deployment", name, spec="replicas: 1").replace(
        "  namespace", '  annotations: {gitopsguard.dev/wave: "1"}\n  namespace', 1
    )
    await watched.follow(
        {"a.yaml": workload("Deployment", f"{name}-first", plays="unready", spec="replicas: 1"), "b.yaml": later}, timeout="1h"
    )

    async def deployments() -> set[str]:
        found = await watched.world.plane.call("GET", "/apis/apps/v1/namespaces/default/deployments")
        return {one["metadata"]["name"] for one in found["items"] if name in one["metadata"]["name"]}

    async def first_is_there() -> bool:
        return f"{name}-first" in await deployments()

    await eventually(first_is_there, what="the first wave is applied", seconds=SECONDS)
    await asyncio.sleep(3.0)
    assert await deployments() == {f"{name}-first"}
    watched.repository.commit({"a.yaml": workload("Deployment", f"{name}-first", spec="replicas: 1")})
    await watched.becomes("Healthy", "True", "Healthy", "2 objects healthy")
    assert await deployments() == {f"{name}-first", name}
    await watched.becomes("Ready", "True", "Applied")


async def test_a_job_that_fails_is_told_at_once_with_what_it_says(watched: Watched) -> None:
    await watched.follow({"a.yaml": job(watched.name, plays="failed", spec="backoffLimit: 0")}, wait=True, timeout="1h")
    await watched.becomes(
        "Ready", "False", "HealthCheckFailed", f"Job default/{watched.name}: the Job failed: BackoffLimitExceeded"
    )


async def test_a_job_that_went_by_its_time_to_live_stays_healthy(watched: Watched) -> None:
    await watched.follow({"a.yaml": job(watched.name, spec="ttlSecondsAfterFinished: 3")})
    await watched.becomes("Healthy", "True", "Healthy")

    async def is_gone() -> bool:
        jobs = await watched.world.plane.call("GET", "/apis/batch/v1/namespaces/default/jobs")
        return watched.name not in {found["metadata"]["name"] for found in jobs["items"]}

    await eventually(is_gone, what="the Job is taken away by its time to live", seconds=SECONDS)
    # Looked at again for sure, as after a restart.
    await watched.world.guard.reconcile(watched.name)
    await watched.world.settled(watched.name)
    await watched.becomes("Healthy", "True", "Healthy", "1 object healthy")


async def test_what_falls_ill_later_is_seen_and_what_recovers_too(watched: Watched) -> None:
    name = watched.name
    await watched.follow({"a.yaml": workload("Deployment", name, spec="replicas: 2")}, wait=True, timeout="10s")
    await watched.becomes("Ready", "True", "Applied")
    pods = (await watched.kubectl("get", "pods", "-n", "default", "-l", f"app={name}", "-o", "name")).split()
    unready = {"conditions": [{"type": "Ready", "status": "False"}]}
    await watched.set_status(pods[0], unready)
    await watched.becomes("Healthy", "Unknown", "Progressing", "1 of 2 replicas are available")
    # A replica that is replaced makes nobody wait; one that does not come back is said.
    assert (await watched.condition("Ready"))["status"] == "True"
    await watched.becomes("Ready", "False", "HealthCheckFailed", f"Deployment default/{name}")
    await watched.kubectl("delete", pods[0], "-n", "default", "--wait=false")
    await watched.becomes("Ready", "True", "Applied")


async def test_a_claim_has_to_be_bound_unless_nobody_is_there_to_mount_it(watched: Watched) -> None:
    name = watched.name
    for suffix, mode in (("now", "Immediate"), ("late", "WaitForFirstConsumer")):
        body = {"metadata": {"name": f"{name}-{suffix}"}, "provisioner": "example.com/none", "volumeBindingMode": mode}
        await watched.world.plane.call("POST", "/apis/storage.k8s.io/v1/storageclasses", body=body)
    await watched.follow(
        {"a.yaml": volume_claim(f"{name}-a", f"{name}-now"), "b.yaml": volume_claim(f"{name}-b", f"{name}-late")}
    )
    waiting = f"PersistentVolumeClaim default/{name}-a: it is not bound to a volume of class {name}-now"
    await watched.becomes("Healthy", "Unknown", "Progressing", "1 of 2 objects not healthy", waiting)
    volume = {
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": f"{name}-now",
            "hostPath": {"path": f"/tmp/{name}"},  # noqa: S108 (nothing is mounted)
        },
    }
    await watched.world.plane.call("POST", "/api/v1/persistentvolumes", body=volume)
    await watched.becomes("Healthy", "True", "Healthy")


async def test_a_load_balancer_has_to_get_an_address_and_other_services_are_not_looked_at(watched: Watched) -> None:
    name = watched.name
    ports = "ports: [{port: 80}]"
    await watched.follow(
        {
            "a.yaml": f"apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: default}}\n"
            f"spec: {{type: LoadBalancer, {ports}}}\n",
            "b.yaml": f"apiVersion: v1\nkind: Service\nmetadata: {{name: {name}-b, namespace: default}}\nspec: {{{ports}}}\n",
        }
    )
    await watched.becomes("Healthy", "Unknown", "Progressing", f"1 of 1 object not healthy; Service default/{name}: its load")
    await watched.set_status(f"service/{name}", {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}})
    await watched.becomes("Healthy", "True", "Healthy")


async def test_a_definition_and_its_resources_go_by_their_conditions(watched: Watched) -> None:
    name, group = watched.name, f"{watched.name}.example.com"
    await watched.follow(
        {"a.yaml": codec.encode(widget_definition(group)).decode() + "\n", "b.yaml": widget(name, group, "{size: 1}")},
        timeout="1h",
    )
    await watched.becomes("Healthy", "True", "Healthy", "2 objects healthy")
    reference = f"widgets.v1.{group}/{name}"

    async def say(**conditions: str) -> None:
        found = [
            {"type": kind, "status": status, "reason": "Played", "message": f"{kind} is {status}"}
            for kind, status in conditions.items()
        ]
        await watched.set_status(reference, {"observedGeneration": 1, "conditions": found})

    await say(Reconciling="True", Ready="Unknown")
    await watched.becomes("Healthy", "Unknown", "Progressing", f"Widget default/{name}: Played: Reconciling is True")
    await say(Stalled="True", Ready="False")
    await watched.becomes("Healthy", "False", "Unhealthy", f"Widget default/{name}: Played: Stalled is True")
    await say(Ready="True")
    await watched.becomes("Healthy", "True", "Healthy")
    # Another generation, which its controller has not seen.
    watched.repository.commit({"b.yaml": widget(name, group, "{size: 2}")})
    await watched.becomes("Healthy", "Unknown", "Progressing", "generation 2 is not observed yet, 1 was")


async def test_a_sync_without_anything_that_could_be_unhealthy_is_healthy(watched: Watched) -> None:
    await watched.follow({}, wait=True)
    await watched.becomes("Ready", "True", "Applied")
    await watched.becomes("Healthy", "True", "Healthy", "nothing is declared that could be unhealthy")


async def test_a_restart_says_nothing_else_of_what_is_as_it_was(watched: Watched) -> None:
    await watched.follow({"a.yaml": workload("Deployment", watched.name, spec="replicas: 1")}, wait=True)
    await watched.becomes("Healthy", "True", "Healthy")
    before = {name: (await watched.condition(name))["lastTransitionTime"] for name in ("Ready", "Healthy")}
    await watched.world.guard.stop()
    await watched.world.guard.start()
    await watched.world.settled(watched.name)
    # Once this change is seen, all was looked at again.
    await watched.kubectl("scale", "deployment", watched.name, "-n", "default", "--replicas=1")
    pods = (await watched.kubectl("get", "pods", "-n", "default", "-l", f"app={watched.name}", "-o", "name")).split()
    after = {name: (await watched.condition(name))["lastTransitionTime"] for name in ("Ready", "Healthy")}
    assert after == before, f"{await watched.status()}\n{watched.world.guard.tail()}"
    await watched.set_status(pods[0], {"conditions": [{"type": "Ready", "status": "False"}]})
    await watched.becomes("Healthy", "Unknown", "Progressing", "0 of 1 replica is available")
