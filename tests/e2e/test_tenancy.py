"""A Sync in a tenant's namespace: what it can do is what its service account may, and no more."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from guard.base.codec import JsonObject, children
from guard.base.errors import ApiStatusError
from guard.cluster import Client, connect
from guard.cluster.impersonation import EXTRA_HEADER, USER_HEADER
from guard.state.requesters import ACTING_EXTRA
from tests.e2e.conftest import World, config_map
from tests.e2e.tenants import ACCOUNT, Tenant, tenancy
from tests.sync.tenants import allow
from tools.guardrun import eventually

SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: login, namespace: %s}\nstringData: {password: battery-staple}\n"
CLUSTER_ROLE = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: %s}\nrules: []\n"


@pytest.fixture
async def admin(world: World) -> AsyncIterator[Client]:
    found = Client(await connect(kubeconfig=world.plane.kubeconfig("admin")))
    yield found
    await found.close()


@pytest.fixture
async def tenant(world: World, admin: Client, fresh: str, tmp_path: Path) -> AsyncIterator[Tenant]:
    async with tenancy(world, admin, fresh, tmp_path) as found:
        yield found


def settings(tenant: Tenant, color: str = "blue", *, name: str = "settings", namespace: str = "") -> str:
    return config_map(name, namespace or tenant.namespace, f"  color: {color}")


@pytest.fixture
async def following(tenant: Tenant) -> Tenant:
    commit = tenant.repository.commit({"settings.yaml": settings(tenant)})
    await tenant.follow()
    await tenant.applied(commit)
    return tenant


def patch_path(tenant: Tenant, name: str = "settings") -> str:
    return f"/api/v1/namespaces/{tenant.namespace}/configmaps/{name}"


async def color(tenant: Tenant) -> str:
    return str((await tenant.world.get("configmap/settings", tenant.namespace))["data"]["color"])


def audited(world: World, tenant: Tenant) -> list[JsonObject]:
    """What was asked in the name of the tenant's account, as the API server's audit log has it."""
    return [
        line for line in world.plane.audited(about=tenant.user) if line.get("impersonatedUser", {}).get("username") == tenant.user
    ]


async def test_what_it_may_touch_is_applied_healed_and_pruned_in_the_name_of_its_account(following: Tenant) -> None:
    tenant, world = following, following.world
    live = await world.get("configmap/settings", tenant.namespace)
    assert {entry["manager"] for entry in live["metadata"]["managedFields"]} == {"guard"}
    refused = await world.refused("patch", "configmap/settings", "-n", tenant.namespace, '-p={"data":{"color":"red"}}')
    assert "data.color: Git has blue, you asked for red" in refused.stderr

    await world.past("patch", "configmap/settings", "-n", tenant.namespace, '-p={"data":{"color":"red","extra":"1"}}')

    async def healed() -> bool:
        return bool((await world.get("configmap/settings", tenant.namespace))["data"] == {"color": "blue"})

    await eventually(healed, what=lambda: f"drift healed; the log ends:\n{world.guard.tail()}")
    await tenant.declare({"settings.yaml": settings(tenant, "green"), "more.yaml": settings(tenant, name="more")})
    assert await color(tenant) == "green"
    await tenant.declare({"more.yaml": None})
    assert not await world.exists("configmap", "more", tenant.namespace)
    verbs = {(line["verb"], line["user"]["username"]) for line in audited(world, tenant) if line["verb"] != "get"}
    assert verbs == {(verb, "system:serviceaccount:guard-system:guard") for verb in ("patch", "delete")}


@pytest.mark.parametrize("beyond", ["secret", "elsewhere", "cluster", "namespace"])
async def test_what_it_may_not_touch_keeps_its_revision_out_and_is_kept_from_nobody(following: Tenant, beyond: str) -> None:
    tenant, world, name = following, following.world, following.namespace
    text, expected, reference, namespace = {
        "secret": (SECRET % name, f"may not patch secrets in namespace {name}", "secret/login", name),
        "elsewhere": (
            settings(tenant, name=name, namespace="default"),
            "may not patch configmaps in namespace default",
            f"configmap/{name}",
            "default",
        ),
        "cluster": (
            CLUSTER_ROLE % name,
            "may not patch clusterroles.rbac.authorization.k8s.io of the cluster",
            f"clusterrole/{name}",
            "default",
        ),
        # What lies in a namespace that the revision itself brings has no dry run.
        "namespace": (
            f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}-2}}\n---\n{settings(tenant, namespace=f'{name}-2')}",
            f"may not patch configmaps in namespace {name}-2",
            f"namespace/{name}-2",
            "default",
        ),
    }[beyond]
    # There before, and somebody else's.
    await world.plane.kubectl("apply", "-f", "-", identity="person", input=text)

    tenant.repository.commit({"beyond.yaml": text, "settings.yaml": settings(tenant, "green")})
    message = await tenant.says(expected, f"service account {name}/{ACCOUNT}", "beyond.yaml:", "bind it a Role")

    assert "battery-staple" not in message
    assert await color(tenant) == "blue", "what was in force stays"
    await world.refused("patch", "configmap/settings", "-n", name, '-p={"data":{"color":"red"}}')
    await world.plane.kubectl("annotate", reference, "-n", namespace, "mine=1", identity="person")
    await world.plane.kubectl("delete", reference, "-n", namespace, "--wait=false", identity="person")
    commit = tenant.repository.commit({"beyond.yaml": None})
    await tenant.applied(commit)


async def test_nobody_is_given_rights_that_the_account_has_not(following: Tenant) -> None:
    tenant, name = following, following.namespace
    resources = {"rbac.authorization.k8s.io": ["roles", "rolebindings"]}
    await allow(tenant.world.plane, name, tenant.user, resources, role="binder")
    binding = f"""apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: everything, namespace: {name}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}}
