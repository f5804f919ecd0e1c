"""Drift that managedFields do not show, or show as something else. Resync is off: only the watches can see it."""

from __future__ import annotations

import asyncio
import signal

import pytest

from guard.base import codec
from guard.base.codec import JsonObject
from guard.heal.watching import SPOOF_SECONDS
from tests.e2e.conftest import App, World, config_map, widget
from tests.e2e.test_healing import containers, healed
from tests.e2e.test_order import LISTS, TWO_OF_EACH
from tests.e2e.test_subresources import node
from tools.guardrun import eventually

OPERATOR = ("--field-manager=operator",)

# Outside the seconds in which Guard looks at everything anyway, and within them.
MOMENTS = pytest.mark.parametrize("pause", [0.0, SPOOF_SECONDS + 0.5], ids=["at-once", "later"])


async def put(world: World, body: JsonObject, *, manager: str = "operator") -> None:
    """An update of the whole object past the webhook, by whatever tool that is no person's."""
    await world.past("replace", "-f", "-", f"--field-manager={manager}", text=codec.encode(body).decode())


def copied(body: JsonObject) -> JsonObject:
    found: JsonObject = codec.decode(codec.encode(body))
    return found


@MOMENTS
@pytest.mark.case(22)
@pytest.mark.parametrize("name", sorted(LISTS))
async def test_what_was_put_into_another_order_is_put_back(world: World, fresh: str, name: str, pause: float) -> None:
    await world.declare({f"apps/{fresh}.yaml": TWO_OF_EACH.format(name=fresh)})
    await asyncio.sleep(pause)
    before = await world.get(f"deployment/{fresh}", "default")
    body = copied(before)
    LISTS[name](body).reverse()
    await put(world, body)
    await healed(world, "deployment", fresh, "default", lambda found: found["spec"] == before["spec"])


@MOMENTS
@pytest.mark.case(22)
@pytest.mark.parametrize("name", ["env", "ports"])
async def test_a_doubled_list_key_is_taken_away(world: World, fresh: str, name: str, pause: float) -> None:
    await world.declare({f"apps/{fresh}.yaml": TWO_OF_EACH.format(name=fresh)})
    await asyncio.sleep(pause)
    before = await world.get(f"deployment/{fresh}", "default")
    body = copied(before)
    LISTS[name](body).append(dict(LISTS[name](body)[0]))
    await put(world, body)
    await healed(world, "deployment", fresh, "default", lambda found: found["spec"] == before["spec"])


@MOMENTS
@pytest.mark.case(22)
async def test_members_of_a_set_get_their_order_back(world: World, widgets: str, fresh: str, pause: float) -> None:
    await world.declare({f"apps/{fresh}.yaml": widget(fresh, widgets, "{tags: [a, b, c]}")})
    await asyncio.sleep(pause)
    body = copied(await world.get(f"widgets.{widgets}/{fresh}", "default"))
    body["spec"]["tags"] = ["c", "a", "b"]
    await put(world, body)
    await healed(world, f"widgets.{widgets}", fresh, "default", lambda found: found["spec"]["tags"] == ["a", "b", "c"])


@MOMENTS
@pytest.mark.case(22)
async def test_an_apply_and_an_update_under_our_name_are_undone(app: App, world: World, pause: float) -> None:
    await asyncio.sleep(pause)
    wanted = {"color": "blue", "size": "large"}
    text = config_map("settings", app.namespace, "  color: red\n  size: large\n  extra: '1'")
    await world.past("apply", "--server-side", "--force-conflicts", "--field-manager=guard", "-f", "-", text=text)
    await healed(world, "configmap", "settings", app.namespace, lambda found: found["data"] == wanted)
    await asyncio.sleep(pause)
    change = '-p={"data":{"color":"red","extra":"1"},"metadata":{"labels":{"extra":"1"}}}'
    await world.past("patch", "configmap/settings", "-n", app.namespace, "--field-manager=guard", change)
    after = await healed(world, "configmap", "settings", app.namespace, lambda found: found["data"] == wanted)
    assert "extra" not in after["metadata"]["labels"]


