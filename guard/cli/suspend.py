"""guard suspend"""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from guard.api import SUSPEND_REASON
from guard.base.codec import child
from guard.cli.options import context_option, kubeconfig_option, namespace_option, sync_key, sync_name
from guard.cli.output import line
from guard.cli.syncs import connected, get_sync, patch_sync, warn_of_file


@click.command("suspend")
@click.argument("sync")
@namespace_option
@click.option("--reason", default="", help="Why, for those who ask guard status.")
@kubeconfig_option
@context_option
def command(*, sync: str, namespace: str, reason: str, kubeconfig: Path | None, context: str | None) -> None:
    """Stop fetching, applying, pruning and healing for a Sync, until guard resume.

    Manual changes are refused as before: guard break-glass is for those. Takes a group that may change Syncs.
    """
    key = sync_key(sync, namespace=namespace)
    asyncio.run(_suspend(kubeconfig, context, key=key, reason=reason))


async def _suspend(kubeconfig: Path | None, context: str | None, *, key: str, reason: str) -> None:
    async with connected(kubeconfig, context) as client:
        before = await get_sync(client, key)
        was_suspended = bool(child(before, "spec").get("suspend"))
        patch = {"metadata": {"annotations": {SUSPEND_REASON: reason or None}}, "spec": {"suspend": True}}
        await patch_sync(client, key, patch)
    line(f"{key} is suspended" + (" already" if was_suspended else "") + f"; guard resume {sync_name(key)} goes on")
    warn_of_file(before)
