"""The long run: `python -m tests.oracle --changes 10000 --seed 1`."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from tests.oracle.report import Report, described
from tests.oracle.run import run
from tests.oracle.trial import Result
from tests.oracle.world import World


async def _run(arguments: argparse.Namespace) -> Report:
    def found(result: Result) -> None:
        sys.stdout.write(described(result) + "\n\n")
        sys.stdout.flush()

    with tempfile.TemporaryDirectory(prefix="guard-oracle-") as scratch:
        async with World.start(Path(scratch)) as world:
            return await run(world, seed=arguments.seed, changes=arguments.changes, only=arguments.only, found=found)


def main() -> int:
    """0 when Guard and the oracle agree on every change, and no kind or client came short."""
    parser = argparse.ArgumentParser(prog="python -m tests.oracle", description=__doc__)
    parser.add_argument("--changes", type=int, default=10_000, help="how many changes are judged")
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100_000)
    parser.add_argument("--only", default="", help="one change of that run, as a disagreement names it")
    arguments = parser.parse_args()
    report = asyncio.run(_run(arguments))
    sys.stdout.write(report.text() + "\n")
    if arguments.only:
        return 1 if report.disagreements else 0
    faults = report.faults()
    sys.stdout.writelines(f"{line}\n" for line in faults[len(report.disagreements) :])
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
