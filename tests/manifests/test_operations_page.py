"""docs/operations.md names what the code has, and nothing is added to the code without it."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from guard.cli.run import command
from guard.state import fields
from guard.state.additions import ALLOWED_ADDITIONS
from guard.state.requesters import BREAK_GLASS_GROUP
from guard.telemetry import Metrics
from tests.manifests.generate import MANIFESTS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "operations.md").read_text()


def _metrics() -> set[str]:
    """Without the gauges of creation times that the client library puts beside counters, and the process's own."""
    text = Metrics().render()[0].decode()
    names: set[str] = set(re.findall(r"^# TYPE (guard_\w+) (?!gauge)", text, re.MULTILINE))
    gauges: set[str] = set(re.findall(r"^# TYPE (guard_\w+) gauge", text, re.MULTILINE))
    return names | {name for name in gauges if not name.endswith("_created")}


def _rows(heading: str) -> set[str]:
    """What stands in backquotes at the start of each row of the table below a heading."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return set(re.findall(r"^\| `([^`]+)`", section, re.MULTILINE))


def test_every_flag_of_guard_run_is_documented() -> None:
    flags = {option.opts[0] for option in command.params if isinstance(option, click.Option)}
    assert {row.split()[0] for row in _rows("The flags of `guard run`")} == flags


def test_every_field_that_people_may_change_is_documented() -> None:
    assert _rows("What people may change on declared objects") == {
        "spec.replicas",
        *(fields.written(allowed.path) for allowed in ALLOWED_ADDITIONS),
    }


def test_every_metric_is_documented() -> None:
    assert _rows("Metrics") == _metrics()


@pytest.mark.parametrize("text", sorted({BREAK_GLASS_GROUP, *(path.name for path in MANIFESTS.iterdir())}))
def test_the_page_names(text: str) -> None:
    assert f"`{text}`" in PAGE
