"""A bucket of a real S3 server, a source that follows it, and a plain listing and download of the same beside, in turns."""

from __future__ import annotations

import random
import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter
from typing import cast

import msgspec

from bench.manifests import Manifests
from guard.base.concurrency import for_each
from guard.source import BucketCredentials, BucketSource
from guard.source.bucket.address import address_of
from guard.source.bucket.store import AT_ONCE, Store
from tools.s3client import Bucket, S3Client, connected
from tools.s3server import S3Server

NAME, PREFIX = "deploy", "clusters"
TIMEOUT = 60
MOST = 1024 * 1024


class Beside(msgspec.Struct, frozen=True):
    """Seconds of Guard's source, of the bare requests with Guard's own client, and of those with aiobotocore's."""

    guard: float
    plain: float
    aiobotocore: float


class StoredManifests:
    """What was measured stays, by round."""

    def __init__(self, server: S3Server, client: S3Client, manifests: Manifests, scratch: Path) -> None:
        self.cold: list[Beside] = []
        self.warm: list[Beside] = []
        self.changes: list[Beside] = []
        self.count = manifests.count
        self._server = server
        self._client = client
        self._bucket = Bucket(client, NAME)
        self._manifests = manifests
        self._scratch = scratch
        self._login = BucketCredentials(access_key=server.access_key, secret_key=server.secret_key)
        self._kept = self._source("kept")
        self._store = self._new_store()

    @classmethod
    @asynccontextmanager
    async def of(cls, objects: int, scratch: Path) -> AsyncGenerator[StoredManifests]:
        manifests = Manifests(scratch / "manifests")
        manifests.grow(objects)
        async with S3Server.start(scratch / "s3") as server, connected(server) as client:
            bucket = await Bucket.make(client, NAME)
            texts = {f"{PREFIX}/{path}": text for path, text in manifests.texts()}
            await for_each(list(texts.items()), lambda one: bucket.put(*one), at_once=AT_ONCE)
            found = cls(server, client, manifests, scratch)
            try:
                await found._kept.fetch()
                await found._store.begin()
                yield found
            finally:
                await found._kept.close()
                await found._store.close()

    async def load(self) -> None:
        """Everything for the first time, connections included."""
        name = f"cold-{len(self.cold)}"

        async def guard() -> None:
            source = self._source(name)
            try:
                await source.fetch()
            finally:
                await source.close()

        async def plain() -> None:
            store = self._new_store()
            try:
                await store.begin()
                await self._download(store)
            finally:
                await store.close()

        async def aiobotocore() -> None:
            keys = [key for key, _ in await self._listed()]
            await for_each(keys, self._got, at_once=AT_ONCE)

        self.cold.append(await _in_turns(guard, plain, aiobotocore))
        shutil.rmtree(self._scratch / name)

    async def look(self) -> None:
        """Nothing is new."""

        async def plain() -> None:
            await self._store.listing(f"{PREFIX}/")

        async def aiobotocore() -> None:
            await self._listed()

        async def guard() -> None:
            await self._kept.fetch()

        self.warm.append(await _in_turns(guard, plain, aiobotocore))

    async def change(self) -> None:
        """One object is new."""
        change = self._manifests.change()
        key = f"{PREFIX}/{change.path}"
        await self._bucket.put(key, change.text)

        async def guard() -> None:
            await self._kept.fetch()

        async def plain() -> None:
            listed = await self._store.listing(f"{PREFIX}/")
            await self._store.get(next(each for each in listed if each.key == key), most=MOST)

        async def aiobotocore() -> None:
            await self._listed()
            await self._got(key)

        self.changes.append(await _in_turns(guard, plain, aiobotocore))

    def _source(self, name: str) -> BucketSource:
        return BucketSource(
            name=NAME, prefix=PREFIX, endpoint=self._server.url, credentials=self._login, directory=self._scratch / name
        )

    def _new_store(self) -> Store:
        address = address_of(name=NAME, endpoint=self._server.url, region="", path_style=None)
        return Store(address=address, credentials=self._login, timeout=TIMEOUT)

    @staticmethod
    async def _download(store: Store) -> None:
        await for_each(await store.listing(f"{PREFIX}/"), lambda one: store.get(one, most=MOST), at_once=AT_ONCE)

    async def _listed(self) -> Sequence[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        more: dict[str, str] = {}
        while True:
            page = await self._client.list_objects_v2(Bucket=NAME, Prefix=f"{PREFIX}/", **more)
            objects = cast("Sequence[Mapping[str, str]]", page["Contents"])
            found += [(each["Key"], each["ETag"]) for each in objects]
            if not page["IsTruncated"]:
                return found
            more = {"ContinuationToken": str(page["NextContinuationToken"])}

    async def _got(self, key: str) -> bytes:
        answer = await self._client.get_object(Bucket=NAME, Key=key)
        return await answer["Body"].read()


async def _in_turns(*works: Callable[[], Awaitable[None]]) -> Beside:
    """Each of them, one after the other in random order, so that what the machine does meanwhile meets all alike."""
    taken: dict[int, float] = {}
    for place in random.sample(range(len(works)), len(works)):
        started = perf_counter()
        await works[place]()
        taken[place] = perf_counter() - started
    return Beside(guard=taken[0], plain=taken[1], aiobotocore=taken[2])
