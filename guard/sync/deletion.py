"""A Sync that is deleted: what becomes of what it applied."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from msgspec import structs

from guard import telemetry
from guard.api import SYNC, Sync, set_condition
from guard.apply import Writer
from guard.audit import Counts, Record, References
from guard.base import naming
from guard.base.backoff import Backoff
from guard.base.clock import Clock, rfc3339
from guard.base.errors import ApiStatusError, ClusterError
from guard.cluster import Client, object_path
from guard.state.ids import DEFINITION, FIELD_MANAGER, NAMESPACE, Kind
from guard.sync.leftovers import Looking
from guard.sync.ports import Index
from guard.sync.removing import Removed, Remover
from guard.sync.status import publish

# Keeps a Sync whose objects are to go with it until they are gone. Nothing keeps one whose objects stay: where Guard is gone for
# good it would stand in the way for ever.
FINALIZER = "gitopsguard.dev/prune"

RETRY_FIRST_SECONDS, RETRY_MOST_SECONDS = 1.0, 30.0
# An apply that was under way when the Sync was deleted may land after the first look.
LOOKS = 2
MOST_FAILURES = 5  # of giving objects up: what keeps its label is in nobody's way
TRIES = 3
NOT_FOUND, CONFLICT, UNPROCESSABLE = 404, 409, 422
FAULTS_NAMED = 3

_log = telemetry.get("sync")


class Deletion:
    """Of one Sync; `run` ends when nothing of it is left. `kinds` are those that it may have applied. `update` hands it the
    newest version of the Sync, `resource_gone` says that there is none any more.
    """

    def __init__(
        self,
        sync: Sync,
        *,
        kinds: Iterable[Kind],
        index: Index,
        client: Client,
        writer: Writer,
        clock: Clock,
        references: References,
        write: Callable[[Record], None],
        wait: Callable[[asyncio.Event, float], Awaitable[bool]],
    ) -> None:
        self.sync = sync
        self._kinds = frozenset(kinds)
        self._index = index
        self._client = client
        self._clock = clock
        self._references = references
        self._write = write
        self._wait = wait
        self._looking = Looking(client, label=sync.label, state=lambda: index.state)
        self._remover = Remover(client, sync=sync.key, looking=self._looking, writer=writer, index=index, clock=clock)
        self._wake = asyncio.Event()
        self.is_gone = False
        self._deleted = self._released = 0

    def update(self, sync: Sync) -> None:
        self.sync = sync
        self._wake.set()

    def resource_gone(self) -> None:
        self.is_gone = True
        self._wake.set()

    async def run(self) -> None:
        started = self._clock.monotonic()
        await self._empty()
        await self._let_go()
        self._record(seconds=self._clock.monotonic() - started)

    async def _empty(self) -> None:
        """Until nothing of it is left; what is only to be given up is not tried for ever."""
        backoff = Backoff(first=RETRY_FIRST_SECONDS, most=RETRY_MOST_SECONDS)
        looks = failures = 0
        while looks < LOOKS and failures < MOST_FAILURES:
            try:
                prunes = await self._prunes()
                removed = await self._round(prunes=prunes)
            except ClusterError as error:
                looks = 0
                _log.warning("the objects of a deleted Sync cannot be looked at", sync=self.sync.key, error=str(error))
            else:
                is_empty = not (removed.remaining or removed.faults)
                looks = looks + 1 if is_empty and not (removed.deleted or removed.released) else 0
                failures = 0 if is_empty or prunes else failures + 1
                if removed.deleted or removed.released:
                    backoff.reset()
                if not is_empty:
                    await self._say(removed)
            await self._wait(self._wake, backoff.next())

    async def _let_go(self) -> None:
        backoff = Backoff(first=RETRY_FIRST_SECONDS, most=RETRY_MOST_SECONDS)
        while not self.is_gone:
            try:
                await keep(self._client, self.sync, wanted=False)
            except ClusterError as error:
                _log.warning("a deleted Sync stays", sync=self.sync.key, error=str(error))
                await self._wait(self._wake, backoff.next())
            else:
                return

    async def _round(self, *, prunes: bool) -> Removed:
        """What is not served just now stands in nobody's way, unlike what the API server cannot list."""
        found = await self._looking.through(self._kinds, served=await self._index.served(fresh=True))
        if prunes:
            wanted = [one for one in found.leftovers if not (found.faults and one.is_container)]
            seconds = self.sync.spec.timeout_seconds
            removed = await self._remover.remove(wanted, seconds=seconds, confidential=self.sync.decrypts)
        else:
            wanted = [one for one in found.leftovers if not one.since]
            removed = await self._remover.release(wanted, confidential=self.sync.decrypts)
        self._deleted += removed.deleted
        self._released += removed.released
        return structs.replace(removed, faults=(*found.faults, *removed.faults))

    async def _prunes(self) -> bool:
        """Whether the objects go with the Sync. They stay where it is suspended, and where it goes with its namespace or with
        Guard's own definition: who may delete those need not be one of those who may delete Syncs, and did not ask for that.
        """
        sync = self.sync
        if self.is_gone or sync.spec.suspend or sync.spec.deletion_policy != "Prune":
            return False
        namespace = object_path(NAMESPACE, namespace="", name=sync.metadata.namespace)
        definition = object_path(DEFINITION, namespace="", name=f"{SYNC.resource}.{SYNC.group}")
        return not (await self._is_going(namespace) or await self._is_going(definition))

    async def _is_going(self, path: str) -> bool:
        try:
            body = await self._client.get(path)
        except ApiStatusError as error:
            if error.code == NOT_FOUND:
                return True
            raise
        return bool(body["metadata"].get("deletionTimestamp"))

    async def _say(self, removed: Removed) -> None:
        if self.is_gone:
            return
        lines = (*removed.faults[:FAULTS_NAMED], *removed.notes) or (naming.plural(len(removed.remaining), "object") + " to go",)
        sync, status = self.sync, self.sync.status
        conditions = set_condition(
            status.conditions,
            type="Ready",
            status="False",
            reason="Deleting",
            message="; ".join(lines),
            generation=sync.metadata.generation,
            now=self._clock.now(),
        )
        if conditions != status.conditions:
            status = structs.replace(status, conditions=conditions)
            try:
                await publish(self._client, sync, status)
            except ClusterError as error:
                _log.warning("the status of a deleted Sync could not be written", sync=sync.key, error=str(error))
                return
            self.sync = structs.replace(sync, status=status)

    def _record(self, *, seconds: float) -> None:
        message = f"{naming.plural(self._deleted, 'object')} deleted, {self._released} given up"
        _log.info("a Sync was deleted", sync=self.sync.key, deleted=self._deleted, released=self._released)
        self._write(
            Record(
                time=rfc3339(self._clock.now()),
                id=self._references.new(),
                event="sync-deleted",
                sync=self.sync.key,
                revision=self.sync.status.last_applied_revision,
                message=message,
                counts=Counts(pruned=self._deleted),
                took_ms=round(seconds * 1000, 1),
            )
        )


