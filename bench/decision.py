"""What the decision costs by itself, without a cluster: time beside decoding, memory of the index, and lookups at its sizes.

python -m bench.decision [--quick]
"""

from __future__ import annotations

import gc
import json
import os
import platform
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import pairwise
from time import thread_time

import click
import msgspec

from bench.figures import estimate, paired
from bench.reviews import SYNC, WRITES, WriteName, config_map, declare, deployment, learned, review, stored
from bench.setting import resident_mebibytes, table
from guard import telemetry
from guard.admission import Judge, decide
from guard.admission.review import Review, parse
from guard.audit import References
from guard.base import codec
from guard.base.clock import SystemClock
from guard.base.codec import JsonObject
from guard.state import Declared, DesiredState, ObjectKey, Origin, Policy, View

NOW = datetime(2026, 1, 2, tzinfo=UTC)
POLICY = Policy()
SIZES = (10, 10_000, 100_000)
MICRO = 1e6
SHAPES = 5  # different sets of fields among Deployments; of ConfigMaps, every second one has keys of its own

OBJECTS: dict[str, JsonObject] = {
    "ConfigMap 5 KB": config_map("web", keys=20, characters=185),
    "Deployment 5 KB": deployment("web", containers=2, variables=6),
    "Deployment 10 KB": deployment("web", containers=3, variables=20),
}
EXPECTED: dict[WriteName, str] = {
    "annotate": "NothingDeclaredChanged",
    "change": "DeclaredFieldChanged",
    "no-op": "NothingDeclaredChanged",
}


class Size(msgspec.Struct, frozen=True):
    """Rounds, and what is done in each of them."""

    rounds: int
    calls: int


FULL, QUICK = Size(rounds=60, calls=100), Size(rounds=12, calls=30)


def seconds(work: Callable[[], object]) -> float:
    """The CPU time it takes: nothing here waits, and others on the machine are not to count."""
    started = thread_time()
    work()
    return thread_time() - started


# ---- the decision beside decoding


def judge_of(view: View) -> Judge:
    """Guard's own, whose records go nowhere."""
    clock = SystemClock()
    return Judge(
        view=view,
        policy=lambda: POLICY,
        write=lambda _record: None,
        references=References(clock),
        clock=clock,
        meter=telemetry.Metrics(),
    )


def touched(data: bytes) -> Review:
    """A review with everything decoded that the rules read."""
    found = parse(data)
    request = found.request
    _ = (request.difference, request.field_manager)
    _ = [entry.fields for sections in (request.old_sections, request.new_sections) for entry in sections.managed]
    return found


def bodies(data: bytes) -> tuple[bytes, bytes]:
    """Both objects of a review, as they stand in it."""
    request = codec.decode(data)["request"]
    return codec.encode(request["object"]), codec.encode(request["oldObject"])


def decode_both(objects: tuple[bytes, bytes]) -> None:
    """Whole and at once: the least that a decision on decoded objects would need."""
    for one in objects:
        codec.decode(one)


def decode_as_python(objects: tuple[bytes, bytes]) -> None:
    """The same with the standard library's decoder, as most Python programs do."""
    for one in objects:
        json.loads(one)


def report_decision(size: Size) -> None:
    rows: list[tuple[str, ...]] = []
    for title, body in OBJECTS.items():
        declared = declare(body)
        live = stored(body)
        view = view_of([declared], learn=live)
        judge = judge_of(view)
        for name, write in WRITES.items():
            data = review(declared, live, write)
            assert decide(review=parse(data), view=view, policy=POLICY, now=NOW).reason == EXPECTED[name]
            rows.append(
                (f"{title} ({len(codec.encode(live)) / 1000:.1f} KB as stored): {name}", *_timed(data, view, judge, size))
            )
    head = (
        *("microseconds", "decode both", "decide, decoded", "to decoding", "to Python's json"),
        *("decide, lazily", "to decoding", "respond"),
    )
    print(table(head, rows), flush=True)


