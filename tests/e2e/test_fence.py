"""Guard's own namespace and registration, guarded inside the API server: also while Guard is down."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from guard.base import codec
from guard.base.codec import JsonObject
from guard.base.errors import ApiStatusError
from tests.e2e.conftest import World, write
from tools.guardrun import eventually, sync_document

SYNC = ("sync", "apps", "-n", "guard-system")
# A watch shows it at once; the bound is no measurement.
RESTORED_SECONDS = 10.0
NOT_FOUND = 404
LOOSEN = '-p={"spec":{"enforcement":{"mode":"Audit"}}}'
REGISTRATION = "/apis/admissionregistration.k8s.io/v1"
CONFIGURATIONS = f"{REGISTRATION}/validatingwebhookconfigurations"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
FENCE = [
    f"{REGISTRATION}/{kind}/{name}"
    for kind in ("validatingadmissionpolicies", "validatingadmissionpolicybindings")
    for name in ("gitopsguard", "gitopsguard-namespace")
]
PODS, SERVICES = "/api/v1/namespaces/guard-system/pods", "/api/v1/namespaces/guard-system/services"

# A person with every right that RBAC can give, in none of the groups that the fence knows.
ROOT = ("--as=root@example.com", "--as-group=platform")
NAMED = ("--as-group=gitopsguard:admins",)


async def grant(world: World) -> None:
    """Give the person every right; twice is fine."""
    await world.plane.kubectl(
        "create", "clusterrolebinding", "root", "--clusterrole=cluster-admin", "--user=root@example.com", check=False
    )


@pytest.fixture(autouse=True)
async def fenced(world: World) -> None:
    """The API server takes a new policy up within a second or so."""
    await grant(world)
    container = {"name": "guard", "image": "guard"}
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "guard", "namespace": "guard-system"},
        "spec": {
            "selector": {"matchLabels": {"app": "guard"}},
            "template": {"metadata": {"labels": {"app": "guard"}}, "spec": {"containers": [container]}},
        },
    }
    await world.plane.kubectl("apply", "-f", "-", identity="admin", input=json.dumps(body))

    async def refused() -> bool:
        for asked in (
            ("create", "configmap", "asked", "-n", "guard-system"),
            ("label", "clusterrolebinding", "gitopsguard", "a=b"),
        ):
            completed = await world.plane.kubectl(*asked, "--dry-run=server", *ROOT, identity="admin", check=False)
            if "this is Guard's own" not in completed.stderr:
                return False
        return True

    await eventually(refused, what="the fence stands")


async def kept_out(world: World, *arguments: str | Path) -> None:
    completed = await world.plane.kubectl(*arguments, *ROOT, identity="admin", check=False)
    assert completed.returncode != 0, completed.stdout
    assert "this is Guard's own" in completed.stderr, completed.stderr


COMMANDS = [
    ("patch", *SYNC, "--type=merge", LOOSEN),
    ("delete", *SYNC),
    ("delete", "validatingwebhookconfiguration", "gitopsguard"),
    ("patch", "validatingwebhookconfiguration", "gitopsguard", "--type=merge", '-p={"webhooks":[]}'),
    ("scale", "deployment", "guard", "-n", "guard-system", "--replicas=0"),
    (
        "patch",
        "deployment",
        "guard",
        "-n",
        "guard-system",
        "--subresource=status",
        "-p",
        '{"metadata":{"annotations":{"a":"b"}}}',
    ),
    ("delete", "serviceaccount", "guard", "-n", "guard-system"),
    ("create", "configmap", "mine", "-n", "guard-system"),
    ("delete", "namespace", "guard-system"),
    ("label", "namespace", "guard-system", "mine=1"),
    ("patch", "namespace", "guard-system", "--subresource=status", "-p", '{"metadata":{"labels":{"mine":"1"}}}'),
    ("patch", *SYNC, "--subresource=status", "--type=merge", '-p={"status":{"lastAppliedRevision":"mine"}}'),
    # Of a collection, request by request, none of which carries a name.
    ("delete", "--raw", f"{CONFIGURATIONS}?fieldSelector=metadata.name%3Dgitopsguard"),
    ("delete", "--raw", f"{DEFINITIONS}?fieldSelector=metadata.name%3Dsyncs.gitopsguard.dev"),
    # With the definition all Syncs go.
    ("delete", "crd", "syncs.gitopsguard.dev"),
    ("patch", "crd", "syncs.gitopsguard.dev", "--type=merge", '-p={"metadata":{"labels":{"mine":"1"}}}'),
    ("patch", "crd", "syncs.gitopsguard.dev", "--subresource=status", "--type=merge", '-p={"status":{"conditions":[]}}'),
    ("delete", "clusterrolebinding", "gitopsguard"),
    ("patch", "clusterrolebinding", "gitopsguard", "--type=merge", '-p={"subjects":[]}'),
    # A shell in the pod is Guard's token; a GET reaches the pod as an exec does.
    ("get", "--raw", f"{PODS}/guard/exec?command=sh"),
    ("get", "--raw", f"{PODS}/guard/attach"),
    ("get", "--raw", f"{PODS}/guard/portforward"),
    ("get", "--raw", f"{PODS}/guard/proxy/"),
    ("get", "--raw", f"{SERVICES}/guard/proxy/"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=[" ".join((*command[:2], command[-1][-24:])) for command in COMMANDS])
async def test_what_is_guards_own_is_changed_by_the_named_groups_only(world: World, command: tuple[str, ...]) -> None:
    await kept_out(world, *command)


async def test_guards_namespace_is_not_changed_while_it_is_finalized(world: World, fresh: str) -> None:
    path = "/api/v1/namespaces/guard-system"
    live = await world.plane.call("GET", path)
    # What is owned by nobody goes with the next round of the garbage collector.
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "00000000-0000-0000-0000-000000000000"}
    body = {**live, "metadata": {**live["metadata"], "ownerReferences": [owner]}}
    await kept_out(world, "replace", "--raw", f"{path}/finalize", "-f", write_json(world, fresh, body))


@pytest.mark.case(38)
async def test_the_fence_holds_while_guard_is_down(world: World) -> None:
    await world.guard.stop()
    try:
        await kept_out(world, "delete", "validatingwebhookconfiguration", "gitopsguard")
        await kept_out(world, "delete", "--raw", CONFIGURATIONS)
        await kept_out(world, "patch", *SYNC, "--type=merge", LOOSEN)
    finally:
        await world.guard.start()


async def test_a_named_group_may_and_anybody_may_ask_for_a_look(world: World) -> None:
    body = json.dumps({"metadata": {"name": "mine", "namespace": "guard-system"}, "apiVersion": "v1", "kind": "ConfigMap"})
    await world.plane.kubectl("create", "-f", "-", *ROOT, *NAMED, identity="admin", input=body)
    await world.plane.kubectl("delete", "configmap", "mine", "-n", "guard-system", *ROOT, *NAMED, identity="admin")
    await world.plane.kubectl("annotate", "--overwrite", *SYNC, "gitopsguard.dev/requestedAt=now", *ROOT, identity="admin")


async def test_to_have_an_older_revision_back_is_for_the_named_groups(world: World) -> None:
    annotate = world.plane.kubectl
    accepted = "gitopsguard.dev/accept-revision"
    await kept_out(world, "annotate", *SYNC, f"{accepted}=main@sha1:old")
    await annotate("annotate", *SYNC, f"{accepted}=main@sha1:old", *ROOT, *NAMED, identity="admin")
    await kept_out(world, "annotate", "--overwrite", *SYNC, f"{accepted}=main@sha1:older")
    await annotate("annotate", "--overwrite", *SYNC, "gitopsguard.dev/requestedAt=again", *ROOT, identity="admin")
    await annotate("annotate", *SYNC, f"{accepted}-", *ROOT, *NAMED, identity="admin")


@pytest.mark.case(38)
async def test_an_administrator_who_is_locked_out_stops_guard_and_deletes_the_bindings(world: World) -> None:
    async def passes(*command: str) -> bool:
        return (await world.plane.kubectl(*command, *ROOT, identity="admin", check=False)).returncode == 0

    bindings = ("validatingadmissionpolicybinding", "gitopsguard", "gitopsguard-namespace")
    await world.guard.stop()
    try:
        assert await passes("delete", *bindings)
        configuration = ("validatingwebhookconfiguration", "gitopsguard")
        await eventually(lambda: passes("delete", *configuration), what="the registration may be deleted")
        await eventually(lambda: passes("label", *SYNC, "tried=1"), what="Syncs may be changed")
        assert await passes("label", *SYNC, "tried-")
    finally:
        await world.guard.start()
    for path in (*FENCE, f"{CONFIGURATIONS}/gitopsguard"):
        await world.plane.call("GET", path)


async def test_a_named_group_may_stop_guard_by_its_deployment(world: World) -> None:
    scale = ("scale", "deployment", "guard", "-n", "guard-system", "--replicas=0")
    await kept_out(world, *scale)
    await world.plane.kubectl(*scale, *ROOT, *NAMED, identity="admin")


async def test_machines_keep_their_secrets_in_guards_namespace_and_nothing_else(world: World) -> None:
    await world.plane.kubectl(
        "create", "clusterrolebinding", "vault", "--clusterrole=cluster-admin", "--serviceaccount=vault:sync", check=False
    )
    machine = ("--as=system:serviceaccount:vault:sync",)
    await world.plane.kubectl("create", "secret", "generic", "git", "-n", "guard-system", *machine, identity="admin")
    await world.plane.kubectl("delete", "secret", "git", "-n", "guard-system", *machine, identity="admin")
    pod = ("run", "mine", "--image=mine", "-n", "guard-system", "--overrides", '{"spec":{"serviceAccountName":"guard"}}')
    for command in (("delete", *SYNC), pod):
        completed = await world.plane.kubectl(*command, *machine, identity="admin", check=False)
        assert "this is Guard's own" in completed.stderr


async def test_a_sync_is_guards_own_in_any_namespace_but_for_its_annotations(world: World, fresh: str) -> None:
    path = "/apis/gitopsguard.dev/v1alpha1/namespaces/default/syncs"
    body = sync_document(fresh, world.repository.directory, path=fresh, interval="1h")
    body["metadata"]["namespace"] = "default"
    await kept_out(world, "create", "-f", write_json(world, fresh, body))
    await world.plane.call("POST", path, body=body)
    elsewhere = ("sync", fresh, "-n", "default")
    await kept_out(world, "patch", *elsewhere, "--type=merge", LOOSEN)
    await kept_out(world, "patch", *elsewhere, "--subresource=status", "--type=merge", '-p={"status":{"kinds":[]}}')
    await kept_out(world, "delete", *elsewhere)
    await kept_out(world, "delete", "--raw", path)
    await world.plane.kubectl("annotate", *elsewhere, "gitopsguard.dev/requestedAt=now", *ROOT, identity="admin")
    await world.plane.call("DELETE", f"{path}/{fresh}")


async def test_what_else_of_those_kinds_is_nobodys_business(world: World, fresh: str) -> None:
    kubectl = world.plane.kubectl
    await kubectl("create", "clusterrolebinding", fresh, "--clusterrole=view", "--user=nobody", *ROOT, identity="admin")
    await kubectl("delete", "clusterrolebinding", fresh, *ROOT, identity="admin")
    other = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": fresh},
    }
    await kubectl("create", "-f", write_json(world, fresh, other), *ROOT, identity="admin")
    await kubectl("delete", "validatingwebhookconfiguration", fresh, *ROOT, identity="admin")


async def test_a_named_group_reaches_guards_pod(world: World) -> None:
    path = f"{PODS}/nobody/exec?command=sh"
    completed = await world.plane.kubectl("get", "--raw", path, *ROOT, *NAMED, identity="admin", check=False)
    assert "not found" in completed.stderr


@pytest.mark.case(23)
@pytest.mark.parametrize("path", FENCE)
async def test_the_fence_comes_back_by_itself_and_is_not_written_without_need(world: World, path: str) -> None:
    before = (await world.plane.call("GET", path))["spec"]
    await world.plane.call("DELETE", path)
    await back(world, path, lambda found: found["spec"] == before)
    edited = await world.plane.call("GET", path)
    field = "validations" if "policies" in path else "validationActions"
    value = [{"expression": "true"}] if "policies" in path else ["Audit"]
    await world.plane.call("PUT", path, body={**edited, "spec": {**edited["spec"], field: value}})
    await back(world, path, lambda found: found["spec"] == before)
    version = (await world.plane.call("GET", path))["metadata"]["resourceVersion"]
    await world.guard.stop()
    await world.guard.start()
    assert (await world.plane.call("GET", path))["metadata"]["resourceVersion"] == version


@pytest.mark.case(23)
async def test_the_webhook_configuration_is_back_by_itself(world: World) -> None:
    path = f"{CONFIGURATIONS}/gitopsguard"
    before = (await world.plane.call("GET", path))["webhooks"]
    await world.plane.call("DELETE", path)
    await back(world, path, lambda found: found["webhooks"] == before)
    edited = await world.plane.call("GET", path)
    await world.plane.call("PUT", path, body={**edited, "webhooks": edited["webhooks"][1:]})
    await back(world, path, lambda found: found["webhooks"] == before)


async def back(world: World, path: str, right: Callable[[JsonObject], bool]) -> None:
    """Wait until the object is there and right, long before anybody would look without being told."""

    async def looked() -> bool:
        try:
            return right(await world.plane.call("GET", path))
        except ApiStatusError as error:
            if error.code != NOT_FOUND:
                raise
            return False

    await eventually(looked, what=f"{path} is put back", seconds=RESTORED_SECONDS, every=0.01)


def write_json(world: World, name: str, body: JsonObject) -> Path:
    return write(world.repository.directory.parent / f"{name}.json", codec.encode(body).decode())
