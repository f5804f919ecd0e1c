"""How commands print: lines and tables for people, JSON and YAML for programs.

What is printed comes from clusters, repositories and requests, and whoever wrote it knows that somebody's terminal shows it: all
of it is escaped here, so that no command has to think of it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

import click

from guard.base import codec, naming

if TYPE_CHECKING:
    from rich.console import Console

Format = Literal["table", "json", "yaml"]
Colours: TypeAlias = Literal["always", "never", "auto"]

format_option = click.option(
    "-o", "--output", type=click.Choice(["table", "json", "yaml"]), default="table", show_default=True, help="How to print."
)


def _colour(context: click.Context, _parameter: click.Parameter, value: Colours) -> None:
    # What click goes by; None leaves it to whether the output is a terminal.
    if value != "auto":
        context.color = value == "always"


color_option = click.option(
    "--color",
    type=click.Choice(["always", "never", "auto"]),
    default="auto",
    show_default=True,
    expose_value=False,
    callback=_colour,
    help="Whether to colour; auto: on a terminal, unless NO_COLOR is set.",
)


def line(text: str = "", *, colour: str | None = None, bold: bool = False, err: bool = False) -> None:
    """One line, whatever the text holds."""
    shown = naming.printable(text)
    click.echo(click.style(shown, fg=colour, bold=bold or None) if colour or bold else shown, err=err)


def structured(value: object, *, form: str) -> None:
    if form == "json":
        click.echo(naming.printable_json(codec.pretty(value)))
        return
    import yaml

    # Plain ASCII, so there is nothing to escape.
    click.echo(yaml.safe_dump(codec.plain(value), sort_keys=False), nl=False)


def json_line(value: object) -> None:
    """One value as one line of JSON."""
    click.echo(naming.printable_json(codec.encode(value).decode()))


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, folds: bool = True) -> None:
    """A table without frames, each cell on one line. Piped, or where nothing `folds`, lines are as long as they need to be, so
    that grep and awk see whole rows.
    """
    from rich.table import Table

    piped = not (folds and sys.stdout.isatty())
    shown = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for column in columns:
        shown.add_column(column, no_wrap=piped, overflow="fold")
    for row in rows:
        shown.add_row(*map(naming.printable, row))
    console(width=10_000 if piped else None).print(shown, crop=False)


def console(*, width: int | None = None) -> Console:
    """Rich's way to standard output. Cells are data: `[red]` and `:100:` in them mean nothing."""
    from rich.console import Console

    class Piped(Console):
        def on_broken_pipe(self) -> None:
            # Rich would end the process with 1.
            raise BrokenPipeError

    context = click.get_current_context(silent=True)
    no_color = context is not None and context.color is False
    return Piped(soft_wrap=False, width=width, highlight=False, markup=False, emoji=False, no_color=no_color or None)
