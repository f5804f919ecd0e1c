"""What a sync costs beside one `kubectl apply --server-side` process over the same files on the same server.

python -m bench.sync [--sizes 1000,10000] [--rounds N] [--quick] [--json FILE]
"""

from __future__ import annotations

import os
import platform
import random
import statistics
import sys
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter

import click
import msgspec
import uvloop
import yaml

from bench.figures import paired
from bench.guard_watched import Seen
from bench.manifests import Change, Manifests
from bench.objects import CONFIG_MAP, DEPLOYMENT
from bench.setting import ROOT, cpu_seconds, table
from guard.apply import Writer, prepare
from guard.base import codec
from guard.base.clock import SystemClock
from guard.base.codec import JsonObject
from guard.cluster import Client, connect
from guard.state.desired import Declared, View
from guard.state.ids import GUARD_NAMESPACE, NAMESPACE, ObjectKey, Origin
from guard.sync import APPLIES_AT_ONCE
from guard.sync.applying import apply_all
from tools.controlplane import ControlPlane
from tools.guardrun import GuardProcess, eventually, sync_document

SEED = 3
# A first sync of 10,000 objects, one after the other, takes 20,000 requests.
SYNC_SECONDS = 1800.0
RESYNCS = 2
# Contestants that are no concurrency of Guard's.
KUBECTL, ALONE = 0, -1
COMMITS = 5


class TimedGuard(GuardProcess):
    """`bench.guard_timed` in place of `guard run`; so many objects are applied at once."""

    folder = ROOT
    concurrency = APPLIES_AT_ONCE

    @property
    def seen(self) -> Path:
        return self.directory / "seen.jsonl"

    def command(self) -> list[str]:
        arguments = [*self.arguments(), "--concurrency", str(self.concurrency)]
        return [sys.executable, "-m", "bench.guard_timed", str(self.seen), *arguments]

    def steps(self) -> list[Seen]:
        """What was noted, once Guard has stopped."""
        return [codec.decode_as(line, Seen) for line in self.seen.read_bytes().splitlines()]


class Sync(msgspec.Struct, frozen=True):
    """Seconds of one sync's steps, and Guard's CPU and requests meanwhile (where they were counted)."""

    gate: float
    apply: float
    whole: float
    cpu: float = 0.0
    requests: float = 0.0


class Round(msgspec.Struct, frozen=True):
    """All of one round: the reference and Guard by its concurrency, on one server; seconds."""

    alone: float
    kubectl: float
    kubectl_again: float
    kubectl_one: float
    first: dict[int, Sync]
    again: dict[int, list[Sync]]
    one: dict[int, list[Sync]]


async def measure(objects: int) -> Round:
    """On a server of its own, in random order, each in a namespace of its own."""
    with tempfile.TemporaryDirectory(prefix="guard-bench-") as scratch:
        async with ControlPlane.start(Path(scratch) / "plane") as plane:
            kubectl: tuple[float, float, float] = (0.0, 0.0, 0.0)
            guards: dict[int, tuple[Sync, list[Sync], list[Sync]]] = {}
            alone = 0.0
            contestants = [ALONE, KUBECTL, 1, APPLIES_AT_ONCE]
            random.shuffle(contestants)
            for contestant in contestants:
                directory = Path(scratch) / f"with-{contestant}"
                namespace = f"bench{contestant}" if contestant >= 0 else "bench-alone"
                if contestant != ALONE:
                    await plane.call("POST", "/api/v1/namespaces", body={"metadata": {"name": namespace}})
                manifests = Manifests(directory, namespace=namespace)
                manifests.grow(objects)
                if contestant == ALONE:
                    alone = await _alone(plane, manifests)
                elif contestant != KUBECTL:
                    guards[contestant] = await _guard(plane, manifests, directory, concurrency=contestant)
                else:
                    kubectl = await _kubectl(plane, manifests)
    return Round(
        alone=alone,
        kubectl=kubectl[0],
        kubectl_again=kubectl[1],
        kubectl_one=kubectl[2],
        first={concurrency: found[0] for concurrency, found in guards.items()},
        again={concurrency: found[1] for concurrency, found in guards.items()},
        one={concurrency: found[2] for concurrency, found in guards.items()},
    )


