"""guard status"""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
import msgspec

from guard.api import SYNC, Sync, find_condition, parse_sync
from guard.base.errors import ApiStatusError, ConfigError
from guard.cli.options import context_option, kubeconfig_option, sync_key
from guard.cli.output import format_option, structured, table
from guard.cluster import Client, collection_path, connect

FOUND = 1
NOT_FOUND = 404


class Row(msgspec.Struct, frozen=True, rename="camel"):
    sync: str
    ready: str
    reason: str
    revision: str
    declared: int
    drifted: int
    failed: int
    message: str


@click.command("status")
@click.argument("sync", default="")
@kubeconfig_option
@context_option
@format_option
def command(*, sync: str, kubeconfig: Path | None, context: str | None, output: str) -> int:
    """What the Syncs say about themselves. Exit code 1 when one is not ready or has drift."""
    rows = [_row(found) for found in asyncio.run(_syncs(kubeconfig, context))]
    if sync:
        rows = [row for row in rows if row.sync == sync_key(sync)]
        if not rows:
            raise ConfigError(f"there is no Sync {sync_key(sync)}", hint="guard status lists them")
    if output != "table":
        structured(rows, form=output)
    else:
        table(
            ("SYNC", "READY", "REVISION", "DECLARED", "DRIFTED", "FAILED", "MESSAGE"),
            [
                (row.sync, row.ready, row.revision, str(row.declared), str(row.drifted), str(row.failed), row.message)
                for row in rows
            ],
        )
    return FOUND if any(row.ready != "True" or row.drifted or row.failed for row in rows) else 0


async def _syncs(kubeconfig: Path | None, context: str | None) -> list[Sync]:
    client = Client(await connect(kubeconfig=kubeconfig, context=context))
    try:
        answer = await client.get(collection_path(SYNC))
    except ApiStatusError as error:
        if error.code == NOT_FOUND:
            raise ConfigError("this cluster knows no Syncs", hint="guard run installs them") from error
        raise
    finally:
        await client.close()
    return [parse_sync(body, where="the API server") for body in answer.get("items", ())]


def _row(sync: Sync) -> Row:
    ready = find_condition(sync.status.conditions, "Ready")
    counts = sync.status.objects
    return Row(
        sync=sync.key,
        ready=ready.status if ready else "Unknown",
        reason=ready.reason if ready else "",
        revision=sync.status.last_applied_revision,
        declared=counts.declared,
        drifted=counts.drifted,
        failed=counts.failed,
        message=ready.message if ready else "not looked at yet",
    )
