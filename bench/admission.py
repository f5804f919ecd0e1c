"""What Guard adds to a write through the API server, beside a no-op webhook that shares all of it but the work.

python -m bench.admission [--quick] [--no-heal] [--json FILE] [--profile FILE]
python -m bench.admission --close    (the added p50 of a declared, allowed write alone, from many rounds)
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from time import perf_counter

import click
import msgspec
import uvloop

from bench.cases import (
    ALLOWED,
    CASES,
    NO_WEBHOOK,
    NOOP,
    NOOP_DENY,
    OBJECTS,
    REFUSED,
    UNDECLARED,
    Case,
    Requests,
    declared_objects,
)
from bench.client import MERGE
from bench.figures import added, estimate, paired, percentile
from bench.objects import LARGE, Sample
from bench.setting import Setting, commit, cpu_seconds, describe, resident_mebibytes, setting, table
from guard.base import codec
from guard.base.codec import JsonObject

SEED = 3
# Longer than the time after an apply in which Guard verifies whatever it sees (guard/heal/watching.py), so that no verification
# of the set-up reaches into what is measured.
QUIET_SECONDS = 2.5
# What a block leaves behind (verifying applies, mostly) ends within this, and is counted to it.
SETTLE_SECONDS = 0.03
LONG_SETTLE_SECONDS = 0.3
# Per kind and case, for each round the seconds of its block's requests.
Blocks = dict[tuple[str, str], list[list[float]]]
SYNC_PATH = "/apis/gitopsguard.dev/v1alpha1/namespaces/guard-system/syncs/apps"


class Size(msgspec.Struct, frozen=True):
    """How much is measured: rounds of blocks of so many requests one after another, then rounds of so many seconds at once."""

    rounds: int
    requests: int
    load_rounds: int
    load_seconds: float


FULL = Size(rounds=60, requests=20, load_rounds=4, load_seconds=1.0)
QUICK = Size(rounds=8, requests=10, load_rounds=1, load_seconds=0.4)
CLOSE = Size(rounds=400, requests=20, load_rounds=0, load_seconds=0.0)
CLOSELY = (NO_WEBHOOK, NOOP, ALLOWED)


class Load(msgspec.Struct):
    """What requests at once came to: per round the rate, and over all rounds what they cost."""

    rates: list[float] = msgspec.field(default_factory=list[float])
    requests: int = 0
    guard_cpu: float = 0.0
    apiserver_cpu: float = 0.0
    applies: float = 0.0

    def per_thousand(self, amount: float) -> float:
        return amount / self.requests * 1000


class Bench:
    def __init__(self, where: Setting, requests: Requests, size: Size, *, cases: Sequence[Case] = CASES) -> None:
        self._where = where
        self._requests = requests
        self._size = size
        self._pairs = [(kind, case) for kind in LARGE for case in cases]
        self._numbers = count()
        self.loads: dict[tuple[str, str], Load] = {}

    async def check(self) -> None:
        """Each case is what it says: seen by Guard or not, and decided by the rule that is meant. Warms everything up as well."""
        for kind, case in self._pairs:
            seen, decided = await self._seen(), await self._seen(case.decision)
            for _ in range(self._size.requests):
                await self._send(LARGE[kind], case)
            expected = self._size.requests if case.decision else 0
            assert await self._seen() - seen == expected, f"{case.title}: Guard should see {expected} requests"
            assert not case.decision or await self._seen(case.decision) - decided == expected, f"{case.title}: decided otherwise"

    async def _seen(self, decision: str = "") -> float:
        return await self._where.guard.metric("guard_admission_requests_total", **({"decision": decision} if decision else {}))

    async def _send(self, sample: Sample, case: Case) -> float:
        return (await self._requests.send(sample, case, next(self._numbers))).seconds

    async def one_by_one(self) -> Blocks:
        """Rounds in which each case has one block, in random order."""
        found: Blocks = {(kind, case.title): [] for kind, case in self._pairs}
        for _ in range(self._size.rounds):
            random.shuffle(self._pairs)
            for kind, case in self._pairs:
                block = [await self._send(LARGE[kind], case) for _ in range(self._size.requests)]
                found[kind, case.title].append(block)
                await asyncio.sleep(SETTLE_SECONDS)
        return found

    async def at_once(self) -> None:
        for _ in range(self._size.load_rounds):
            random.shuffle(self._pairs)
            for kind, case in self._pairs:
                await self._load(LARGE[kind], case, title=case.title)

    async def allowed_at_once(self, *, title: str) -> None:
        for _ in range(self._size.load_rounds):
            for sample in LARGE.values():
                await self._load(sample, ALLOWED, title=title)

    async def _load(self, sample: Sample, case: Case, *, title: str) -> None:
        guard, apiserver = self._where.guard.process.pid, self._where.plane.pids["kube-apiserver"]
        load = self.loads.setdefault((sample.kind.kind, title), Load())
        applies = await self._applies()
        guard_before, apiserver_before = cpu_seconds(guard), cpu_seconds(apiserver)
        started = perf_counter()
        done = sum(await asyncio.gather(*(self._work(sample, case, number) for number in range(OBJECTS))))
        load.rates.append(done / (perf_counter() - started))
        applied = await self._settled()
        load.requests += done
        load.guard_cpu += cpu_seconds(guard) - guard_before
        load.apiserver_cpu += cpu_seconds(apiserver) - apiserver_before
        load.applies += applied - applies

    async def _applies(self) -> float:
        return await self._where.guard.metric("guard_api_requests_total", verb="PATCH")

    async def _settled(self) -> float:
        """Wait until Guard applies nothing more; how often it has applied by then."""
        before, now = -1.0, await self._applies()
        while now > before:
            await asyncio.sleep(LONG_SETTLE_SECONDS)
            before, now = now, await self._applies()
        return now

    async def _work(self, sample: Sample, case: Case, number: int) -> int:
        end = perf_counter() + self._size.load_seconds
        done = 0
        while perf_counter() < end:
            await self._requests.send(sample, case, number)
            done += 1
        return done

    async def stop_healing(self) -> None:
        body = codec.encode({"spec": {"enforcement": {"heal": False}}})
        client = self._where.client
        (await client.send("PATCH", SYNC_PATH, caller=client.caller("admin"), body=body, content_type=MERGE)).json()
        await asyncio.sleep(QUIET_SECONDS)


async def _prepared(where: Setting, *, heal: bool) -> Requests:
    """Everything that the cases need is there, and has come to rest."""
    random.seed(SEED)
    print(await describe(where), flush=True)
    await commit(where, declared_objects())
    requests = Requests(where.client)
    await requests.prepare(where.plane, where.guard)
    await asyncio.sleep(QUIET_SECONDS)
    sizes = [f"{kind} {await requests.size(sample)} bytes as stored" for kind, sample in LARGE.items()]
    print(", ".join(sizes) + ("" if heal else "; healing is off"), flush=True)
    return requests


async def run_closely(*, heal: bool) -> None:
    async with setting(heal=heal) as where:
        bench = Bench(where, await _prepared(where, heal=heal), CLOSE, cases=CLOSELY)
        await bench.check()
        _report_latency(await bench.one_by_one(), title="One request at a time", cases=CLOSELY)


async def run(*, size: Size, heal: bool, profile: Path | None) -> JsonObject:
    async with setting(heal=heal, profile=profile) as where:
        bench = Bench(where, await _prepared(where, heal=heal), size)
        await bench.check()
        if profile is not None:
            where.guard.process.send_signal(signal.SIGUSR2)
        healing = await bench.one_by_one() if heal else {}
        if heal:
            _report_latency(healing, title="One request at a time, as Guard runs")
        await bench.at_once()
        if heal:
            await bench.stop_healing()
            await bench.allowed_at_once(title=f"{ALLOWED.title}, heal off")
        _report_load(bench)
        refusing = await bench.one_by_one()
        _report_latency(refusing, title="One request at a time, healing off")
        if profile is not None:
            where.guard.process.send_signal(signal.SIGUSR2)
        memory = resident_mebibytes(where.guard.process.pid)
        healed = await where.guard.metric("guard_heals_total")
        print(f"\nGuard's memory (RSS): {memory:.0f} MiB; heals counted, though nothing declared was changed: {healed:.0f}")
        blocks = [
            {"kind": kind, "case": title, "heal": on, "seconds": found}
            for on, blocks in ((True, healing), (False, refusing))
            for (kind, title), found in blocks.items()
        ]
        loads = [{"kind": kind, "case": title, "load": load} for (kind, title), load in bench.loads.items()]
        return {"latency": blocks, "load": loads, "rss_mebibytes": memory, "heals": healed}


def _report_latency(blocks: Blocks, *, title: str, cases: Sequence[Case] = CASES) -> None:
    print(f"\n{title}: milliseconds; ratios are medians over rounds with their 95 % interval")
    head = ("", "p50", "p99", "p50 to no-op", "added p50 to no-op's")
    rows: list[tuple[str, ...]] = []
    for kind in LARGE:
        middles = {case.title: [percentile(block, 0.5) for block in blocks[kind, case.title]] for case in cases}
        for case in cases:
            every = [seconds for block in blocks[kind, case.title] for seconds in block]
            p50, p99 = (f"{percentile(every, share) * 1000:.2f}" for share in (0.5, 0.99))
            baseline = _baseline(case)
            ratio = str(paired(middles[case.title], middles[baseline.title])) if baseline else ""
            more = str(added(middles[case.title], middles[NOOP.title], middles[NO_WEBHOOK.title])) if baseline is NOOP else ""
            rows.append((f"{kind}: {case.title}", p50, p99, ratio, more))
    print(table(head, rows), flush=True)


def _baseline(case: Case) -> Case | None:
    """The no-op that a case is held against. Denied writes end before etcd, so theirs denies as well."""
    if case in (UNDECLARED, ALLOWED):
        return NOOP
    return NOOP_DENY if case == REFUSED else None


def _report_load(bench: Bench) -> None:
    print(f"\n{OBJECTS} requests at a time: requests a second; CPU seconds and Guard's own applies for 1000 requests")
    rows: list[tuple[str, ...]] = []
    for (kind, title), load in sorted(bench.loads.items(), key=lambda item: (item[0][0], _rank(item[0][1]))):
        baseline = next((found for case in CASES if case.title == title and (found := _baseline(case))), None)
        ratio = str(paired(load.rates, bench.loads[kind, baseline.title].rates)) if baseline else ""
        rows.append(
            (
                f"{kind}: {title}",
                f"{estimate(load.rates).median:.0f}",
                ratio,
                f"{load.per_thousand(load.guard_cpu):.2f}",
                f"{load.per_thousand(load.apiserver_cpu):.2f}",
                f"{load.per_thousand(load.applies):.0f}",
            )
        )
    print(table(("", "rate", "to no-op", "Guard's CPU", "API server's CPU", "applies"), rows), flush=True)


def _rank(title: str) -> int:
    titles = [case.title for case in CASES]
    return titles.index(title) if title in titles else len(titles)


@click.command()
@click.option("--quick", is_flag=True, help="Less of everything: within a minute.")
@click.option("--close", "closely", is_flag=True, help="Declared, allowed writes alone, more of them: some six minutes.")
@click.option("--no-heal", "heal", is_flag=True, default=True, flag_value=False, help="Guard only refuses, and heals nothing.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Where to put the raw numbers.")
@click.option("--profile", type=click.Path(dir_okay=False, path_type=Path), help="cProfile of Guard, which slows it down.")
def main(*, quick: bool, closely: bool, heal: bool, json_file: Path | None, profile: Path | None) -> None:
    """What Guard adds to a write, on a real API server."""
    if closely:
        if quick or json_file is not None or profile is not None:
            raise click.UsageError("--close goes with --no-heal alone")
        uvloop.run(run_closely(heal=heal))
        return
    raw = uvloop.run(run(size=QUICK if quick else FULL, heal=heal, profile=profile))
    if json_file is not None:
        json_file.write_text(codec.pretty(raw) + "\n")


if __name__ == "__main__":
    main()
