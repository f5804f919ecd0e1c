"""The cluster's own controllers, real ones: never in the way of Guard, nor Guard in theirs."""

from __future__ import annotations

import pytest

from guard.base import codec
from guard.base.codec import JsonObject, children
from tests.e2e.conftest import App, World
from tests.e2e.test_operations import TAINTED, taints
from tests.e2e.test_subresources import claim, node
from tools.guardrun import eventually

LABEL = "gitopsguard.dev/sync"


def struggles(cluster: World, name: str, namespace: str = "") -> list[JsonObject]:
    """What shows that Guard and somebody else disagreed about an object."""
    wrong = ("healed", "heal-failed", "fight", "denied", "warned", "audited")
    return [record for record in cluster.recorded(name, namespace) if record["event"] in wrong]


@pytest.mark.case(9, 17)
async def test_copies_of_our_label_are_their_controllers(cluster: World, fresh: str) -> None:
    app = App(cluster, fresh)
    # Slices and replica sets of Git's own, so that both kinds are watched, asked about and looked through for what to prune.
    own = f"""---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: own
  namespace: {fresh}
addressType: IPv4
endpoints:
  - addresses: ["192.0.2.1"]
---
apiVersion: apps/v1
kind: ReplicaSet
metadata:
  name: own
  namespace: {fresh}
spec:
  replicas: 0
  selector:
    matchLabels: {{app: own}}
  template:
    metadata:
      labels: {{app: own}}
    spec:
      containers:
        - name: own
          image: nginx:1.25
"""
    # A template's labels go on to replica sets and pods.
    text = app.text.replace("        app: web\n    spec", f"        app: web\n        {LABEL}: guard-system.apps\n    spec", 1)
    await cluster.declare({app.file: text + own})
    names = ("endpointslices", "replicasets", "pods", "endpoints")

    async def copies() -> dict[str, str]:
        found: dict[str, str] = {}
        for name in names:
            flags = ("-n", fresh, "-l", LABEL, "-o", "json")
            listed = (await cluster.plane.kubectl("get", name, *flags, identity="admin")).json()["items"]
            found |= {f"{name}/{item['metadata']['name']}": item["metadata"]["uid"] for item in listed}
        return {name: uid for name, uid in found.items() if not name.endswith("/own")}

    async def all_copied() -> bool:
        found = await copies()
        return {name.partition("/")[0] for name in found} == set(names) and len(found) >= 5

    await eventually(all_copied, what="the service's label on its slice, the template's on replica set and pods")
    before = await copies()
    # A new revision, with everything that it brings, and something to prune.
    await cluster.declare({app.file: text + own.replace("192.0.2.1", "192.0.2.2").partition("---\napiVersion: apps/v1")[0]})
    await cluster.settled()
    assert await copies() == before
    assert not await cluster.exists("replicaset", "own", fresh)
    # Controllers go on writing them, and people may, too.
    slice_name = next(name for name in before if name.startswith("endpointslices/"))
    await cluster.plane.kubectl("annotate", slice_name, "mine=1", "-n", fresh)
    await cluster.plane.kubectl("delete", slice_name, "-n", fresh)

    async def made_again() -> bool:
        return any(name.startswith("endpointslices/") for name in (await copies()).keys() - {slice_name})

    await eventually(made_again, what="the controller makes the deleted slice again")
    names_of_copies = {name.partition("/")[2] for name in before} - {"web"}
    assert [record for name in names_of_copies for record in struggles(cluster, name, fresh)] == []


@pytest.mark.case(17)
async def test_the_node_controllers_taints_come_and_go_beside_gits(cluster: World, fresh: str) -> None:
    await cluster.declare({f"apps/{fresh}.yaml": node(fresh, extra=TAINTED)})
    pressure = "node.kubernetes.io/memory-pressure"

    async def condition(status: str) -> None:
        patch = {"status": {"conditions": [{"type": "MemoryPressure", "status": status}, {"type": "Ready", "status": "True"}]}}
        flags = ("--subresource=status", "--type=strategic", "-p", codec.encode(patch).decode())
        # A kubelet says so under its own name.
        await cluster.plane.kubectl(
            "patch", "node", fresh, *flags, f"--as=system:node:{fresh}", "--as-group=system:masters", identity="admin"
        )

    async def tainted(*wanted: str) -> None:
        async def is_tainted() -> bool:
            return taints(await cluster.get(f"node/{fresh}", "")) == set(wanted)

        await eventually(is_tainted, what=lambda: f"taints {wanted}; the log ends:\n{cluster.guard.tail()}")

    await condition("True")
    await tainted("dedicated", pressure)
    await cluster.settled()
    await tainted("dedicated", pressure)
    await condition("False")
    await tainted("dedicated")
    assert struggles(cluster, fresh) == []
    # Git's own taints are still Git's.
    await cluster.past("taint", "nodes", fresh, "dedicated-")
    await tainted("dedicated")
    await cluster.declare({f"apps/{fresh}.yaml": node(fresh, extra=TAINTED.replace("gpu", "cpu"))})
    found = await cluster.get(f"node/{fresh}", "")
    assert [taint["value"] for taint in found["spec"]["taints"]] == ["cpu"]


