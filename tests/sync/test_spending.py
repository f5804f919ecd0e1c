"""What somebody has allowed counts once, on a real API server that knows Syncs."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from msgspec import structs

from guard.api import ACCEPT_REVISION, SYNC, Sync, parse_sync, sync_crd
from guard.base.codec import JsonObject
from guard.cluster import Client, object_path
from guard.sync import install_definition
from guard.sync.doubt import CONFIRM
from guard.sync.spending import spend

OLD = f"main@sha1:{'1' * 40}"


class Annotated:
    """A Sync that is there, with annotations."""

    def __init__(self, client: Client, namespace: str, *, source: JsonObject | None = None) -> None:
        self._client = client
        self._source = source or {"git": {"url": "https://git.example.com/deploy"}}
        self._path = object_path(SYNC, namespace=namespace, name=f"accepting-{secrets.token_hex(4)}")

    async def create(self, annotations: Mapping[str, str]) -> Sync:
        await install_definition(self._client, sync_crd(), kind=SYNC)
        folder, _, name = self._path.rpartition("/")
        body = {
            "apiVersion": "gitopsguard.dev/v1alpha1",
            "kind": "Sync",
            "metadata": {"name": name, "annotations": dict(annotations)},
            "spec": {"source": self._source},
        }
        await self._client.post(folder, body)
        return await self.read()

    async def read(self) -> Sync:
        return parse_sync(await self._client.get(self._path), where="the API server")

    async def annotate(self, value: str) -> None:
        await self._client.merge_patch(self._path, {"metadata": {"annotations": {ACCEPT_REVISION: value}}}, manager="kubectl")

    async def delete(self) -> None:
        await self._client.delete(self._path, uid=(await self.read()).metadata.uid)


async def test_what_was_accepted_is_not_accepted_once_more(client: Client, namespace: str) -> None:
    annotated = Annotated(client, namespace)
    sync = await annotated.create({ACCEPT_REVISION: OLD, "other": "stays"})
    await spend(client, sync, revision=f"main@sha1:{'2' * 40}")
    assert (await annotated.read()).metadata.annotations == {ACCEPT_REVISION: OLD, "other": "stays"}

    await spend(client, sync, revision=OLD)

    assert (await annotated.read()).metadata.annotations == {"other": "stays"}
    # Once more, by what was known of the Sync before.
    await spend(client, sync, revision=OLD)


async def test_what_was_accepted_meanwhile_stays(client: Client, namespace: str) -> None:
    annotated = Annotated(client, namespace)
    sync = await annotated.create({ACCEPT_REVISION: OLD})
    await annotated.annotate("main@sha1:3")
    await spend(client, sync, revision=OLD)
    assert (await annotated.read()).metadata.annotations == {ACCEPT_REVISION: "main@sha1:3"}
    # Nothing is taken from another Sync of the name, and a Sync that is gone is no fault.
    await annotated.annotate(OLD)
    await spend(client, structs.replace(sync, metadata=structs.replace(sync.metadata, uid="another")), revision=OLD)
    assert (await annotated.read()).metadata.annotations == {ACCEPT_REVISION: OLD}
    await annotated.delete()
    await spend(client, sync, revision=OLD)


async def test_a_confirmed_prune_that_did_not_come_is_not_done_when_a_bucket_is_so_again(client: Client, namespace: str) -> None:
    empty, full = (f"deploy@sha256:{digit * 64}" for digit in "01")
    annotated = Annotated(client, namespace, source={"bucket": {"name": "deploy"}})
    sync = await annotated.create({CONFIRM: empty, "other": "stays"})
    # It is being done, or is held back since.
    await spend(client, sync, revision=empty)
    await spend(client, sync, revision=full, held=empty)
    assert (await annotated.read()).metadata.annotations == {CONFIRM: empty, "other": "stays"}

    await spend(client, sync, revision=full)

    assert (await annotated.read()).metadata.annotations == {"other": "stays"}


async def test_of_a_repository_a_revision_may_be_confirmed_before_it_comes(client: Client, namespace: str) -> None:
    annotated = Annotated(client, namespace)
    sync = await annotated.create({CONFIRM: OLD})
    await spend(client, sync, revision=f"main@sha1:{'2' * 40}")
    assert (await annotated.read()).metadata.annotations == {CONFIRM: OLD}
