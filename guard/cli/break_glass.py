"""guard break-glass"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import click
import msgspec

from guard.api import (
    BREAK_GLASS,
    BreakGlass,
    BreakGlassSpec,
    BreakGlassTarget,
    find_condition,
    parse_break_glass,
    written_target,
)
from guard.base import codec
from guard.base.errors import ApiStatusError, ConfigError
from guard.cli.options import Seconds, context_option, kubeconfig_option, sync_key
from guard.cli.output import format_option, line, structured, table
from guard.cluster import Client, collection_path, connect, object_path, whoami
from guard.inspect.resources import find_kind
from guard.state.breakglass import Target, WholeNamespace, WholeSync
from guard.state.ids import GUARD_NAMESPACE, ObjectKey
from guard.state.requesters import BREAK_GLASS_GROUP

NO_ANSWER = 2
FORBIDDEN, NOT_FOUND = 403, 404
WAIT_SECONDS, LOOK_SECONDS = 15.0, 0.2
MOST_NAME = 40  # of what the API server adds a few letters to

namespace_option = click.option(
    "-n", "--namespace", default="default", show_default=True, help="Of the object, where its kind has namespaces."
)
wide_option = click.option("--namespace-wide", "wide", is_flag=True, help="The whole namespace of -n, with all in it.")
sync_option = click.option("--sync", default="", metavar="[NAMESPACE/]NAME", help="All that a Sync declares.")


class _Commands(click.Group):
    """`end` and `list`; whatever else comes first is what is to be opened."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] in {"end", "list"}:
            return super().resolve_command(ctx, args)
        return "", opening, args


@click.group(
    "break-glass",
    cls=_Commands,
    no_args_is_help=True,
    context_settings={"ignore_unknown_options": True},
    options_metavar="",
    subcommand_metavar="KIND/NAME|--namespace-wide|--sync NAME [OPTIONS] | end | list",
)
def command() -> None:
    """Suspend enforcement and healing, for a while and a reason.

    guard break-glass deployment/web -n shop --for 30m --reason "..." opens one object, --namespace-wide -n shop a namespace with
    all in it, --sync apps all that a Sync declares. It is recorded, ends by itself or by `guard break-glass end`, and what Git
    says then comes back. RBAC decides who may: the role guard-break-glass.
    """


class _Asked(msgspec.Struct, frozen=True):
    """What is to be opened, or closed, as the command line says."""

    reference: str
    namespace: str
    wide: bool
    sync: str

    @classmethod
    def of(cls, reference: str, *, namespace: str, wide: bool, sync: str, named: bool = False) -> _Asked:
        """`named` where the name of a BreakGlass will do as well. Raises UsageError."""
        if sum((bool(reference), wide, bool(sync))) != 1:
            own = ", the NAME of a BreakGlass" if named else ""
            raise click.UsageError(f"say one of KIND/NAME{own}, --namespace-wide with -n, and --sync")
        kind, slash, name = reference.partition("/")
        if reference and not (named and not slash) and (not kind or not name or "/" in name):
            raise click.UsageError(f"{reference!r} is not KIND/NAME, like deployment/web")
        return cls(reference, namespace, wide, sync)

    @property
    def is_name(self) -> bool:
        return bool(self.reference) and "/" not in self.reference

    async def place(self, client: Client) -> _Place:
        """Raises ConfigError where the cluster has no such kind, ClusterError."""
        if self.wide:
            return _Place(self.namespace, WholeNamespace(self.namespace), self.namespace)
        if self.sync:
            key = sync_key(self.sync)
            home, _, name = key.partition("/")
            return _Place(home, WholeSync(key), name)
        wanted, _, name = self.reference.partition("/")
        kind = await find_kind(client, wanted)
        within = self.namespace if kind.namespaced else ""
        target = ObjectKey(group=kind.group, kind=kind.kind, namespace=within, name=name)
        return _Place(within or GUARD_NAMESPACE, target, name)


