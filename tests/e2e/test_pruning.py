"""What goes when Git drops it, on a cluster in which kube-controller-manager works, and what a Sync that is deleted leaves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from guard.base import codec
from guard.base.codec import JsonObject, child, children
from tests.e2e.conftest import SYNCS, World, config_map
from tools.guardrun import Repository, eventually, sync_document

CONFIRM = "gitopsguard.dev/confirm-prune"
LABEL = "gitopsguard.dev/sync"


class Owned:
    """A Sync of its own, over a repository of its own, with objects in a namespace that it declares."""

    def __init__(self, world: World, repository: Repository, name: str) -> None:
        self.world = world
        self.repository = repository
        self.name = name

    async def create(self, files: dict[str, str | None], *, path: str = "./", **spec: str) -> None:
        commit = self.repository.commit(files)
        await self.world.plane.call(
            "POST",
            SYNCS,
            body=sync_document(self.name, self.repository.directory, path=path, interval="1s", enforcement=None, **spec),
        )
        await self.world.guard.applied(commit, sync=self.name)

    def map(self, name: str, *, annotations: str = "", data: str = "  color: blue") -> str:
        text = config_map(name, self.name, data)
        return text.replace("metadata:\n", f"metadata:\n  annotations: {{{annotations}}}\n") if annotations else text

    @property
    def home(self) -> str:
        return f"apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {self.name}\n"

    async def commit(self, files: dict[str, str | None]) -> None:
        await self.world.guard.applied(self.repository.commit(files), sync=self.name)

    async def condition(self, kind: str = "Ready") -> JsonObject:
        status = child(await self.world.guard.sync(self.name), "status")
        unknown: JsonObject = {}
        return next((found for found in children(status, "conditions") if found["type"] == kind), unknown)

    async def says(self, text: str, *, kind: str = "Ready") -> str:
        async def told() -> bool:
            return text in str((await self.condition(kind)).get("message"))

        await eventually(told, what=lambda: f"{self.name} says {text!r}; it is {self.world.guard.tail()}")
        return str((await self.condition(kind))["message"])

    async def is_there(self, resource: str, name: str) -> bool:
        return await self.world.exists(resource, name, self.name)

    async def goes(self, resource: str, name: str) -> None:
        async def gone() -> bool:
            return not await self.is_there(resource, name)

        await eventually(gone, what=lambda: f"{resource}/{name} is gone; the log ends:\n{self.world.guard.tail()}")

    async def patch(self, patch: JsonObject, *, resource: str = "sync", name: str = "", namespace: str = "guard-system") -> None:
        text = codec.encode(patch).decode()
        await self.world.plane.kubectl(
            "patch", resource, name or self.name, "-n", namespace, "--type=merge", "-p", text, identity="admin"
        )

    async def hold(self, name: str, *finalizers: str) -> None:
        """Somebody's finalizer on an object, as a controller puts it there; none takes it off."""
        patch = codec.encode({"metadata": {"finalizers": list(finalizers)}}).decode()
        flags = ("-n", self.name, "--field-manager=operator", "--type=merge", "-p", patch)
        await self.world.plane.kubectl("patch", "configmap", name, *flags, identity="operator")

    async def delete(self, *flags: str) -> None:
        await self.world.plane.kubectl("delete", "sync", self.name, "-n", "guard-system", *flags, identity="admin")

    async def exists(self) -> bool:
        return await self.world.exists("sync", self.name, "guard-system")


@pytest.fixture
async def owned(cluster: World, fresh: str, tmp_path: Path) -> AsyncIterator[Owned]:
    found = Owned(cluster, Repository(tmp_path / "repository"), fresh)
    yield found
    await found.patch({"spec": {"deletionPolicy": "Orphan"}}) if await found.exists() else None
    await cluster.plane.kubectl("delete", "sync", fresh, "-n", "guard-system", "--ignore-not-found", identity="admin")