def _timed(data: bytes, view: View, judge: Judge, size: Size) -> tuple[str, ...]:
    """The figures, measured side by side in each round."""
    decoding, standard, deciding = list[float](), list[float](), list[float]()
    lazily, whole = list[float](), list[float]()

    def judged(reviews: Sequence[Review]) -> None:
        for found in reviews:
            decide(review=found, view=view, policy=POLICY, now=NOW)

    objects = bodies(data)
    for _ in range(size.rounds):
        calls = range(size.calls)
        decoded, fresh = [touched(data) for _ in calls], [parse(data) for _ in calls]
        gc.collect()
        decoding.append(seconds(lambda: [decode_both(objects) for _ in range(size.calls)]) / size.calls)
        standard.append(seconds(lambda: [decode_as_python(objects) for _ in range(size.calls)]) / size.calls)
        deciding.append(seconds(lambda decoded=decoded: judged(decoded)) / size.calls)
        lazily.append(seconds(lambda fresh=fresh: judged(fresh)) / size.calls)
        whole.append(seconds(lambda: [judge.respond(data) for _ in range(size.calls)]) / size.calls)
    middle = [f"{estimate(values).median * MICRO:.0f}" for values in (decoding, deciding, lazily, whole)]
    return (
        *(middle[0], middle[1], str(paired(deciding, decoding)), str(paired(deciding, standard))),
        *(middle[2], str(paired(lazily, decoding)), middle[3]),
    )


def view_of(objects: Sequence[Declared], *, learn: JsonObject | None = None) -> View:
    view = View()
    view.replace(DesiredState().with_sync(SYNC, objects))
    if learn is not None:
        view.learn(objects[0].key, learned(objects[0], learn))
    return view


# ---- lookups and changes of the index, at its sizes


def report_sizes(size: Size) -> None:
    """Objects of one body each, since only their number matters here."""
    body = OBJECTS["Deployment 5 KB"]
    live = stored(body)
    target = declare(body)
    data = review(target, live, WRITES["change"])
    views: dict[int, View] = {}
    found: dict[int, list[Declared]] = {}
    for count in SIZES:
        others = [
            msgspec.structs.replace(target, key=ObjectKey(group="apps", kind="Deployment", namespace=f"n{n % 100}", name=f"o{n}"))
            for n in range(count - 1)
        ]
        found[count] = [target, *others]
        views[count] = view_of(found[count], learn=live)
    lookups: dict[int, list[float]] = {count: [] for count in SIZES}
    decisions: dict[int, list[float]] = {count: [] for count in SIZES}
    draw = random.Random(1)  # noqa: S311 (the same order in each run)
    for _ in range(size.rounds):
        for count in draw.sample(SIZES, len(SIZES)):
            view, calls = views[count], size.calls
            # Keys as a request makes them: equal, and not the very objects that the index holds.
            keys = [msgspec.structs.replace(draw.choice(found[count]).key, kind="Deploy" + "ment") for _ in range(calls)]
            fresh = [parse(data) for _ in range(calls)]
            gc.collect()
            lookups[count].append(seconds(lambda view=view, keys=keys: [view.state.get(key) for key in keys]) / calls)
            decisions[count].append(
                seconds(lambda view=view, fresh=fresh: [decide(review=one, view=view, policy=POLICY, now=NOW) for one in fresh])
                / calls
            )
    rows: list[tuple[str, ...]] = []
    for count in SIZES:
        whole, one = _changes(found[count])
        rows.append(
            (
                f"{count:,} objects",
                f"{estimate(lookups[count]).median * MICRO:.2f}",
                str(paired(lookups[count], lookups[SIZES[0]])),
                f"{estimate(decisions[count]).median * MICRO:.0f}",
                str(paired(decisions[count], decisions[SIZES[0]])),
                f"{whole * 1000:.2f}",
                f"{one * 1000:.2f}",
            )
        )
    head = ("", "lookup, us", f"to {SIZES[0]}", "decide, us", f"to {SIZES[0]}", "with_sync, ms", "one object changed, ms")
    print(table(head, rows), flush=True)


