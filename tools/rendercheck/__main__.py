from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from msgspec import Struct

from guard.base.errors import GuardError
from tools import binaries, rendercheck
from tools.binaries import ToolsError
from tools.rendercheck import compare
from tools.rendercheck.alone import Checkout
from tools.rendercheck.folders import Folder, find
from tools.rendercheck.guards import Guard
from tools.rendercheck.verdicts import FAULTS, VERDICTS, Outcome, judged

_UNSTEADY_SECONDS = 1.1  # what charts write of the time is of seconds
_SLOWEST = 10


class _Options(Struct, frozen=True):
    only: str
    ci: bool
    verbose: bool


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.rendercheck", description=rendercheck.__doc__)
    parser.add_argument("repository", nargs="+", type=Path)
    parser.add_argument("--only", default="*", metavar="GLOB", help="folders to look at, as charts/*")
    parser.add_argument("--ci", action="store_true", help="charts once more with each of their ci/*-values.yaml")
    parser.add_argument("--verbose", action="store_true", help="say what became of each folder")
    given = parser.parse_args()
    options = _Options(only=given.only, ci=given.ci, verbose=given.verbose)
    try:
        return asyncio.run(_main(given.repository, options))
    except (ToolsError, GuardError, subprocess.CalledProcessError) as error:
        print(f"rendercheck: {error}", file=sys.stderr)
        return 2


async def _main(repositories: Sequence[Path], options: _Options) -> int:
    outcomes: list[Outcome] = []
    for repository in repositories:
        outcomes += await _checked(repository, options)
    if len(repositories) > 1:
        _report("all", "", outcomes)
    return 1 if any(outcome.verdict in FAULTS for outcome in outcomes) else 0


async def _checked(repository: Path, options: _Options) -> list[Outcome]:
    git_directory = _git_directory(repository)
    tools = binaries.locate(["kubectl", "kustomize", "helm"])
    with tempfile.TemporaryDirectory(prefix="guard-rendercheck-") as name:
        scratch = Path(name)
        checkout = Checkout(git_directory, scratch=scratch, tools=tools)
        folders = find(await asyncio.to_thread(checkout.write), ci=options.ci)
        guard = Guard(git_directory, scratch=scratch, tools=tools)
        outcomes: list[Outcome] = []
        try:
            await guard.open()
            for folder in folders:
                if fnmatch(folder.path or ".", options.only):
                    outcomes.append(await _compared(folder, guard=guard, checkout=checkout))
                    _say(outcomes[-1], verbose=options.verbose)
        finally:
            await guard.close()
        _report(str(repository), checkout.commit(), outcomes)
    return outcomes


async def _compared(folder: Folder, *, guard: Guard, checkout: Checkout) -> Outcome:
    started = time.monotonic()
    mine = await guard.render(folder)
    between = time.monotonic()
    its = await asyncio.to_thread(checkout.render, folder)
    ended = time.monotonic()
    difference = compare.difference(mine.objects, its.objects)
    if difference and not mine.complaint and not its.complaint:
        await asyncio.sleep(_UNSTEADY_SECONDS)
        again = await asyncio.to_thread(checkout.render, folder)
        places = compare.unsteady(its.objects, again.objects)
        difference = compare.difference(compare.without(mine.objects, places), compare.without(its.objects, places))
    verdict, why, told = judged(guard=mine.complaint, alone=its.complaint, difference=difference)
    return Outcome(
        folder=folder,
        verdict=verdict,
        why=why,
        told=told,
        objects=len(its.objects),
        guard_seconds=between - started,
        alone_seconds=ended - between,
    )


def _git_directory(repository: Path) -> Path:
    inner = repository / ".git"
    return (inner if inner.is_dir() else repository).absolute()


def _say(outcome: Outcome, *, verbose: bool) -> None:
    if verbose or outcome.verdict in FAULTS:
        print(f"  {outcome.verdict:<11} {outcome.folder}" + (f": {outcome.told}" if outcome.told else ""), flush=True)


def _report(name: str, commit: str, outcomes: Sequence[Outcome]) -> None:
    tried = Counter(outcome.folder.form for outcome in outcomes)
    print(f"{name} {commit[:12]}: {tried['Kustomize']} kustomizations, {tried['Helm']} charts, {tried['YAML']} plain folders")
    seconds = sum(outcome.guard_seconds for outcome in outcomes), sum(outcome.alone_seconds for outcome in outcomes)
    found = Counter(outcome.verdict for outcome in outcomes)
    counts = ", ".join(f"{found[verdict]} {verdict}" for verdict in VERDICTS if found[verdict])
    same = sum(outcome.objects for outcome in outcomes if outcome.verdict == "same")
    print(f"  {counts or 'nothing to render'}; {same} objects the same; Guard {seconds[0]:.0f} s, alone {seconds[1]:.0f} s")
    for (verdict, why), number in Counter((each.verdict, each.why) for each in outcomes if each.why).most_common():
        print(f"  {number:4} {verdict}: {why}")
    for outcome in sorted(outcomes, key=lambda each: -each.guard_seconds)[:_SLOWEST]:
        if outcome.guard_seconds > 1:
            print(f"  slow: Guard {outcome.guard_seconds:.1f} s, alone {outcome.alone_seconds:.1f} s: {outcome.folder}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
