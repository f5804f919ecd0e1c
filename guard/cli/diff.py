"""guard diff"""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from guard import control
from guard.base import naming
from guard.cli.options import data_dir_option, sync_key
from guard.cli.output import format_option, line, structured
from guard.inspect import Comparison, Difference

FOUND = 1


@click.command("diff")
@click.argument("sync", default="")
@data_dir_option
@format_option
def command(*, sync: str, data_dir: Path, output: str) -> int:
    """Where the cluster differs from Git. Exit code 1 when it does, or when that cannot be told of an object."""
    found = asyncio.run(control.diff(data_dir, sync=sync_key(sync)))
    if output != "table":
        structured(found, form=output)
    else:
        for difference in found.differences:
            _show(difference)
        line(_counted(found))
    return FOUND if found.differences else 0


def _counted(found: Comparison) -> str:
    objects = naming.plural(found.objects, "object")
    unknown = sum(difference.what == "unknown" for difference in found.differences)
    differ = len(found.differences) - unknown
    if not unknown:
        return f"{differ} of {objects} differ" if differ else f"{objects}, no difference"
    return f"{differ} of {objects} differ, {unknown} could not be compared"


def _show(difference: Difference) -> None:
    named = naming.titled(kind=difference.kind, namespace=difference.namespace, name=difference.name)
    what = f"{difference.what}: {difference.problem}" if difference.problem else difference.what
    line(f"{named} ({difference.origin}): {what}", bold=True)
    for field in difference.fields:
        line(f"  {field.path}")
        if field.git:
            line(f"    - Git:  {field.git}", colour="green")
        if field.live:
            line(f"    + live: {field.live}", colour="red")
