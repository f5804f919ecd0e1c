"""List and watch of one collection, without end: every change arrives once, whatever happens to the connection.

Relists on 410 Gone and on a stream that stays silent, with jittered backoff. The rules are those of client-go's reflector
(tools/cache/reflector.go): list, watch from the list's resourceVersion with bookmarks, follow the last version seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Literal

import aiohttp
import msgspec

from guard.base import codec
from guard.base.backoff import Backoff
from guard.base.codec import DecodeError, JsonObject, child
from guard.base.errors import ApiStatusError, ClusterError, Unreachable
from guard.cluster.client import JSON, METADATA, Client

# The server ends a watch after this time; bookmarks come every minute, so a stream silent for longer than two is dead.
WATCH_SECONDS = 300
SILENCE_SECONDS = 130.0
GONE = 410
LARGEST_EVENT = 8 * 1024 * 1024  # etcd takes 1.5 MiB, the API server's own limit for a request is 3 MiB

EventType = Literal["ADDED", "MODIFIED", "DELETED", "LISTED", "FAILED"]


class Event(msgspec.Struct, frozen=True):
    """A change of one object; LISTED carries the complete list (`objects`) after a (re)list, FAILED a reason why the watch
    cannot go on for now.
    """

    type: EventType
    object: JsonObject
    objects: tuple[JsonObject, ...] = ()
    error: str = ""


async def watch(
    client: Client, path: str, *, labels: str = "", fields: str = "", metadata_only: bool = False
) -> AsyncIterator[Event]:
    """Yield LISTED first and after each relist, then single changes. `labels` and `fields` are selectors. Ends only when
    cancelled.
    """
    params = {name: value for name, value in (("labelSelector", labels), ("fieldSelector", fields)) if value}
    backoff = Backoff(first=0.2, most=30.0)
    version = ""
    while True:
        try:
            if not version:
                items, version = await _list(client, path, params=params, metadata_only=metadata_only)
                yield Event(type="LISTED", object={}, objects=tuple(items))
            async for event, seen in _stream(client, path, params=params, version=version, metadata_only=metadata_only):
                backoff.reset()
                version = seen
                if event is not None:
                    yield event
        except ApiStatusError as error:
            if error.code == GONE:
                version = ""
            else:
                yield Event(type="FAILED", object={}, error=str(error))
                # The version may be what the server cannot serve; a list is the safe way back.
                version = ""
            await asyncio.sleep(backoff.next())
        except ClusterError as error:
            yield Event(type="FAILED", object={}, error=str(error))
            await asyncio.sleep(backoff.next())


async def _list(client: Client, path: str, *, params: Mapping[str, str], metadata_only: bool) -> tuple[list[JsonObject], str]:
    if metadata_only:
        return await client.list_metadata(path, params=params)
    answer = await client.get(path, params=params)
    items = codec.children(answer, "items")
    return items, child(answer, "metadata").get("resourceVersion", "")


async def _stream(
    client: Client, path: str, *, params: Mapping[str, str], version: str, metadata_only: bool
) -> AsyncIterator[tuple[Event | None, str]]:
    """One watch request: changes (None for a bookmark), each with the resourceVersion reached."""
    query = {
        **params,
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": version,
        "timeoutSeconds": str(WATCH_SECONDS),
    }
    limits = aiohttp.ClientTimeout(total=None, sock_connect=10.0, sock_read=SILENCE_SECONDS)
    accept = METADATA if metadata_only else JSON
    async with client.request("GET", path, params=query, accept=accept, limits=limits) as response:
        async for line in _lines(response):
            try:
                raw = codec.decode(line)
            except DecodeError as error:
                raise Unreachable(f"the watch of {path} brought something that is not JSON: {error}") from error
            body = child(raw, "object")
            kind = raw.get("type")
            if kind == "ERROR":
                code = body.get("code")
                raise ApiStatusError(
                    str(body.get("message", "watch failed")),
                    code=code if isinstance(code, int) else 500,
                    reason=str(body.get("reason", "")),
                    where=f"watch of {path}",
                )
            seen = child(body, "metadata").get("resourceVersion", version)
            yield (None if kind == "BOOKMARK" else Event(type=kind, object=body)), seen


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in response.content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line:
                yield line
        if len(rest) > LARGEST_EVENT:
            raise Unreachable(f"a watch event is larger than {LARGEST_EVENT} bytes")
