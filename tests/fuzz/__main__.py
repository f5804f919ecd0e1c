"""Fuzzing for as long as one likes: `python -m tests.fuzz --minutes 10`. Exit code 1 when anything was found."""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

import click

from tests.fuzz import fieldsets, reviews

FIELD_SETS_EACH = 2  # steps of the fields' fuzzer for one of the reviews'


@click.command()
@click.option("--minutes", default=10.0, show_default=True)
@click.option("--seed", default=0, help="The same seed gives the same run; 0 takes one from the clock.")
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path), help="A folder for the bytes of what was found.")
def main(*, minutes: float, seed: int, keep: Path | None) -> None:
    """Spoil recorded reviews and sets of fields, and look for crashes, 5xx answers and changes let through."""
    seed = seed or time.time_ns() % 2**32
    click.echo(f"seed {seed}")
    spoiled, fields = reviews.Fuzzer(seed), fieldsets.Fuzzer(seed)
    end = time.monotonic() + minutes * 60
    while time.monotonic() < end:
        spoiled.step()
        for _ in range(FIELD_SETS_EACH):
            fields.step()
    counts: Counter[str] = spoiled.counts + fields.counts
    for name, count in sorted(counts.items()):
        click.echo(f"{count:>12,}  {name}")
    findings = [*spoiled.findings.values(), *fields.findings.values()]
    for number, finding in enumerate(findings):
        click.echo(f"\n{number}: {finding.what} ({finding.review}, {len(finding.data)} bytes)\n  {finding.trace}")
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            (keep / f"{number}.json").write_bytes(finding.data)
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
