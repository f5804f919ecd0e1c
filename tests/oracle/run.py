"""Many trials on many objects, as many at a time as do not disturb each other."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

import msgspec

from tests.oracle.clients import CLIENTS, Client
from tests.oracle.kinds import SORTS, Sort
from tests.oracle.report import Report
from tests.oracle.trial import Bench, Result, Trial
from tests.oracle.world import World

WORKERS = 12
MOST_OF_A_GENERATION = 2500
# About one change in five is refused by the API server itself, and counts for nothing.
DRAWN_FOR_ONE_JUDGED = 1.3
JUST_STARTED = 0.2  # share of changes that meet a Guard which has just been started
SHRINKINGS = 4

Found = Callable[[Result], None]
# A trial's seed, and what is tried on what.
Card = tuple[str, Client, Sort]


async def run(world: World, *, seed: int, changes: int, each: int = 8, only: str = "", found: Found = lambda _: None) -> Report:
    """Trials until `changes` of them were judged, on generations of `each` objects of every kind. `found` hears of every
    disagreement; `only` names the one trial to run of all, on a Guard that was just started where it ends in an exclamation mark.
    """
    report = Report(seed)
    started = time.monotonic()
    generation = 0
    while report.judged() < changes and not (only and report.results):
        random = Random(f"{seed}/{generation}")  # noqa: S311 (nothing secret)
        targets = await world.declare(random, each=each, first=generation * each)
        benches = {sort.name: [Bench(world, target) for target in targets if target.sort is sort] for sort in SORTS}
        missing = max(int((changes - report.judged()) * DRAWN_FOR_ONE_JUDGED), 1)
        cards = _deck(random, f"{seed}/{generation}", min(missing, MOST_OF_A_GENERATION))
        settled = int(len(cards) * (1 - JUST_STARTED))
        if only:
            cards = [card for card in cards if card[0] == only.rstrip("!")]
            settled = 0 if only.endswith("!") else len(cards)
        await _play(benches, cards[:settled], report, found, just_started=False)
        report.let_through += await world.cascades()
        if cards[settled:]:
            await world.restart_guard()
            await _play(benches, cards[settled:], report, found, just_started=True)
        generation += 1
    report.dropped = world.dropped
    report.seconds = time.monotonic() - started
    return report


def _deck(random: Random, seed: str, number: int) -> list[Card]:
    """Each client in its share, and each on every kind that it fits in turn, so that none is left out."""
    clients = [client for client in CLIENTS for _ in range(client.share)]
    fitting = {client.name: [sort for sort in SORTS if client.fits(sort)] for client in CLIENTS}
    turns = {name: random.sample(sorts, len(sorts)) for name, sorts in fitting.items()}
    drawn: Counter[str] = Counter()
    found: list[Card] = []
    while len(found) < number:
        for client in random.sample(clients, len(clients)):
            sorts = turns[client.name]
            found.append((f"{seed}/{len(found)}", client, sorts[drawn[client.name] % len(sorts)]))
            drawn[client.name] += 1
    return found[:number]


async def _play(
    benches: dict[str, list[Bench]], cards: Sequence[Card], report: Report, found: Found, *, just_started: bool
) -> None:
    """The cards of one object in their order, objects beside each other."""
    piles: dict[int, tuple[Bench, list[tuple[str, Client]]]] = {}
    for seed, client, sort in cards:
        bench = Random(f"{seed}/bench").choice(benches[sort.name])  # noqa: S311
        piles.setdefault(id(bench), (bench, []))[1].append((seed, client))
    # What Guard refused before its dry runs had told it Git's values, to be asked again at the end.
    early: list[tuple[Bench, Result]] = []
    waiting = sorted(piles.values(), key=lambda pile: -len(pile[1]))

    async def work() -> None:
        while waiting:
            bench, pile = waiting.pop(0)
            for seed, client in pile:
                result = await bench.run(await bench.draw(seed, client, just_started=just_started))
                report.results.append(result)
                if just_started and result.disagrees and result.decision == "refused":
                    early.append((bench, result))
                else:
                    await _note(bench, result, report, found)

    async with asyncio.TaskGroup() as group:
        for _ in range(WORKERS):
            group.create_task(work())
    for bench, result in early:
        await _note(bench, await bench.run(result.trial), report, found)
    report.early += len(early)


async def _note(bench: Bench, result: Result, report: Report, found: Found) -> None:
    """Keep a disagreement, as small as it can be made. Where Guard may have put the label back between its look at the object and
    the oracle's, it has to show twice.
    """
    if result.disagrees and result.trial.is_about_our_label:
        report.labels += 1
        result = await bench.run(result.trial)
    if result.disagrees:
        smallest = await _shrunk(bench, result)
        report.disagreements.append(smallest)
        found(smallest)


async def _shrunk(bench: Bench, result: Result) -> Result:
    """The same disagreement with fewer edits and a simpler state, where it stays one."""
    smallest = result
    for _ in range(SHRINKINGS):
        for simpler in _simpler(smallest.trial):
            again = await bench.run(simpler)
            if again.disagrees and again.decision == result.decision:
                smallest = again
                break
        else:
            break
    return smallest


def _simpler(trial: Trial) -> list[Trial]:
    fewer = [
        msgspec.structs.replace(trial, edits=(*trial.edits[:number], *trial.edits[number + 1 :]))
        for number in range(len(trial.edits))
        if len(trial.edits) > 1
    ]
    clean = [msgspec.structs.replace(trial, state="clean", drift=())] if trial.state not in {"clean", "absent"} else []
    return clean + fewer
