"""Guard's decisions held against the oracle of DESIGN section 5, on a real API server; `python -m tests.oracle` runs more."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.oracle.run import run
from tests.oracle.world import World

SEED = 4
CHANGES = 300


@pytest.mark.case(2, 5, 8, 16)
async def test_guard_and_the_oracle_agree_on_every_change(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with World.start(tmp_path) as world:
        report = await run(world, seed=SEED, changes=CHANGES, each=4)
    with capsys.disabled():
        sys.stdout.write(f"\noracle: {report.summary()}\n")
    faults = report.faults()
    assert not faults, "\n\n".join([*faults, report.text()])
