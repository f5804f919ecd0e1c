"""guard reconcile"""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from guard.api import REQUESTED_AT, SYNC
from guard.base.clock import SystemClock, rfc3339
from guard.base.errors import ApiStatusError, ConfigError
from guard.cli.options import context_option, kubeconfig_option, sync_key
from guard.cluster import Client, connect, object_path

NOT_FOUND = 404


@click.command("reconcile")
@click.argument("sync")
@kubeconfig_option
@context_option
def command(*, sync: str, kubeconfig: Path | None, context: str | None) -> None:
    """Ask Guard to look at the source of a Sync now."""
    asyncio.run(_request(sync_key(sync), kubeconfig, context))
    click.echo(f"requested; guard status {sync} says what came of it")


async def _request(key: str, kubeconfig: Path | None, context: str | None) -> None:
    namespace, _, name = key.partition("/")
    client = Client(await connect(kubeconfig=kubeconfig, context=context))
    now = rfc3339(SystemClock().now())
    try:
        await client.merge_patch(
            object_path(SYNC, namespace=namespace, name=name),
            {"metadata": {"annotations": {REQUESTED_AT: now}}},
            manager="guard-cli",
        )
    except ApiStatusError as error:
        if error.code == NOT_FOUND:
            raise ConfigError(f"there is no Sync {key}", hint="guard status lists them") from error
        raise
    finally:
        await client.close()
