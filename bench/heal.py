"""From a write past the webhook until a watch shows Git's value again, beside one watch event and one apply, while others update
what Git does not declare; and how long a storm of drifts takes.

python -m bench.heal [--quick] [--json FILE]
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import Literal

import click
import msgspec
import uvloop

from bench.client import Answer, ApiClient, Condition, Observer
from bench.figures import paired, percentile
from bench.objects import CONFIG_MAP, DEPLOYMENT, NAMESPACE, SMALL, Sample
from bench.setting import Setting, commit, describe, setting, table
from guard.base import codec
from guard.base.codec import JsonObject, child, children
from guard.cluster import collection_path
from tools.guardrun import eventually

PERSONS_MANAGER = "kubectl-edit"
REFERENCE_MANAGER = "bench"
SETTLE_SECONDS = 0.03
APPLY_SECONDS = 900.0
BACKGROUND_A_SECOND = 50
BACKGROUND_OBJECTS = 50
STORM = 1000
SEED = 3

Way = Literal["change", "delete"]
# How each object drifts. Past ten heals of one field in a row Guard takes it for a fight and waits on purpose, so no oftener.
WAYS: tuple[Way, ...] = ("change", "change", "change", "delete")
CASES: tuple[tuple[str, str, Way], ...] = (
    ("ConfigMap, field changed", "ConfigMap", "change"),
    ("Deployment, image changed", "Deployment", "change"),
    ("ConfigMap, deleted", "ConfigMap", "delete"),
    ("Deployment, deleted", "Deployment", "delete"),
)


class Measured(msgspec.Struct, frozen=True):
    """One drift and its reference, in seconds. `healed` counts from the write's acceptance until the watch shows Git's value,
    `write` is the write itself. `event` counts from the acceptance of a like write to its own event (which may come first, so
    it may be below 0), `apply` is one forced apply that puts the object right.
    """

    healed: float
    write: float
    event: float
    apply: float
    reference_write: float

    @property
    def from_acceptance(self) -> tuple[float, float]:
        return self.healed, max(0.0, self.event) + self.apply

    @property
    def from_start(self) -> tuple[float, float]:
        return self.write + self.healed, self.reference_write + self.event + self.apply


class Bench:
    def __init__(self, client: ApiClient, observers: dict[str, Observer]) -> None:
        self._client = client
        self._observers = observers
        self._values = count()
        self._person = client.past_the_webhook()

    async def measure(self, sample: Sample, name: str, way: Way, *, reference: str) -> Measured:
        """A drift of a declared object, and the same on one that nobody heals, in random order."""
        if random.random() < 0.5:  # noqa: S311 (no secret)
            write, healed = await self.drift(sample, name, way)
            reference_write, event, apply = await self._refer(sample, reference, way)
        else:
            reference_write, event, apply = await self._refer(sample, reference, way)
            await asyncio.sleep(SETTLE_SECONDS)
            write, healed = await self.drift(sample, name, way)
        await asyncio.sleep(SETTLE_SECONDS)
        return Measured(healed=healed, write=write, event=event, apply=apply, reference_write=reference_write)

    async def drift(self, sample: Sample, name: str, way: Way) -> tuple[float, float]:
        """Seconds that the write took, and from its acceptance until a watch shows the object restored."""
        async with self._observers[sample.kind.kind].expect(name, _restored(sample)) as restored:
            answer = await self._write(sample, name, way)
        return answer.seconds, restored.result() - answer.ended

    async def _refer(self, sample: Sample, name: str, way: Way) -> tuple[float, float, float]:
        async with self._observers[sample.kind.kind].expect(name, _drifted(sample)) as seen:
            answer = await self._write(sample, name, way)
        applied = await self.create(sample, name)
        return answer.seconds, seen.result() - answer.ended, applied

    async def create(self, sample: Sample, name: str) -> float:
        """The reference's own apply, with a label more so that it weighs what Guard's does."""
        body = sample.labelled(name, {"bench": "reference"})
        answer = await self._client.apply(sample.path(name), body, caller=self._client.caller("admin"), manager=REFERENCE_MANAGER)
        answer.json()
        return answer.seconds

    async def _write(self, sample: Sample, name: str, way: Way) -> Answer:
        if way == "delete":
            answer = await self._client.send("DELETE", sample.path(name), caller=self._person)
        else:
            change = sample.change(f"drift-{next(self._values)}")
            answer = await self._client.patch(sample.path(name), change, caller=self._person, manager=PERSONS_MANAGER)
        answer.json()
        return answer


class Background:
    """Updates of objects that Git does not declare, of the same kinds, as evenly as the machine allows."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._values = count()
        self._caller = client.caller("admin")
        self.updates = 0

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        kinds = list(SMALL.values())
        self._places = [(kinds[number % 2], f"unrelated-{number}") for number in range(BACKGROUND_OBJECTS)]
        for sample, name in self._places:
            answer = await self._client.apply(sample.path(name), sample.make(name), caller=self._caller, manager="unrelated")
            answer.json()
        task = asyncio.create_task(self._update(), name="background")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _update(self) -> None:
        due = perf_counter()
        async with asyncio.TaskGroup() as group:
            while True:
                sample, name = self._places[self.updates % BACKGROUND_OBJECTS]
                group.create_task(self._one(sample, name))
                self.updates += 1
                due += 1 / BACKGROUND_A_SECOND
                await asyncio.sleep(max(0.0, due - perf_counter()))

    async def _one(self, sample: Sample, name: str) -> None:
        change = sample.change(f"unrelated-{next(self._values)}")
        answer = await self._client.patch(sample.path(name), change, caller=self._caller, manager="unrelated")
        answer.json()


