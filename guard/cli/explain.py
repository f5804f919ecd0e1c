"""guard explain"""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from guard import control
from guard.audit import Record
from guard.base import naming
from guard.cli.options import data_dir_option
from guard.cli.output import format_option, line, structured, table
from guard.inspect import Explanation

FOUND = 1
_NOT_FINE = frozenset({"drifted", "missing", "unknown"})


@click.command("explain")
@click.argument("reference", metavar="KIND/NAME")
@click.option("-n", "--namespace", default="default", show_default=True, help="Of the object, where its kind has namespaces.")
@data_dir_option
@format_option
def command(*, reference: str, namespace: str, data_dir: Path, output: str) -> int:
    """One object: what Git declares of it and where, who set what in the cluster, what people may change, what happened.

    KIND is written as kubectl takes it: deployment, deployments, deploy, Deployment.apps. Exit code 1 when the object is not as
    Git says, 2 when there is no such object.
    """
    kind, _, name = reference.partition("/")
    if not kind or not name or "/" in name:
        raise click.UsageError(f"{reference!r} is not KIND/NAME, like deployment/web")
    found = asyncio.run(control.explain(data_dir, kind=kind, name=name, namespace=namespace))
    if output != "table":
        structured(found, form=output)
    else:
        _show(found)
    return FOUND if found.state in _NOT_FINE else 0


def _show(found: Explanation) -> None:
    named = naming.titled(kind=found.kind, namespace=found.namespace, name=found.name)
    if found.state == "undeclared":
        _show_undeclared(found, named)
    else:
        _show_declared(found, named)
    _section(
        ("MANAGED BY", "OPERATION", "SUBRESOURCE", "TIME", "FIELDS"),
        [(who.manager, who.operation, who.subresource, who.time, str(len(who.fields))) for who in found.managers],
    )
    if found.state != "undeclared":
        _section(
            ("PEOPLE MAY CHANGE", "BY"),
            [(able.what, able.why.replace("Git", naming.source_of(found.revision))) for able in found.may_change],
        )
    _section(("TIME", "EVENT", "BY", "WHAT", "REFERENCE"), [_row(record) for record in found.records])


def _show_declared(found: Explanation, named: str) -> None:
    made = naming.listed(found.via, found.revision)
    line(f"{named} is declared by {found.sync}: {naming.place(found.file, found.line)} ({made})", bold=True)
    if found.url:
        line(found.url)
    source = naming.source_of(found.revision)
    match found.state:
        case "same":
            line(f"It is as {source} says.", colour="green")
        case "missing":
            line("It is missing in the cluster.", colour="red")
        case "unknown":
            line(f"Whether it is as {source} says, the API server would not tell.", colour="red")
        case _:
            line(f"It differs from {source}.", colour="red")
    if found.problem:
        line(f"The API server says: {found.problem}")
    if found.terminating:
        line("It is being deleted.")
    if found.state != "missing" and not found.labelled_by_guard:
        line("The label gitopsguard.dev/sync on it is not Guard's own.")
    if found.enforcement is not None:
        enforced = found.enforcement
        heal = "on" if enforced.heal else "off"
        line(f"Enforcement: mode {enforced.mode}, additions {enforced.additions}, heal {heal}")
    _section(
        ("", "DECLARED FIELD", source.removeprefix("the ").upper(), "LIVE", "LINE", "MANAGED BY"),
        [
            ("" if field.same else "!", field.path, field.git, field.live, str(field.line or ""), ", ".join(field.managed_by))
            for field in found.fields
        ],
    )
    _section(
        ("", "OTHER FIELD", "LIVE", "MANAGED BY"),
        [("!" if field.addition else "", field.path, field.live, ", ".join(field.managed_by)) for field in found.others],
    )
    if any(not field.same for field in found.fields) or any(field.addition for field in found.others):
        line()
        line(f"! is not as {source} says" + (", and is healed" if found.enforcement and found.enforcement.heal else ""))


def _show_undeclared(found: Explanation, named: str) -> None:
    line(f"{named} is not declared in Git.", bold=True)
    if found.waiting_for:
        line(f"Its label says that it belongs to {found.waiting_for}, which Guard has not loaded yet: it is protected.")
    elif found.label:
        whose = "Guard put it there" if found.labelled_by_guard else "a controller or a person copied it there"
        line(f"It carries the label gitopsguard.dev/sync: {found.label} ({whose}).")
    if found.terminating:
        line("It is being deleted.")
    if found.declared_in_namespace:
        inside = f"namespace {found.namespace}" if found.namespace else "it"
        line(f"In {inside} Git declares {naming.plural(found.declared_in_namespace, 'object')}.")
    if found.strict:
        line(f"{found.strict} has the namespace among its strictNamespaces: people create only what Git declares there.")


def _section(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    if rows:
        line()
        table(columns, rows)


def _row(record: Record) -> tuple[str, ...]:
    by = record.user or ", ".join(record.managers)
    what = ", ".join(field.path for field in record.fields) or record.message or record.reason
    return record.time, record.event + (" (dry run)" if record.dry_run else ""), by, what, record.id
