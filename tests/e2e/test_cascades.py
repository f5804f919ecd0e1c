"""Deleting what holds declared objects, what hangs on them, and what is already going."""

from __future__ import annotations

import pytest

from guard.base import codec
from guard.base.codec import JsonObject
from tests.e2e.conftest import App, World, config_map, widget
from tools.guardrun import eventually


@pytest.mark.case(7)
async def test_deleting_a_declared_namespace_is_refused_with_the_number_of_its_objects(app: App, world: World) -> None:
    refused = await world.refused("delete", "namespace", app.namespace)
    # The namespace itself is not among what it holds.
    assert f"Namespace {app.namespace} holds 4 objects managed from Git, so deleting it is refused." in refused.stderr
    assert "Deleting it would delete them, too." in refused.stderr
    assert "deletionTimestamp" not in (await world.get(f"namespace/{app.namespace}", ""))["metadata"]


@pytest.mark.case(7)
async def test_deleting_an_undeclared_namespace_that_holds_a_declared_object_is_refused(world: World, fresh: str) -> None:
    await world.plane.kubectl("create", "namespace", fresh)
    await world.declare({f"apps/{fresh}.yaml": config_map("one", fresh, "  a: b")})
    refused = await world.refused("delete", "namespace", fresh, "--cascade=orphan", "--wait=false")
    assert f"Namespace {fresh} holds 1 object managed from Git, so deleting it is refused." in refused.stderr
    # Nothing else of it is anybody's business, and once nothing declared is left in it, it goes.
    await world.plane.kubectl("label", "namespace", fresh, "team=blue")
    await world.declare({f"apps/{fresh}.yaml": None})
    await world.plane.kubectl("delete", "namespace", fresh, "--wait=false")


# Nobody has this uid: what such an owner owns goes with the next round of the garbage collector.
NOBODY = "00000000-0000-0000-0000-000000000000"


@pytest.mark.case(7)
async def test_a_namespace_that_holds_a_declared_object_is_given_no_owner_by_people(world: World, fresh: str) -> None:
    await world.plane.kubectl("create", "namespace", fresh)
    await world.declare({f"apps/{fresh}.yaml": config_map("one", fresh, "  a: b")})
    owned = owned_by_nobody()
    for below in ((), ("--subresource=status",)):
        refused = await world.refused("patch", "namespace", fresh, *below, "--type=merge", "-p", owned)
        assert f"Namespace {fresh} holds 1 object managed from Git" in refused.stderr
    live = await world.get(f"namespace/{fresh}", "")
    text = codec.encode({**live, "metadata": {**live["metadata"], **codec.decode(owned.encode())["metadata"]}}).decode()
    finalized = await world.refused("replace", "--raw", f"/api/v1/namespaces/{fresh}/finalize", "-f", "-", text=text)
    assert f"Namespace {fresh} holds 1 object managed from Git" in finalized.stderr
    # Nothing else of it is anybody's business, and once nothing declared is left in it, its owners are not either.
    await world.plane.kubectl("label", "namespace", fresh, "team=blue")
    await world.plane.kubectl("patch", "namespace", fresh, "--subresource=status", "-p", '{"metadata":{"labels":{"a":"b"}}}')
    await world.declare({f"apps/{fresh}.yaml": None})
    await world.plane.kubectl("patch", "namespace", fresh, "--type=merge", "-p", owned)


@pytest.mark.case(6, 7)
async def test_a_definition_with_declared_instances_is_given_no_owner_by_people(world: World, fresh: str) -> None:
    group = f"{fresh}.example.com"
    await world.plane.kubectl("create", "-f", "-", input=_definition(group, label=fresh))
    await world.declare({f"apps/{fresh}.yaml": widget(f"{fresh}-a", group, "{color: blue}")})
    for below in ((), ("--subresource=status",)):
        refused = await world.refused("patch", "crd", f"widgets.{group}", *below, "--type=merge", "-p", owned_by_nobody())
        assert "has 1 instance managed from Git" in refused.stderr
    await world.plane.kubectl("label", "crd", f"widgets.{group}", "team=blue")


def owned_by_nobody() -> str:
    """A patch."""
    owner = {"apiVersion": "v1", "kind": "Namespace", "name": "gone", "uid": NOBODY}
    return codec.encode({"metadata": {"ownerReferences": [owner]}}).decode()