@pytest.mark.case(22)
@pytest.mark.parametrize("manager", ["guard", "guard-repair"])
async def test_what_is_only_added_under_our_names_is_taken_away(app: App, world: World, manager: str) -> None:
    await asyncio.sleep(SPOOF_SECONDS + 0.5)
    change = '-p={"data":{"extra":"1"},"metadata":{"labels":{"extra":"1"}}}'
    await world.past("patch", "configmap/settings", "-n", app.namespace, f"--field-manager={manager}", change)
    after = await healed(
        world, "configmap", "settings", app.namespace, lambda found: found["data"] == {"color": "blue", "size": "large"}
    )
    assert "extra" not in after["metadata"]["labels"]


@MOMENTS
@pytest.mark.case(22)
async def test_a_secret_changed_through_string_data_is_restored(app: App, world: World, pause: float) -> None:
    before = await world.get("secret/login", app.namespace)
    await asyncio.sleep(pause)
    text = f"""apiVersion: v1
kind: Secret
metadata:
  name: login
  namespace: {app.namespace}
stringData:
  password: mine
"""
    await world.past("apply", "--server-side", "--field-manager=mine", "-f", "-", text=text)
    await healed(world, "secret", "login", app.namespace, lambda found: found["data"] == before["data"])


def mutation(name: str, expression: str, *, group: str, resource: str) -> list[JsonObject]:
    """A policy that changes what the requests that carry its own annotation store."""
    policy: JsonObject = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
            "matchConstraints": {
                "resourceRules": [
                    {"apiGroups": [group], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": [resource]}
                ]
            },
            "matchConditions": [
                {
                    "name": "own",
                    "expression": f"object.metadata.name == '{name}' && request.userInfo.username == 'ada@example.com'",
                }
            ],
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}],
        },
    }
    binding: JsonObject = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name},
    }
    return [policy, binding]


@pytest.mark.case(22)
@pytest.mark.parametrize("kind", ["configmap", "deployment"])
async def test_what_a_mutating_policy_changes_in_anothers_request_is_undone(world: World, fresh: str, kind: str) -> None:
    group, path, value = {
        "configmap": ("", "/data/color", '"red"'),
        "deployment": ("apps", "/spec/template/spec/containers/0/image", '"nginx:1.26"'),
    }[kind]
    text = config_map(fresh, "default", "  color: blue") if kind == "configmap" else TWO_OF_EACH.format(name=fresh)
    await world.declare({f"apps/{fresh}.yaml": text})
    expression = f'[JSONPatch{{op: "replace", path: "{path}", value: {value}}}]'
    objects = mutation(fresh, expression, group=group, resource=f"{kind}s")
    documents = "\n---\n".join(codec.encode(body).decode() for body in objects)
    await world.plane.kubectl("apply", "-f", "-", input=documents, identity="admin")
    before = await world.get(f"{kind}/{fresh}", "default")
    number = 0

    async def mutated() -> bool:
        """The policy takes a moment to work; past it, the object is not as it was."""
        nonlocal number
        number += 1
        flags = ("--overwrite", "-n", "default", f"example.com/seen={number}", "--field-manager=operator", "-o", "json")
        answer = await world.past("annotate", f"{kind}/{fresh}", *flags)
        return codec.encode(answer.json()).find(value.strip('"').encode()) >= 0

    try:
        await eventually(mutated, what="the policy mutates", every=SPOOF_SECONDS + 0.5)
        content = "data" if kind == "configmap" else "spec"
        await healed(world, kind, fresh, "default", lambda found: found[content] == before[content])
    finally:
        await world.plane.kubectl("delete", "-f", "-", input=documents, identity="admin")


