from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import pytest

from guard.source import GitCredentials, GitRef, GitSource, GitVerify
from guard.source.git import MOST_IN_FETCH
from tests.source.repository import Repository
from tests.source.signing import OpenPgp

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


@pytest.fixture
def openpgp() -> Iterator[OpenPgp]:
    """A keyring of a person's, whose agent ends with the test."""
    # Its sockets have to have short names.
    with tempfile.TemporaryDirectory(prefix="gpg-", ignore_cleanup_errors=True) as home:
        ring = OpenPgp(Path(home))
        yield ring
        ring.close()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 (nobody tells when another process has made a file)
            await asyncio.sleep(0.01)
