"""docs/operations.md and README.md name what the commands have."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import click
import pytest

from guard.cli import check, diff, explain, reconcile, resume, status, suspend
from guard.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text()


def section(command: str) -> str:
    return PAGE.partition(f": `guard {command}`\n")[2].partition("\n## ")[0]


def options(command: click.Command) -> set[str]:
    return {name for option in command.params if isinstance(option, click.Option) for name in option.opts}


@pytest.mark.parametrize("command", [check.command, diff.command, reconcile.command, status.command])
def test_every_option_is_documented(command: click.Command) -> None:
    named: set[str] = set()
    for row in re.findall(r"^\| (`-.*?) +\|", section(command.name or ""), re.MULTILINE):
        named |= {text.split()[0] for text in re.findall(r"`([^`]+)`", row)}
    assert named == options(command)


def test_what_guard_suspend_and_resume_take_beside_what_reconcile_does_is_documented() -> None:
    assert options(suspend.command) - options(reconcile.command) == {"--reason"}
    assert options(resume.command) == options(reconcile.command)
    assert all(text in section("suspend") for text in ("--reason", "guard resume", "`--wait`", "`--timeout`"))


def test_the_help_that_loads_no_command_names_each() -> None:
    for name, what in COMMANDS.items():
        command = importlib.import_module(f"guard.cli.{name.replace('-', '_')}").command
        assert (command.name, what[-1]) == (name, ".")
        assert command.help


def test_what_guard_explain_takes_is_documented() -> None:
    # -n and -o stand for their long forms.
    assert options(explain.command) == {"-n", "--namespace", "-o", "--output", "--data-dir"}
    assert all(name in section("explain") for name in ("`-n`", "`-o json`", "`--data-dir`"))


def test_every_command_is_in_the_readme() -> None:
    table = (ROOT / "README.md").read_text()
    assert {name for name in COMMANDS if f"`guard {name}" not in table} == set()
