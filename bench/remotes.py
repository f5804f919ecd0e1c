"""Repositories of some sizes, served in two ways; of each what Guard makes of it, and git and a plain parse alone, in turns."""

from __future__ import annotations

import random
import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from bench import githost
from bench.alone import GitAlone, parsing
from bench.following import Follower, Steps
from bench.manifests import Manifests

Transport = Literal["file", "https"]
TRANSPORTS: tuple[Transport, ...] = ("file", "https")

A = TypeVar("A")
B = TypeVar("B")


class Load(msgspec.Struct, frozen=True):
    """A load from nothing, then one with everything cached, as after a restart; and `git fetch` and a plain parse alone."""

    cold: Steps
    cached: Steps
    fetch: float
    parse: float


class Look(msgspec.Struct, frozen=True):
    """A look that finds nothing new, and `git ls-remote` and `git fetch` alone."""

    guard: float
    listing: float
    fetch: float


class Commit(msgspec.Struct, frozen=True):
    """A commit that changes one object, and `git fetch` and a plain parse of the changed file alone."""

    guard: Steps
    fetch: float
    parse: float


class Remote:
    """A repository over one transport, a Guard that follows it, and git alone beside. What was measured stays, by round."""

    def __init__(self, manifests: Manifests, transport: Transport, *, host: githost.Host, scratch: Path) -> None:
        directory = manifests.repository.directory
        is_https = transport == "https"
        self.objects = manifests.count
        self.transport: Transport = transport
        self.loads: list[Load] = []
        self.looks: list[Look] = []
        self.commits: list[Commit] = []
        self._scratch = scratch / transport
        self._url = f"{host.url}{directory.parent.name}/{directory.name}" if is_https else str(directory)
        self._ca_certificate = host.ca_certificate if is_https else ""
        self._follower = self._new_follower("kept")
        self._alone = GitAlone(self._url, self._scratch / "kept" / "alone", ca_certificate=self._ca_certificate)

    def _new_follower(self, name: str) -> Follower:
        return Follower(self._url, self._scratch / name / "guard", ca_certificate=self._ca_certificate)

    async def prepare(self) -> None:
        await self._follower.follow()
        self._alone.fetch()

    async def load(self, texts: Sequence[tuple[str, bytes]]) -> None:
        name = f"load-{len(self.loads)}"

        async def guard() -> tuple[Steps, Steps]:
            cold, cached = [await self._loaded(name) for _ in range(2)]
            return cold, cached

        async def alone() -> tuple[float, float]:
            git = GitAlone(self._url, self._scratch / name / "alone", ca_certificate=self._ca_certificate)
            return git.fetch(), parsing(texts)

        (cold, cached), (fetch, parse) = await _in_turns(guard, alone)
        self.loads.append(Load(cold=cold, cached=cached, fetch=fetch, parse=parse))
        shutil.rmtree(self._scratch / name)

    async def _loaded(self, name: str) -> Steps:
        follower = self._new_follower(name)
        try:
            steps = await follower.follow()
            assert len(follower.view.state) == self.objects
            return steps
        finally:
            await follower.close()

    async def look(self) -> None:
        async def alone() -> tuple[float, float]:
            return self._alone.listing(), self._alone.fetch()

        guard, (listing, fetch) = await _in_turns(self._follower.look, alone)
        self.looks.append(Look(guard=guard, listing=listing, fetch=fetch))

    async def commit(self, changed: tuple[str, bytes]) -> None:
        async def alone() -> tuple[float, float]:
            return self._alone.fetch(), parsing([changed])

        guard, (fetch, parse) = await _in_turns(self._follower.follow, alone)
        self.commits.append(Commit(guard=guard, fetch=fetch, parse=parse))

    async def close(self) -> None:
        await self._follower.close()


async def _in_turns(one: Callable[[], Awaitable[A]], other: Callable[[], Awaitable[B]]) -> tuple[A, B]:
    """Both, one after the other in random order, so that what the machine does meanwhile meets both alike."""
    if random.random() < 0.5:  # noqa: S311 (no secret)
        first = await one()
        return first, await other()
    second = await other()
    return await one(), second


class Repositories:
    """One of each size, each over both transports."""

    def __init__(self, remotes: dict[Manifests, list[Remote]]) -> None:
        self._remotes = remotes

    @property
    def remotes(self) -> list[Remote]:
        return [remote for remotes in self._remotes.values() for remote in remotes]

    @classmethod
    @asynccontextmanager
    async def of(cls, sizes: Sequence[int], scratch: Path) -> AsyncGenerator[Repositories]:
        async with AsyncExitStack() as stack:
            host = await stack.enter_async_context(githost.serving(scratch / "served"))
            found: dict[Manifests, list[Remote]] = {}
            for objects in sizes:
                manifests = Manifests(scratch / "served" / str(objects))
                manifests.grow(objects)
                found[manifests] = []
                for transport in TRANSPORTS:
                    remote = Remote(manifests, transport, host=host, scratch=scratch / str(objects))
                    stack.push_async_callback(remote.close)
                    await remote.prepare()
                    found[manifests].append(remote)
            yield cls(found)

    async def load(self) -> None:
        for manifests, remotes in self._shuffled():
            texts = list(manifests.texts())
            for remote in remotes:
                await remote.load(texts)

    async def look(self) -> None:
        for _, remotes in self._shuffled():
            for remote in remotes:
                await remote.look()

    async def commit(self) -> None:
        for manifests, remotes in self._shuffled():
            change = manifests.change()
            manifests.commit(change)
            for remote in remotes:
                await remote.commit((change.path, change.text.encode()))

    def _shuffled(self) -> list[tuple[Manifests, list[Remote]]]:
        found = list(self._remotes.items())
        random.shuffle(found)
        return [(manifests, random.sample(remotes, len(remotes))) for manifests, remotes in found]