class _Place(msgspec.Struct, frozen=True):
    """What a BreakGlass opens, the namespace that it lives in, and what its name begins with."""

    home: str
    target: Target
    stem: str


@click.command("break-glass")
@click.argument("reference", metavar="KIND/NAME", default="")
@namespace_option
@wide_option
@sync_option
@click.option("--for", "duration", required=True, help="How long: 30m, 1h30m.")
@click.option("--reason", required=True, help="Why, for whoever reads the journal later.")
@kubeconfig_option
@context_option
def opening(
    *,
    reference: str,
    namespace: str,
    wide: bool,
    sync: str,
    duration: str,
    reason: str,
    kubeconfig: Path | None,
    context: str | None,
) -> int:
    """Open one object, a namespace, or a Sync."""
    asked = _Asked.of(reference, namespace=namespace, wide=wide, sync=sync)
    Seconds().convert(duration, None, None)
    return asyncio.run(_open(asked, duration=duration, reason=reason, kubeconfig=kubeconfig, context=context))


@command.command("end")
@click.argument("reference", metavar="NAME|KIND/NAME", default="")
@namespace_option
@wide_option
@sync_option
@kubeconfig_option
@context_option
def end(*, reference: str, namespace: str, wide: bool, sync: str, kubeconfig: Path | None, context: str | None) -> int:
    """End a BreakGlass by its own name, or all that open just this object, namespace or Sync."""
    asked = _Asked.of(reference, namespace=namespace, wide=wide, sync=sync, named=True)
    return asyncio.run(_end(asked, kubeconfig=kubeconfig, context=context))


