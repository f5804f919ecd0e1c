"""A whole `guard run` on a real API server: how soon a push is applied, and what holds up the event loop meanwhile."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import random
import statistics
import sys
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from time import perf_counter

import aiohttp
import msgspec

from bench import githost
from bench.client import ApiClient, Observer
from bench.guard_watched import Seen
from bench.manifests import Manifests
from bench.objects import CONFIG_MAP, DEPLOYMENT, NAMESPACE
from bench.setting import ROOT
from guard.base import codec
from guard.base.codec import child, children
from guard.cluster import collection_path
from guard.state.ids import GUARD_NAMESPACE
from tools.controlplane import ControlPlane
from tools.guardrun import GuardProcess, eventually, sync_document

# Guard looks by itself only after so long; a push wakes it.
INTERVAL = "1h"
SYNC_PATH = "/apis/gitopsguard.dev/v1alpha1/namespaces/guard-system/syncs/apps"
TOKEN = "correct-horse-battery"  # noqa: S105 (made up)
# A first sync of 10,000 objects takes 20,000 writes and dry runs, which a small machine does in some minutes.
SYNC_SECONDS = 900.0
PROGRESS_SECONDS = 5.0
# What comes after the applies: status, pins, the next look.
SETTLE_SECONDS = 1.0


class WatchedGuard(GuardProcess):
    """`bench.guard_watched` in place of `guard run`."""

    folder = ROOT

    @property
    def seen(self) -> Path:
        return self.directory / "seen.jsonl"

    def command(self) -> list[str]:
        return [sys.executable, "-m", "bench.guard_watched", str(self.seen), *self.arguments()]


class Push(msgspec.Struct, frozen=True):
    """When the branch had moved, and when a watch showed the new value."""

    pushed: float
    landed: float

    @property
    def seconds(self) -> float:
        return self.landed - self.pushed


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

    async def push(self, observers: dict[str, Observer]) -> Push:
        """Change one object in Git, and say so as a host of repositories does, as soon as the branch has moved."""
        change = self.manifests.change()
        sample = change.sample
        async with observers[sample.kind.kind].expect(
            change.name, lambda _event, body: sample.read(body) == change.value
        ) as landed:
            self.manifests.commit(change)
            pushed = perf_counter()
            await self.tell()
        return Push(pushed=pushed, landed=landed.result())

    async def tell(self) -> None:
        """The webhook of a host of repositories."""
        body = b'{"ref": "refs/heads/main"}'
        headers = {"X-Signature": f"sha256={hmac.new(TOKEN.encode(), body, hashlib.sha256).hexdigest()}"}
        url = f"http://127.0.0.1:{self.guard.receiver_port}/push/guard-system/apps"
        async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as response:
            assert response.status == 202, f"the push was answered with {response.status}"


@asynccontextmanager
async def cluster(guard: type[GuardProcess]) -> AsyncGenerator[Cluster]:
    """The repository is fetched over HTTPS."""
    with tempfile.TemporaryDirectory(prefix="guard-bench-") as scratch:
        directory = Path(scratch)
        manifests = Manifests(directory / "served")
        async with (
            githost.serving(directory / "served") as host,
            ControlPlane.start(directory / "plane") as plane,
            ApiClient.open(plane) as client,
        ):
            for namespace in (NAMESPACE, GUARD_NAMESPACE):
                await plane.call("POST", "/api/v1/namespaces", body={"metadata": {"name": namespace}})
            for name, key, value in (("hook", "token", TOKEN), ("trust", "ca.crt", host.ca_certificate)):
                secret = {"metadata": {"name": name}, "stringData": {key: value}}
                await plane.call("POST", f"/api/v1/namespaces/{GUARD_NAMESPACE}/secrets", body=secret)
            sync = sync_document("apps", host.url + manifests.repository.directory.name, interval=INTERVAL)
            sync["spec"]["source"]["git"]["secretRef"] = {"name": "trust"}
            sync["spec"]["source"]["push"] = {"type": "Generic", "secretRef": {"name": "hook"}}
            process = guard(plane, directory / "guard", syncs=[sync], resync="0", receiver=True)
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
        commit = where.manifests.grow(sizes[0])
        async with _started(where):
            for objects in sizes:
                if objects > where.manifests.count:
                    commit = where.manifests.grow(objects)
                    await where.tell()
                taken = await where.wait_for(commit)
                async with where.observed() as observers:
                    await where.push(observers)
                    measured = [await _quiet_push(where, observers) for _ in range(rounds)]
                found.append(Pushes(objects=objects, sync=taken, pushes=[one.seconds for one in measured]))
    return found


async def _quiet_push(where: Cluster, observers: dict[str, Observer]) -> Push:
    """After what the last one left behind."""
    await asyncio.sleep(SETTLE_SECONDS * random.uniform(0.5, 1.0))  # noqa: S311 (no secret)
    return await where.push(observers)


class Phase(msgspec.Struct, frozen=True):
    """What was seen from `start` to `end`."""

    name: str
    start: float
    end: float
    seen: list[Seen]

    def of(self, kind: str) -> list[Seen]:
        """The longest first."""
        return sorted((one for one in self.seen if one.kind == kind), key=lambda one: -one.seconds)


class Watched(msgspec.Struct, frozen=True):
    """The phases, and the seconds that each step of a push took, in the order of the steps (medians)."""

    phases: list[Phase]
    steps: dict[str, float]


async def watched(objects: int, *, looks: int, commits: int) -> Watched:
    """The first sync of so many objects, looks that find nothing, and commits of one object."""
    async with cluster(WatchedGuard) as where:
        commit = where.manifests.grow(objects)
        guard = where.guard
        assert isinstance(guard, WatchedGuard)
        async with _started(where):
            await where.wait_for(commit)
            await asyncio.sleep(SETTLE_SECONDS)
            marks = [("looks with nothing new", perf_counter())]
            for _ in range(looks):
                await where.tell()
                await asyncio.sleep(SETTLE_SECONDS)
            marks.append(("commits of one object", perf_counter()))
            async with where.observed() as observers:
                measured = [await _quiet_push(where, observers) for _ in range(commits)]
            await asyncio.sleep(SETTLE_SECONDS)
            marks.append(("stopping", perf_counter()))
        seen = [codec.decode_as(line, Seen) for line in guard.seen.read_bytes().splitlines()]
    return Watched(phases=_phases(seen, marks), steps=_steps(seen, measured))


def _phases(seen: Sequence[Seen], marks: Sequence[tuple[str, float]]) -> list[Phase]:
    """The steps of the first sync, and what came after."""
    first: dict[str, float] = {}
    for one in seen:
        if one.kind == "step" and one.at < marks[0][1]:
            first.setdefault(f"first sync: {one.what}", one.at)
    return [
        Phase(name=name, start=start, end=end, seen=[one for one in seen if start <= one.at < end])
        for (name, start), (_, end) in pairwise((*first.items(), *marks))
    ]


def _steps(seen: Sequence[Seen], measured: Sequence[Push]) -> dict[str, float]:
    taken: dict[str, list[float]] = {}
    for push in measured:
        inside = [(one.what, one.at) for one in seen if one.kind == "step" and push.pushed <= one.at < push.landed]
        for (name, start), (_, end) in pairwise([("wake", push.pushed), *inside, ("", push.landed)]):
            taken.setdefault(name, []).append(end - start)
    return {name: statistics.median(values) for name, values in taken.items()}


@asynccontextmanager
async def _started(where: Cluster) -> AsyncGenerator[None]:
    """Guard runs, and has made its Sync; the first sync may take long."""

    async def made() -> bool:
        return (await where.client.send("GET", SYNC_PATH, caller=where.client.caller("admin"))).status == 200

    try:
        await where.guard.launch()
        await eventually(made, what="the Sync is there")
        yield
        await where.guard.stop()
    finally:
        await where.guard.kill()
