"""Commits, and what becomes of them."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from guard.base.codec import JsonObject, child, children
from tests.e2e.conftest import App, World, config_map
from tests.source import githttp
from tools.guardrun import Repository, eventually, sync_document


async def versions(world: World) -> dict[str, str]:
    """The resourceVersion of every object of the Sync apps; Syncs of other tests may have healing off."""
    kinds = "namespaces,configmaps,secrets,deployments.apps,services"
    listed = await world.plane.kubectl(
        "get", kinds, "-A", "-l", "gitopsguard.dev/sync=guard-system.apps", "-o", "json", identity="admin"
    )
    return {
        f"{item['kind']} {item['metadata'].get('namespace')}/{item['metadata']['name']}": item["metadata"]["resourceVersion"]
        for item in listed.json()["items"]
    }


async def not_ready(world: World, *, sync: str = "apps") -> JsonObject:
    """Wait until the Sync is not ready; its condition says why."""
    found: list[JsonObject] = []

    async def look() -> bool:
        status = child(await world.guard.sync(sync), "status")
        found[:] = [condition for condition in children(status, "conditions") if condition["type"] == "Ready"]
        return bool(found) and found[0]["status"] == "False"

    await eventually(look, what=f"{sync} says what is wrong")
    return found[0]


async def broken(world: World, files: dict[str, str | None]) -> str:
    """Commit something bad, wait for the complaint, put it right again; returns the complaint. Nothing may have changed."""
    before = await versions(world)
    world.repository.commit(files)
    await world.guard.reconcile()
    condition = await not_ready(world)
    assert await versions(world) == before
    refused = await world.refused("delete", "configmap/base")
    assert "Change it in Git: apps/base.yaml:1" in refused.stderr
    world.repository.git("revert", "--no-edit", "HEAD")
    await world.guard.reconcile()
    await world.guard.applied(world.repository.git("rev-parse", "HEAD"))
    return str(condition["message"])


@pytest.mark.case(25)
@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\n  namespace: default\ndata: {a: [}\n", "apps/bad.yaml:6"),
        (config_map("base", "default", "  a: b"), "ConfigMap default/base is declared a second time"),
        (
            "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: x, namespace: default}\n",
            "apps/bad.yaml:1: the cluster serves no Widget",
        ),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n", "apps/bad.yaml:1: ConfigMap x has no metadata.namespace"),
        (
            config_map("x", "nowhere", "  a: b"),
            "apps/bad.yaml:1: ConfigMap nowhere/x: there is no namespace nowhere, nor does this revision declare it",
        ),
        (
            "apiVersion: v1\nkind: Service\nmetadata: {name: x, namespace: default}\nspec: {ports: [{port: 80, colour: red}]}\n",
            '.spec.ports[port=80,protocol="TCP"].colour: field not declared in schema',
        ),
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: default}\ndata: {size: 3}\n",
            "ConfigMap default/x: failed to create typed patch object (default/x; /v1, Kind=ConfigMap): .data.size: expected",
        ),
        (
            "apiVersion: v1\nkind: Service\nmetadata: {name: x, namespace: default}\nspec: {ports: [{port: 80000}]}\n",
            'apps/bad.yaml:1: Service default/x: Service "x" is invalid: [spec.ports[0].port: Invalid value: 80000',
        ),
    ],
)
async def test_a_bad_commit_changes_nothing_and_says_where(world: World, text: str, complaint: str) -> None:
    assert complaint in await broken(world, {"apps/bad.yaml": text})


@pytest.mark.case(26)
async def test_what_is_removed_from_git_is_pruned(app: App, world: World) -> None:
    await world.plane.kubectl("create", "configmap", "mine", "-n", app.namespace)
    await world.plane.kubectl("create", "configmap", "copy", "-n", app.namespace)
    copied = ("label", "configmap/copy", "gitopsguard.dev/sync=guard-system.apps", "-n", app.namespace)
    await world.past(*copied)
    without = app.text.replace(app.text[app.text.index("---\napiVersion: v1\nkind: Service") :], "")
    await world.declare({app.file: without})
    assert not await world.exists("service", "web", app.namespace)
    # A person's own object stays, and so does one that only carries a copy of our label.
    assert await world.exists("configmap", "mine", app.namespace)
    assert await world.exists("configmap", "copy", app.namespace)
    assert await world.exists("deployment", "web", app.namespace)


@pytest.mark.case(26)
async def test_an_empty_path_prunes_nothing(world: World) -> None:
    listed = world.repository.git("ls-files", "apps").splitlines()
    message = await broken(world, {**dict.fromkeys(listed), "apps/notes.txt": "nothing here\n"})
    assert "declares nothing" in message


@pytest.mark.case(26)
async def test_a_missing_path_prunes_nothing(world: World) -> None:
    listed = world.repository.git("ls-files", "apps").splitlines()
    assert "apps" in await broken(world, dict.fromkeys(listed))


@pytest.mark.case(32)
async def test_an_unchanged_revision_writes_nothing(app: App, world: World) -> None:
    before = await versions(world)
    assert f"Deployment {app.namespace}/web" in before
    for _ in range(3):
        await world.guard.reconcile()
        await asyncio.sleep(0.3)
    # A commit that changes nothing declared, either.
    await world.declare({"README.md": "words\n"})
    assert await versions(world) == before


@pytest.mark.case(32)
async def test_a_commit_that_changes_one_object_writes_one_object(app: App, world: World) -> None:
    before = await versions(world)
    await world.declare({app.file: app.text.replace("color: blue", "color: green")})
    after = await versions(world)
    assert {name for name in after if after[name] != before.get(name)} == {f"ConfigMap {app.namespace}/settings"}


@pytest.mark.case(27)
async def test_an_object_that_was_there_before_is_adopted_and_keeps_what_git_does_not_declare(world: World, fresh: str) -> None:
    await world.plane.kubectl("create", "configmap", fresh, "--from-literal=color=red", "--from-literal=theirs=1")
    await world.declare({f"apps/{fresh}.yaml": config_map(fresh, "default", "  color: blue\n  size: large")})
    assert (await world.get(f"configmap/{fresh}", "default"))["data"] == {"color": "blue", "size": "large", "theirs": "1"}
    # What Git drops goes, though the person who created the object owned it, too.
    await world.declare({f"apps/{fresh}.yaml": config_map(fresh, "default", "  size: large")})
    assert (await world.get(f"configmap/{fresh}", "default"))["data"] == {"size": "large", "theirs": "1"}


@pytest.mark.case(25)
async def test_definitions_and_their_objects_come_in_one_commit(world: World, fresh: str) -> None:
    text = f"""apiVersion: example.com/v1
