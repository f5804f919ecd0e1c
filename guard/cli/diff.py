"""guard diff"""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import click

from guard import control
from guard.base import naming
from guard.cli.options import data_dir_option, namespace_option, sync_key
from guard.cli.output import color_option, format_option, line, structured
from guard.inspect import Comparison, Difference, FieldDifference
from guard.state.ids import FIELD_MANAGER

FOUND = 1

_SAID = {
    "changed": "changed",
    "missing": "missing in the cluster",
    "prunable": "no longer in Git, to be pruned",
    "unknown": "not compared",
}


@click.command("diff")
@click.argument("sync", default="")
@namespace_option
@data_dir_option
@color_option
@format_option
def command(*, sync: str, namespace: str, data_dir: Path, output: str) -> int:
    """Where the cluster differs from Git, field by field: - is what the cluster has, + what Git has.

    SYNC is NAME or NAMESPACE/NAME; without it, all Syncs are compared. Exit code 1 when something differs, or when that cannot be
    told of an object.
    """
    if namespace and not sync:
        raise click.UsageError("-n goes with the name of a Sync")
    found = asyncio.run(control.diff(data_dir, sync=sync_key(sync, namespace=namespace)))
    if output != "table":
        structured(found, form=output)
    else:
        for difference in found.differences:
            source = naming.source_of(found.revisions.get(difference.sync, ""))
            _show(difference, sync=difference.sync if len(found.revisions) > 1 else "", source=source)
        for name, why in found.not_compared.items():
            line(f"{name}: {why}", bold=True)
        line(_counted(found))
    return FOUND if found.differences or found.not_compared else 0


def _show(difference: Difference, *, sync: str, source: str) -> None:
    named = naming.titled(kind=difference.kind, namespace=difference.namespace, name=difference.name)
    where = naming.listed(difference.origin, sync)
    said = _SAID[difference.what].replace("Git", source) + (f": {difference.problem}" if difference.problem else "")
    line(f"{named} ({where}): {said}" if where else f"{named}: {said}", bold=True)
    for field in difference.fields:
        line(f"  {field.path}{_about(field, file=difference.file)}")
        if field.live:
            line(f"    - cluster: {field.live}", colour="red")
        if field.git:
            line(f"    + {source.removeprefix('the ') + ':':<8} {field.git}", colour="green")


def _about(field: FieldDifference, *, file: str) -> str:
    managers = ", ".join(manager for manager in field.managed_by if manager != FIELD_MANAGER)
    said = naming.listed(naming.place(file, field.line) if field.line else "", f"set by {managers}" if managers else "")
    return f" ({said})" if said else ""


def _counted(found: Comparison) -> str:
    """`3 of 120 objects differ from main@3f2c1ab (2 changed, 1 missing), 1 to be pruned`."""
    objects = naming.plural(found.objects, "object")
    counts = Counter(difference.what for difference in found.differences)
    git = naming.short_revision(*found.revisions.values()) if len(found.revisions) == 1 else "Git"
    differ = counts["changed"] + counts["missing"]
    if differ:
        kinds = naming.listed(*(f"{counts[what]} {what}" for what in ("changed", "missing") if counts[what]))
        said = f"{differ} of {objects} {'differs' if differ == 1 else 'differ'} from {git} ({kinds})"
    else:
        said = objects if counts["unknown"] else f"{objects}, no difference from {git}"
    return naming.listed(
        said,
        f"{counts['prunable']} to be pruned" if counts["prunable"] else "",
        f"{counts['unknown']} could not be compared" if counts["unknown"] else "",
    )
