"""What operators do by hand every day, on declared objects too."""

from __future__ import annotations

import pytest

from guard.base import codec
from guard.base.codec import JsonObject, child, children
from tests.e2e.conftest import App, World
from tests.e2e.test_healing import containers
from tests.e2e.test_subresources import node
from tools.guardrun import eventually

TAINTED = """spec:
  taints:
    - key: dedicated
      value: gpu
      effect: NoSchedule
"""


def taints(found: JsonObject) -> set[str]:
    return {str(taint["key"]) for taint in children(child(found, "spec"), "taints")}


@pytest.mark.case(4)
@pytest.mark.parametrize("kind", ["deployment", "statefulset", "daemonset"])
async def test_a_rollout_restart_works_and_stays(app: App, world: World, kind: str) -> None:
    labels: JsonObject = {"app": "more"}
    spec: JsonObject = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "nginx:1.25"}]}},
    }
    more: JsonObject = {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "more", "namespace": app.namespace}}
    more["kind"] = {"deployment": "Deployment", "statefulset": "StatefulSet", "daemonset": "DaemonSet"}[kind]
    more["spec"] = spec | ({"serviceName": "web"} if kind == "statefulset" else {})
    await world.declare({f"apps/{app.namespace}-more.yaml": codec.encode(more).decode() + "\n"})
    await world.plane.kubectl("rollout", "restart", f"{kind}/more", "-n", app.namespace)
    restarted = await world.get(f"{kind}/more", app.namespace)
    assert restarted["spec"]["template"]["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"]
    await world.settled()
    assert (await world.get(f"{kind}/more", app.namespace))["spec"] == restarted["spec"]
    # Only the annotation is free, and only there.
    paused = await world.refused("annotate", f"{kind}/more", "kubectl.kubernetes.io/restartedAt=now", "-n", app.namespace)
    assert "not in Git, you asked to add now" in paused.stderr


@pytest.mark.case(4)
async def test_pausing_a_rollout_is_refused_with_the_way_to_do_it(app: App, world: World) -> None:
    refused = await world.refused("rollout", "pause", "deployment/web", "-n", app.namespace)
    assert "spec.paused: not in Git, you asked to add true (to pause a rollout, declare it in Git)" in refused.stderr


@pytest.mark.case(4, 14)
async def test_a_declared_node_is_cordoned_drained_and_tainted(cluster: World, fresh: str) -> None:
    await cluster.declare({f"apps/{fresh}.yaml": node(fresh)})
    kubectl = cluster.plane.kubectl
    await kubectl("create", "namespace", fresh)

    async def has_account() -> bool:
        return await cluster.exists("serviceaccount", "default", fresh)

    await eventually(has_account, what="the namespace's default account")
    pod = {"metadata": {"name": "idle"}, "spec": {"nodeName": fresh, "containers": [{"name": "idle", "image": "busybox"}]}}
    await kubectl("create", "-n", fresh, "-f", "-", input=codec.encode({"apiVersion": "v1", "kind": "Pod", **pod}).decode())
    await kubectl("cordon", fresh)
    assert (await cluster.get(f"node/{fresh}", ""))["spec"]["unschedulable"] is True
    await kubectl("uncordon", fresh)
    assert "unschedulable" not in (await cluster.get(f"node/{fresh}", ""))["spec"]
    await kubectl("drain", fresh, "--force", "--grace-period=0", "--timeout=30s")
    assert not await cluster.exists("pod", "idle", fresh)
    await kubectl("taint", "nodes", fresh, "mine=1:NoSchedule")
    await cluster.settled()
    drained = await cluster.get(f"node/{fresh}", "")
    assert drained["spec"]["unschedulable"] is True
    assert "mine" in taints(drained)
    await kubectl("taint", "nodes", fresh, "mine-")
    await cluster.refused("label", f"node/{fresh}", "--overwrite", "zone=b")


@pytest.mark.case(4, 14)
async def test_a_node_whose_taints_git_declares_is_not_tainted_by_hand(world: World, fresh: str) -> None:
    await world.declare({f"apps/{fresh}.yaml": node(fresh, extra=TAINTED)})
    before = await world.get(f"node/{fresh}", "")
    for taint in ("mine=1:NoSchedule", "dedicated-", "dedicated=cpu:NoSchedule --overwrite"):
        refused = await world.refused("taint", "nodes", fresh, *taint.split())
        assert "spec.taints" in refused.stderr
    assert await world.get(f"node/{fresh}", "") == before
    await world.plane.kubectl("cordon", fresh)
    await world.plane.kubectl("uncordon", fresh)


@pytest.mark.case(4)
async def test_rollout_undo_is_refused(cluster: World, fresh: str) -> None:
    app = App(cluster, fresh)
    await cluster.declare({app.file: app.text})

    async def revisions(count: int) -> bool:
        found = await cluster.plane.kubectl("get", "replicasets", "-n", fresh, "-o", "name", identity="admin")
        return len(found.stdout.split()) == count

    await eventually(lambda: revisions(1), what="the first replica set")
    await cluster.declare({app.file: app.text.replace("nginx:1.25", "nginx:1.27")})
    await eventually(lambda: revisions(2), what="the second replica set")
    refused = await cluster.refused("rollout", "undo", "deployment/web", "-n", fresh)
    assert "spec.template.spec.containers[name=web].image: Git has nginx:1.27, you asked for nginx:1.25" in refused.stderr
    assert containers(await cluster.get("deployment/web", fresh)) == {"web": "nginx:1.27"}
    # Back to what Git says is no change.
    await cluster.plane.kubectl("rollout", "undo", "deployment/web", "--to-revision=2", "-n", fresh)


@pytest.mark.case(4)
async def test_debugging_evicting_and_tokens_are_not_guards_business(cluster: World, fresh: str) -> None:
    pod = f"""apiVersion: v1
kind: Namespace
metadata:
  name: {fresh}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: web
  namespace: {fresh}
---
apiVersion: v1
kind: Pod
metadata:
  name: web
  namespace: {fresh}
spec:
  serviceAccountName: web
  containers:
    - name: web
      image: nginx:1.25
      resources:
        requests:
          cpu: 100m
"""
    await cluster.declare({f"apps/{fresh}.yaml": pod})
    await cluster.plane.kubectl("create", "token", "web", "-n", fresh)
    await cluster.plane.kubectl("debug", "pod/web", "--image=busybox", "--container=look", "-n", fresh, "--", "sleep", "1")
    debugged = await cluster.get("pod/web", fresh)
    assert [found["name"] for found in debugged["spec"]["ephemeralContainers"]] == ["look"]
    await cluster.settled()
    assert [record["message"] for record in cluster.recorded("web", fresh) if record["event"] == "heal-failed"] == []
    resize = '-p={"spec":{"containers":[{"name":"web","resources":{"requests":{"cpu":"1"}}}]}}'
    refused = await cluster.refused("patch", "pod/web", "-n", fresh, "--subresource=resize", resize)
    assert "resources.requests.cpu: Git has 100m, you asked for 1" in refused.stderr
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web", "namespace": fresh}}
    path = f"/api/v1/namespaces/{fresh}/pods/web/eviction"
    await cluster.plane.kubectl("create", "--raw", path, "-f", "-", input=codec.encode(eviction).decode())

    async def back() -> bool:
        if not await cluster.exists("pod", "web", fresh):
            return False
        return bool((await cluster.get("pod/web", fresh))["metadata"]["uid"] != debugged["metadata"]["uid"])

    await eventually(back, what="the evicted pod is made again")