async def keep(client: Client, sync: Sync, *, wanted: bool) -> None:
    """Have the Sync stay until its objects are gone, or not. Raises ClusterError."""
    path = object_path(SYNC, namespace=sync.metadata.namespace, name=sync.metadata.name)
    finalizers: list[str] = list(sync.metadata.finalizers)
    version = sync.metadata.resource_version
    for attempt in range(TRIES):
        if (FINALIZER in finalizers) == wanted:
            return
        changed = [*finalizers, FINALIZER] if wanted else [name for name in finalizers if name != FINALIZER]
        try:
            await client.json_patch(
                path,
                [
                    {"op": "test", "path": "/metadata/resourceVersion", "value": version},
                    {"op": "test", "path": "/metadata/uid", "value": sync.metadata.uid},
                    {"op": "add", "path": "/metadata/finalizers", "value": changed},
                ],
                manager=FIELD_MANAGER,
            )
        except ApiStatusError as error:
            if error.code == NOT_FOUND:
                return
            if error.code not in {CONFLICT, UNPROCESSABLE} or attempt == TRIES - 1:
                raise
            try:
                metadata = (await client.get(path))["metadata"]
            except ApiStatusError as missing:
                if missing.code == NOT_FOUND:
                    return
                raise
            if metadata["uid"] != sync.metadata.uid:
                return
            finalizers, version = metadata.get("finalizers", []), metadata["resourceVersion"]
        else:
            return
