"""Waiting until Guard has done what was asked of it: `--wait`."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from guard.api import Awaited, awaited, parse_sync, standing
from guard.base.clock import SystemClock, rfc3339
from guard.base.codec import JsonObject
from guard.base.concurrency import end
from guard.base.errors import ConfigError
from guard.cli.following import Following
from guard.cli.options import sync_name
from guard.cli.output import line
from guard.cli.syncs import follow_syncs
from guard.cluster import Client, Event

DONE, FAILED = 0, 1
# A Guard that is well takes a request up at once, but for a fetch that is under way.
QUIET_SECONDS = 15.0


def new_request() -> str:
    """A value for the annotation that asks Guard to look, unlike any other."""
    return rfc3339(SystemClock().now())


async def wait_for(client: Client, key: str, *, requested: str, seconds: float) -> int:
    """Wait until the request is answered, showing how it gets on; returns the exit code. `seconds` is how long at most."""
    last = Awaited("waiting", "Guard has not answered yet", taken_up=False)
    hint = asyncio.create_task(_hint_when_quiet())
    try:
        with Following() as following:
            async with asyncio.timeout(seconds), aclosing(follow_syncs(client, key)) as events:
                async for event in events:
                    if event.type == "FAILED":
                        following.interrupted(event.error)
                        continue
                    last = _answer(event, requested=requested, following=following)
                    if last.taken_up:
                        hint.cancel()
                    if last.answer != "waiting":
                        break
    except TimeoutError:
        line(f"guard: not within {seconds:.0f} s: {key}: {last.what}", err=True)
        return FAILED
    finally:
        await end((hint,))
    if last.answer == "done":
        return DONE
    line(f"guard: {key}: {last.what} (guard status {sync_name(key)} says more)", err=True)
    return FAILED


def _answer(event: Event[JsonObject], *, requested: str, following: Following) -> Awaited:
    bodies = event.objects if event.type == "LISTED" else (event.object,)
    if event.type == "DELETED" or not bodies:
        return Awaited("failed", "the Sync was deleted", taken_up=True)
    try:
        sync = parse_sync(bodies[0], where="the Sync")
    except ConfigError as error:
        return Awaited("failed", str(error), taken_up=True)
    found = awaited(sync, requested=requested)
    if found.taken_up and found.answer != "failed":
        following.show(standing(sync, others={}))
    return found


async def _hint_when_quiet() -> None:
    await asyncio.sleep(QUIET_SECONDS)
    line(
        f"guard: no answer for {QUIET_SECONDS:.0f} s: Guard fetches, or it is not running "
        "(kubectl -n guard-system get pods; outside a cluster: guard run)",
        err=True,
    )