@pytest.mark.case(26)
async def test_a_folder_that_is_gone_prunes_nothing_until_that_very_revision_is_confirmed(owned: Owned) -> None:
    await owned.create({"apps/home.yaml": owned.home, "apps/map.yaml": owned.map("first")}, path="apps")
    revision = f"main@sha1:{owned.repository.commit({'apps/home.yaml': None, 'apps/map.yaml': None})}"
    message = await owned.says("does not exist")
    assert f"{CONFIRM}={revision}" in message
    assert await owned.is_there("configmap", "first")
    await owned.patch({"metadata": {"annotations": {CONFIRM: "main@sha1:another"}}})
    again = f"main@sha1:{owned.repository.commit({'README.md': 'nothing'})}"
    await owned.says(f"{CONFIRM}={again}")
    assert await owned.is_there("configmap", "first")
    await owned.patch({"metadata": {"annotations": {CONFIRM: again}}})
    await owned.goes("configmap", "first")
    await owned.goes("namespace", owned.name)
    # A confirmation counts once.

    async def settled() -> bool:
        return CONFIRM not in (await owned.world.guard.sync(owned.name))["metadata"].get("annotations", {})

    await eventually(settled, what="the confirmation is taken off")


@pytest.mark.case(26)
async def test_a_commit_that_removes_every_namespace_waits(owned: Owned) -> None:
    outside = config_map(owned.name, "default", "  color: blue")
    await owned.create({"home.yaml": owned.home, "a.yaml": owned.map("a"), "outside.yaml": outside})
    commit = owned.repository.commit({"home.yaml": None, "a.yaml": None})
    message = await owned.says("every namespace that was declared would go (1)")
    assert await owned.is_there("configmap", "a")
    assert f"{CONFIRM}=main@sha1:{commit}" in message
    await owned.patch({"metadata": {"annotations": {CONFIRM: f"main@sha1:{commit}"}}})
    await owned.goes("namespace", owned.name)


@pytest.mark.case(26)
async def test_large_prunes_wait_and_stay_known(owned: Owned) -> None:
    files: dict[str, str | None] = {f"m{number}.yaml": owned.map(f"m{number}") for number in range(14)}
    await owned.create({"home.yaml": owned.home, **files})
    first = owned.repository.commit({f"m{number}.yaml": None for number in range(1, 14)})
    message = await owned.says("nothing is pruned: 13 of 15 objects would go")
    assert f"{CONFIRM}=main@sha1:{first}" in message
    # A later commit that declares more does not make it harmless.
    owned.repository.commit({f"n{number}.yaml": owned.map(f"n{number}") for number in range(14)})

    async def applied() -> bool:
        return await owned.is_there("configmap", "n13")

    await eventually(applied, what="the later commit is applied")
    await owned.says(f"{CONFIRM}=main@sha1:{first}")
    assert await owned.is_there("configmap", "m5")
    assert (await owned.condition("Stalled"))["reason"] == "PruneHeldBack"
    await owned.patch({"metadata": {"annotations": {CONFIRM: f"main@sha1:{first}"}}})
    await owned.goes("configmap", "m5")

    async def ready() -> bool:
        return (await owned.condition()).get("status") == "True"

    await eventually(ready, what="it is ready again")
    assert await owned.is_there("configmap", "m0")


async def test_what_somebody_holds_is_named_and_stops_nothing(owned: Owned) -> None:
    await owned.create({"home.yaml": owned.home, "a.yaml": owned.map("a"), "b.yaml": owned.map("b")}, timeout="2s")
    await owned.hold("a", "example.com/hold")
    await owned.commit({"a.yaml": None, "b.yaml": None, "c.yaml": owned.map("c")})
    assert await owned.is_there("configmap", "c")
    message = await owned.says(f"ConfigMap {owned.name}/a is being deleted since 20")
    assert "held by example.com/hold" in message
    assert (await owned.condition())["status"] == "True"
    assert (await owned.condition("Reconciling"))["reason"] == "Pruning"
    await owned.commit({"d.yaml": owned.map("d")})
    assert await owned.is_there("configmap", "d")
    await owned.says("held by example.com/hold")
    await owned.hold("a")

    async def cleared() -> bool:
        ready = await owned.condition()
        return "held by" not in str(ready["message"]) and not await owned.condition("Reconciling")

    await eventually(cleared, what="the status names it no more", seconds=90)


