"""What a revision costs from `git fetch` to the decision's index, beside git and a plain parse alone; what one of a bucket costs
beside a plain listing and download; and how soon a push is applied.

python -m bench.source [--sizes 100,1000,10000] [--quick] [--no-cluster] [--only-cluster] [--only-bucket] [--json FILE]
"""

from __future__ import annotations

import os
import platform
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import TypeVar

import click
import msgspec
import uvloop

from bench.figures import Estimate, estimate, paired, percentile
from bench.following import Steps
from bench.landing import Pushes, Watched, pushes, watched
from bench.remotes import TRANSPORTS, Commit, Load, Look, Remote, Repositories
from bench.setting import table
from bench.stores import StoredManifests
from guard.base import codec
from guard.base.codec import JsonObject

SEED = 3
MILLI = 1000.0
LONGEST_MS = 20
BUCKET_OBJECTS = 1_000
KINDS = ("callback", "stall", "collection")
MOST_TOLD = (("callback", 10), ("collection", 3))

T = TypeVar("T")


class Size(msgspec.Struct, frozen=True):
    """Rounds of each: loads from nothing, looks that find nothing new, commits of one object; and of pushes to a whole Guard,
    with something new and without.
    """

    loads: int
    looks: int
    commits: int
    pushes: int
    wakes: int


FULL, QUICK = Size(loads=4, looks=30, commits=30, pushes=25, wakes=5), Size(loads=1, looks=6, commits=6, pushes=5, wakes=2)


async def up_to_index(sizes: Sequence[int], size: Size) -> JsonObject:
    """Without a cluster."""
    with tempfile.TemporaryDirectory(prefix="guard-bench-") as scratch:
        async with Repositories.of(sizes, Path(scratch)) as repositories:
            for what, rounds, step in (
                ("loads", size.loads, repositories.load),
                ("looks", size.looks, repositories.look),
                ("commits", size.commits, repositories.commit),
            ):
                started = perf_counter()
                for _ in range(rounds):
                    await step()
                print(f"  {rounds} rounds of {what}: {perf_counter() - started:.0f} s", flush=True)
            remotes = repositories.remotes
    report_loads(remotes)
    report_looks(remotes)
    report_commits(remotes)
    report_growth(remotes)
    return {
        f"{remote.objects} {remote.transport}": {"loads": remote.loads, "looks": remote.looks, "commits": remote.commits}
        for remote in remotes
    }


def _title(remote: Remote) -> str:
    return f"{remote.objects:,} objects, {remote.transport}"


def _ms(found: Sequence[T], which: Callable[[T], float]) -> str:
    return f"{estimate([which(one) for one in found]).median * MILLI:.1f}"


def _ratio(found: Sequence[T], above: Callable[[T], float], below: Callable[[T], float]) -> str:
    return str(paired([above(one) for one in found], [below(one) for one in found]))


_STEPS: tuple[tuple[str, Callable[[Steps], float]], ...] = (
    ("fetch", lambda steps: steps.fetch),
    ("render", lambda steps: steps.render),
    ("resolve", lambda steps: steps.resolve),
    ("index", lambda steps: steps.index),
)


def report_loads(remotes: Sequence[Remote]) -> None:
    print("\nEverything for the first time, and again with everything cached (milliseconds; medians over rounds)")
    head = ("", *(name for name, _ in _STEPS), "all", "git fetch", "parse", "all to fetch + parse", "cached", "to git fetch")
    rows: list[Sequence[str]] = []
    for remote in remotes:
        loads: list[Load] = remote.loads
        rows.append(
            (
                _title(remote),
                *(_ms(loads, lambda load, step=step: step(load.cold)) for _, step in _STEPS),
                _ms(loads, lambda load: load.cold.total),
                _ms(loads, lambda load: load.fetch),
                _ms(loads, lambda load: load.parse),
                _ratio(loads, lambda load: load.cold.total, lambda load: load.fetch + load.parse),
                _ms(loads, lambda load: load.cached.total),
                _ratio(loads, lambda load: load.cached.total, lambda load: load.fetch),
            )
        )
    print(table(head, rows), flush=True)


