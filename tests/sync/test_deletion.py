"""Deleting a Sync, on a real API server that knows Syncs."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from msgspec import structs

from guard.api import SYNC, parse_sync, sync_crd
from guard.base import codec
from guard.base.codec import Json, JsonObject
from guard.cluster import Client, object_path
from guard.state.ids import SYNC_LABEL
from guard.state.managed import our_entry
from guard.sync import install_definition
from guard.sync.deletion import FINALIZER, Deletion, keep
from tests.state.samples import CONFIG_MAP, SECRET
from tests.sync.pruning import Workshop, path_of, sync_of
from tools.guardrun import eventually


def wave(number: int) -> JsonObject:
    return {"annotations": {"gitopsguard.dev/wave": str(number)}}


class Leaving(Workshop):
    """A Sync that is there, and can be deleted."""

    async def create(self, *, namespace: str = "guard-system", **spec: Json) -> None:
        await install_definition(self.client, sync_crd(), kind=SYNC)
        body = codec.plain(sync_of(self.sync.metadata.name, namespace=namespace, **spec))
        wanted: JsonObject = {
            "apiVersion": body["apiVersion"],
            "kind": body["kind"],
            "metadata": {"name": self.sync.metadata.name, "namespace": namespace},
            "spec": {name: body["spec"][name] for name in ("source", *spec)},
        }
        await ensure_namespace(self.client, namespace)
        self.sync = sync_of(self.sync.metadata.name, namespace=namespace)
        await self.client.post(self.path.rpartition("/")[0], wanted)
        await self.refresh()
        if self.sync.spec.deletion_policy == "Prune":
            await keep(self.client, self.sync, wanted=True)
            await self.refresh()

    @property
    def path(self) -> str:
        return object_path(SYNC, namespace=self.sync.metadata.namespace, name=self.sync.metadata.name)

    async def refresh(self) -> None:
        self.sync = parse_sync(await self.client.get(self.path), where="the API server")

    async def delete(self) -> None:
        await self.client.delete(self.path, uid=self.sync.metadata.uid)

    async def is_there(self) -> bool:
        params = {"fieldSelector": f"metadata.name={self.sync.metadata.name}"}
        return bool((await self.client.get(self.path.rpartition("/")[0], params=params))["items"])

    async def message(self) -> str:
        body = await self.client.get(self.path)
        return " ".join(found["message"] for found in body.get("status", {}).get("conditions", ()))

    @asynccontextmanager
    async def deleting(self) -> AsyncGenerator[Deletion]:
        deletion = self.deletion()
        task = asyncio.create_task(deletion.run())
        yield deletion
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def ensure_namespace(client: Client, name: str) -> None:
    body: JsonObject = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    await client.apply(f"/api/v1/namespaces/{name}", body, manager="tests", force=True)


@pytest.fixture
def leaving(client: Client) -> Leaving:
    return Leaving(client, f"apps-{secrets.token_hex(4)}")


async def test_under_prune_all_of_it_goes_and_then_the_sync(leaving: Leaving, namespace: str) -> None:
    await leaving.create(deletionPolicy="Prune")
    one, two = leaving.object(CONFIG_MAP, "one", namespace=namespace), leaving.object(SECRET, "two", namespace=namespace)
    await leaving.apply(one, two)
    await leaving.delete()
    leaving.drops(one, two)
    await leaving.refresh()
    assert leaving.sync.metadata.finalizers == (FINALIZER,)
    await leaving.deletion().run()
    assert await leaving.there(one, two) == []
    assert not await leaving.is_there()
    assert [record.event for record in leaving.records] == ["sync-deleted"]


async def test_by_default_they_stay_and_are_people_s(leaving: Leaving, namespace: str) -> None:
    await leaving.create()
    one = leaving.object(CONFIG_MAP, "one", namespace=namespace, data={"color": "blue"})
    await leaving.apply(one)
    leaving.drops(one)
    assert leaving.sync.metadata.finalizers == ()
    await leaving.delete()
    deletion = leaving.deletion()
    deletion.resource_gone()
    await deletion.run()
    body = await leaving.get(one)
    assert body is not None
    assert SYNC_LABEL not in body["metadata"].get("labels", {})
    assert our_entry(body) is None
    theirs: JsonObject = {**one.body, "metadata": {"name": "one", "namespace": namespace}, "data": {"color": "red"}}
    await leaving.client.apply(path_of(one), theirs, manager="kubectl", force=False)


async def test_what_somebody_holds_is_named_and_the_sync_waits_for_it(leaving: Leaving, namespace: str) -> None:
    await leaving.create(deletionPolicy="Prune")
    one, two = (leaving.object(CONFIG_MAP, name, namespace=namespace) for name in ("one", "two"))
    await leaving.apply(one, two)
    await leaving.hold(one)
    await leaving.delete()
    leaving.drops(one, two)
    await leaving.refresh()
    async with leaving.deleting():

        async def named() -> bool:
            return "one is being deleted since" in await leaving.message()

        await eventually(named, what="the held object is named")
        assert await leaving.get(two) is None
        await leaving.let_go(one)

        async def gone() -> bool:
            return not await leaving.is_there()

        await eventually(gone, what="the Sync is gone")


async def test_what_cannot_be_said_stops_no_deletion(leaving: Leaving, namespace: str) -> None:
    await leaving.create(deletionPolicy="Prune")
    stuck, rest = (
        leaving.object(CONFIG_MAP, "stuck", namespace=namespace, metadata=wave(5)),
        leaving.object(CONFIG_MAP, "rest", namespace=namespace),
    )
    await leaving.apply(stuck, rest)
    await leaving.hold(stuck)
    leaving.drops(stuck, rest)
    # Nothing is written into another Sync of the name.
    leaving.sync = structs.replace(leaving.sync, metadata=structs.replace(leaving.sync.metadata, uid="another"))
    deletion = leaving.deletion()
    task = asyncio.create_task(deletion.run())

    async def asked() -> bool:
        return await leaving.there(stuck) == []

    await eventually(asked, what="the first one is being deleted")
    # Longer than it is waited for within a round: by then it was to be said.
    await asyncio.sleep(5)
    await leaving.let_go(stuck)
    async with asyncio.timeout(60):
        await task
    assert await leaving.there(rest) == []


async def test_a_deletion_under_way_may_be_changed_to_orphan(leaving: Leaving, namespace: str) -> None:
    await leaving.create(deletionPolicy="Prune")
    stuck, rest = (
        leaving.object(CONFIG_MAP, "stuck", namespace=namespace, metadata=wave(5)),
        leaving.object(CONFIG_MAP, "rest", namespace=namespace),
    )
    await leaving.apply(stuck, rest)
    await leaving.hold(stuck)
    await leaving.delete()
    leaving.drops(stuck, rest)
    await leaving.refresh()
    async with leaving.deleting() as deletion:

        async def asked() -> bool:
            return await leaving.there(stuck) == []

        await eventually(asked, what="the first one is being deleted")
        await leaving.client.merge_patch(leaving.path, {"spec": {"deletionPolicy": "Orphan"}}, manager="kubectl")
        await leaving.refresh()
        deletion.update(leaving.sync)

        async def gone() -> bool:
            return not await leaving.is_there()

        await eventually(gone, what="the Sync is gone")
    body = await leaving.get(rest)
    assert body is not None
    assert SYNC_LABEL not in body["metadata"].get("labels", {})


async def test_a_suspended_sync_takes_nothing_with_it(leaving: Leaving, namespace: str) -> None:
    await leaving.create(deletionPolicy="Prune", suspend=True)
    one = leaving.object(CONFIG_MAP, "one", namespace=namespace)
    await leaving.apply(one)
    await leaving.delete()
    leaving.drops(one)
    await leaving.refresh()
    await leaving.deletion().run()
    assert await leaving.there(one) == ["one"]
    assert not await leaving.is_there()


async def test_kinds_that_nobody_serves_keep_no_sync(leaving: Leaving) -> None:
    await leaving.create(deletionPolicy="Prune")
    leaving.kinds.add(structs.replace(CONFIG_MAP, group="gone.example.com", kind="Gone", resource="gones"))
    await leaving.delete()
    await leaving.refresh()
    await leaving.deletion().run()
    assert not await leaving.is_there()


async def test_the_finalizer_comes_and_goes_with_the_policy(leaving: Leaving) -> None:
    await leaving.create()
    # Somebody else's stays, and so does a version that is known no more.
    await leaving.client.merge_patch(leaving.path, {"metadata": {"finalizers": ["example.com/theirs"]}}, manager="kubectl")
    await keep(leaving.client, leaving.sync, wanted=True)
    await leaving.refresh()
    assert leaving.sync.metadata.finalizers == ("example.com/theirs", FINALIZER)
    await keep(leaving.client, leaving.sync, wanted=False)
    await leaving.refresh()
    assert leaving.sync.metadata.finalizers == ("example.com/theirs",)


async def test_who_deletes_the_sync_s_namespace_did_not_ask_for_its_objects(leaving: Leaving, namespace: str) -> None:
    home = f"{namespace}-home"
    await leaving.create(namespace=home, deletionPolicy="Prune")
    one = leaving.object(CONFIG_MAP, "one", namespace=namespace)
    await leaving.apply(one)
    uid = (await leaving.client.get(f"/api/v1/namespaces/{home}"))["metadata"]["uid"]
    # Nobody finishes that here; what it would do next is to delete what is in it.
    await leaving.client.delete(f"/api/v1/namespaces/{home}", uid=uid)
    await leaving.delete()
    leaving.drops(one)
    await leaving.refresh()
    await leaving.deletion().run()
    assert not await leaving.is_there()
    body = await leaving.get(one)
    assert body is not None
    assert SYNC_LABEL not in body["metadata"].get("labels", {})