async def _alone(plane: ControlPlane, manifests: Manifests) -> float:
    """The applies and nothing else of Guard, one at a time: no watch, no health, nothing registered."""
    objects: list[Declared] = []
    for path, text in manifests.texts():
        body = prepare(yaml.safe_load(text), label="guard-system.alone")
        kind = CONFIG_MAP if body["kind"] == "ConfigMap" else DEPLOYMENT
        name, namespace = body["metadata"]["name"], body["metadata"]["namespace"]
        key = ObjectKey(group=kind.group, kind=kind.kind, namespace=namespace, name=name)
        objects.append(Declared(key=key, kind=kind, body=body, origin=Origin(file=path, line=1), sync="alone"))
    namespace = _declared_namespace(objects[0].key.namespace)
    client = Client(await connect(kubeconfig=plane.kubeconfig("admin")))
    try:
        writer = Writer(lambda _sync: client, view=View(), clock=SystemClock())
        started = perf_counter()
        done = await apply_all([namespace, *objects], client=client, writer=writer, clean=True, at_once=1)
        taken = perf_counter() - started
    finally:
        await client.close()
    assert not done.failures, done.failures[:3]
    return taken


def _declared_namespace(name: str) -> Declared:
    """With the namespace in the revision, nobody looks for what may stand in it."""
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    key = ObjectKey(group="", kind="Namespace", namespace="", name=name)
    return Declared(key=key, kind=NAMESPACE, body=prepare(body, label="guard-system.alone"), origin=Origin("a", 1), sync="alone")


async def _kubectl(plane: ControlPlane, manifests: Manifests) -> tuple[float, float, float]:
    """One process for everything, one for everything again, one for a file that changed; medians."""
    folder = manifests.repository.directory
    first = await _apply(plane, folder)
    again = statistics.median([await _apply(plane, folder) for _ in range(RESYNCS)])
    ones: list[float] = []
    for _ in range(COMMITS):
        change = manifests.change()
        manifests.commit(change)
        ones.append(await _apply(plane, folder / change.path))
    return first, again, statistics.median(ones)


async def _apply(plane: ControlPlane, path: Path) -> float:
    started = perf_counter()
    # Without its output, which costs it a line an object.
    await plane.kubectl("apply", "--server-side", "--recursive", "-f", path, "-o", "name", identity="admin")
    return perf_counter() - started


async def _guard(
    plane: ControlPlane, manifests: Manifests, directory: Path, *, concurrency: int
) -> tuple[Sync, list[Sync], list[Sync]]:
    """A first sync, resyncs in which nothing changed, and commits of one object."""
    name = f"with-{concurrency}"
    sync = sync_document(name, manifests.repository.directory, interval="1s")
    guard = TimedGuard(plane, directory / "guard", syncs=[sync])
    guard.concurrency = concurrency
    marks: list[tuple[float, float, float, float]] = []
    async with _running(guard):
        cpu, requests = 0.0, 0.0

        async def marked(started: float) -> None:
            nonlocal cpu, requests
            now_cpu, now_requests = cpu_seconds(guard.process.pid), await guard.metric("guard_api_requests_total")
            marks.append((started, perf_counter(), now_cpu - cpu, now_requests - requests))
            cpu, requests = now_cpu, now_requests

        head = manifests.repository.git("rev-parse", "HEAD")
        started = perf_counter()
        await guard.applied(head, sync=name, seconds=SYNC_SECONDS)
        await marked(started)
        for _ in range(RESYNCS):
            started = perf_counter()
            await guard.reconcile(name)
            await _handled(guard, name)
            await marked(started)
        for _ in range(COMMITS):
            change: Change = manifests.change()
            started = perf_counter()
            await guard.applied(manifests.commit(change), sync=name)
            await marked(started)
        await guard.stop()
    await _clear(plane, name)
    found = [_sync(guard.steps(), *mark) for mark in marks]
    return found[0], found[1 : 1 + RESYNCS], found[1 + RESYNCS :]


@asynccontextmanager
async def _running(guard: TimedGuard) -> AsyncGenerator[None]:
    """`start` gives up long before a first sync of so many objects ends."""

    async def answers() -> bool:
        try:
            await guard.metric("guard_api_requests_total")
            await guard.sync(guard.directory.parent.name)
        except Exception:  # noqa: BLE001 (not up yet)
            return False
        return True

    try:
        await guard.launch()
        await eventually(answers, what=lambda: f"Guard is up; its log ends:\n{guard.tail()}", seconds=60.0)
        yield
    finally:
        await guard.kill()


async def _handled(guard: GuardProcess, name: str) -> None:
    asked = (await guard.sync(name))["metadata"]["annotations"]["gitopsguard.dev/requestedAt"]

    async def done() -> bool:
        return bool((await guard.sync(name))["status"].get("lastHandledReconcileAt") == asked)

    await eventually(done, what=lambda: f"the resync is done; the log ends:\n{guard.tail()}", seconds=SYNC_SECONDS)


