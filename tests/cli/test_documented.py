"""docs/operations.md and README.md name what the commands have."""

from __future__ import annotations

import re
from pathlib import Path

import click

from guard.cli import check, explain
from guard.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text()


def section(command: str) -> str:
    return PAGE.partition(f": `guard {command}`\n")[2].partition("\n## ")[0]


def options(command: click.Command) -> set[str]:
    return {name for option in command.params if isinstance(option, click.Option) for name in option.opts}


def test_every_option_of_guard_check_is_documented() -> None:
    named: set[str] = set()
    for row in re.findall(r"^\| (`-.*?) +\|", section("check"), re.MULTILINE):
        named |= {text.split()[0] for text in re.findall(r"`([^`]+)`", row)}
    assert named == options(check.command)


def test_what_guard_explain_takes_is_documented() -> None:
    # -n and -o stand for their long forms.
    assert options(explain.command) == {"-n", "--namespace", "-o", "--output", "--data-dir"}
    assert all(name in section("explain") for name in ("`-n`", "`-o json`", "`--data-dir`"))


def test_every_command_is_in_the_readme() -> None:
    table = (ROOT / "README.md").read_text()
    assert {name for name in COMMANDS if f"| `guard {name}" not in table} == set()
