"""Where the cluster differs from Git, field by field: what `guard diff` shows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from guard.apply import told, wanted
from guard.base import codec
from guard.base.codec import Json
from guard.base.errors import ApiStatusError
from guard.cluster import Client, object_path
from guard.state import drift, fields
from guard.state.additions import additions, allowed_additions
from guard.state.desired import Declared, View
from guard.state.equality import MISSING
from guard.state.ids import FIELD_MANAGER, SHOWN_OF_SECRETS
from guard.state.managed import entries, our_fields, reaches_below
from guard.state.policy import Left

READS_AT_ONCE = 10
NOT_FOUND = 404
LONGEST_VALUE = 200


class FieldDifference(msgspec.Struct, frozen=True):
    """`git` and `live` are texts, empty where there is no value; both are empty for values of Secrets."""

    path: str
    git: str
    live: str


class Difference(msgspec.Struct, frozen=True):
    """One object that is not as Git says. `what` is `missing` (not in the cluster), `changed`, or `unknown` with the reason in
    `problem` (the API server would not say).
    """

    kind: str
    namespace: str
    name: str
    sync: str
    origin: str
    what: str
    fields: tuple[FieldDifference, ...] = ()
    problem: str = ""


class Comparison(msgspec.Struct, frozen=True):
    objects: int
    differences: tuple[Difference, ...]


async def compare(client: Client, view: View, *, left: Callable[[Declared], Left], sync: str = "") -> Comparison:
    """Compare everything declared, or what one Sync (`namespace/name`) declares, with the cluster. Reads only: a dry-run apply
    says what Git's values would be stored as. `left` tells what of an object is left to others.
    """
    limit = asyncio.Semaphore(READS_AT_ONCE)

    async def one(declared: Declared) -> Difference | None:
        async with limit:
            return await _difference(client, declared, left(declared))

    wanted = [declared for declared in view.state if sync in {"", declared.sync}]
    found = await asyncio.gather(*(one(declared) for declared in sorted(wanted, key=lambda declared: declared.key)))
    return Comparison(objects=len(wanted), differences=tuple(difference for difference in found if difference is not None))


async def _difference(client: Client, declared: Declared, left: Left) -> Difference | None:
    path = object_path(declared.kind, namespace=declared.key.namespace, name=declared.key.name)
    try:
        live = await client.get(path)
        git = await client.apply(path, wanted(declared.body, live, left), manager=FIELD_MANAGER, force=True, dry_run=True)
    except ApiStatusError as error:
        if error.code == NOT_FOUND:
            return _named(declared, what="missing")
        return _named(declared, what="unknown", problem=told(error, declared.key))
    secret = declared.key.kind == "Secret" and not declared.key.group
    ours = our_fields(git)
    # From Git's values to the live ones: each declared field that is not Git's, and Git is no candidate for forgiveness.
    stored = drift.project(git, ours.tree, manifest=declared.body)
    found = drift.settled(
        drift.changes(git, live, git=stored, declared=ours.tree),
        granular=lambda path: any(reaches_below(entry.fields, path) for entry in entries(live)),
    )
    shown = [
        _field(change.path, git=change.old, live=change.new, secret=secret)
        for change in found
        if change.nature is not drift.Nature.ADDITION
    ]
    allowed = allowed_additions(declared.key, scale=declared.scale)
    shown += [
        _field(removal.path, git=MISSING, live=_at(live, removal.pointer), secret=secret)
        for removal in additions(live, ours.union(our_fields(live)), allowed=allowed, left=left)
    ]
    return _named(declared, what="changed", fields=tuple(shown)) if shown else None


def _named(declared: Declared, *, what: str, fields: tuple[FieldDifference, ...] = (), problem: str = "") -> Difference:
    key = declared.key
    return Difference(
        kind=key.kind,
        namespace=key.namespace,
        name=key.name,
        sync=declared.sync,
        origin=str(declared.origin),
        what=what,
        fields=fields,
        problem=problem,
    )


def _field(path: fields.Path, *, git: Json, live: Json, secret: bool) -> FieldDifference:
    hidden = secret and path[:2] not in SHOWN_OF_SECRETS
    return FieldDifference(path=fields.written(path), git=_text(git, hidden=hidden), live=_text(live, hidden=hidden))


def _text(value: Json, *, hidden: bool) -> str:
    if value is MISSING or hidden:
        return ""
    text = value if isinstance(value, str) else codec.encode(value).decode()
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 3] + "..."


def _at(body: Json, pointer: tuple[str | int, ...]) -> Json:
    for step in pointer:
        body = body[step]
    return body
