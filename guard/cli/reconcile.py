"""guard reconcile"""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from guard.api import REQUESTED_AT
from guard.base.codec import child
from guard.base.errors import ConfigError
from guard.cli.options import (
    context_option,
    kubeconfig_option,
    namespace_option,
    sync_key,
    sync_name,
    timeout_option,
    wait_option,
)
from guard.cli.output import line
from guard.cli.syncs import connected, get_sync, patch_sync
from guard.cli.waiting import new_request, wait_for


@click.command("reconcile")
@click.argument("sync")
@namespace_option
@wait_option
@timeout_option
@kubeconfig_option
@context_option
def command(*, sync: str, namespace: str, wait: bool, timeout: float, kubeconfig: Path | None, context: str | None) -> int:
    """Ask Guard to look at the source of a Sync now.

    With --wait until it has, and the Sync is ready. Exit code 1 when that fails or takes too long, 2 when the Sync is suspended.
    """
    key = sync_key(sync, namespace=namespace)
    return asyncio.run(_reconcile(kubeconfig, context, key=key, seconds=timeout if wait else None))


async def _reconcile(kubeconfig: Path | None, context: str | None, *, key: str, seconds: float | None) -> int:
    async with connected(kubeconfig, context) as client:
        if child(await get_sync(client, key), "spec").get("suspend"):
            raise ConfigError("is suspended, so nothing is fetched", where=f"Sync {key}", hint=f"guard resume {sync_name(key)}")
        requested = new_request()
        await patch_sync(client, key, {"metadata": {"annotations": {REQUESTED_AT: requested}}})
        if seconds is not None:
            return await wait_for(client, key, requested=requested, seconds=seconds)
    line(f"requested; guard status {sync_name(key)} says what came of it")
    return 0
