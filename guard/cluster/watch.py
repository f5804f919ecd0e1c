"""List and watch of one collection, without end: every change arrives once, whatever happens to the connection.

Relists on 410 Gone and on a stream that stays silent, with jittered backoff. The rules are those of client-go's reflector
(tools/cache/reflector.go): list, watch from the list's resourceVersion with bookmarks, follow the last version seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from typing import Generic, Literal, TypeVar

import aiohttp
import msgspec

from guard.base import codec
from guard.base.backoff import Backoff
from guard.base.codec import DecodeError, Json, JsonObject, child
from guard.base.errors import ApiStatusError, ClusterError, Unreachable
from guard.cluster.client import JSON, METADATA, Client
from guard.state.metadata import Metadata, PartialObject

# The server ends a watch after this time; bookmarks come every minute, so a stream silent for longer than two is dead.
WATCH_SECONDS = 300
SILENCE_SECONDS = 130.0
GONE, SERVER_ERROR = 410, 500
LARGEST_EVENT = 8 * 1024 * 1024  # etcd takes 1.5 MiB, the API server's own limit for a request is 3 MiB

EventType = Literal["ADDED", "MODIFIED", "DELETED", "LISTED", "FAILED"]


T = TypeVar("T")


class Event(msgspec.Struct, Generic[T], frozen=True):
    """A change of one object; LISTED carries the complete list (`objects`) after a (re)list, FAILED a reason why the watch
    cannot go on for now.
    """

    type: EventType
    object: T
    objects: tuple[T, ...] = ()
    error: str = ""


class _Line(msgspec.Struct, frozen=True):
    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]
    object: msgspec.Raw


def watch(client: Client, path: str, *, labels: str = "", fields: str = "") -> AsyncGenerator[Event[JsonObject]]:
    """Yield LISTED first and after each relist, then single changes. `labels` and `fields` are selectors. Ends only when
    cancelled.
    """
    params = {name: value for name, value in (("labelSelector", labels), ("fieldSelector", fields)) if value}

    async def objects() -> tuple[list[JsonObject], str]:
        answer = await client.get(path, params=params)
        return codec.children(answer, "items"), _version(answer)

    def decode(raw: msgspec.Raw) -> tuple[JsonObject, str]:
        body = codec.decode(raw)
        return body, _version(body)

    return _follow(_Stream(client, path, params=params, accept=JSON, decode=decode, objects=objects), nothing={})


def watch_metadata(client: Client, path: str, *, labels: str) -> AsyncGenerator[Event[Metadata]]:
    """The same, of the objects' metadata alone."""
    params = {"labelSelector": labels}

    async def objects() -> tuple[list[Metadata], str]:
        return await client.list_metadata(path, params=params)

    def decode(raw: msgspec.Raw) -> tuple[Metadata, str]:
        metadata = codec.decode_as(raw, PartialObject).metadata
        return metadata, metadata.resource_version

    return _follow(
        _Stream(client, path, params=params, accept=METADATA, decode=decode, objects=objects), nothing=PartialObject().metadata
    )


def _version(body: JsonObject) -> str:
    return child(body, "metadata").get("resourceVersion", "")


async def _follow(stream: _Stream[T], *, nothing: T) -> AsyncGenerator[Event[T]]:
    """`nothing` stands for the object of an event that has none."""
    backoff = Backoff(first=0.2, most=30.0)
    version = ""
    while True:
        try:
            if not version:
                items, version = await stream.objects()
                yield Event(type="LISTED", object=nothing, objects=tuple(items))
            async for event, seen in stream.changes(version):
                backoff.reset()
                version = seen
                if event is not None:
                    yield event
        except ApiStatusError as error:
            if error.code == GONE:
                version = ""
            else:
                yield Event(type="FAILED", object=nothing, error=str(error))
                # The version may be what the server cannot serve; a list is the safe way back.
                version = ""
            await asyncio.sleep(backoff.next())
        except ClusterError as error:
            yield Event(type="FAILED", object=nothing, error=str(error))
            await asyncio.sleep(backoff.next())


class _Stream(Generic[T]):
    """One collection: how to list it, and how to read what a watch of it brings."""

    def __init__(
        self,
        client: Client,
        path: str,
        *,
        params: Mapping[str, str],
        accept: str,
        decode: Callable[[msgspec.Raw], tuple[T, str]],
        objects: Callable[[], Awaitable[tuple[list[T], str]]],
    ) -> None:
        self.objects = objects
        self._client = client
        self._path = path
        self._params = params
        self._accept = accept
        self._decode = decode

    async def changes(self, version: str) -> AsyncIterator[tuple[Event[T] | None, str]]:
        """One watch request: changes (None for a bookmark), each with the resourceVersion reached."""
        query = {
            **self._params,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        limits = aiohttp.ClientTimeout(total=None, sock_connect=10.0, sock_read=SILENCE_SECONDS)
        async with self._client.request("GET", self._path, params=query, accept=self._accept, limits=limits) as response:
            async for line in _lines(response):
                try:
                    found = self._read(line)
                except DecodeError as error:
                    raise Unreachable(f"the watch of {self._path} brought something that cannot be read: {error}") from error
                yield found

    def _read(self, line: bytes) -> tuple[Event[T] | None, str]:
        found = codec.decode_as(line, _Line)
        if found.type == "ERROR":
            raise _error(codec.decode(found.object), where=f"watch of {self._path}")
        body, version = self._decode(found.object)
        return None if found.type == "BOOKMARK" else Event(type=found.type, object=body), version


def _error(status: Json, *, where: str) -> ApiStatusError:
    known = status if codec.is_object(status) else {}
    code = known.get("code")
    return ApiStatusError(
        str(known.get("message", "watch failed")),
        code=code if isinstance(code, int) else SERVER_ERROR,
        reason=str(known.get("reason", "")),
        where=where,
    )


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in response.content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line:
                yield line
        if len(rest) > LARGEST_EVENT:
            raise Unreachable(f"a watch event is larger than {LARGEST_EVENT} bytes")
