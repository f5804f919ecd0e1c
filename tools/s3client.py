"""Writes to a bucket, with the client that people use from Python (aiobotocore), for tests, bench and demo."""

from __future__ import annotations

import importlib
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol, cast

from tools.s3server import S3Server


class _Body(Protocol):
    async def read(self) -> bytes: ...


class S3Client(Protocol):
    """What of aiobotocore's client is used."""

    async def create_bucket(self, *, Bucket: str) -> object: ...  # noqa: N803 (these are S3's names)
    async def delete_bucket(self, *, Bucket: str) -> object: ...  # noqa: N803
    async def put_bucket_versioning(self, *, Bucket: str, VersioningConfiguration: Mapping[str, str]) -> object: ...  # noqa: N803
    async def put_object(self, *, Bucket: str, Key: str, Body: bytes) -> Mapping[str, str]: ...  # noqa: N803
    async def delete_object(self, **options: str) -> Mapping[str, str]: ...
    async def get_object(self, *, Bucket: str, Key: str) -> Mapping[str, _Body]: ...  # noqa: N803
    async def list_objects_v2(self, **options: str) -> Mapping[str, object]: ...


class _Session(Protocol):
    def create_client(self, service: str, **options: object) -> AbstractAsyncContextManager[S3Client]: ...


class _Sessions(Protocol):
    def get_session(self) -> _Session: ...


@asynccontextmanager
async def connected(server: S3Server, *, verify: str | bool = True) -> AsyncGenerator[S3Client]:
    """The root user's client of a server. `verify` names a file of authorities to trust."""
    sessions = cast("_Sessions", importlib.import_module("aiobotocore.session"))
    client = sessions.get_session().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=server.url,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
        verify=verify,
    )
    async with client as found:
        yield found


class Bucket:
    """One that is written to."""

    def __init__(self, client: S3Client, name: str) -> None:
        self.client = client
        self.name = name

    @classmethod
    async def make(cls, client: S3Client, name: str, *, versioning: str = "Enabled") -> Bucket:
        """`versioning` is Enabled, Suspended, or empty for a bucket that never had any."""
        await client.create_bucket(Bucket=name)
        bucket = cls(client, name)
        if versioning:
            await bucket.version(versioning)
        return bucket

    async def version(self, status: str) -> None:
        await self.client.put_bucket_versioning(Bucket=self.name, VersioningConfiguration={"Status": status})

    async def put(self, key: str, data: bytes | str) -> str:
        """The id of the version that it became; empty where there is none."""
        body = data.encode() if isinstance(data, str) else data
        answer = await self.client.put_object(Bucket=self.name, Key=key, Body=body)
        return answer.get("VersionId", "")

    async def put_all(self, objects: Mapping[str, bytes | str]) -> None:
        for key, data in objects.items():
            await self.put(key, data)

    async def delete(self, *keys: str) -> None:
        for key in keys:
            await self.client.delete_object(Bucket=self.name, Key=key)

    async def delete_versions(self, versions: Iterable[tuple[str, str]]) -> None:
        """Take versions away for good, each given as key and id."""
        for key, version in versions:
            await self.client.delete_object(Bucket=self.name, Key=key, VersionId=version)