def report_looks(remotes: Sequence[Remote]) -> None:
    print("\nA look that finds nothing new (milliseconds)")
    head = ("", "look", "git ls-remote", "git fetch", "to ls-remote", "to fetch")
    rows: list[Sequence[str]] = []
    for remote in remotes:
        looks: list[Look] = remote.looks
        rows.append(
            (
                _title(remote),
                _ms(looks, lambda look: look.guard),
                _ms(looks, lambda look: look.listing),
                _ms(looks, lambda look: look.fetch),
                _ratio(looks, lambda look: look.guard, lambda look: look.listing),
                _ratio(looks, lambda look: look.guard, lambda look: look.fetch),
            )
        )
    print(table(head, rows), flush=True)


def report_commits(remotes: Sequence[Remote]) -> None:
    print("\nA commit that changes one object (milliseconds)")
    head = (
        *("", *(name for name, _ in _STEPS), "all", "git fetch", "parse"),
        *("fetch to git's", "all to git fetch", "to fetch + parse", "after fetch to parse"),
    )
    rows: list[Sequence[str]] = []
    for remote in remotes:
        commits: list[Commit] = remote.commits
        rows.append(
            (
                _title(remote),
                *(_ms(commits, lambda commit, step=step: step(commit.guard)) for _, step in _STEPS),
                _ms(commits, lambda commit: commit.guard.total),
                _ms(commits, lambda commit: commit.fetch),
                f"{estimate([commit.parse for commit in commits]).median * MILLI:.2f}",
                _ratio(commits, lambda commit: commit.guard.fetch, lambda commit: commit.fetch),
                _ratio(commits, lambda commit: commit.guard.total, lambda commit: commit.fetch),
                _ratio(commits, lambda commit: commit.guard.total, lambda commit: commit.fetch + commit.parse),
                _ratio(commits, lambda commit: commit.guard.after_fetch, lambda commit: commit.parse),
            )
        )
    print(table(head, rows), flush=True)


async def bucket(size: Size) -> JsonObject:
    """Without a cluster."""
    with tempfile.TemporaryDirectory(prefix="guard-bench-") as scratch:
        async with StoredManifests.of(BUCKET_OBJECTS, Path(scratch)) as stored:
            for rounds, step in ((size.loads, stored.load), (size.looks, stored.look), (size.commits, stored.change)):
                for _ in range(rounds):
                    await step()
    found = {"everything for the first time": stored.cold, "nothing new": stored.warm, "one object is new": stored.changes}
    print(f"\nA look at a bucket of {stored.count:,} objects, with versions (milliseconds)")
    head = ("", "rounds", "Guard", "the same client", "aiobotocore", "to the same client", "to aiobotocore")
    rows: list[Sequence[str]] = [
        (
            what,
            str(len(looks)),
            _ms(looks, lambda look: look.guard),
            _ms(looks, lambda look: look.plain),
            _ms(looks, lambda look: look.aiobotocore),
            _ratio(looks, lambda look: look.guard, lambda look: look.plain),
            _ratio(looks, lambda look: look.guard, lambda look: look.aiobotocore),
        )
        for what, looks in found.items()
    ]
    print(table(head, rows), flush=True)
    return dict(found)


def report_growth(remotes: Sequence[Remote]) -> None:
    """The aim is 1: a commit costs what it changes, however much stands beside it."""
    sizes = sorted({remote.objects for remote in remotes})
    if len(sizes) < 2:
        return
    print(f"\nA commit that changes one object: {sizes[-1]:,} objects to {sizes[0]:,}")
    wholes: tuple[tuple[str, Callable[[Commit], float]], ...] = (
        ("all", lambda commit: commit.guard.total),
        *((name, lambda commit, step=step: step(commit.guard)) for name, step in _STEPS),
        ("after fetch", lambda commit: commit.guard.after_fetch),
        ("git fetch alone", lambda commit: commit.fetch),
    )
    rows: list[Sequence[str]] = []
    for transport in TRANSPORTS:
        least, most = (
            next(remote.commits for remote in remotes if (remote.objects, remote.transport) == (objects, transport))
            for objects in (sizes[0], sizes[-1])
        )
        growths: list[Estimate] = [paired([which(one) for one in most], [which(one) for one in least]) for _, which in wholes]
        rows.append((transport, *map(str, growths)))
    print(table(("", *(name for name, _ in wholes)), rows), flush=True)


