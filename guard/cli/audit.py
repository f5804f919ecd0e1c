"""guard audit"""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import click

from guard import control
from guard.audit import Event, Record
from guard.base import naming
from guard.base.clock import SystemClock
from guard.cli.options import Seconds, data_dir_option, sync_key
from guard.cli.output import json_line, line, structured, table

FOUND = 1
NEWEST = 100


@click.command("audit")
@click.option("--event", "events", multiple=True, type=click.Choice(get_args(Event)), help="Only these; may be repeated.")
@click.option("--sync", default="", help="Only of this Sync.")
@click.option("--kind", default="", help="Only of this kind.")
@click.option("-n", "--namespace", default="", help="Only in this namespace.")
@click.option("--name", default="", help="Only of this object.")
@click.option("--user", default="", help="Only by this user.")
@click.option("--since", default="", help="Only from this time on: 30m, 24h, or a time like 2026-01-02T03:04:05Z.")
@click.option("--reference", default="", help="The record that a refusal named.")
@click.option("--limit", type=click.IntRange(min=0), default=NEWEST, show_default=True, help="The newest so many; 0: all.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes.")
@data_dir_option
@click.option("-o", "--output", type=click.Choice(["table", "json", "yaml"]), default="table", show_default=True)
def command(
    *,
    events: tuple[str, ...],
    sync: str,
    kind: str,
    namespace: str,
    name: str,
    user: str,
    since: str,
    reference: str,
    limit: int,
    follow: bool,
    data_dir: Path,
    output: str,
) -> int:
    """What was refused, healed and synced, and why. With --follow -o json, one record a line."""
    query = {
        "events": ",".join(events),
        "sync": sync_key(sync),
        "kind": kind,
        "namespace": namespace,
        "name": name,
        "user": user,
        "since": _moment(since),
        "reference": reference,
        "limit": str(limit),
    }
    if follow:
        asyncio.run(_follow(data_dir, {**query, "follow": "true"}, output))
        return 0
    records = asyncio.run(_read(data_dir, query))
    if output != "table":
        structured(records, form=output)
    elif reference:
        structured(records, form="yaml")
    else:
        table(("TIME", "EVENT", "OBJECT", "BY", "WHAT", "REFERENCE"), [_row(record) for record in records])
    return FOUND if any(record.event == "denied" for record in records) else 0


async def _read(data_dir: Path, query: dict[str, str]) -> list[Record]:
    return [record async for record in control.audit(data_dir, query)]


async def _follow(data_dir: Path, query: dict[str, str], output: str) -> None:
    async for record in control.audit(data_dir, query):
        if output == "table":
            line("  ".join(part for part in _row(record) if part))
        elif output == "json":
            json_line(record)
        else:
            line("---")
            structured(record, form="yaml")


def _row(record: Record) -> tuple[str, str, str, str, str, str]:
    subject = naming.titled(kind=record.kind, namespace=record.namespace, name=record.name) if record.kind else record.sync
    by = record.user or ", ".join(record.managers)
    what = ", ".join(field.path for field in record.fields) or record.message or record.reason
    if record.took_ms and record.event == "healed":
        what += f" ({record.took_ms:.0f} ms)"
    dry = " (dry run)" if record.dry_run else ""
    return record.time, record.event + dry, subject, by, what, record.id


def _moment(text: str) -> str:
    """The time that --since means, as the journal writes times."""
    if not text:
        return ""
    if re.match(r"^\d+(\.\d+)?(ms|s|m|h)", text):
        ago = Seconds().convert(text, None, None)
        return (SystemClock().now() - timedelta(seconds=ago)).isoformat()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is neither a duration nor a time", param_hint="--since") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()
