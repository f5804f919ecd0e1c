"""How closely a Sync enforces: modes, namespaces it keeps to itself, fields it leaves to others, people it exempts."""

from __future__ import annotations

import pytest

from guard.base import codec
from guard.base.codec import JsonObject
from tests.e2e.conftest import App, World, config_map
from tests.e2e.test_healing import containers
from tools.controlplane import PERSON
from tools.guardrun import eventually


@pytest.fixture
async def apart(world: World, fresh: str) -> App:
    """As `app`, but declared by a Sync of its own, which has the namespace's name."""
    await world.add_sync(fresh, enforcement={"mode": "Deny"})
    found = App(world, fresh)
    found.file = f"{fresh}/app.yaml"
    await world.declare({found.file: found.text}, sync=fresh)
    return found


async def annotated(world: World, namespace: str, name: str) -> None:
    """An operator's controller, which writes whole objects, notes something on the deployment."""
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/web"
    live: JsonObject = await world.plane.call("GET", path)
    live["metadata"].setdefault("annotations", {})[name] = "yes"
    await world.plane.call("PUT", f"{path}?fieldManager=operator", body=live, identity="operator")


@pytest.mark.case(12)
async def test_others_may_update_what_has_drifted_without_them(apart: App, world: World) -> None:
    name = apart.namespace
    await world.enforce(name, {"mode": "Deny", "heal": False})
    await world.past("set", "image", "deployment/web", "web=nginx:1.26", "-n", name)
    await world.past("label", "deployment/web", "app-", "-n", name)
    await annotated(world, name, "operator.example.com/seen")
    await world.plane.kubectl("rollout", "restart", "deployment/web", "-n", name)
    # Not theirs to change further, nor are its other fields; back to Git it may go.
    refused = await world.refused("set", "image", "deployment/web", "web=nginx:1.27", "-n", name)
    assert "image: Git has nginx:1.25, you asked for nginx:1.27" in refused.stderr
    await world.refused("scale", "deployment/web", "--replicas=9", "-n", name)
    found = await world.get("deployment/web", name)
    assert containers(found) == {"web": "nginx:1.26"}
    assert found["metadata"]["annotations"]["operator.example.com/seen"] == "yes"
    await world.plane.kubectl("set", "image", "deployment/web", "web=nginx:1.25", "-n", name)
    await world.plane.kubectl("label", "deployment/web", "app=web", "-n", name)


@pytest.mark.case(18)
async def test_warn_and_audit_let_pass_whatever_deny_refuses(apart: App, world: World) -> None:
    name = apart.namespace
    commands = (
        ("scale", "deployment/web", "--replicas=5"),
        ("label", "service/web", "extra=1"),
        ("patch", "deployment/web", "--subresource=status", "--type=merge", '-p={"metadata":{"finalizers":["example.com/x"]}}'),
        ("label", "configmap/settings", "gitopsguard.dev/sync-"),
        ("delete", "secret/login"),
    )
    dry = ("-n", name, "--dry-run=server")
    await world.enforce(name, {"mode": "Warn"})
    for command in commands:
        assert "would be refused under Deny" in (found := await world.plane.kubectl(*command, *dry)).stderr or (
            "should not be changed by hand" in found.stderr
        )
    cascade = await world.plane.kubectl("delete", "namespace", name, "--dry-run=server")
    assert f"Warning: Namespace {name} holds 4 objects managed from Git, so deleting it would be refused" in cascade.stderr
    await world.enforce(name, {"mode": "Audit"})
    for command in commands:
        assert "Warning" not in (await world.plane.kubectl(*command, *dry)).stderr
    events = [record["event"] for record in world.guard.records() if record.get("namespace") == name and record.get("dryRun")]
    assert (events.count("warned"), events.count("audited"), events.count("denied")) == (5, 5, 0)
    await world.enforce(name, {"mode": "Deny"})
    for command in commands:
        await world.refused(*command, *dry)