async def run(*, quick: bool) -> JsonObject:
    random.seed(SEED)
    raw: JsonObject = {}
    async with setting(heal=True) as where:
        print(await describe(where), flush=True)
        client = where.client
        async with (
            client.observe(collection_path(CONFIG_MAP, namespace=NAMESPACE)) as config_maps,
            client.observe(collection_path(DEPLOYMENT, namespace=NAMESPACE)) as deployments,
        ):
            bench = Bench(client, {"ConfigMap": config_maps, "Deployment": deployments})
            for kind, sample in SMALL.items():
                await bench.create(sample, f"reference-{kind.lower()}")
            background = Background(client)
            started = perf_counter()
            async with background.running():
                # Ten objects can drift only forty times, so other ten take their place.
                few = [await _round(where, bench, objects=10, most=40, tag=f"few-{index}") for index in range(2 if quick else 8)]
                medians = {10: _report(10, [found for found, _ in few], seconds=few[0][1], raw=raw)}
                # Each declares what the one before it did as well: Guard would not prune so much without being told to.
                for objects in (1000,) if quick else (1000, 10_000):
                    found, seconds = await _round(where, bench, objects=objects, most=60 if quick else 320, tag="many")
                    medians[objects] = _report(objects, [found], seconds=seconds, raw=raw)
                rate = background.updates / (perf_counter() - started)
            print(f"\n{rate:.0f} unrelated updates a second meanwhile", flush=True)
            for objects, median in medians.items():
                print(f"p50 at {objects} objects / p50 at 10 objects: {median / medians[10]:.2f}", flush=True)
            raw["storm"] = await _storm(where, bench, [f"many-{number}" for number in range(0, 200 if quick else 2 * STORM, 2)])
    return raw


async def _storm(where: Setting, bench: Bench, names: Sequence[str]) -> JsonObject:
    """So many declared ConfigMaps drift at once."""
    sample, objects = SMALL["ConfigMap"], len(names)
    healed, started = await _healed(where), perf_counter()
    found = await asyncio.gather(*(bench.drift(sample, name, "change") for name in names))
    seconds = perf_counter() - started
    listed = await where.client.send(
        "GET", collection_path(sample.kind, namespace=NAMESPACE), caller=where.client.caller("admin")
    )
    values = {child(body, "metadata")["name"]: sample.read(body) for body in children(listed.json(), "items")}
    wrong = [name for name in names if values.get(name) != sample.git]
    assert not wrong, f"lost: {wrong}"

    async def counted() -> bool:
        return await _healed(where) - healed == objects

    await eventually(counted, what=f"Guard counts {objects} heals")
    slowest = max(healing for _, healing in found)
    print(
        f"\n{objects} drifts at once: all restored {seconds:.2f} s after the first write began, none later than {slowest:.2f} s"
    )
    return {"objects": objects, "seconds": seconds, "slowest": slowest}