async def test_a_namespace_goes_after_what_is_in_it(owned: Owned) -> None:
    other = f"apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {owned.name}-other\n"
    await owned.create({"home.yaml": owned.home, "other.yaml": other, "a.yaml": owned.map("a")})
    await owned.hold("a", "example.com/hold")
    await owned.commit({"home.yaml": None, "a.yaml": None})
    await owned.says("is being deleted")
    home = await owned.world.get(f"namespace/{owned.name}", "")
    assert "deletionTimestamp" not in home["metadata"]
    await owned.hold("a")
    await owned.goes("namespace", owned.name)


@pytest.mark.case(35)
async def test_a_prune_that_is_killed_goes_on_where_it_was(owned: Owned) -> None:
    late = owned.map("late", annotations='gitopsguard.dev/wave: "5"')
    many = "---\n".join(owned.map(f"m{number}") for number in range(9))
    await owned.create({"home.yaml": owned.home, "late.yaml": late, "many.yaml": many, "kept.yaml": owned.map("kept")})
    await owned.hold("late", "example.com/hold")
    await owned.commit({"late.yaml": None, "many.yaml": None})
    await owned.says("9 objects to be deleted after that")
    await owned.world.guard.kill()
    assert await owned.is_there("configmap", "m3")
    await owned.world.guard.start()
    await owned.hold("late")
    for number in range(9):
        await owned.goes("configmap", f"m{number}")
    assert await owned.is_there("configmap", "kept")


@pytest.mark.case(29)
async def test_an_object_that_is_not_to_be_pruned_is_people_s_afterwards(owned: Owned) -> None:
    left = owned.map("left", annotations="gitopsguard.dev/prune: Disabled")
    await owned.create({"home.yaml": owned.home, "left.yaml": left, "b.yaml": owned.map("b")})
    await owned.world.refused("delete", "configmap", "left", "-n", owned.name)
    await owned.commit({"left.yaml": None})
    body = await owned.world.get("configmap/left", owned.name)
    assert LABEL not in body["metadata"].get("labels", {})
    assert "guard" not in {entry["manager"] for entry in body["metadata"]["managedFields"]}
    flags = ("--server-side", "--field-manager=kubectl", "-f", "-")
    changed = config_map("left", owned.name, "  color: red")
    await owned.world.plane.kubectl("apply", *flags, identity="person", input=changed)
    await owned.world.plane.kubectl("delete", "configmap", "left", "-n", owned.name, identity="person")
    assert not await owned.is_there("configmap", "left")


@pytest.mark.case(9)
async def test_what_controllers_copy_the_label_to_is_never_pruned(owned: Owned) -> None:
    service = f"""apiVersion: v1
kind: Service
metadata:
  name: web
  namespace: {owned.name}
spec:
  selector:
    app: web
  ports:
    - port: 80
"""
    await owned.create({"home.yaml": owned.home, "web.yaml": service, "b.yaml": owned.map("b")})

    async def copied() -> bool:
        found = await owned.world.plane.kubectl(
            "get", "endpointslices", "-n", owned.name, "-l", LABEL, "-o", "name", identity="admin"
        )
        return bool(found.stdout.strip())

    await eventually(copied, what="the label is copied")
    # Both kinds are Git's from now on, so that pruning looks through them.
    slices = f"""apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: own
  namespace: {owned.name}
addressType: IPv4
endpoints: []
ports: []
"""
    await owned.commit({"slice.yaml": slices})
    await owned.world.guard.reconcile(owned.name)
    await owned.commit({"slice.yaml": None})
    await owned.goes("endpointslice", "own")
    assert await copied()


