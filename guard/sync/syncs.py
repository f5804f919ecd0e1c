"""The Syncs that there are, each with its Reconciler at work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping

from guard import telemetry
from guard.api import SYNC, Sync, SyncStatus, key_of, parse_sync
from guard.base.codec import JsonObject, children
from guard.base.concurrency import end
from guard.base.errors import ConfigError, DependencyError
from guard.cluster import Client, collection_path, watch
from guard.sync import dependencies
from guard.sync.departures import Departures
from guard.sync.reconcile import Reconciler

_log = telemetry.get("syncs")


class Syncs(Mapping[str, Reconciler]):
    """By `namespace/name`, without those that are being deleted: `departures` has them. `make` makes a Reconciler for a new one;
    `changed` is awaited when any of them changed, with all of them known, and `dropped` when one is gone, its Reconciler closed.
    """

    def __init__(
        self,
        client: Client,
        *,
        make: Callable[[Sync], Reconciler],
        changed: Callable[[], Awaitable[None]],
        dropped: Callable[[str], Awaitable[None]],
        departures: Departures,
    ) -> None:
        self._client = client
        self._make = make
        self._changed = changed
        self._dropped = dropped
        self._departures = departures
        self._reconcilers: dict[str, Reconciler] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        # Syncs that are there and cannot be read: what they declare is not known to be gone.
        self.unread: set[str] = set()
        self.listed = asyncio.Event()

    def __getitem__(self, name: str) -> Reconciler:
        return self._reconcilers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._reconcilers)

    def __len__(self) -> int:
        return len(self._reconcilers)

    def unloaded(self) -> list[str]:
        """Those of which no revision is in force yet, as people read it."""
        waiting = [name for name, reconciler in self.items() if not reconciler.loaded.is_set()]
        return waiting + [f"{name} (cannot be read, the log says why)" for name in sorted(self.unread - self.keys())]

    def check_dependencies(self, sync: Sync, revision: str) -> None:
        """Raises DependencyError where the Sync has to wait for others. One that has to come to the same revision first looks for
        it at once.
        """
        try:
            dependencies.check(sync, revision, find=self._find)
        except DependencyError:
            for name in sync.dependencies:
                other = self.get(name)
                if other and dependencies.is_same_source(sync, other.sync) and other.status.last_attempted_revision != revision:
                    other.wake.set()
            raise

    def _find(self, name: str) -> tuple[Sync, SyncStatus] | None:
        found = self.get(name)
        return (found.sync, found.status) if found is not None else None

    # ---- as the API server has them

    async def meet(self) -> None:
        """Know them before the first review comes in: until one is loaded, its label alone protects its objects. Raises
        ClusterError.
        """
        answer = await self._client.get(collection_path(SYNC))
        for sync in map(self._parsed, children(answer, "items")):
            if sync is not None and not sync.metadata.deletion_timestamp:
                self._know(sync)

    async def run(self) -> None:
        """Follow them until cancelled."""
        async for event in watch(self._client, collection_path(SYNC)):
            if event.type == "FAILED":
                _log.warning("the watch of Syncs was interrupted", error=event.error)
            elif event.type == "LISTED":
                await self._listed(event.objects)
            elif event.type == "DELETED":
                await self._deleted(event.object)
            else:
                await self._take(event.object)

    async def close(self) -> None:
        """End all of it, and what was started for it."""
        await end(self._tasks.values())
        await self._departures.close()
        await asyncio.gather(*(reconciler.close() for reconciler in self.values()))

    async def _listed(self, objects: tuple[JsonObject, ...]) -> None:
        found = [sync for sync in map(self._parsed, objects) if sync is not None]
        syncs = {sync.key: sync for sync in found if not sync.metadata.deletion_timestamp}
        # One that cannot be read is not gone: what it said last stays in force.
        there = {key_of(body) for body in objects}
        for name in (self.keys() | self.unread) - there:
            known = self.get(name)
            await (self._leave(known.sync, is_gone=True) if known is not None else self._drop(name))
        self._departures.missing(there)
        for sync in found:
            if sync.metadata.deletion_timestamp:
                await self._leave(sync)
        for sync in syncs.values():
            await self._drop_namesake(sync)
        # All of them first: a label is protected from the moment its Sync is known, loaded or not.
        for sync in syncs.values():
            self._know(sync)
        await self._changed()
        for name in syncs:
            self._start(name)
        self.listed.set()

    async def _take(self, body: JsonObject) -> None:
        sync = self._parsed(body)
        if sync is not None and sync.metadata.deletion_timestamp:
            await self._leave(sync)
            return
        if sync is not None:
            await self._drop_namesake(sync)
            self._know(sync)
        await self._changed()
        if sync is not None:
            self._start(sync.key)
            for other in self.values():
                if other.is_waiting and sync.key in other.sync.dependencies:
                    other.wake.set()

    def _parsed(self, body: JsonObject) -> Sync | None:
        """A Sync from the API server; one that is older or newer than this Guard understands is left alone, and said."""
        name = key_of(body)
        try:
            sync = parse_sync(body, where=f"Sync {name}")
        except ConfigError as error:
            _log.error("a Sync cannot be used", error=str(error))
            self.unread.add(name)
            return None
        self.unread.discard(name)
        return sync

    async def _drop_namesake(self, sync: Sync) -> None:
        """One that was deleted and made again is another Sync, whatever was seen of that."""
        known = self.get(sync.key)
        if known is not None and known.sync.metadata.uid != sync.metadata.uid:
            await self._drop(sync.key)

    def _know(self, sync: Sync) -> None:
        known = self._reconcilers.get(sync.key)
        if known is None:
            self._departures.cancel(sync.key)
            self._reconcilers[sync.key] = self._make(sync)
        else:
            known.update(sync)

    def _start(self, name: str) -> None:
        if name not in self._tasks:
            self._tasks[name] = asyncio.create_task(self[name].run(), name=f"sync {name}")

    async def _deleted(self, body: JsonObject) -> None:
        """None of this name is there any more."""
        name = key_of(body)
        known, sync = self.get(name), self._parsed(body)
        self.unread.discard(name)
        if sync is None and known is not None:
            sync = known.sync
        await (self._leave(sync, is_gone=True) if sync is not None else self._drop(name))

    async def _leave(self, sync: Sync, *, is_gone: bool = False) -> None:
        """The Sync is being deleted: nothing of it is in force any more, and its objects go or stay as it says."""
        known = self.get(sync.key)
        kinds = known.status.kinds if known is not None else ()
        if known is not None or not self._departures.has(sync):
            await self._drop(sync.key)
        self._departures.leave(sync, kinds=kinds, is_gone=is_gone)

    async def _drop(self, name: str) -> None:
        """Nothing of the Sync is in force any more. What it declared stays as it is, declared by nobody."""
        task, reconciler = self._tasks.pop(name, None), self._reconcilers.pop(name, None)
        self.unread.discard(name)
        try:
            if task is not None:
                await end((task,))
        finally:
            # Also where a stop comes meanwhile, which does not know of it any more.
            if reconciler is not None:
                await reconciler.close()
        await self._dropped(name)
