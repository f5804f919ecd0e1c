"""A whole `guard run` on a real API server: how soon a push is applied, and what holds up the event loop meanwhile."""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from time import monotonic, perf_counter

import msgspec

from bench.client import ApiClient, Observer
from bench.guard_watched import Seen
from bench.manifests import Manifests
from bench.objects import CONFIG_MAP, DEPLOYMENT, NAMESPACE
from bench.setting import ROOT
from guard.base import codec
from guard.base.codec import child, children
from guard.cluster import collection_path
from tools.controlplane import ControlPlane
from tools.guardrun import GuardProcess, running, sync_document

INTERVAL_SECONDS = 1
# A first sync of 10,000 objects takes 20,000 writes and dry runs, which a small machine does in some minutes.
SYNC_SECONDS = 900.0
PROGRESS_SECONDS = 5.0
# What comes after the applies: status, pins, the next look.
SETTLE_SECONDS = 2.0


class WatchedGuard(GuardProcess):
    """`bench.guard_watched` in place of `guard run`."""

    @property
    def seen(self) -> Path:
        return self.directory / "seen.jsonl"

    async def launch(self) -> None:
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "bench.guard_watched", str(self.seen), *self.arguments(), cwd=ROOT, stdout=log, stderr=log
            )


class Cluster(msgspec.Struct, frozen=True):
    """A control plane, a repository, and a Guard that is to follow it, which is not started yet."""

    plane: ControlPlane
    client: ApiClient
    manifests: Manifests
    guard: GuardProcess

    async def wait_for(self, commit: str) -> float:
        """Seconds until the Sync says that a commit is applied, telling how far it is."""
        started = told = perf_counter()
        while not await self._is_applied(commit):
            if self.guard.process.returncode is not None or perf_counter() - started > SYNC_SECONDS:
                raise AssertionError(f"{commit} is not applied; the log ends:\n{self.guard.tail()}")
            if perf_counter() - told > PROGRESS_SECONDS:
                told = perf_counter()
                print(f"  {told - started:.0f} s: {await self._count():,} of {self.manifests.count:,} objects", flush=True)
            await asyncio.sleep(0.2)
        return perf_counter() - started

    async def _is_applied(self, commit: str) -> bool:
        status = child(await self.guard.sync("apps"), "status")
        ready = [found for found in children(status, "conditions") if found.get("type") == "Ready"]
        return str(status.get("lastAppliedRevision", "")).endswith(commit) and bool(ready) and ready[0]["status"] == "True"

    async def _count(self) -> int:
        """How many objects are there by now."""
        found = 0
        for kind in (CONFIG_MAP, DEPLOYMENT):
            path = f"{collection_path(kind, namespace=NAMESPACE)}?limit=1"
            page = (await self.client.send("GET", path, caller=self.client.caller("admin"))).json()
            found += len(children(page, "items")) + int(child(page, "metadata").get("remainingItemCount", 0))
        return found

    @asynccontextmanager
    async def observed(self) -> AsyncGenerator[dict[str, Observer]]:
        async with (
            self.client.observe(collection_path(CONFIG_MAP, namespace=NAMESPACE)) as config_maps,
            self.client.observe(collection_path(DEPLOYMENT, namespace=NAMESPACE)) as deployments,
        ):
            yield {"ConfigMap": config_maps, "Deployment": deployments}

    async def push(self, observers: dict[str, Observer]) -> float:
        """Change one object in Git; seconds from when the branch has moved until a watch shows the new value."""
        change = self.manifests.change()
        sample = change.sample
        async with observers[sample.kind.kind].expect(
            change.name, lambda _event, body: sample.read(body) == change.value
        ) as landed:
            self.manifests.commit(change)
            pushed = perf_counter()
        return landed.result() - pushed


@asynccontextmanager
async def cluster(guard: type[GuardProcess]) -> AsyncGenerator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="guard-bench-") as scratch:
        directory = Path(scratch)
        manifests = Manifests(directory / "served")
        sync = sync_document("apps", manifests.repository.directory, interval=f"{INTERVAL_SECONDS}s")
        async with ControlPlane.start(directory / "plane") as plane, ApiClient.open(plane) as client:
            await plane.call("POST", "/api/v1/namespaces", body={"metadata": {"name": NAMESPACE}})
            process = guard(plane, directory / "guard", syncs=[sync], resync="0")
            yield Cluster(plane=plane, client=client, manifests=manifests, guard=process)


class Pushes(msgspec.Struct, frozen=True):
    """Seconds: of the sync that brought all objects that were new, and of each push of one."""

    objects: int
    sync: float
    pushes: list[float]


async def pushes(sizes: Sequence[int], rounds: int) -> list[Pushes]:
    """One after another in one Guard, the repository growing."""
    found: list[Pushes] = []
    async with cluster(GuardProcess) as where:
        where.manifests.grow(sizes[0])
        async with running(where.guard):
            for objects in sizes:
                taken = await where.wait_for(where.manifests.grow(objects))
                async with where.observed() as observers:
                    await where.push(observers)
                    measured: list[float] = []
                    for _ in range(rounds):
                        # At no fixed time after the last look.
                        await asyncio.sleep(SETTLE_SECONDS * random.random())  # noqa: S311 (no secret)
                        measured.append(await where.push(observers))
                found.append(Pushes(objects=objects, sync=taken, pushes=measured))
            await where.guard.stop()
    return found


class Phase(msgspec.Struct, frozen=True):
    """What was seen from `start` (monotonic) to `end`."""

    name: str
    start: float
    end: float
    seen: list[Seen]

    def of(self, kind: str) -> list[Seen]:
        """The longest first."""
        return sorted((one for one in self.seen if one.kind == kind), key=lambda one: -one.seconds)


async def watched(objects: int, *, looks: float, commits: int) -> list[Phase]:
    """The first sync of so many objects, some seconds of looks that find nothing, and commits of one object."""
    async with cluster(WatchedGuard) as where:
        commit = where.manifests.grow(objects)
        guard = where.guard
        assert isinstance(guard, WatchedGuard)
        try:
            await guard.launch()
            await _there(where)
            await where.wait_for(commit)
            await asyncio.sleep(SETTLE_SECONDS)
            marks = [("looks with nothing new", monotonic())]
            await asyncio.sleep(looks)
            marks.append(("commits of one object", monotonic()))
            async with where.observed() as observers:
                for _ in range(commits):
                    await where.push(observers)
            await asyncio.sleep(SETTLE_SECONDS)
            marks.append(("stopping", monotonic()))
            await guard.stop()
        finally:
            await guard.kill()
        seen = [codec.decode_as(line, Seen) for line in guard.seen.read_bytes().splitlines()]
    steps = [(f"first sync: {one.what}", one.at) for one in seen if one.kind == "step" and one.at < marks[0][1]]
    bounds = [*steps, *marks]
    return [
        Phase(name=name, start=start, end=end, seen=[one for one in seen if start <= one.at < end])
        for (name, start), (_, end) in pairwise(bounds)
    ]


async def _there(where: Cluster) -> None:
    """The Sync itself is made by Guard."""
    end = perf_counter() + 30.0
    while True:
        found = await where.client.send(
            "GET", "/apis/gitopsguard.dev/v1alpha1/namespaces/guard-system/syncs/apps", caller=where.client.caller("admin")
        )
        if found.status == 200:
            return
        assert perf_counter() < end, where.guard.tail()
        await asyncio.sleep(0.1)