def report_pushes(found: Sequence[Pushes]) -> None:
    print("\nFrom the end of a push of one object until a watch shows it, HTTPS and webhook (milliseconds)")
    head = ("", "pushes", "p50", "p90", "longest", "the sync before, s")
    rows: list[Sequence[str]] = [
        (
            f"{one.objects:,} objects",
            str(len(one.pushes)),
            *(f"{percentile(one.pushes, share) * MILLI:.0f}" for share in (0.5, 0.9, 1.0)),
            f"{one.sync:.1f}",
        )
        for one in found
    ]
    print(table(head, rows), flush=True)


def report_watched(found: Watched, objects: int) -> None:
    phases = found.phases
    print(f"\nThe event loop of a whole Guard of {objects:,} objects, on asyncio's own loop (milliseconds)")
    head = ("", "seconds", f"callbacks over {LONGEST_MS} of CPU", "the longest", "the loop stood still", "garbage collection")
    rows: list[Sequence[str]] = []
    for phase in phases:
        longest = (f"{max((one.seconds for one in phase.of(kind)), default=0.0) * MILLI:.0f}" for kind in KINDS)
        over = sum(one.seconds * MILLI > LONGEST_MS for one in phase.of("callback"))
        rows.append((phase.name, f"{phase.end - phase.start:.1f}", str(over), *longest))
    print(table(head, rows))
    print(
        "\nFrom a push to a watch, in there: " + ", ".join(f"{name} {taken * MILLI:.0f}" for name, taken in found.steps.items())
    )
    for phase in phases:
        for kind, most in MOST_TOLD:
            for one in phase.of(kind)[:most]:
                print(f"  {phase.name}: {kind} {one.seconds * MILLI:.1f} ms: {one.what}")
    sys.stdout.flush()


async def run(sizes: Sequence[int], size: Size, *, index: bool, stores: bool, cluster: bool) -> JsonObject:
    random.seed(SEED)
    started = perf_counter()
    raw: JsonObject = {}
    if index:
        raw["up to the index"] = await up_to_index(sizes, size)
    if stores:
        raw["a bucket"] = await bucket(size)
    if cluster:
        found = await pushes(sorted({sizes[0], sizes[-1]}), size.pushes)
        report_pushes(found)
        seen = await watched(sizes[-1], looks=size.wakes, commits=size.pushes)
        report_watched(seen, sizes[-1])
        raw |= {"pushes": found, "watched": seen}
    print(f"\n{perf_counter() - started:.0f} s in all")
    return raw


def _sizes(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[int, ...]:
    return tuple(sorted(int(each) for each in value.split(",")))


@click.command()
@click.option("--sizes", default="100,1000,10000", show_default=True, callback=_sizes, help="Objects in the repository.")
@click.option("--quick", is_flag=True, help="Few rounds: whether the benchmark works, not much more.")
@click.option("--no-cluster", is_flag=True, help="Only up to the index, without an API server.")
@click.option("--only-cluster", is_flag=True, help="Only on an API server.")
@click.option("--only-bucket", is_flag=True, help="Only what a bucket costs, without an API server.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Where to put the raw numbers.")
def main(
    *, sizes: tuple[int, ...], quick: bool, no_cluster: bool, only_cluster: bool, only_bucket: bool, json_file: Path | None
) -> None:
    """What a revision costs from `git fetch` to the index, and how soon a push is applied."""
    os.environ["no_proxy"] = "127.0.0.1"  # of whatever git is started here
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    git = subprocess.run(["git", "version"], check=True, capture_output=True, text=True).stdout.strip()
    print(
        f"{' '.join(sys.orig_argv[1:])}\n"
        f"{len(os.sched_getaffinity(0))} cores, {platform.machine()}, load {load}; Python {platform.python_version()}, {git}"
    )
    index, cluster = not only_cluster and not only_bucket, not no_cluster and not only_bucket
    raw = uvloop.run(run(sizes, QUICK if quick else FULL, index=index, stores=not only_cluster, cluster=cluster))
    if json_file is not None:
        json_file.write_text(codec.pretty(raw) + "\n")


if __name__ == "__main__":
    main()
