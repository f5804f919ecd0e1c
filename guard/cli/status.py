"""guard status"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import datetime
from pathlib import Path

import click

from guard.api import Standing, Sync, key_of, parse_sync, standing, standings
from guard.base import naming
from guard.base.clock import SystemClock
from guard.base.codec import JsonObject
from guard.base.errors import ClusterError, ConfigError
from guard.cli.following import Following
from guard.cli.options import context_option, kubeconfig_option, sync_key
from guard.cli.output import line, structured, table
from guard.cli.syncs import connected, find_sync, follow_syncs, get_sync, list_syncs
from guard.cluster import Client, Event

FOUND = 1
# An age in whole units, the largest that fits.
_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


@click.command("status")
@click.argument("sync", default="")
@click.option("-n", "--namespace", default="", help="Only the Syncs of this namespace. Default: all.")
@click.option("-w", "--watch", is_flag=True, help="Go on with what changes, until Ctrl-C.")
@kubeconfig_option
@context_option
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "wide", "json", "yaml"]),
    default="table",
    show_default=True,
    help="How to print.",
)
def command(*, sync: str, namespace: str, watch: bool, kubeconfig: Path | None, context: str | None, output: str) -> int:
    """How the Syncs stand; with SYNC (NAME or NAMESPACE/NAME) all about one.

    Exit code 1 when one is not ready, or has drifted, failed or unhealthy objects. With --watch 0: it ends when it is told to.
    """
    key = sync_key(sync, namespace=namespace)
    if watch:
        form = "table" if output == "wide" else output
        try:
            asyncio.run(_follow(kubeconfig, context, key=key, namespace=namespace, form=form))
        except KeyboardInterrupt:
            return 0
    found = asyncio.run(_read(kubeconfig, context, key=key, namespace=namespace))
    if output in {"json", "yaml"}:
        structured(found[0] if key else found, form=output)
    elif key:
        _detail(found[0])
    else:
        _list(found, wide=output == "wide")
    return 0 if all(one.is_fine for one in found) else FOUND


async def _read(kubeconfig: Path | None, context: str | None, *, key: str, namespace: str) -> list[Standing]:
    async with connected(kubeconfig, context) as client:
        if not key:
            return [*standings(await list_syncs(client, namespace=namespace))]
        body = await get_sync(client, key)
        try:
            sync = parse_sync(body, where=f"Sync {key}")
        except ConfigError:
            return [*standings([body])]
        return [standing(sync, others=await _others(client, sync.dependencies))]


async def _others(client: Client, keys: tuple[str, ...]) -> dict[str, Sync | None]:
    """The Syncs of these names, None for one that is not there; without those that may not be read, or cannot."""
    found: dict[str, Sync | None] = {}
    for key in keys:
        try:
            body = await find_sync(client, key)
            found[key] = parse_sync(body, where=key) if body is not None else None
        except (ClusterError, ConfigError):
            continue
    return found


# ---- all at a glance


def _list(found: list[Standing], *, wide: bool) -> None:
    if not found:
        line("no Syncs")
        return
    columns = ["SYNC", "READY", "SUSPENDED", "REVISION", "DECLARED", "DRIFTED", "FAILED", "HEALTHY"]
    more = ["APPLIED", "ATTEMPTED", "MODE", "HEAL", "SOURCE", "PATH", "SINCE"] if wide else []
    # As kubectl's: what is wide is for wide screens.
    table([*columns, *more, "MESSAGE"], [_row(one, wide=wide) for one in found], folds=not wide)


def _row(found: Standing, *, wide: bool) -> list[str]:
    objects = found.objects
    revision = found.revision if wide else naming.short_revision(found.revision)
    row = [found.sync, found.ready, _yes(found.suspended), revision]
    row += [str(objects.declared), str(objects.drifted), str(objects.failed), _healthy(found)]
    if wide:
        row += [str(objects.applied), found.attempted_revision, found.mode, _on(found.heal), found.source, found.path]
        row.append(_age(found.since))
    message = found.message if wide or not found.revision else found.message.replace(found.revision, revision)
    return [*row, _progress(found) or message]


def _healthy(found: Standing) -> str:
    """`12/14`, of those of which it can be told."""
    health = found.health
    total = health.healthy + health.progressing + health.unhealthy
    return f"{health.healthy}/{total}" if total else "-"


def _progress(found: Standing) -> str:
    done, total = found.progress.done, found.progress.total
    return f"applying: {done:,} of {total:,} objects ({done * 100 // total} %)" if total else ""


# ---- all about one


def _detail(found: Standing) -> None:
    colour = "green" if found.is_fine else "red" if found.ready == "False" else "yellow"
    line(f"{found.sync}: {found.word}", bold=True, colour=colour)
    if found.message:
        line(f"  {found.message}")
    line()
    for name, text in _facts(found):
        if text:
            line(f"{name + ':':<13}{text}")
    if found.depends_on:
        line()
        table(("WAITS FOR", "READY", "MESSAGE"), [(one.sync, one.ready, one.message) for one in found.depends_on])
    if found.conditions:
        line()
        rows = [(one.type, one.status, one.reason, _age(one.last_transition_time), one.message) for one in found.conditions]
        table(("CONDITION", "STATUS", "REASON", "SINCE", "MESSAGE"), rows)
    if found.next_steps:
        line()
        line("Next:")
        for step in found.next_steps:
            line(f"  {step}")


def _facts(found: Standing) -> list[tuple[str, str]]:
    objects, health, held = found.objects, found.health, found.held_back
    attempted = f"tried last: {found.attempted_revision}" if found.attempted_revision != found.revision else ""
    return [
        ("Suspended", f"yes: {found.suspend_reason or 'no reason given'}" if found.suspended else ""),
        ("Source", f"{found.source}, path {found.path}, every {found.interval}" if found.source else ""),
        ("Revision", naming.listed(found.revision or "none applied yet", attempted)),
        ("Enforcement", f"mode {found.mode}, heal {_on(found.heal)}, additions {found.additions}" if found.mode else ""),
        (
            "Objects",
            f"{objects.declared} declared, {objects.applied} applied, {objects.drifted} drifted, {objects.failed} failed",
        ),
        (
            "Health",
            f"{health.healthy} healthy, {health.progressing} progressing, {health.unhealthy} unhealthy"
            if _healthy(found) != "-"
            else "",
        ),
        ("Held back", f"{naming.plural(held.objects, 'object')} to be pruned, since {held.revision}" if held.objects else ""),
        ("Progress", _progress(found)),
        ("Requested", f"a look, at {found.requested}; not answered yet" if found.requested else ""),
    ]


def _yes(value: bool) -> str:  # noqa: FBT001 (how a value reads)
    return "yes" if value else "no"


def _on(value: bool) -> str:  # noqa: FBT001 (how a value reads)
    return "on" if value else "off"


def _age(time: str) -> str:
    """`5m`: how long ago, in the largest unit that fits."""
    try:
        seconds = int((SystemClock().now() - datetime.fromisoformat(time)).total_seconds())
    except (ValueError, TypeError):
        return ""
    unit, size = next(((unit, size) for unit, size in _UNITS if seconds >= size), ("s", 1))
    return f"{max(seconds, 0) // size}{unit}"


# ---- as they go


async def _follow(kubeconfig: Path | None, context: str | None, *, key: str, namespace: str, form: str) -> None:
    """Show what changes, until the user ends it."""
    async with connected(kubeconfig, context) as client:
        # What is wrong with cluster, rights or name is wrong at once.
        await (get_sync(client, key) if key else list_syncs(client, namespace=namespace))
        known: set[str] = set()
        with Following(form=form) as following:
            async with aclosing(follow_syncs(client, key, namespace=namespace)) as events:
                async for event in events:
                    if event.type == "FAILED":
                        following.interrupted(event.error)
                    else:
                        known = _show(following, event, known)


def _show(following: Following, event: Event[JsonObject], known: set[str]) -> set[str]:
    """Returns the Syncs that are there by now."""
    bodies = event.objects if event.type == "LISTED" else (event.object,)
    there = {*map(key_of, bodies)} if event.type == "LISTED" else known | {key_of(event.object)}
    if event.type == "DELETED":
        there, bodies = known - {key_of(event.object)}, ()
    for name in sorted(known - there):
        following.deleted(name)
    for one in standings(bodies):
        following.show(one)
    return there
