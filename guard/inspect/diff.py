"""Where the cluster differs from Git, field by field: what `guard diff` shows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from guard.apply import told, wanted
from guard.base.errors import ApiStatusError, ClusterError
from guard.cluster import Client, object_path
from guard.inspect.compared import Compared, FieldDifference
from guard.state.desired import Declared, View
from guard.state.ids import FIELD_MANAGER
from guard.state.policy import Left

READS_AT_ONCE = 10
NOT_FOUND = 404


class Difference(msgspec.Struct, frozen=True):
    """One object that is not as Git says, as far as that can be told. `what` is `missing` (not in the cluster), `changed`, or
    `unknown` with the reason in `problem` (the API server would not say, or could not be asked).
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
            return await _difference(client, declared, view=view, left=left(declared))

    chosen = sorted((declared for declared in view.state if sync in {"", declared.sync}), key=lambda declared: declared.key)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(declared)) for declared in chosen]
    differences = tuple(difference for task in tasks if (difference := task.result()) is not None)
    return Comparison(objects=len(chosen), differences=differences)


async def _difference(client: Client, declared: Declared, *, view: View, left: Left) -> Difference | None:
    path = object_path(declared.kind, namespace=declared.key.namespace, name=declared.key.name)
    try:
        live = await client.get(path)
        git = await client.apply(path, wanted(declared.body, live, left), manager=FIELD_MANAGER, force=True, dry_run=True)
    except ClusterError as error:
        if isinstance(error, ApiStatusError) and error.code == NOT_FOUND:
            return _named(declared, what="missing")
        return _named(declared, what="unknown", problem=told(error, declared.key))
    fields = Compared(declared, live, git, view=view, left=left).differences()
    return _named(declared, what="changed", fields=fields) if fields else None


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
