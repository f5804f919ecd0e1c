"""Guard's own namespace and registration, guarded inside the API server: also while Guard is down."""

from __future__ import annotations

import json

import pytest

from tests.e2e.conftest import World
from tools.guardrun import eventually

SYNC = ("sync", "apps", "-n", "guard-system")
LOOSEN = '-p={"spec":{"enforcement":{"mode":"Audit"}}}'
POLICY = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/gitopsguard"
BINDING = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/gitopsguard"

# A person with every right that RBAC can give, in none of the groups that the fence knows.
ROOT = ("--as=root@example.com", "--as-group=platform")


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
        asked = ("create", "configmap", "asked", "-n", "guard-system", "--dry-run=server")
        completed = await world.plane.kubectl(*asked, *ROOT, identity="admin", check=False)
        return "this is Guard's own" in completed.stderr

    await eventually(refused, what="the fence stands")


async def kept_out(world: World, *arguments: str) -> None:
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
    ("patch", *SYNC, "--subresource=status", "--type=merge", '-p={"status":{"lastAppliedRevision":"mine"}}'),
]


@pytest.mark.parametrize("command", COMMANDS, ids=[" ".join(command[:2]) + command[-1][:14] for command in COMMANDS])
async def test_what_is_guards_own_is_changed_by_the_named_groups_only(world: World, command: tuple[str, ...]) -> None:
    await kept_out(world, *command)


@pytest.mark.case(38)
async def test_the_fence_holds_while_guard_is_down(world: World) -> None:
    await world.guard.stop()
    try:
        await kept_out(world, "delete", "validatingwebhookconfiguration", "gitopsguard")
        await kept_out(world, "patch", *SYNC, "--type=merge", LOOSEN)
    finally:
        await world.guard.start()


async def test_a_named_group_may_and_anybody_may_ask_for_a_look(world: World) -> None:
    body = json.dumps({"metadata": {"name": "mine", "namespace": "guard-system"}, "apiVersion": "v1", "kind": "ConfigMap"})
    named = ("--as=root@example.com", "--as-group=gitopsguard:admins")
    await world.plane.kubectl("create", "-f", "-", *named, identity="admin", input=body)
    await world.plane.kubectl("delete", "configmap", "mine", "-n", "guard-system", *named, identity="admin")
    await world.plane.kubectl("annotate", "--overwrite", *SYNC, "gitopsguard.dev/requestedAt=now", *ROOT, identity="admin")


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


@pytest.mark.case(23)
@pytest.mark.parametrize("path", [POLICY, BINDING])
async def test_the_fence_comes_back_by_itself(world: World, path: str) -> None:
    before = (await world.plane.call("GET", path))["spec"]
    await world.plane.call("DELETE", path)

    async def back() -> bool:
        kind = path.rsplit("/", 2)[1]
        found = await world.plane.kubectl("get", kind, "gitopsguard", "--ignore-not-found", "-o", "json", identity="admin")
        return bool(found.stdout.strip()) and found.json()["spec"] == before

    await eventually(back, what="the fence is put back")
    version = (await world.plane.call("GET", path))["metadata"]["resourceVersion"]
    await world.guard.stop()
    await world.guard.start()
    assert (await world.plane.call("GET", path))["metadata"]["resourceVersion"] == version