@pytest.mark.case(6, 7)
async def test_deleting_a_definition_with_declared_instances_is_refused_with_their_number(world: World, fresh: str) -> None:
    group = f"{fresh}.example.com"
    definition = _definition(group, label=fresh)
    # Once the definition is a person's own, once Git's.
    await world.plane.kubectl("create", "-f", "-", input=definition)
    two = "---\n".join(widget(name, group, "{color: blue}") for name in (f"{fresh}-a", f"{fresh}-b"))
    await world.declare({f"apps/{fresh}.yaml": two})
    expected = "has 2 instances managed from Git, so deleting it is refused."
    assert expected in (await world.refused("delete", "crd", f"widgets.{group}")).stderr
    await world.declare({f"apps/{fresh}.yaml": f"{two}---\n{definition}"})
    assert expected in (await world.refused("delete", "crd", f"widgets.{group}")).stderr
    collection = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions?labelSelector=test%3D{fresh}"
    assert expected in (await world.refused("delete", "--raw", collection)).stderr
    assert "deletionTimestamp" not in (await world.get(f"crd/widgets.{group}", ""))["metadata"]
    # Without instances it is an object like any.
    await world.declare({f"apps/{fresh}.yaml": definition})
    refused = await world.refused("delete", "crd", f"widgets.{group}")
    assert "is managed from Git, so deleting it is refused" in refused.stderr


@pytest.mark.case(7, 17)
async def test_a_namespace_that_is_going_goes_and_git_brings_it_back(cluster: World, fresh: str) -> None:
    app = App(cluster, fresh)
    anchored = app.text.replace(f"  name: {fresh}\n---", f"  name: {fresh}\n  finalizers:\n    - example.com/anchor\n---", 1)
    await cluster.declare({app.file: anchored})
    before = await cluster.get(f"namespace/{fresh}", "")
    await cluster.past("delete", "namespace", fresh, "--wait=false")

    async def emptied() -> bool:
        found = await cluster.get(f"namespace/{fresh}", "")
        return bool(found["metadata"]["deletionTimestamp"]) and "finalizers" not in found["spec"]

    # The namespace controller takes declared objects away as any others, and then its own finalizer.
    await eventually(emptied, what="the namespace controller deletes what Git declares")
    # Deleting once more what is going is nobody's loss, nor is taking off what holds it, though Git declares that.
    await cluster.plane.kubectl("delete", "namespace", fresh, "--wait=false")
    await cluster.plane.kubectl("patch", "namespace", fresh, "--type=merge", '-p={"metadata":{"finalizers":null}}')

    async def back() -> bool:
        if not await cluster.exists("namespace", fresh, "") or not await cluster.exists("service", "web", fresh):
            return False
        return bool((await cluster.get(f"namespace/{fresh}", ""))["metadata"]["uid"] != before["metadata"]["uid"])

    await eventually(back, what=lambda: f"namespace and content are back; the log ends:\n{cluster.guard.tail()}")


@pytest.mark.case(7, 9, 17)
async def test_what_hangs_on_a_declared_object_is_collected_as_ever(cluster: World, fresh: str) -> None:
    app = App(cluster, fresh)
    await cluster.declare({app.file: app.text})
    uid = (await cluster.get("deployment/web", fresh))["metadata"]["uid"]

    async def rolled_out() -> list[JsonObject]:
        listed = await cluster.plane.kubectl("get", "replicasets,pods", "-n", fresh, "-o", "json", identity="admin")
        found: list[JsonObject] = listed.json()["items"]
        return found if sum(item["kind"] == "Pod" for item in found) == 2 else []

    await eventually(rolled_out, what="the deployment's replica set and pods")
    first = {item["metadata"]["name"] for item in await rolled_out() if item["kind"] == "Pod"}
    # A person may delete what controllers made, and they make it anew.
    await cluster.plane.kubectl("delete", "pod", "--all", "-n", fresh, "--force", "--grace-period=0")

    async def others() -> bool:
        return bool({item["metadata"]["name"] for item in await rolled_out() if item["kind"] == "Pod"} - first)

    await eventually(others, what="new pods")
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": uid}
    child: JsonObject = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "child", "ownerReferences": [owner]}}
    await cluster.plane.kubectl("create", "-n", fresh, "-f", "-", input=codec.encode(child).decode())
    # The collector takes its finalizer off by an update, which deletes the declared object.
    await cluster.past("delete", "deployment/web", "-n", fresh, "--cascade=foreground", "--wait=false")

    async def collected() -> bool:
        if await cluster.exists("configmap", "child", fresh) or not await cluster.exists("deployment", "web", fresh):
            return False
        return bool((await cluster.get("deployment/web", fresh))["metadata"]["uid"] != uid)

    await eventually(collected, what=lambda: f"children collected, the deployment back; the log ends:\n{cluster.guard.tail()}")


def _definition(group: str, *, label: str) -> str:
    schema: JsonObject = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    body: JsonObject = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{group}", "labels": {"test": label}},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }
    return codec.encode(body).decode() + "\n"