@pytest.mark.case(17)
async def test_an_aggregated_role_keeps_the_rules_that_its_controller_gathers(cluster: World, fresh: str) -> None:
    roles = f"""apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {fresh}
aggregationRule:
  clusterRoleSelectors:
    - matchLabels:
        part-of: {fresh}
rules: []
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {fresh}-part
  labels:
    part-of: {fresh}
rules:
  - apiGroups: [""]
    resources: [pods]
    verbs: [get]
"""
    await cluster.declare({f"apps/{fresh}.yaml": roles})

    async def gathered(verbs: list[str]) -> None:
        async def are_gathered() -> bool:
            rules = children(await cluster.get(f"clusterrole/{fresh}", ""), "rules")
            return [rule["verbs"] for rule in rules] == [verbs]

        await eventually(are_gathered, what=f"the rules gathered: {verbs}")

    await gathered(["get"])
    await cluster.settled()
    await gathered(["get"])
    await cluster.declare({f"apps/{fresh}.yaml": roles.replace("verbs: [get]", "verbs: [get, list]")})
    await gathered(["get", "list"])
    assert struggles(cluster, fresh) == []
    await cluster.refused("patch", f"clusterrole/{fresh}", "--type=json", '-p=[{"op":"remove","path":"/aggregationRule"}]')


JOB = """apiVersion: v1
kind: Namespace
metadata:
  name: {namespace}
---
apiVersion: batch/v1
kind: Job
metadata:
  name: once
  namespace: {namespace}
spec:
  ttlSecondsAfterFinished: 0
  template:
    spec:
      restartPolicy: Never
      containers:
        - name: once
          image: {image}
"""


@pytest.mark.case(17)
async def test_a_finished_job_deleted_by_its_ttl_comes_back_only_when_its_manifest_changes(cluster: World, fresh: str) -> None:
    file, text = f"apps/{fresh}.yaml", JOB.format(namespace=fresh, image="busybox:1")
    await cluster.declare({file: text})
    pods: list[str] = []

    async def has_pod() -> bool:
        listed = await cluster.plane.kubectl("get", "pods", "-n", fresh, "-l", "job-name=once", "-o", "name", identity="admin")
        pods[:] = listed.stdout.split()
        return bool(pods)

    await eventually(has_pod, what="the job's pod")
    done = '-p={"status":{"phase":"Succeeded"}}'
    await cluster.plane.kubectl("patch", pods[0], "-n", fresh, "--subresource=status", done, identity="admin")

    async def gone() -> bool:
        return not await cluster.exists("job", "once", fresh)

    await eventually(gone, what="the job deleted by its TTL")
    await cluster.settled()
    assert await gone()
    await cluster.declare({f"apps/{fresh}-other.yaml": f"apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {fresh}-other\n"})
    await cluster.settled()
    assert await gone()
    assert struggles(cluster, "once", fresh) == []
    await cluster.declare({file: text.replace("busybox:1", "busybox:2")})
    assert await cluster.exists("job", "once", fresh)


@pytest.mark.case(17)
async def test_a_claim_that_git_drops_loses_its_finalizer_and_goes(cluster: World, fresh: str) -> None:
    app = App(cluster, fresh)
    await cluster.declare({app.file: app.text, f"apps/{fresh}-claim.yaml": claim("data", fresh)})
    assert (await cluster.get("persistentvolumeclaim/data", fresh))["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    before = await cluster.get("persistentvolumeclaim/data", fresh)
    # Somebody deletes it past the webhook: its controller takes the finalizer off by an update, and Git's is made again.
    await cluster.past("delete", "persistentvolumeclaim/data", "-n", fresh, "--wait=false")

    async def made_again() -> bool:
        if not await cluster.exists("persistentvolumeclaim", "data", fresh):
            return False
        return bool((await cluster.get("persistentvolumeclaim/data", fresh))["metadata"]["uid"] != before["metadata"]["uid"])

    await eventually(made_again, what="the claim is made again")
    await cluster.declare({f"apps/{fresh}-claim.yaml": None})

    async def gone() -> bool:
        return not await cluster.exists("persistentvolumeclaim", "data", fresh)

    await eventually(gone, what="the pruned claim is gone")
