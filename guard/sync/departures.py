"""The Syncs on their way out, each in a task of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from guard import telemetry
from guard.api import Sync
from guard.base.concurrency import end
from guard.state.ids import Kind
from guard.sync.deletion import Deletion

_log = telemetry.get("sync")


class Departures:
    """`begin` makes the Deletion of a Sync that may have applied these kinds."""

    def __init__(self, begin: Callable[[Sync, frozenset[Kind]], Deletion]) -> None:
        self._begin = begin
        self._deletions: dict[str, Deletion] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        # The last one of each name of which nothing is left, by uid, until its resource is gone.
        self._done: dict[str, str] = {}

    def has(self, sync: Sync) -> bool:
        """Whether this very Sync is on its way out."""
        known = self._deletions.get(sync.key)
        uid = known.sync.metadata.uid if known is not None else self._done.get(sync.key)
        return uid == sync.metadata.uid

    def leave(self, sync: Sync, *, kinds: Iterable[Kind] = (), is_gone: bool = False) -> None:
        """The Sync is being deleted, or `is_gone` already."""
        if self._done.get(sync.key) == sync.metadata.uid:
            if is_gone:
                del self._done[sync.key]
            return
        if not self.has(sync):
            self.cancel(sync.key)
            deletion = self._deletions[sync.key] = self._begin(sync, frozenset({*kinds, *sync.status.kinds}))
            task = self._tasks[sync.key] = asyncio.create_task(deletion.run(), name=f"delete {sync.key}")
            task.add_done_callback(lambda done: self._ended(sync.key, done))
        deletion = self._deletions[sync.key]
        if is_gone:
            deletion.resource_gone()
        else:
            deletion.update(sync)

    def missing(self, there: Iterable[str]) -> None:
        """Of those on their way out, these are there yet."""
        names = set(there)
        for name in self._deletions.keys() - names:
            self._deletions[name].resource_gone()
        for name in self._done.keys() - names:
            del self._done[name]

    def cancel(self, name: str) -> None:
        """Another Sync of this name has come: what is left of the first one is its to see to."""
        self._deletions.pop(name, None)
        self._done.pop(name, None)
        task = self._tasks.pop(name, None)
        if task is not None:
            task.cancel()

    def _ended(self, name: str, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if self._tasks.get(name) is task:
            deletion = self._deletions.pop(name)
            del self._tasks[name]
            # One that failed begins anew when anything is next heard of its Sync.
            if not deletion.is_gone and error is None:
                self._done[name] = deletion.sync.metadata.uid
        if error is not None:
            _log.error("the deletion of a Sync failed for a reason that Guard does not know", sync=name, exc_info=error)

    async def close(self) -> None:
        """What is not done yet is done by the Guard that starts next, where the Sync is there yet."""
        await end(self._tasks.values())