def _changes(objects: list[Declared]) -> tuple[float, float]:
    """Building the index of one Sync, and of the same Sync with one object changed, in the state that a Guard has."""
    state = DesiredState()
    changed = [msgspec.structs.replace(objects[0], origin=Origin(file="moved.yaml", line=1)), *objects[1:]]
    whole = [seconds(lambda: state.with_sync(SYNC, objects)) for _ in range(5)]
    full = state.with_sync(SYNC, objects)
    one = [seconds(lambda: full.with_sync(SYNC, changed)) for _ in range(5)]
    return estimate(whole).median, estimate(one).median


# ---- memory of the index, in a process of its own; 1 KB and 3 KB are usual sizes

KINDS: dict[str, Callable[[int], JsonObject]] = {
    "ConfigMap": lambda n: config_map(f"settings-{n}", keys=5, characters=130, key=f"file-{n}" if n % 2 else "setting"),
    "Deployment": lambda n: deployment(f"web-{n}", containers=2, variables=24 + n % SHAPES),
}


def measure_memory(kind: str, count: int) -> JsonObject:
    """Bytes an object, step by step: the manifests as they come from the renderer, the index, and what applies taught, each as
    the process's resident memory grew.
    """
    make = KINDS[kind]
    before = _resident()
    texts = 0
    bodies: list[JsonObject] = []
    for n in range(count):
        text = codec.encode(make(n))
        texts += len(text)
        bodies.append(codec.decode(text))
    with_bodies = _resident()
    objects = [declare(body) for body in bodies]
    view = view_of(objects)
    with_index = _resident()
    kept = 0
    for n, declared in enumerate(objects):
        lesson = learned(declared, codec.decode(codec.encode(stored(make(n)))))
        kept += lesson.stored is not None or lesson.beside is not None
        view.learn(declared.key, lesson)
    with_lessons = _resident()
    assert len(view.state) == count
    steps = (before, with_bodies, with_index, with_lessons)
    shares = [(after - earlier) * 2**20 / count for earlier, after in pairwise(steps)]
    return {"json": texts / count, "manifest": shares[0], "index": shares[1], "learned": shares[2], "stored": kept / count}


def _resident() -> float:
    gc.collect()
    return resident_mebibytes(os.getpid())


def report_memory(counts: Sequence[int]) -> None:
    rows: list[tuple[str, ...]] = []
    for kind in KINDS:
        for count in counts:
            command = [sys.executable, "-m", "bench.decision", "--memory-of", kind, "--objects", str(count)]
            found = codec.decode(subprocess.run(command, check=True, capture_output=True).stdout)
            beyond = found["index"] + found["learned"]
            numbers = (found["json"], found["manifest"], found["index"], found["learned"], beyond, found["manifest"] + beyond)
            rows.append((f"{count:,} {kind}s", *(f"{number:,.0f}" for number in numbers), f"{found['stored']:.0%}"))
    head = ("bytes an object", "as JSON", "manifest", "index", "learned", "beyond the manifest", "in all", "stored unlike Git")
    print(table(head, rows), flush=True)


@click.command()
@click.option("--quick", is_flag=True, help="Less of everything: within half a minute.")
@click.option("--memory-of", type=click.Choice(sorted(KINDS)), help="Measure memory in this process, and print it as JSON.")
@click.option("--objects", type=int, default=SIZES[-1])
def main(*, quick: bool, memory_of: str | None, objects: int) -> None:
    """What the decision and the index cost by themselves."""
    if memory_of is not None:
        print(codec.encode(measure_memory(memory_of, objects)).decode())
        return
    size = QUICK if quick else FULL
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    machine = platform.machine()
    print(
        f"{' '.join(sys.orig_argv[1:])}\n{machine}, load {load}; Python {platform.python_version()}, msgspec {version('msgspec')}"
    )
    print("\nOne decision; ratios are medians over rounds with their 95 % interval")
    report_decision(size)
    print("\nThe index at its sizes")
    report_sizes(size)
    print("\nMemory of the index: resident, of a process of its own")
    report_memory(SIZES[1:2] if quick else SIZES[1:])


if __name__ == "__main__":
    main()