@MOMENTS
@pytest.mark.case(19)
async def test_declared_labels_and_annotations_are_restored_whoever_took_them(world: World, fresh: str, pause: float) -> None:
    text = config_map(fresh, "default", "  color: blue").replace(
        f"  name: {fresh}\n", f"  name: {fresh}\n  labels: {{team: blue}}\n  annotations: {{note: hello}}\n"
    )
    await world.declare({f"apps/{fresh}.yaml": text})
    await asyncio.sleep(pause)
    body = copied(await world.get(f"configmap/{fresh}", "default"))
    body["metadata"]["labels"]["team"] = "red"
    body["metadata"]["annotations"] = {"note": "bye"}
    await put(world, body)

    def right(found: JsonObject) -> bool:
        metadata = found["metadata"]
        return bool(metadata["labels"]["team"] == "blue" and metadata["annotations"]["note"] == "hello")

    await healed(world, "configmap", fresh, "default", right)


ROLE = """---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {name}
rules:
  - apiGroups: [""]
    resources: [pods]
    verbs: [get, list]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {name}
  namespace: default
spec:
  podSelector: {{}}
  policyTypes: [Egress]
  egress:
    - ports:
        - port: 53
"""


@MOMENTS
@pytest.mark.case(19)
async def test_atomic_lists_are_restored_whole(world: World, fresh: str, pause: float) -> None:
    await world.declare({f"apps/{fresh}.yaml": ROLE.format(name=fresh)})
    await asyncio.sleep(pause)
    for resource, namespace, content in (("clusterrole", "", "rules"), ("networkpolicy", "default", "spec")):
        before = await world.get(f"{resource}/{fresh}", namespace)
        body = copied(before)
        if content == "rules":
            body["rules"][0]["verbs"].append("delete")
        else:
            body["spec"]["egress"][0]["ports"].append({"port": 54, "protocol": "TCP"})
        await put(world, body)
        wanted = before[content]
        await healed(world, resource, fresh, namespace, lambda found, content=content, wanted=wanted: found[content] == wanted)


TWO_PORTS = """---
apiVersion: v1
kind: Service
metadata:
  name: two
  namespace: {namespace}
spec:
  selector: {{app: web}}
  ports:
    - {{name: a, port: 80}}
    - {{name: b, port: 81}}
"""
HEARTBEAT = ("--subresource=status", "--type=merge", "--field-manager=kubelet")


def beat(number: int) -> str:
    """A status like no other, for a Service or a Node."""
    condition = {"type": "Ready", "status": "True", "reason": f"Beat{number}", "lastTransitionTime": "2026-01-02T03:04:05Z"}
    return codec.encode({"status": {"conditions": [{**condition, "message": ""}]}}).decode()


@pytest.mark.case(19)
async def test_a_heartbeat_hides_nothing_that_comes_after_it(app: App, world: World) -> None:
    """On a kind without a generation, where only the resourceVersion shows that the order has changed."""
    await world.declare({f"apps/{app.namespace}-two.yaml": TWO_PORTS.format(namespace=app.namespace)})
    await asyncio.sleep(SPOOF_SECONDS + 0.5)
    for number in range(3):
        await world.past("patch", "service/two", "-n", app.namespace, *HEARTBEAT, "-p", beat(number))
    before = await world.get("service/two", app.namespace)
    body = copied(before)
    body["spec"]["ports"].reverse()
    await put(world, body)
    await healed(world, "service", "two", app.namespace, lambda found: found["spec"]["ports"] == before["spec"]["ports"])


