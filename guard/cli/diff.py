"""guard diff"""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from guard import control
from guard.base import naming
from guard.cli.options import data_dir_option, sync_key
from guard.cli.output import format_option, structured
from guard.inspect import Difference

FOUND = 1


@click.command("diff")
@click.argument("sync", default="")
@data_dir_option
@format_option
def command(*, sync: str, data_dir: Path, output: str) -> int:
    """Where the cluster differs from Git. Exit code 1 when it does."""
    found = asyncio.run(control.diff(data_dir, sync=sync_key(sync)))
    if output != "table":
        structured(found, form=output)
    else:
        for difference in found.differences:
            _show(difference)
        objects = naming.plural(found.objects, "object")
        click.echo(f"{len(found.differences)} of {objects} differ" if found.differences else f"{objects}, no difference")
    return FOUND if found.differences else 0


def _show(difference: Difference) -> None:
    named = naming.titled(kind=difference.kind, namespace=difference.namespace, name=difference.name)
    click.secho(f"{named} ({difference.origin}): {difference.problem or difference.what}", bold=True)
    for field in difference.fields:
        click.echo(f"  {field.path}")
        if field.git:
            click.secho(f"    - Git:  {field.git}", fg="green")
        if field.live:
            click.secho(f"    + live: {field.live}", fg="red")
        if not field.git and not field.live:
            click.echo("    differs (not shown)")
