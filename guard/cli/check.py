"""guard check"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Literal

import click

from guard.base import naming
from guard.base.clock import SystemClock
from guard.base.errors import ConfigError
from guard.cli.output import format_option, line, structured
from guard.inspect import CheckedField, Question, Verdict, check, question
from guard.inspect.check import policy
from guard.state.policy import Mode

FOUND, UNUSABLE = 1, 2
STANDARD_INPUT = "-"


@click.command("check")
@click.option(
    "--desired",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="The folder of manifests that Git holds.",
)
@click.option(
    "-f",
    "--filename",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    help="An AdmissionReview, or manifests that a person would apply; - is standard input.",
)
@click.option(
    "--decryption-keys",
    "keys",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder of private keys (*.agekey, *.asc, *.gpg) that open what SOPS has encrypted.",
)
@click.option(
    "--mode", type=click.Choice(["Deny", "Warn", "Audit"]), default="Deny", show_default=True, help="As enforcement.mode."
)
@click.option(
    "--additions", type=click.Choice(["Deny", "Allow"]), default="Deny", show_default=True, help="As enforcement.additions."
)
@click.option("-n", "--namespace", default="default", show_default=True, help="Of manifests in FILENAME that name none.")
@format_option
def command(
    *,
    desired: Path,
    filename: str | None,
    keys: Path | None,
    mode: Mode,
    additions: Literal["Deny", "Allow"],
    namespace: str,
    output: str,
) -> int:
    """Whether a folder is a revision that Guard would take; with -f, what Guard would say of a change to what it declares.

    Asks no cluster and no running Guard. Exit code 1 when something is wrong with the folder, or the change is refused; with -f,
    2 for a folder that cannot be taken.
    """
    asked = Question()
    if filename is not None:
        name = "standard input" if filename == STANDARD_INPUT else filename
        asked = question(name, _read(filename, name), namespace=namespace)
    judged_by = policy(mode=mode, additions=additions)
    found = asyncio.run(check(desired, asked, policy=judged_by, now=SystemClock().now(), keys=keys))
    if output != "table":
        structured(found, form=output)
    else:
        for fault in found.faults:
            hint = f" ({fault.hint})" if fault.hint else ""
            line(f"{fault.where}: {fault.message}{hint}" if fault.where else f"{fault.message}{hint}")
        for verdict in found.verdicts:
            _show(verdict)
        if found.faults:
            line(naming.plural(len(found.faults), "fault"))
        elif filename is None:
            line(f"{naming.plural(found.objects, 'object')}, no fault")
    for warning in found.warnings:
        line(f"warning: {warning}", err=True)
    if found.faults:
        return FOUND if filename is None else UNUSABLE
    return FOUND if any(verdict.is_refused for verdict in found.verdicts) else 0


def _read(filename: str, name: str) -> bytes:
    try:
        with click.open_file(filename, "rb") as opened:
            data: bytes = opened.read()
            return data
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=name) from error


_WORDS = {"allow": "allowed", "deny": "refused", "warn": "let through with a warning", "audit": "let through, recorded"}


def _show(verdict: Verdict) -> None:
    named = naming.titled(kind=verdict.kind, namespace=verdict.namespace, name=verdict.name)
    said = _WORDS.get(verdict.verdict, verdict.verdict)
    colour = "red" if verdict.is_refused else "green"
    line(f"{verdict.where}: {verdict.operation} {named}: {said} ({verdict.reason})", colour=colour)
    if verdict.message:
        line(f"  {verdict.message}")
    file = verdict.origin.rpartition(":")[0]
    for field in verdict.fields:
        line(f"  {field.path}: {_said(field)}" + (f" ({naming.place(file, field.line)})" if file else ""))
    if verdict.message and verdict.origin and not verdict.fields:
        line(f"  {verdict.origin}")


def _said(field: CheckedField) -> str:
    git = f"Git has {field.git}" if field.git else "not in Git"
    return f"{git}, asked for {field.asked}" if field.asked else f"{git}, asked to remove it"