@pytest.mark.case(19)
@pytest.mark.parametrize("kind", ["node", "service", "deployment"])
async def test_heartbeats_cost_no_apply(app: App, world: World, fresh: str, kind: str) -> None:
    await world.declare({f"apps/{fresh}-node.yaml": node(fresh)})
    reference, namespace = (f"node/{fresh}", "") if kind == "node" else (f"{kind}/web", app.namespace)
    await asyncio.sleep(SPOOF_SECONDS + 1.5)
    since = world.asked()
    for number in range(3):
        await world.plane.kubectl("patch", reference, "-n", namespace, *HEARTBEAT, "-p", beat(number), identity="admin")
        # Two within one second leave the same entry: the second one may be anything.
        await asyncio.sleep(1.1)
    assert world.patches(reference.partition("/")[2], namespace, since=since) == 0


async def test_an_empty_map_in_git_is_no_drift(world: World, fresh: str) -> None:
    text = (
        TWO_OF_EACH.format(name=fresh)
        .replace("      labels: {app: web}\n", "      labels: {app: web}\n      annotations: {}\n")
        .replace("  namespace: default\n", "  namespace: default\n  annotations: {}\n")
        + f"""---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {fresh}
  namespace: default
data: {{}}
"""
    )
    await world.declare({f"apps/{fresh}.yaml": text})
    await asyncio.sleep(SPOOF_SECONDS + 0.5)
    await world.plane.kubectl("annotate", f"deployment/{fresh}", "example.com/a=1", *OPERATOR, identity="operator")
    await world.plane.kubectl("annotate", f"configmap/{fresh}", "example.com/a=1", *OPERATOR, identity="operator")
    await world.plane.kubectl(
        "patch", f"configmap/{fresh}", '-p={"data":{"added":"by a machine"}}', "--field-manager=operator", identity="operator"
    )
    await asyncio.sleep(2.0)
    since = world.asked()
    await asyncio.sleep(2.0)
    assert world.patches(fresh, "default", since=since) == 0
    assert (await world.get(f"configmap/{fresh}", "default"))["data"] == {"added": "by a machine"}
    # Ownership of the map itself went to the machine, and came back once.
    assert len([record for record in world.recorded(fresh) if record["event"] == "healed"]) <= 1


@pytest.mark.case(19)
async def test_declared_fields_are_restored_although_their_taker_is_among_ancient_changes(app: App, world: World) -> None:
    for number in range(12):
        patch = codec.encode({"data": {"color": f"red-{number}", f"extra-{number}": "1"}}).decode()
        await world.past("patch", "configmap/settings", "-n", app.namespace, f"--field-manager=machine-{number}", "-p", patch)
    after = await healed(
        world,
        "configmap",
        "settings",
        app.namespace,
        lambda found: found["data"]["color"] == "blue",
    )
    managers = {entry["manager"] for entry in after["metadata"]["managedFields"]}
    assert {"guard", "ancient-changes"} <= managers
    assert len(after["data"]) == 14


@pytest.mark.case(19)
async def test_an_object_that_a_person_made_anew_under_the_same_name_is_gits_again(app: App, world: World) -> None:
    """While Guard does not get to see it in between."""
    world.guard.process.send_signal(signal.SIGSTOP)
    try:
        await world.past("delete", "configmap/settings", "-n", app.namespace)
        text = config_map("settings", app.namespace, "  color: red\n  extra: '1'")
        await world.past("create", "-f", "-", text=text)
    finally:
        world.guard.process.send_signal(signal.SIGCONT)
    after = await healed(
        world, "configmap", "settings", app.namespace, lambda found: found["data"] == {"color": "blue", "size": "large"}
    )
    assert after["metadata"]["labels"] == {"gitopsguard.dev/sync": "guard-system.apps"}