async def _clear(plane: ControlPlane, name: str) -> None:
    """So that the next one meets a server without Guard. The policies that guard Guard's own go first."""
    group = "/apis/admissionregistration.k8s.io/v1"
    for policy in ("gitopsguard", "gitopsguard-namespace"):
        await plane.call("DELETE", f"{group}/validatingadmissionpolicybindings/{policy}")
    await plane.call("DELETE", f"{group}/validatingwebhookconfigurations/gitopsguard")
    path = f"/apis/gitopsguard.dev/v1alpha1/namespaces/{GUARD_NAMESPACE}/syncs/{name}"
    await plane.call("DELETE", path)


def _sync(steps: Sequence[Seen], started: float, ended: float, cpu: float, requests: float) -> Sync:
    """From the fetch that found something until the status said so: of a step, what lies between its mark and the next one."""
    inside = [step for step in steps if started - 60 <= step.at <= ended]
    last = max(index for index, step in enumerate(inside) if step.what == "apply")
    apply = inside[last + 1].at - inside[last].at
    gates = [index for index, step in enumerate(inside[:last]) if step.what == "dry run"]
    gate = inside[gates[-1] + 1].at - inside[gates[-1]].at if gates else 0.0
    fetches = [step.at for step in inside[:last] if step.what == "fetch"]
    return Sync(gate=gate, apply=apply, whole=ended - max(fetches), cpu=cpu, requests=requests)


def report(objects: int, rounds: Sequence[Round]) -> None:
    first = statistics.median(found.kubectl for found in rounds)
    print(
        f"\n{objects:,} objects, {len(rounds)} rounds; kubectl apply --server-side: {first:.1f} s "
        f"({first / objects * 1000:.2f} ms an object), again {statistics.median(found.kubectl_again for found in rounds):.1f} s, "
        f"one file {statistics.median(found.kubectl_one for found in rounds) * 1000:.0f} ms"
    )
    head = (
        "",
        "at once",
        "dry runs s",
        "applying s",
        "whole s",
        "CPU ms/object",
        "requests",
        "applying to kubectl",
        "whole to kubectl",
    )
    kubectl = [found.kubectl for found in rounds]
    both = (1, APPLIES_AT_ONCE)
    alone = [found.alone for found in rounds]
    seconds = statistics.median(alone)
    print(f"applying alone, one at a time, without the rest of Guard: {seconds:.1f} s, {paired(alone, kubectl)} to kubectl")
    rows = [_row("first sync", number, [found.first[number] for found in rounds], kubectl, objects) for number in both]
    for name in ("again", "one"):
        for concurrency in both:
            syncs: list[Sync] = [sync for found in rounds for sync in getattr(found, name)[concurrency]]
            reference = [getattr(found, f"kubectl_{name}") for found in rounds for _ in getattr(found, name)[concurrency]]
            title = "no change, all applied again" if name == "again" else "a commit of one object"
            rows.append(_row(title, concurrency, syncs, reference, objects if name == "again" else 1))
    print(table(head, rows), flush=True)


def _row(name: str, concurrency: int, syncs: Sequence[Sync], kubectl: Sequence[float], objects: int) -> Sequence[str]:
    return (
        name,
        str(concurrency),
        *(
            f"{statistics.median(values):.2f}"
            for values in ([one.gate for one in syncs], [one.apply for one in syncs], [one.whole for one in syncs])
        ),
        f"{statistics.median(one.cpu for one in syncs) / objects * 1000:.2f}",
        f"{statistics.median(one.requests for one in syncs):.0f}",
        str(paired([one.apply for one in syncs], kubectl)),
        str(paired([one.whole for one in syncs], kubectl)),
    )


@click.command()
@click.option("--sizes", default="1000,10000", show_default=True, help="Numbers of objects, with commas between.")
@click.option("--rounds", type=int, help="Rounds of each size. Default: 5 of up to 1,000 objects, 2 of more.")
@click.option("--quick", is_flag=True, help="200 objects, one round.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Where to put the raw numbers.")
def main(*, sizes: str, rounds: int | None, quick: bool, json_file: Path | None) -> None:
    """What a first sync, a resync and a commit cost, beside kubectl."""
    random.seed(SEED)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(
        f"{' '.join(sys.orig_argv[1:])}\n{len(os.sched_getaffinity(0))} cores, load {load}; Python {platform.python_version()}",
        flush=True,
    )
    raw: JsonObject = {}
    for objects in [200] if quick else [int(size) for size in sizes.split(",")]:
        count = 1 if quick else rounds or (5 if objects <= 1000 else 2)
        found = [uvloop.run(measure(objects)) for _ in range(count)]
        report(objects, found)
        raw[str(objects)] = found
    if json_file is not None:
        json_file.write_text(codec.pretty(raw) + "\n")


if __name__ == "__main__":
    main()