@pytest.mark.case(11)
async def test_every_dry_run_is_answered_and_leaves_nothing_but_records(app: App, world: World) -> None:
    kinds = ("deployment/web", "configmap/settings", "service/web", f"namespace/{app.namespace}")
    before = [await world.get(kind, app.namespace) for kind in kinds]
    flags = ("-n", app.namespace, "--dry-run=server")
    changed = config_map("settings", app.namespace, "  color: red")
    for command in (
        ("scale", "deployment/web", "--replicas=5"),
        ("apply", "--server-side", "--force-conflicts", "-f", "-"),
        ("delete", "service/web"),
        ("delete", "namespace", app.namespace),
    ):
        await world.refused(*command, *flags, text=changed if "-f" in command else None)
    allowed = ("annotate", "deployment/web", "kubernetes.io/change-cause=none")
    for command in (("set", "image", "deployment/web", "web=nginx:1.25"), ("label", "service/web", "extra-"), allowed):
        await world.plane.kubectl(*command, *flags)
    records = [found for found in world.guard.records() if app.namespace in {found.get("namespace"), found.get("name")}]
    assert [(found["event"], found["dryRun"]) for found in records if found["event"] != "synced"] == [("denied", True)] * 4
    assert [await world.get(kind, app.namespace) for kind in kinds] == before


@pytest.mark.case(9)
async def test_in_a_strict_namespace_people_create_only_what_git_declares(apart: App, world: World) -> None:
    name = apart.namespace
    await world.plane.kubectl("create", "configmap", "older", "-n", name)
    await world.enforce(name, {"mode": "Deny", "strictNamespaces": [name]})

    async def strict() -> bool:
        tried = await world.plane.kubectl(
            "create", "role", "mine", "--verb=get", "--resource=pods", "-n", name, "--dry-run=server", check=False
        )
        return tried.returncode != 0 and "is not in Git, so creating it in this namespace is refused" in tried.stderr

    # A kind that Git declares nowhere near, too, once the API server asks about it.
    await eventually(strict, what="a role is refused")
    for command in (("create", "configmap", "mine"), ("create", "deployment", "mine", "--image=busybox")):
        refused = await world.refused(*command, "-n", name)
        assert f"guard-system/{name} has the namespace among its strictNamespaces. Declare the object in Git." in refused.stderr
    # A CI job that types what people type is refused as they are.
    await world.refused("create", "configmap", "mine", "-n", name, identity="ci")
    # Controllers create what they need, questions are no objects, and what was there before is its owner's.
    body: JsonObject = {"metadata": {"name": "theirs"}}
    path = f"/api/v1/namespaces/{name}/configmaps?fieldManager=operator"
    await world.plane.call("POST", path, body=body, identity="operator")
    await world.plane.kubectl("auth", "can-i", "create", "pods", "-n", name)
    await world.plane.kubectl("label", "configmap/older", "mine=1", "-n", name)
    await world.plane.kubectl("delete", "configmap/older", "-n", name)
    # What Git declares comes as ever, and other namespaces are as they were.
    await world.declare({f"{name}/more.yaml": config_map("more", name, "  a: b")}, sync=name)
    assert await world.exists("configmap", "more", name)
    await world.plane.kubectl("create", "configmap", f"{name}-mine", "-n", "default")