kind: {fresh.capitalize()}
metadata:
  name: first
  namespace: {fresh}
spec:
  size: 1
---
apiVersion: v1
kind: Namespace
metadata:
  name: {fresh}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: {fresh}s.example.com
spec:
  group: example.com
  scope: Namespaced
  names: {{kind: {fresh.capitalize()}, plural: {fresh}s, singular: {fresh}}}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              properties:
                size: {{type: integer}}
"""
    await world.declare({f"apps/{fresh}.yaml": text})
    refused = await world.refused("patch", f"{fresh}s.example.com/first", "-n", fresh, "--type=merge", '-p={"spec":{"size":2}}')
    assert "spec.size: Git has 1, you asked for 2" in refused.stderr


async def test_a_private_repository_over_https_is_followed(world: World, fresh: str, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "private")
    commit = repository.commit({f"{fresh}.yaml": config_map(fresh, "default", "  color: blue")})
    async with githttp.serve(tmp_path, private=True) as server:
        login = {"username": githttp.USER, "password": githttp.PASSWORD, "ca.crt": server.ca_certificate}
        secret = {"metadata": {"name": fresh}, "stringData": login}
        await world.plane.call("POST", "/api/v1/namespaces/guard-system/secrets", body=secret)
        body = sync_document(fresh, server.url("private"))
        body["spec"]["source"]["git"]["secretRef"] = {"name": fresh}
        await world.plane.call("POST", "/apis/gitopsguard.dev/v1alpha1/namespaces/guard-system/syncs", body=body)
        await world.guard.applied(commit, sync=fresh)
        refused = await world.refused("delete", f"configmap/{fresh}")
        assert f"Change it in Git: {fresh}.yaml:1" in refused.stderr
        # A polled change, without anybody asking for it.
        commit = repository.commit({f"{fresh}.yaml": config_map(fresh, "default", "  color: green")})
        await world.guard.applied(commit, sync=fresh)
        assert (await world.get(f"configmap/{fresh}", "default"))["data"] == {"color": "green"}
    await world.plane.kubectl("delete", "sync", fresh, "-n", "guard-system", identity="admin")
    assert githttp.PASSWORD not in world.guard.log.read_text()


@pytest.mark.case(28)
async def test_an_object_that_two_syncs_declare_stays_with_the_first(world: World, fresh: str) -> None:
    name = f"{fresh}-two"
    world.repository.commit({f"{name}/base.yaml": config_map("base", "default", "  greeting: mine")})
    body = sync_document(name, world.repository.directory, path=name)
    await world.plane.call("POST", "/apis/gitopsguard.dev/v1alpha1/namespaces/guard-system/syncs", body=body)
    message = str((await not_ready(world, sync=name))["message"])
    assert "ConfigMap default/base is declared by two Syncs: guard-system/apps (apps/base.yaml:1) keeps it" in message
    assert (await world.get("configmap/base", "default"))["data"] == {"greeting": "hello"}
    await world.plane.kubectl("delete", "sync", name, "-n", "guard-system", identity="admin")


async def test_a_deleted_sync_leaves_its_objects_to_everybody(world: World, fresh: str) -> None:
    world.repository.commit({f"{fresh}/map.yaml": config_map(fresh, "default", "  color: blue")})
    body = sync_document(fresh, world.repository.directory, path=fresh)
    await world.plane.call("POST", "/apis/gitopsguard.dev/v1alpha1/namespaces/guard-system/syncs", body=body)
    await world.guard.applied(world.repository.git("rev-parse", "HEAD"), sync=fresh)
    await world.refused("delete", f"configmap/{fresh}")
    await world.plane.kubectl("delete", "sync", fresh, "-n", "guard-system", identity="admin")

    async def free() -> bool:
        completed = await world.plane.kubectl("delete", f"configmap/{fresh}", "--dry-run=server", check=False)
        return completed.returncode == 0

    await eventually(free, what="the object is nobody's")
    await world.plane.kubectl("delete", f"configmap/{fresh}")
    await asyncio.sleep(1)
    assert not await world.exists("configmap", fresh, "default")


def silent_webhook(port: int, *, resource: str) -> JsonObject:
    """Nobody answers there, so that what is created takes three seconds."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "silent"},
        "webhooks": [
            {
                "name": "silent.example.com",
                "admissionReviewVersions": ["v1"],
                "clientConfig": {"url": f"https://127.0.0.1:{port}/"},
                "failurePolicy": "Ignore",
                "rules": [{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["CREATE"], "resources": [resource]}],
                "sideEffects": "None",
                "timeoutSeconds": 3,
            }
        ],
    }


@pytest.mark.case(35)
async def test_a_kind_is_in_the_status_before_its_first_object_is_applied(world: World, fresh: str) -> None:
    """So that a Guard that is killed in between finds what to prune and what to protect."""
    path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    runtime_class = f"apiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata: {{name: {fresh}}}\nhandler: x\n"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        body = silent_webhook(silent.getsockname()[1], resource="runtimeclasses")
        await world.plane.call("POST", path, body=body)
        try:
            commit = world.repository.commit({f"apps/{fresh}.yaml": runtime_class})
            await world.guard.reconcile()

            async def named() -> bool:
                kinds = children((await world.guard.sync("apps"))["status"], "kinds")
                return any(kind["kind"] == "RuntimeClass" for kind in kinds)

            await eventually(named, what="the kind is named in the status")
            assert not await world.exists("runtimeclass", fresh, "default")
            await world.guard.applied(commit)
        finally:
            await world.plane.call("DELETE", f"{path}/silent")
    assert await world.exists("runtimeclass", fresh, "default")