DEAD_OWNER: JsonObject = {"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "11111111-2222-3333-4444-555555555555"}


@pytest.mark.case(19)
@pytest.mark.parametrize("manager", ["kubectl-edit", "mine"])
async def test_an_object_given_a_dead_owner_is_there_and_stays(cluster: World, fresh: str, manager: str) -> None:
    app = App(cluster, fresh)
    await cluster.declare({app.file: app.text})
    patch = codec.encode({"metadata": {"ownerReferences": [DEAD_OWNER]}}).decode()
    await cluster.past("patch", "configmap/settings", "-n", fresh, "--type=merge", f"--field-manager={manager}", "-p", patch)
    wanted = {"color": "blue", "size": "large"}
    await healed(
        cluster,
        "configmap",
        "settings",
        fresh,
        lambda found: found["data"] == wanted and "ownerReferences" not in found["metadata"],
    )
    await asyncio.sleep(2.0)
    assert (await cluster.get("configmap/settings", fresh))["data"] == wanted


@pytest.mark.case(19)
async def test_a_finalizer_added_by_hand_is_taken_off(app: App, world: World) -> None:
    patch = codec.encode({"metadata": {"finalizers": ["example.com/mine"]}}).decode()
    await world.past("patch", "configmap/settings", "-n", app.namespace, "--type=merge", "-p", patch)
    await healed(world, "configmap", "settings", app.namespace, lambda found: "finalizers" not in found["metadata"])


@pytest.mark.case(19)
async def test_what_goes_by_its_last_finalizer_comes_back(app: App, world: World) -> None:
    before = await world.get("configmap/settings", app.namespace)
    patch = codec.encode({"metadata": {"finalizers": ["example.com/mine"]}}).decode()
    await world.past("patch", "configmap/settings", "-n", app.namespace, "--type=merge", "--field-manager=mine", "-p", patch)
    await world.past("delete", "configmap/settings", "-n", app.namespace, "--wait=false")
    patch = codec.encode({"metadata": {"finalizers": []}}).decode()
    await world.past("patch", "configmap/settings", "-n", app.namespace, "--type=merge", "--field-manager=mine", "-p", patch)
    await healed(
        world, "configmap", "settings", app.namespace, lambda found: found["metadata"]["uid"] != before["metadata"]["uid"]
    )


@pytest.mark.case(19)
async def test_what_is_deleted_with_its_children_orphaned_comes_back(cluster: World, fresh: str) -> None:
    app = App(cluster, fresh)
    await cluster.declare({app.file: app.text})
    before = await cluster.get("deployment/web", fresh)
    await cluster.past("delete", "deployment/web", "-n", fresh, "--cascade=orphan")
    after = await healed(cluster, "deployment", "web", fresh, lambda found: found["metadata"]["uid"] != before["metadata"]["uid"])
    assert containers(after) == {"web": "nginx:1.25"}


NODE_PORT = """---
apiVersion: v1
kind: Service
metadata:
  name: open
  namespace: {namespace}
spec:
  type: NodePort
  selector: {{app: web}}
  ports:
    - {{name: http, port: 80, targetPort: 80}}
"""


@pytest.mark.case(20)
async def test_what_the_api_server_allocated_and_an_autoscaler_set_survives_a_repair(cluster: World, fresh: str) -> None:
    app = App(cluster, fresh, replicas=None)
    await cluster.declare({app.file: app.text + NODE_PORT.format(namespace=fresh)})
    # As an autoscaler does.
    await cluster.past("scale", "deployment/web", "--replicas=4", "-n", fresh)
    before = await cluster.get("service/open", fresh)
    await cluster.past("set", "image", "deployment/web", "web=nginx:1.26", "-n", fresh)
    patch = '-p={"spec":{"ports":[{"name":"http","port":80,"targetPort":99}],"sessionAffinity":"ClientIP"}}'
    await cluster.past("patch", "service/open", "-n", fresh, patch)
    after = await healed(cluster, "service", "open", fresh, lambda found: found["spec"]["ports"] == before["spec"]["ports"])
    await healed(cluster, "service", "open", fresh, lambda found: found["spec"]["sessionAffinity"] == "None")
    assert after["spec"]["clusterIP"] == before["spec"]["clusterIP"]
    found = await healed(cluster, "deployment", "web", fresh, lambda found: containers(found) == {"web": "nginx:1.25"})
    assert found["spec"]["replicas"] == 4
