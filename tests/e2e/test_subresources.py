"""Subresources through which a whole object is sent: what they change of its metadata is judged as any change is."""

from __future__ import annotations

import pytest

from guard.base import codec
from guard.base.codec import JsonObject
from tests.e2e.conftest import App, World

LABEL = "gitopsguard.dev/sync"
OWNER = {"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "d9607e19-f88f-11e6-a518-42010a800195"}

TAMPERING: dict[str, JsonObject] = {
    "our label": {"labels": {LABEL: None}},
    "another label": {"labels": {"extra": "1"}},
    "annotations": {"annotations": {"extra": "1"}},
    "owners": {"ownerReferences": [OWNER]},
    "finalizers": {"finalizers": ["example.com/mine"]},
}


def claim(name: str, namespace: str) -> str:
    return f"""apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {name}
  namespace: {namespace}
spec:
  accessModes: [ReadWriteOnce]
  resources:
    requests:
      storage: 1Gi
"""


def node(name: str, *, extra: str = "") -> str:
    """`extra` are lines below the name, spec among them."""
    return f"apiVersion: v1\nkind: Node\nmetadata:\n  name: {name}\n  labels:\n    zone: a\n{extra}"


@pytest.mark.case(8)
@pytest.mark.parametrize("what", TAMPERING)
async def test_metadata_is_not_changed_through_status(untouched: App, world: World, what: str) -> None:
    name = untouched.namespace
    # The first of these tests declares it for all.
    file = f"apps/{name}-more.yaml"
    if not (world.repository.directory / file).exists():
        await world.declare({file: claim("data", name) + "---\n" + node(name)})
    resources = ["service/web", "persistentvolumeclaim/data", f"node/{name}", f"namespace/{name}"]
    if "label" not in what:
        resources.append("deployment/web")  # its labels cannot be changed that way at all
    patch = codec.encode({"metadata": TAMPERING[what]}).decode()
    for resource in resources:
        before = await world.get(resource, name)
        await world.refused("patch", resource, "-n", name, "--subresource=status", "--type=merge", "-p", patch)
        assert await world.get(resource, name) == before


@pytest.mark.case(8)
async def test_an_addition_through_status_is_refused_and_says_what_it_is(app: App, world: World) -> None:
    patch = '-p={"metadata":{"annotations":{"extra":"1"}},"status":{"observedGeneration":1}}'
    refused = await world.refused("patch", "deployment/web", "-n", app.namespace, "--subresource=status", "--type=merge", patch)
    assert "metadata.annotations.extra: not in Git, you asked to add 1" in refused.stderr
    assert "status" not in refused.stderr.replace("--subresource=status", "").replace("guard status", "")


@pytest.mark.case(8)
async def test_finalize_of_a_namespace_changes_no_metadata(app: App, world: World) -> None:
    path = f"/api/v1/namespaces/{app.namespace}/finalize"
    before = await world.get(f"namespace/{app.namespace}", "")
    wrong: list[JsonObject] = [{"labels": {}}, {"ownerReferences": [OWNER]}, {"finalizers": ["example.com/mine"]}]
    for metadata in wrong:
        body: JsonObject = {**before, "metadata": {**before["metadata"], **metadata}}
        await world.refused("replace", "--raw", path, "-f", "-", text=codec.encode(body).decode())
    assert await world.get(f"namespace/{app.namespace}", "") == before


@pytest.mark.case(8)
async def test_our_label_is_not_put_on_a_foreign_object_through_status(world: World, fresh: str) -> None:
    await world.plane.kubectl("create", "service", "clusterip", fresh, "--tcp=80")
    patch = codec.encode({"metadata": {"labels": {LABEL: "guard-system.apps"}}}).decode()
    await world.refused("patch", "service", fresh, "--subresource=status", "--type=merge", "-p", patch)
    assert LABEL not in (await world.get(f"service/{fresh}", "default"))["metadata"]["labels"]


@pytest.mark.case(8)
@pytest.mark.parametrize("wiped", [[{}], []])
async def test_managed_fields_are_not_wiped_by_a_whole_object(app: App, world: World, wiped: list[JsonObject]) -> None:
    path = f"/apis/apps/v1/namespaces/{app.namespace}/deployments/web"
    before = await world.get("deployment/web", app.namespace)
    body = {**before, "metadata": {**before["metadata"], "managedFields": wiped}}
    refused = await world.refused("replace", "--raw", path, "-f", "-", text=codec.encode(body).decode())
    assert "its managedFields cannot be wiped" in refused.stderr
    # Tools leave them out, which the API server takes for: as they are. So it does with whatever a status brings along.
    del body["metadata"]["managedFields"]
    await world.plane.kubectl("replace", "--raw", path, "-f", "-", input=codec.encode(body).decode())
    patch = codec.encode({"metadata": {"managedFields": wiped}}).decode()
    await world.plane.kubectl("patch", "deployment/web", "-n", app.namespace, "--subresource=status", "--type=merge", "-p", patch)
    assert await world.get("deployment/web", app.namespace) == before
