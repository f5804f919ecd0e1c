"""Where the cluster differs from Git, field by field: what `guard diff` shows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Literal, TypeAlias

import msgspec

from guard.admission.message import Locate, at_the_object
from guard.apply import told, wanted
from guard.base.codec import JsonObject
from guard.base.errors import ApiStatusError, ClusterError, Unreachable
from guard.cluster import Client, object_path
from guard.inspect.compared import Compared, FieldDifference
from guard.state.desired import Declared, View
from guard.state.ids import FIELD_MANAGER, ObjectKey
from guard.state.policy import Left

READS_AT_ONCE = 10
# An API server gives an ordinary request up after 60 s, but one that is well answers within one.
ANSWER_SECONDS = 10.0
LISTING_SECONDS = 30.0  # a list of each kind
# Every place of READS_AT_ONCE waited out in vain, and no answer in between: nobody is there, which is known after ANSWER_SECONDS.
GIVEN_UP_AFTER = READS_AT_ONCE
NOT_FOUND = 404
NOT_LOADED = "not compared, since it is not loaded (guard status says why)"
GIVEN_UP = "the API server had stopped answering by then"

What: TypeAlias = Literal["changed", "missing", "prunable", "unknown"]
# What a Sync declares no longer and its next prune would delete. Raises ClusterError.
Prunable: TypeAlias = Callable[[], Awaitable[Sequence[ObjectKey]]]


class Difference(msgspec.Struct, frozen=True):
    """One object that is not as Git says, as far as that can be told. `what` is `missing` (not in the cluster), `changed`,
    `prunable` (Git declares it no longer, and it is there), or `unknown` with the reason in `problem` (the API server would not
    say, or could not be asked).
    """

    kind: str
    namespace: str
    name: str
    sync: str
    what: What
    origin: str = ""
    file: str = ""
    fields: tuple[FieldDifference, ...] = ()
    problem: str = ""


class Comparison(msgspec.Struct, frozen=True, rename="camel"):
    """What was compared with what: how many objects, at which revision of each Sync. `not_compared` maps Syncs, of which nothing
    or not all could be compared, to why.
    """

    objects: int
    differences: tuple[Difference, ...]
    revisions: dict[str, str] = {}
    not_compared: dict[str, str] = {}


async def compare(
    client: Client,
    view: View,
    *,
    left: Callable[[Declared], Left],
    locate: Locate = at_the_object,
    sync: str = "",
    prunable: Mapping[str, Prunable] | None = None,
    not_loaded: Iterable[str] = (),
) -> Comparison:
    """Compare everything declared, or what one Sync (`namespace/name`) declares, with the cluster. Reads only: a dry-run apply
    says what Git's values would be stored as. `left` tells what of an object is left to others, `prunable` what Syncs prune. Of
    those that are `not_loaded` nothing is known.

    Ordered by namespace, kind and name. An API server that does not answer costs ANSWER_SECONDS, however many objects there are.
    """
    reading = _Reading(client, view, left=left, locate=locate)
    chosen = [declared for declared in view.state if sync in {"", declared.sync}]
    asked = {name: find for name, find in (prunable or {}).items() if sync in {"", name}}
    async with asyncio.TaskGroup() as group:
        compared = [group.create_task(reading.difference(declared)) for declared in chosen]
        listed = [group.create_task(reading.leftovers(name, find)) for name, find in asked.items()]
    found = [difference for task in compared if (difference := task.result()) is not None]
    found += [leftover for task in listed for leftover in task.result()]
    return Comparison(
        objects=len(chosen),
        differences=tuple(sorted(found, key=lambda one: (one.namespace, one.kind, one.name, one.sync))),
        revisions={name: view.state.revision(name) for name in sorted({declared.sync for declared in chosen})},
        not_compared={**dict.fromkeys(not_loaded, NOT_LOADED), **reading.not_listed},
    )


class _Reading:
    """Reads of one comparison: so many at once, each with an end, and none any more once nobody answers."""

    def __init__(self, client: Client, view: View, *, left: Callable[[Declared], Left], locate: Locate) -> None:
        self._client = client
        self._view = view
        self._left = left
        self._locate = locate
        self._limit = asyncio.Semaphore(READS_AT_ONCE)
        self._unanswered = 0
        # Syncs of which it is not known what they prune, and why.
        self.not_listed: dict[str, str] = {}

    async def difference(self, declared: Declared) -> Difference | None:
        left = self._left(declared)
        async with self._limit:
            try:
                live, git = await self._read(declared, left)
            except ClusterError as error:
                if isinstance(error, ApiStatusError) and error.code == NOT_FOUND:
                    return _named(declared, what="missing")
                return _named(declared, what="unknown", problem=told(error, declared.secrecy))
        fields = Compared(declared, live, git, view=self._view, left=left).differences(self._locate)
        return _named(declared, what="changed", fields=fields) if fields else None

    async def _read(self, declared: Declared, left: Left) -> tuple[JsonObject, JsonObject]:
        """The live object, and what an apply would make of it."""
        path = object_path(declared.kind, namespace=declared.key.namespace, name=declared.key.name)
        async with self._asking(ANSWER_SECONDS):
            live = await self._client.get(path)
            body = wanted(declared.body, live, left)
            return live, await self._client.apply(path, body, manager=FIELD_MANAGER, force=True, dry_run=True)

    async def leftovers(self, sync: str, find: Prunable) -> list[Difference]:
        try:
            async with self._limit, self._asking(LISTING_SECONDS):
                keys = await find()
        except ClusterError as error:
            self.not_listed[sync] = f"what it would prune is not known: {error.message}"
            return []
        return [Difference(kind=key.kind, namespace=key.namespace, name=key.name, sync=sync, what="prunable") for key in keys]

    @asynccontextmanager
    async def _asking(self, seconds: float) -> AsyncGenerator[None]:
        """What is asked within has an end, and is not asked at all once nobody has answered for long. Raises Unreachable then."""
        if self._unanswered >= GIVEN_UP_AFTER:
            raise Unreachable(GIVEN_UP)
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as error:
            self._unanswered += 1
            raise Unreachable(f"the API server did not answer within {seconds:.0f} s") from error
        except Unreachable:
            self._unanswered += 1
            raise
        except ClusterError:
            self._unanswered = 0
            raise
        self._unanswered = 0


def _named(declared: Declared, *, what: What, fields: tuple[FieldDifference, ...] = (), problem: str = "") -> Difference:
    key, origin = declared.key, declared.origin
    return Difference(
        kind=key.kind,
        namespace=key.namespace,
        name=key.name,
        sync=declared.sync,
        what=what,
        origin=str(origin),
        file=origin.file,
        fields=fields,
        problem=problem,
    )