subjects: [{{kind: ServiceAccount, name: {ACCOUNT}, namespace: {name}}}]
"""
    tenant.repository.commit({"binding.yaml": binding})

    await tenant.says("is attempting to grant RBAC permissions not currently held", "binding.yaml:1")
    assert not await tenant.world.exists("rolebinding", "everything", name)
    await tenant.world.plane.kubectl("create", "-f", "-", identity="person", input=binding)


async def test_without_an_account_it_has_the_rights_of_its_namespaces_default_one(tenant: Tenant) -> None:
    tenant.repository.commit({"settings.yaml": settings(tenant)})
    await tenant.follow(account="")

    await tenant.says(f"service account {tenant.namespace}/default may not patch configmaps in namespace {tenant.namespace}")
    assert not await tenant.world.exists("configmap", "settings", tenant.namespace)


async def test_an_account_that_may_change_but_not_create_is_told_so(tenant: Tenant) -> None:
    name = tenant.namespace
    user = f"system:serviceaccount:{name}:default"
    await allow(tenant.world.plane, name, user, {"": ["secrets"]}, role="changer", verbs=("get", "patch"))
    tenant.repository.commit({"login.yaml": SECRET % name})
    await tenant.follow(account="")

    message = await tenant.says(f'User "{user}" cannot create resource "secrets"', "login.yaml:1", "bind this user a Role")
    assert "battery-staple" not in message
    assert not await tenant.world.exists("secret", "login", name)


async def test_an_account_that_is_not_there_is_named(tenant: Tenant) -> None:
    tenant.repository.commit({"settings.yaml": settings(tenant)})
    await tenant.follow(account="typo")

    await tenant.says(f"there is no service account {tenant.namespace}/typo")


async def denied(client: Client, path: str) -> str:
    with pytest.raises(ApiStatusError, match="managed from Git") as raised:
        await client.apply(
            path,
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"color": "red"}},
            manager="guard",
            force=True,
        )
    return raised.value.message


async def test_the_same_account_in_other_hands_is_a_machine_like_any_other(following: Tenant, admin: Client) -> None:
    tenant, path = following, patch_path(following)
    asked = {"spec": {"expirationSeconds": 600}}
    answer = await tenant.world.plane.call(
        "POST", f"/api/v1/namespaces/{tenant.namespace}/serviceaccounts/{ACCOUNT}/token", body=asked
    )
    connection = await connect(kubeconfig=tenant.world.plane.kubeconfig("admin"))
    with_token = Client(connection.with_token(answer["status"]["token"]))
    try:
        await denied(with_token, path)
        with pytest.raises(ApiStatusError, match="managed from Git"):
            await with_token.delete(path, uid=(await with_token.get(path))["metadata"]["uid"])
    finally:
        await with_token.close()
    for extra in ({}, {EXTRA_HEADER: "0" * 64}, {EXTRA_HEADER: ""}):
        await denied(admin.acting_as(lambda extra=extra: {USER_HEADER: tenant.user, **extra}), path)
    assert await color(tenant) == "blue"


async def test_the_proof_of_one_account_opens_nothing_of_another(following: Tenant, admin: Client) -> None:
    tenant, world = following, following.world
    (proof,) = audited(world, tenant)[-1]["impersonatedUser"]["extra"][ACTING_EXTRA]

    other = admin.acting_as(lambda: {USER_HEADER: "system:serviceaccount:automation:operator", EXTRA_HEADER: proof})
    await denied(other, patch_path(tenant))
    # Nor what another Sync declares to the account itself, whatever RBAC says.
    await world.plane.kubectl(
        "create",
        "rolebinding",
        tenant.namespace,
        "--clusterrole=cluster-admin",
        f"--user={tenant.user}",
        "-n",
        "default",
        identity="admin",
    )
    own = admin.acting_as(lambda: {USER_HEADER: tenant.user, EXTRA_HEADER: proof})
    base = "/api/v1/namespaces/default/configmaps/base"
    with pytest.raises(ApiStatusError, match="managed from Git"):
        await own.merge_patch(base, {"data": {"greeting": "bye"}}, manager="guard")


async def test_the_proof_shows_nowhere_but_in_the_api_servers_own_audit_log(following: Tenant) -> None:
    tenant, world = following, following.world
    await world.refused("patch", "configmap/settings", "-n", tenant.namespace, '-p={"data":{"color":"red"}}')
    tenant.repository.commit({"beyond.yaml": SECRET % "default"})
    await tenant.says("may not patch")
    proofs = {proof for line in audited(world, tenant) for proof in line["impersonatedUser"]["extra"][ACTING_EXTRA]}
    assert proofs
    assert all(re.fullmatch("[0-9a-f]{64}", proof) for proof in proofs)

    syncs = await world.plane.kubectl("get", "syncs", "-A", "-o", "json", identity="admin")
    events = await world.plane.kubectl("get", "events", "-A", "-o", "json", identity="admin")
    explained = await world.guard.guard("explain", "configmap/settings", "-n", tenant.namespace, "-o", "json")
    shown = [syncs.stdout, events.stdout, explained.stdout, world.guard.log.read_text()]
    kept = [path.read_bytes() for path in world.guard.data.rglob("*") if path.is_file()]
    assert not [proof for proof in proofs for text in shown if proof in text]
    assert not [proof for proof in proofs for data in kept if proof.encode() in data]
    assert any(b"heal" in data or b"sync" in data for data in kept)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"url": "/etc"}, "leads to Guard's own machine"),
        ({"url": "http://127.0.0.1:1/deploy.git"}, "leads to Guard's own machine"),
        ({"enforcement": {"strictNamespaces": ["default"]}}, "names default"),
    ],
)
async def test_what_a_tenant_may_not_say_is_said_in_its_status(tenant: Tenant, spec: dict[str, str], expected: str) -> None:
    tenant.repository.commit({"settings.yaml": settings(tenant)})
    await tenant.follow(**spec)

    await tenant.says(expected, "outside guard-system")
    await tenant.world.plane.kubectl("create", "configmap", tenant.namespace, "-n", "default", identity="person")


async def test_what_goes_with_a_deleted_sync_goes_in_the_name_of_its_account(tenant: Tenant) -> None:
    world = tenant.world
    commit = tenant.repository.commit({"settings.yaml": settings(tenant)})
    await tenant.follow(deletionPolicy="Prune")
    await tenant.applied(commit)
    await tenant.drop()

    async def gone() -> bool:
        return not await world.exists("configmap", "settings", tenant.namespace)

    await eventually(gone, what=lambda: f"pruned; the log ends:\n{world.guard.tail()}")
    assert [line for line in audited(world, tenant) if line["verb"] == "delete"]


async def test_a_right_that_is_taken_away_makes_healing_fail_and_say_so(following: Tenant) -> None:
    tenant, world = following, following.world
    await world.plane.kubectl("delete", "rolebinding", "deployer", "-n", tenant.namespace, identity="admin")
    await world.past("patch", "configmap/settings", "-n", tenant.namespace, '-p={"data":{"color":"red"}}')

    def failed() -> bool:
        found = [one for one in world.recorded("settings", tenant.namespace) if one["event"] == "heal-failed"]
        return bool(found) and f'User "{tenant.user}" cannot patch' in found[-1]["message"]

    await eventually(failed, what=lambda: f"healing failed; the log ends:\n{world.guard.tail()}")
    assert await color(tenant) == "red"


async def test_what_it_was_let_do_once_it_protects_no_more_after_a_restart_without_the_right(following: Tenant) -> None:
    tenant, world = following, following.world
    await world.plane.kubectl("delete", "rolebinding", "deployer", "-n", tenant.namespace, identity="admin")
    await world.refused("patch", "configmap/settings", "-n", tenant.namespace, '-p={"data":{"color":"red"}}')
    await world.guard.kill()
    await world.guard.start()

    await tenant.says(f"service account {tenant.namespace}/{ACCOUNT} may not patch configmaps")
    await world.plane.kubectl(
        "patch", "configmap/settings", "-n", tenant.namespace, '-p={"data":{"color":"red"}}', identity="person"
    )
    assert await color(tenant) == "red"


async def test_what_the_platform_declares_a_tenant_cannot_hold(following: Tenant) -> None:
    tenant, world = following, following.world
    file = f"apps/{tenant.namespace}.yaml"
    await world.declare({file: settings(tenant, "platform")})
    try:
        assert await color(tenant) == "platform"
        await tenant.says(f"ConfigMap {tenant.namespace}/settings", "guard-system/apps")
        assert await color(tenant) == "platform"
        live = await world.get("configmap/settings", tenant.namespace)
        assert live["metadata"]["labels"]["gitopsguard.dev/sync"] == "guard-system.apps"
    finally:
        await world.declare({file: None})
    assert await world.exists("configmap", "settings", tenant.namespace)
    assert children(await tenant.sync(), "status") is not None