class Row(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    opens: str
    state: str
    by: str
    until: str
    reason: str
    message: str


@command.command("list")
@click.option("-n", "--namespace", default="", help="Only in this namespace. Default: all.")
@kubeconfig_option
@context_option
@format_option
def listing(*, namespace: str, kubeconfig: Path | None, context: str | None, output: str) -> int:
    """What is open, and what was within the last day."""
    rows = [_row(glass) for glass in asyncio.run(_list(namespace, kubeconfig, context))]
    if output != "table":
        structured(rows, form=output)
    else:
        shown = [(row.name, row.opens, row.state, row.by, row.until, row.reason) for row in rows]
        table(("BREAKGLASS", "OPENS", "STATE", "BY", "UNTIL", "REASON"), shown)
    return 0


# ---- asking the API server, with the user's own rights


@asynccontextmanager
async def _connected(kubeconfig: Path | None, context: str | None) -> AsyncGenerator[Client]:
    client = Client(await connect(kubeconfig=kubeconfig, context=context))
    try:
        yield client
    except ApiStatusError as error:
        # The API server's own words say what is missing: a right, a shorter time, a reason.
        raise ConfigError(error.message) from error
    finally:
        await client.close()


async def _open(asked: _Asked, *, duration: str, reason: str, kubeconfig: Path | None, context: str | None) -> int:
    async with _connected(kubeconfig, context) as client:
        place = await asked.place(client)
        user = await whoami(client)
        spec = BreakGlassSpec(target=BreakGlassTarget.of(place.target), duration=duration, reason=reason, by=user)
        body = {
            "apiVersion": BREAK_GLASS.api_version,
            "kind": BREAK_GLASS.kind,
            "metadata": {"generateName": _stem(place.stem)},
            "spec": codec.plain(spec),
        }
        try:
            made = await client.create(
                collection_path(BREAK_GLASS, namespace=place.home), body, dry_run=False, manager="guard-cli"
            )
        except ApiStatusError as error:
            if error.code == NOT_FOUND:
                hint = "guard run installs it; or there is no such namespace"
                raise ConfigError(f"there is no place for a BreakGlass in {place.home}", hint=hint) from error
            raise
        glass = await _confirmed(client, parse_break_glass(made, where="the API server"))
    return _told(glass, user=user)


async def _confirmed(client: Client, glass: BreakGlass) -> BreakGlass:
    """As Guard says what becomes of it, or as it is when Guard says nothing in time."""
    path = object_path(BREAK_GLASS, namespace=glass.metadata.namespace, name=glass.metadata.name)
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while not glass.status.conditions:
                await asyncio.sleep(LOOK_SECONDS)
                glass = parse_break_glass(await client.get(path), where="the API server")
    except TimeoutError:
        pass
    return glass


def _told(glass: BreakGlass, *, user: str) -> int:
    name = f"{glass.metadata.name} -n {glass.metadata.namespace}"
    condition = find_condition(glass.status.conditions, "Active")
    if condition is None:
        line(f"BreakGlass {glass.key} is made, and Guard has not confirmed it: it counts as soon as Guard is there.", err=True)
        line("While Guard is down, people's changes pass in this group alone, if RBAC lets you impersonate it:", err=True)
        line(f"  kubectl --as={user} --as-group={BREAK_GLASS_GROUP} --as-group=system:authenticated ...", err=True)
        return NO_ANSWER
    if condition.status != "True":
        line(f"BreakGlass {glass.key} opens nothing: {condition.message}", err=True)
        return NO_ANSWER
    line(f"{condition.message} (BreakGlass {glass.key})")
    line(f"End it before: guard break-glass end {name}")
    return 0


async def _end(asked: _Asked, *, kubeconfig: Path | None, context: str | None) -> int:
    async with _connected(kubeconfig, context) as client:
        if asked.is_name:
            found = [await _named(client, asked.reference, asked.namespace)]
        else:
            place = await asked.place(client)
            everywhere = [await _in(client, home) for home in dict.fromkeys((place.home, GUARD_NAMESPACE))]
            found = [glass for some in everywhere for glass in some if glass.target == place.target and not _is_over(glass)]
            if not found:
                raise ConfigError(f"nothing opens just {written_target(place.target)}", hint="guard break-glass list")
        for glass in found:
            path = object_path(BREAK_GLASS, namespace=glass.metadata.namespace, name=glass.metadata.name)
            await client.delete(path, uid=glass.metadata.uid)
            line(f"BreakGlass {glass.key} on {written_target(glass.target)} has ended")
    return 0


async def _named(client: Client, name: str, namespace: str) -> BreakGlass:
    try:
        body = await client.get(object_path(BREAK_GLASS, namespace=namespace, name=name))
    except ApiStatusError as error:
        if error.code == NOT_FOUND:
            raise ConfigError(f"there is no BreakGlass {namespace}/{name}", hint="guard break-glass list") from error
        raise
    return parse_break_glass(body, where="the API server")


async def _in(client: Client, namespace: str) -> Iterable[BreakGlass]:
    try:
        answer = await client.get(collection_path(BREAK_GLASS, namespace=namespace))
    except ApiStatusError as error:
        if error.code == FORBIDDEN and namespace == GUARD_NAMESPACE:
            return ()  # whoever may not look there has made none there
        raise
    return [parse_break_glass(body, where="the API server") for body in codec.children(answer, "items")]


async def _list(namespace: str, kubeconfig: Path | None, context: str | None) -> list[BreakGlass]:
    async with _connected(kubeconfig, context) as client:
        return list(await _in(client, namespace))


def _is_over(glass: BreakGlass) -> bool:
    condition = find_condition(glass.status.conditions, "Active")
    return condition is not None and condition.status != "True"


def _row(glass: BreakGlass) -> Row:
    states = [condition.type for condition in glass.status.conditions if condition.status == "True"]
    condition = find_condition(glass.status.conditions, "Active")
    return Row(
        name=glass.key,
        opens=written_target(glass.target),
        state=states[0] if states else "Unconfirmed",
        by=glass.status.by or glass.spec.by,
        until=glass.status.expires_at,
        reason=glass.spec.reason,
        message=condition.message if condition else "",
    )


def _stem(name: str) -> str:
    """What the API server makes a name of: letters, digits and dashes of the target's."""
    text = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:MOST_NAME].strip("-")
    return f"{text or 'break-glass'}-"