async def test_an_object_that_moves_to_another_sync_is_never_deleted(owned: Owned) -> None:
    other = Owned(owned.world, owned.repository, f"{owned.name}-b")
    moved = owned.map("moved")
    await owned.create({"a/home.yaml": owned.home, "a/b.yaml": owned.map("b"), "a/moved.yaml": moved}, path="a")
    await other.create({"b/other.yaml": other.home}, path="b")
    uid = (await owned.world.get("configmap/moved", owned.name))["metadata"]["uid"]
    # Declared by both: the second one waits for it.
    owned.repository.commit({"b/moved.yaml": moved})
    await other.says("is declared by two Syncs")
    commit = owned.repository.commit({"a/moved.yaml": None})
    await owned.world.guard.applied(commit, sync=owned.name)
    await owned.world.guard.applied(commit, sync=other.name, seconds=90)
    body = await owned.world.get("configmap/moved", owned.name)
    assert body["metadata"]["uid"] == uid
    assert body["metadata"]["labels"][LABEL] == f"guard-system.{other.name}"
    await owned.world.plane.kubectl("delete", "sync", other.name, "-n", "guard-system", identity="admin")


async def test_deleting_a_sync_leaves_its_objects_to_people(owned: Owned) -> None:
    await owned.create({"home.yaml": owned.home, "a.yaml": owned.map("a")})
    await owned.delete()

    async def free() -> bool:
        body = await owned.world.get("configmap/a", owned.name)
        return LABEL not in body["metadata"].get("labels", {})

    await eventually(free, what="the label is taken off")
    await owned.world.plane.kubectl("delete", "configmap", "a", "-n", owned.name, identity="person")


async def test_a_sync_that_prunes_takes_its_objects_with_it(owned: Owned) -> None:
    await owned.create({"home.yaml": owned.home, "a.yaml": owned.map("a")}, deletionPolicy="Prune")
    await owned.hold("a", "example.com/hold")
    await owned.delete("--wait=false")
    await owned.says("is being deleted since 20")
    assert await owned.is_there("namespace", owned.name)
    # Guard is killed in the middle, and its source is gone.
    await owned.world.guard.kill()
    (owned.repository.directory / ".git").rename(owned.repository.directory / "gone")
    await owned.world.guard.start()
    assert await owned.exists()
    await owned.hold("a")
    await owned.goes("namespace", owned.name)

    async def gone() -> bool:
        return not await owned.exists()

    await eventually(gone, what="the Sync is gone")
    deleted = [record for record in owned.world.guard.records() if record["event"] == "sync-deleted"]
    assert f"guard-system/{owned.name}" in {record["sync"] for record in deleted}


async def test_a_sync_made_again_under_its_name_is_another_one(owned: Owned) -> None:
    await owned.create({"x/home.yaml": owned.home, "x/a.yaml": owned.map("a"), "y/b.yaml": owned.map("b")}, path="x")
    await owned.delete()
    body = sync_document(owned.name, owned.repository.directory, path="y")
    await owned.world.plane.call("POST", SYNCS, body=body)
    await owned.world.guard.applied(owned.repository.git("rev-parse", "HEAD"), sync=owned.name)
    assert (await owned.world.get("configmap/b", owned.name))["metadata"]["labels"][LABEL] == f"guard-system.{owned.name}"
    await owned.commit({"y/c.yaml": owned.map("c")})
    assert await owned.is_there("configmap", "a")


@pytest.mark.case(26)
async def test_nothing_is_pruned_while_what_may_take_its_place_cannot_be_applied(owned: Owned) -> None:
    solid = owned.map("solid") + "immutable: true\n"
    await owned.create({"home.yaml": owned.home, "solid.yaml": solid, "old.yaml": owned.map("old")})
    owned.repository.commit({"solid.yaml": solid.replace("blue", "red"), "old.yaml": None, "new.yaml": owned.map("new")})
    await owned.says("immutable")
    assert await owned.is_there("configmap", "new")
    assert await owned.is_there("configmap", "old")
    await owned.commit({"solid.yaml": solid})
    await owned.goes("configmap", "old")


async def test_what_is_to_go_makes_room_for_what_cannot_be_applied_before(owned: Owned) -> None:
    def service(name: str) -> str:
        spec = "{type: NodePort, selector: {app: web}, ports: [{name: http, port: 80, nodePort: 30077}]}"
        return f"apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\n  namespace: {owned.name}\nspec: {spec}\n"

    await owned.create({"home.yaml": owned.home, "service.yaml": service("old")})
    await owned.commit({"service.yaml": service("new")})
    assert await owned.is_there("service", "new")
    assert not await owned.is_there("service", "old")
