"""Owns one object of the registration: writes what is wanted, and puts it back when somebody edits or deletes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from guard import telemetry
from guard.base.backoff import Backoff
from guard.base.codec import JsonObject, child, children
from guard.base.errors import ApiStatusError, ClusterError
from guard.cluster import Client, object_path, watch
from guard.cluster.client import collection_path
from guard.registration.rules import CONFIGURATION, NAME
from guard.state.ids import Kind

CONFLICT, NOT_FOUND = 409, 404

_log = telemetry.get("registration")


class Keeper:
    """`ensure` returns when the API server holds the wanted object; `run` keeps it so until cancelled.

    `repaired` is told the kind, the name and what was wrong ("edited", "deleted") whenever somebody else's change was undone.
    """

    def __init__(
        self, client: Client, *, kind: Kind = CONFIGURATION, name: str = NAME, repaired: Callable[[str, str, str], None]
    ) -> None:
        self._client = client
        self._kind = kind
        self._name = name
        self._path = object_path(kind, namespace="", name=name)
        self._repaired = repaired
        self._wanted: JsonObject | None = None
        self._live: JsonObject | None = None
        self._lock = asyncio.Lock()

    async def ensure(self, wanted: JsonObject) -> None:
        """Make this the configuration; writes nothing when it already is. Raises ClusterError."""
        async with self._lock:
            self._wanted = wanted
            if self._live is None:
                self._live = await self._get()
            await self._write()

    async def read(self) -> JsonObject | None:
        """The live object, None when there is none. Raises ClusterError."""
        async with self._lock:
            self._live = await self._get()
            return self._live

    async def run(self) -> None:
        backoff = Backoff(first=0.05, most=10.0)
        path, selector = collection_path(self._kind), f"metadata.name={self._name}"
        async for event in watch(self._client, path, fields=selector):
            if event.type == "FAILED":
                continue
            if event.type == "LISTED":
                seen = event.objects[0] if event.objects else None
            else:
                seen = None if event.type == "DELETED" else event.object
            while True:
                try:
                    async with self._lock:
                        await self._look(seen)
                    backoff.reset()
                    break
                except ClusterError as error:
                    _log.warning(
                        "the registration could not be repaired, trying again",
                        kind=self._kind.kind,
                        name=self._name,
                        error=str(error),
                    )
                    await asyncio.sleep(backoff.next())
                    seen = None

    async def _look(self, seen: JsonObject | None) -> None:
        self._live = seen
        if self._wanted is None or (seen is not None and _equal(seen, self._wanted)):
            return
        # The event may be older than our own last write: ask before calling it somebody's edit.
        self._live = await self._get()
        if self._live is not None and _equal(self._live, self._wanted):
            return
        what = "deleted" if self._live is None else "edited"
        await self._write()
        _log.warning("the registration was changed and is restored", kind=self._kind.kind, name=self._name, change=what)
        self._repaired(self._kind.kind, self._name, what)

    async def _get(self) -> JsonObject | None:
        try:
            return await self._client.get(self._path)
        except ApiStatusError as error:
            if error.code == NOT_FOUND:
                return None
            raise

    async def _write(self) -> None:
        """Create or replace. A PUT, since an apply would keep webhooks that somebody else added to the list."""
        wanted = self._wanted
        if wanted is None:
            return
        for last_try in (False, True):
            if self._live is not None and _equal(self._live, wanted):
                return
            try:
                if self._live is None:
                    self._live = await self._client.post(collection_path(self._kind), wanted)
                else:
                    version = self._live["metadata"]["resourceVersion"]
                    body = {**wanted, "metadata": {**wanted["metadata"], "resourceVersion": version}}
                    self._live = await self._client.put(self._path, body)
            except ApiStatusError as error:
                if error.code not in {CONFLICT, NOT_FOUND} or last_try:
                    raise
                self._live = await self._get()
            else:
                return


def _equal(live: JsonObject, wanted: JsonObject) -> bool:
    """Whether the live object says what is wanted; every field of ours is written out, so none is defaulted."""
    labels = wanted["metadata"]["labels"]
    held = child(live["metadata"], "labels")
    if not all(held.get(name) == value for name, value in labels.items()):
        return False
    return _plain(live) == _plain(wanted) and child(live, "spec") == child(wanted, "spec")


def _plain(body: JsonObject) -> list[JsonObject]:
    """The webhooks without what the API server leaves out when it is empty."""
    return [{name: value for name, value in entry.items() if value not in ({}, [], None)} for entry in children(body, "webhooks")]
