"""guard resume"""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from guard.api import REQUESTED_AT, SUSPEND_REASON
from guard.base.codec import child
from guard.cli.options import context_option, kubeconfig_option, namespace_option, sync_key, timeout_option, wait_option
from guard.cli.output import line
from guard.cli.syncs import connected, get_sync, patch_sync, warn_of_file
from guard.cli.waiting import new_request, wait_for


@click.command("resume")
@click.argument("sync")
@namespace_option
@wait_option
@timeout_option
@kubeconfig_option
@context_option
def command(*, sync: str, namespace: str, wait: bool, timeout: float, kubeconfig: Path | None, context: str | None) -> int:
    """Go on with a Sync that was suspended, beginning with a look at its source.

    With --wait until the Sync is ready. Exit code 1 when that fails or takes too long. Takes a group that may change Syncs.
    """
    key = sync_key(sync, namespace=namespace)
    return asyncio.run(_resume(kubeconfig, context, key=key, seconds=timeout if wait else None))


async def _resume(kubeconfig: Path | None, context: str | None, *, key: str, seconds: float | None) -> int:
    async with connected(kubeconfig, context) as client:
        before = await get_sync(client, key)
        was_suspended = bool(child(before, "spec").get("suspend"))
        requested = new_request()
        patch = {
            "metadata": {"annotations": {REQUESTED_AT: requested, SUSPEND_REASON: None}},
            "spec": {"suspend": False},
        }
        await patch_sync(client, key, patch)
        line(f"{key} is resumed" if was_suspended else f"{key} was not suspended; Guard looks at it now")
        warn_of_file(before)
        return await wait_for(client, key, requested=requested, seconds=seconds) if seconds is not None else 0