async def test_ignored_replicas_are_gits_at_creation_and_then_anybodys(world: World, fresh: str) -> None:
    await world.add_sync(fresh, enforcement={"mode": "Deny", "ignore": [{"kind": "Deployment", "paths": ["/spec/replicas"]}]})
    app = App(world, fresh)
    file = f"{fresh}/app.yaml"
    await world.declare({file: app.text}, sync=fresh)

    async def replicas() -> int:
        return int((await world.get("deployment/web", fresh))["spec"]["replicas"])

    assert await replicas() == 2
    await world.plane.kubectl("scale", "deployment/web", "--replicas=5", "-n", fresh)
    await world.plane.kubectl("patch", "deployment/web", "-n", fresh, '-p={"spec":{"replicas":6}}')
    await world.refused("set", "image", "deployment/web", "web=nginx:1.26", "-n", fresh)
    # Healing another field leaves it.
    await world.past("set", "image", "deployment/web", "web=nginx:1.26", "-n", fresh)

    async def healed() -> bool:
        return containers(await world.get("deployment/web", fresh)) == {"web": "nginx:1.25"}

    await eventually(healed, what="the image healed")
    await world.settled(fresh)
    assert await replicas() == 6
    # So does a commit, of other fields and of this one.
    await world.declare({file: app.text.replace("nginx:1.25", "nginx:1.27")}, sync=fresh)
    assert containers(await world.get("deployment/web", fresh)) == {"web": "nginx:1.27"}
    assert await replicas() == 6
    await world.declare({file: app.text.replace("replicas: 2", "replicas: 3")}, sync=fresh)
    assert await replicas() == 6
    assert [record["event"] for record in world.recorded("web", fresh) if record["event"] == "fight"] == []
    # Without the rule it is Git's again.
    await world.enforce(fresh, {"mode": "Deny"})
    await world.settled(fresh)
    assert await replicas() == 3
    await world.refused("scale", "deployment/web", "--replicas=5", "-n", fresh)


async def test_fields_are_left_to_one_field_manager(apart: App, world: World) -> None:
    name = apart.namespace
    rule = {"kind": "Deployment", "paths": ["/spec/template/spec/containers[name=web]/image"], "managers": ["image-updater"]}
    await world.enforce(name, {"mode": "Deny", "ignore": [rule]})
    await world.refused("set", "image", "deployment/web", "web=nginx:1.26", "-n", name)
    updater = ("set", "image", "deployment/web", "web=nginx:1.26", "-n", name, "--field-manager=image-updater")
    # A person is nobody's field manager.
    await world.refused(*updater)
    await world.plane.kubectl(*updater, identity="operator")
    await world.settled(name)
    assert containers(await world.get("deployment/web", name)) == {"web": "nginx:1.26"}
    scale = ("patch", "deployment/web", "-n", name, '-p={"spec":{"replicas":5}}', "--field-manager=image-updater")
    assert "spec.replicas: Git has 2, you asked for 5" in (await world.refused(*scale)).stderr


async def test_who_is_exempt_is_not_refused_but_recorded_and_healed(apart: App, world: World) -> None:
    name = apart.namespace
    exemption = {"users": [PERSON], "kinds": ["ConfigMap"], "namespaces": [name], "operations": ["UPDATE"]}
    await world.enforce(name, {"mode": "Deny", "exempt": [exemption]})
    edit = ("patch", "configmap/settings", "-n", name, '-p={"data":{"color":"red"}}')
    passed = await world.plane.kubectl(*edit)
    assert "Warning" not in passed.stderr
    record = next(found for found in world.recorded("settings", name) if found["event"] == "exempted")
    assert (record["user"], record["reason"], record["operation"]) == (PERSON, "DeclaredFieldChanged", "UPDATE")

    async def blue() -> bool:
        return bool((await world.get("configmap/settings", name))["data"]["color"] == "blue")

    await eventually(blue, what="Git's value is back")
    await world.refused(*edit, identity="ci")
    await world.refused("delete", "configmap/settings", "-n", name)
    await world.refused("patch", "service/web", "-n", name, '-p={"metadata":{"labels":{"extra":"1"}}}')


async def test_additions_are_peoples_where_the_sync_allows_them(apart: App, world: World) -> None:
    name = apart.namespace
    await world.enforce(name, {"mode": "Deny", "additions": "Allow"})
    await world.plane.kubectl("label", "service/web", "extra=1", "-n", name)
    await world.settled(name)
    assert (await world.get("service/web", name))["metadata"]["labels"]["extra"] == "1"
    await world.refused("patch", "service/web", "-n", name, "-p", codec.encode({"spec": {"selector": {"app": "x"}}}).decode())
