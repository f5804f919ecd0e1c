"""Seeing from outside: what the API server itself says about one object, and when it said so."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import aiohttp
import msgspec

from guard.base import codec
from guard.base.codec import Json, JsonObject, child, is_array, is_object
from tools.controlplane import ControlPlane

# What the API server and the cluster's controllers write by themselves; the rest of an object is its content.
_BOOKKEEPING = frozenset({"managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink"})
_CONTROLLERS_ANNOTATION = "deployment.kubernetes.io/revision"
LONGEST_EVENT = 4 * 1024 * 1024  # a watch event is one line; the API server stores nothing larger than 1.5 MiB


class Place(msgspec.Struct, frozen=True):
    """An object's address in the API."""

    collection: str
    name: str

    @property
    def path(self) -> str:
        return f"{self.collection}/{self.name}"


class Event(msgspec.Struct, frozen=True):
    """One event of the API server's watch; `at` is the event loop's time when it came in."""

    at: float
    type: str
    body: JsonObject


def content(body: JsonObject) -> JsonObject:
    """The object without what no person and no Git writes into it."""
    metadata = {name: value for name, value in child(body, "metadata").items() if name not in _BOOKKEEPING}
    annotations = {name: value for name, value in child(metadata, "annotations").items() if name != _CONTROLLERS_ANNOTATION}
    metadata["annotations"] = annotations
    return {**{name: value for name, value in body.items() if name != "status"}, "metadata": metadata}


def holds(live: Json, wanted: Json) -> bool:
    """Whether every value of `wanted`, a manifest, stands in the live object."""
    if is_object(wanted):
        return is_object(live) and all(name in live and holds(live[name], value) for name, value in wanted.items())
    if is_array(wanted):
        return is_array(live) and len(live) == len(wanted) and all(map(holds, live, wanted))
    return live == wanted


class Sightings:
    """The events so far, in the API server's order."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def healed_after(self, git: JsonObject) -> float | None:
        """Seconds from the first event that shows something else than `git` to the next that shows `git` again."""
        away: float | None = None
        for event in self.events:
            as_git = event.type != "DELETED" and content(event.body) == git
            if away is None and not as_git:
                away = event.at
            elif away is not None and as_git:
                return event.at - away
        return None

    def left(self, git: JsonObject) -> bool:
        return any(event.type == "DELETED" or content(event.body) != git for event in self.events)


@asynccontextmanager
async def watching(plane: ControlPlane, place: Place) -> AsyncGenerator[Sightings]:
    """The sightings of one object while the block runs, through a watch by the cluster's admin."""
    selected = f"{place.collection}?fieldSelector=metadata.name={place.name}"
    version = (await plane.call("GET", selected))["metadata"]["resourceVersion"]
    url = f"{plane.url}{selected}&watch=1&resourceVersion={version}"
    headers = {"Authorization": f"Bearer {plane.token('admin')}"}
    trust = ssl.create_default_context(cafile=str(plane.ca_file))
    seen = Sightings()
    timeout = aiohttp.ClientTimeout(total=None)
    async with (
        aiohttp.ClientSession(timeout=timeout, read_bufsize=LONGEST_EVENT) as session,
        session.get(url, headers=headers, ssl=trust) as response,
    ):
        reader = asyncio.create_task(_read(response, seen))
        try:
            yield seen
        finally:
            reader.cancel()
            with suppress(asyncio.CancelledError):
                await reader


async def _read(response: aiohttp.ClientResponse, seen: Sightings) -> None:
    loop = asyncio.get_running_loop()
    async for line in response.content:
        at = loop.time()
        event: JsonObject = codec.decode(line)
        seen.events.append(Event(at=at, type=event["type"], body=event["object"]))
