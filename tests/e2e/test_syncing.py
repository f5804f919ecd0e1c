"""Commits, and what becomes of them."""

from __future__ import annotations

import asyncio

import pytest

from guard.base.codec import JsonObject, child, children
from tests.e2e.conftest import App, World, config_map
from tools.guardrun import eventually


async def versions(world: World) -> dict[str, str]:
    """The resourceVersion of every object with our label, of every kind that is served."""
    kinds = "namespaces,configmaps,secrets,deployments.apps,services"
    listed = await world.plane.kubectl("get", kinds, "-A", "-l", "gitopsguard.dev/sync", "-o", "json", identity="admin")
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
