from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pytest

from guard.source import BucketCredentials, BucketSource, BucketVerify, GitCredentials, GitRef, GitSource, GitVerify
from guard.source.git import MOST_IN_FETCH
from tests.source.between import Between
from tests.source.repository import Repository
from tests.source.signing import OpenPgp
from tools import debian
from tools.s3client import Bucket
from tools.s3server import S3Server

Source = Callable[..., GitSource]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "served" / "deploy")


@pytest.fixture
async def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Source]:
    """Makes sources that share one data folder and are closed at the end."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    made: list[GitSource] = []

    def make(
        url: str,
        *,
        ref: GitRef | None = None,
        credentials: GitCredentials | None = None,
        secret: str = "",
        include: Sequence[str] = (),
        verify: GitVerify | None = None,
        timeout: float = 30,
        most: int = MOST_IN_FETCH,
    ) -> GitSource:
        source = GitSource(
            url=url,
            ref=ref,
            credentials=credentials,
            secret=secret,
            include=include,
            verify=verify,
            directory=tmp_path / "data",
            timeout=timeout,
            most=most,
        )
        made.append(source)
        return source

    yield make
    for each in made:
        await each.close()


class Opened(Protocol):
    """Opens a bucket: by default that of the test, with the right credentials, in one data folder."""

    def __call__(
        self,
        *,
        name: str = "",
        prefix: str = "",
        endpoint: str = "",
        pinned: str = "",
        path_style: bool | None = None,
        credentials: BucketCredentials | None = None,
        is_ambient: bool = False,
        secret: str = "",
        include: Sequence[str] = (),
        verify: BucketVerify | None = None,
        directory: str = "data",
        timeout: float = 30,
    ) -> BucketSource: ...


@pytest.fixture
async def between(s3_server: S3Server) -> AsyncIterator[Between]:
    """What sources of buckets ask, unless told otherwise: it passes everything on to the real server."""
    async with Between.of(s3_server) as found:
        yield found


def credentials_for(server: S3Server) -> BucketCredentials:
    return BucketCredentials(access_key=server.access_key, secret_key=server.secret_key)


@pytest.fixture
async def opened(
    tmp_path: Path, s3_server: S3Server, bucket: Bucket, between: Between, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Opened]:
    """Opens buckets, and closes them at the end."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    made: list[BucketSource] = []

    def make(
        *,
        name: str = "",
        prefix: str = "",
        endpoint: str = "",
        pinned: str = "",
        path_style: bool | None = None,
        credentials: BucketCredentials | None = None,
        is_ambient: bool = False,
        secret: str = "",
        include: Sequence[str] = (),
        verify: BucketVerify | None = None,
        directory: str = "data",
        timeout: float = 30,
    ) -> BucketSource:
        source = BucketSource(
            name=name or bucket.name,
            prefix=prefix,
            endpoint=endpoint or between.url,
            pinned=pinned,
            path_style=path_style,
            credentials=None if is_ambient else credentials or credentials_for(s3_server),
            secret=secret,
            include=include,
            verify=verify,
            directory=tmp_path / directory,
            timeout=timeout,
        )
        made.append(source)
        return source

    yield make
    for each in made:
        await each.close()


@pytest.fixture
def openpgp() -> Iterator[OpenPgp]:
    """A keyring of a person's, whose agent ends with the test."""
    # Its sockets have to have short names.
    with tempfile.TemporaryDirectory(prefix="gpg-", ignore_cleanup_errors=True) as home:
        debian.locate("gpg")
        ring = OpenPgp(Path(home))
        yield ring
        ring.close()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 (nobody tells when another process has made a file)
            await asyncio.sleep(0.01)