Found = dict[tuple[str, Way], list[Measured]]


async def _round(where: Setting, bench: Bench, *, objects: int, most: int, tag: str) -> tuple[Found, float]:
    """Declare so many objects, half of each kind, and let them drift; what was measured, and the seconds the commit took."""
    kinds = list(SMALL)
    names = [(kinds[index % len(kinds)], f"{tag}-{index}") for index in range(objects)]
    started = perf_counter()
    await commit(where, [SMALL[kind].make(name) for kind, name in names], seconds=APPLY_SECONDS)
    seconds = perf_counter() - started
    drifts: list[tuple[str, str, Way]] = [(kind, name, way) for kind, name in names for way in WAYS]
    random.shuffle(drifts)
    drifts = drifts[:most]
    healed = await _healed(where)
    found: Found = {}
    for kind, name, way in drifts:
        measured = await bench.measure(SMALL[kind], name, way, reference=f"reference-{kind.lower()}")
        found.setdefault((kind, way), []).append(measured)

    async def counted() -> bool:
        return await _healed(where) - healed == len(drifts)

    # Each once, and by Guard: the watch shows a restored object a moment before Guard has counted it.
    await eventually(counted, what=f"Guard counts {len(drifts)} heals")
    return found, seconds


async def _healed(where: Setting) -> float:
    return await where.guard.metric("guard_heals_total", result="healed")


def _report(objects: int, rounds: list[Found], *, seconds: float, raw: JsonObject) -> float:
    """Prints; returns the median of all, in seconds."""
    print(f"\n{objects} declared objects (applied in {seconds:.1f} s), milliseconds")
    rows: list[list[str]] = []
    everything: list[Measured] = []
    for name, kind, way in CASES:
        measured = [one for found in rounds for one in found.get((kind, way), ())]
        everything += measured
        rows.append(_row(name, measured))
    rows.append(_row("all", everything))
    print(
        table(("", "drifts", "p50", "p99", "p50 of event + apply", "ratio (95 %)", "ratio with writes (95 %)"), rows), flush=True
    )
    raw[str(objects)] = {"applied_seconds": seconds, "drifts": everything}
    return percentile([one.from_acceptance[0] for one in everything], 0.5)


def _row(name: str, measured: list[Measured]) -> list[str]:
    healed = [one.from_acceptance[0] for one in measured]
    reference = [one.from_acceptance[1] for one in measured]
    with_writes = [one.from_start for one in measured]
    return [
        name,
        str(len(measured)),
        f"{percentile(healed, 0.5) * 1000:.1f}",
        f"{percentile(healed, 0.99) * 1000:.1f}",
        f"{percentile(reference, 0.5) * 1000:.1f}",
        str(paired(healed, reference)),
        str(paired([one for one, _ in with_writes], [other for _, other in with_writes])),
    ]


def _drifted(sample: Sample) -> Condition:
    return lambda event, body: event == "DELETED" or sample.read(body) != sample.git


def _restored(sample: Sample) -> Condition:
    """Git's value, after it was gone: an event of before the write does not count."""
    drifted = _drifted(sample)
    gone = False

    def condition(event: str, body: JsonObject) -> bool:
        nonlocal gone
        away = drifted(event, body)
        gone = gone or away
        return gone and not away

    return condition


@click.command()
@click.option("--quick", is_flag=True, help="Less of everything: within a minute.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Where to put the raw numbers.")
def main(*, quick: bool, json_file: Path | None) -> None:
    """How fast Guard heals, on a real API server."""
    raw = uvloop.run(run(quick=quick))
    if json_file is not None:
        json_file.write_text(codec.pretty(raw) + "\n")


if __name__ == "__main__":
    main()
