"""What an admin has accepted is taken once, on a real API server that knows Syncs."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from msgspec import structs

from guard.api import ACCEPT_REVISION, SYNC, Sync, parse_sync, sync_crd
from guard.cluster import Client, object_path
from guard.sync import install_definition
from guard.sync.accepting import spend

OLD = f"main@sha1:{'1' * 40}"


class Annotated:
    """A Sync that is there, with annotations."""

    def __init__(self, client: Client, namespace: str) -> None:
        self._client = client
        self._path = object_path(SYNC, namespace=namespace, name=f"accepting-{secrets.token_hex(4)}")

    async def create(self, annotations: Mapping[str, str]) -> Sync:
        await install_definition(self._client, sync_crd(), kind=SYNC)
        folder, _, name = self._path.rpartition("/")
        body = {
            "apiVersion": "gitopsguard.dev/v1alpha1",
            "kind": "Sync",
            "metadata": {"name": name, "annotations": dict(annotations)},
            "spec": {"source": {"git": {"url": "https://git.example.com/deploy"}}},
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
