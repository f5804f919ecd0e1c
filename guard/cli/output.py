"""How commands print: tables for people, JSON and YAML for programs, one line for an error."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Literal

import click
from rich.console import Console
from rich.table import Table

from guard.base import codec

Format = Literal["table", "json", "yaml"]

format_option = click.option(
    "-o", "--output", type=click.Choice(["table", "json", "yaml"]), default="table", show_default=True, help="How to print."
)


def structured(value: object, *, form: str) -> None:
    if form == "json":
        click.echo(codec.pretty(value))
        return
    import yaml

    click.echo(yaml.safe_dump(codec.plain(value), sort_keys=False), nl=False)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table without frames. Piped, lines are as long as they need to be, so that grep and awk see whole rows."""
    piped = not sys.stdout.isatty()
    shown = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for column in columns:
        shown.add_column(column, no_wrap=piped, overflow="fold")
    for row in rows:
        shown.add_row(*row)
    console().print(shown)


def console() -> Console:
    return Console(soft_wrap=False, width=None if sys.stdout.isatty() else 10_000, highlight=False, markup=False)
