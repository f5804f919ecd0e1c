"""List and watch of one collection, without end: every change arrives once, whatever happens to the connection.

Lists again on 410 Gone; goes on from the last version seen after a stream that broke or stayed silent; all with jittered backoff.
The rules are client-go's (tools/cache/reflector.go): list, and watch from the list's resourceVersion on, with bookmarks.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Generic, Literal, TypeVar

import aiohttp
import msgspec

from guard.base import codec
from guard.base.backoff import Backoff
from guard.base.codec import DecodeError, Json, JsonObject, child
from guard.base.errors import ApiStatusError, ClusterError, Unreachable
from guard.cluster.client import GONE, JSON, LIST_PAGE, METADATA, Client, Page
from guard.state.metadata import Metadata, PartialObject

# What says that the server is busy or away, and nothing of the version that was asked for.
BUSY = frozenset({429, 502, 503, 504})
SERVER_ERROR = 500
LARGEST_EVENT = 8 * 1024 * 1024  # etcd takes 1.5 MiB, the API server's own limit for a request is 3 MiB

EventType = Literal["ADDED", "MODIFIED", "DELETED", "LISTED", "FAILED"]


T = TypeVar("T")


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How long things may take, in seconds, and how many objects a page of a list has."""

    # The server ends a watch after that or up to twice as long, at random, so that not all of them end at once.
    watch: float = 300
    # Bookmarks come every minute: a stream that has said nothing for half as long again is dead, whatever TCP thinks of it.
    silence: float = 90.0
    # A stream that ended before that is no success: the next one waits longer.
    steady: float = 10.0
    # How long to wait before the first and at most before each further try.
    first: float = 0.2
    most: float = 10.0
    page: int = LIST_PAGE


USUAL = Pace()


class Event(msgspec.Struct, Generic[T], frozen=True):
    """A change of one object. LISTED carries the complete list (`objects`) after a (re)list, of metadata in pages: one that
    `starts` begins it anew, and it counts when it `ends`. FAILED says why the watch cannot go on for now.
    """

    type: EventType
    object: T
    objects: tuple[T, ...] = ()
    starts: bool = True
    ends: bool = True
    error: str = ""


class _Line(msgspec.Struct, frozen=True):
    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]
    object: msgspec.Raw


def watch(
    client: Client, path: str, *, labels: str = "", fields: str = "", pace: Pace = USUAL
) -> AsyncGenerator[Event[JsonObject]]:
    """Yield LISTED first and after each relist, then single changes. `labels` and `fields` are selectors. Ends only when
    cancelled.
    """
    params = {name: value for name, value in (("labelSelector", labels), ("fieldSelector", fields)) if value}

    async def pages() -> AsyncGenerator[Page[JsonObject]]:
        answer = await client.get(path, params=params)
        yield Page(objects=tuple(codec.children(answer, "items")), version=_version(answer), starts=True, ends=True)

    def decode(raw: msgspec.Raw) -> tuple[JsonObject, str]:
        body = codec.decode(raw)
        return body, _version(body)

    return _follow(_Stream(client, path, params=params, accept=JSON, decode=decode, pages=pages, pace=pace), nothing={})


def watch_metadata(
    client: Client, path: str, *, labels: str, opened: Callable[[], object] = lambda: None, pace: Pace = USUAL
) -> AsyncGenerator[Event[Metadata]]:
    """The same, of the objects' metadata alone. `opened` is called whenever the server has begun to tell of changes."""
    params = {"labelSelector": labels}

    def pages() -> AsyncGenerator[Page[Metadata]]:
        return client.metadata_pages(path, params=params, limit=pace.page)

    def decode(raw: msgspec.Raw) -> tuple[Metadata, str]:
        metadata = codec.decode_as(raw, PartialObject).metadata
        return metadata, metadata.resource_version

    stream = _Stream(client, path, params=params, accept=METADATA, decode=decode, pages=pages, pace=pace, opened=opened)
    return _follow(stream, nothing=PartialObject().metadata)


def _version(body: JsonObject) -> str:
    return child(body, "metadata").get("resourceVersion", "")


async def _follow(stream: _Stream[T], *, nothing: T) -> AsyncGenerator[Event[T]]:
    """`nothing` stands for the object of an event that has none."""
    pace, now = stream.pace, asyncio.get_running_loop().time
    backoff = Backoff(first=pace.first, most=pace.most)
    version = ""
    while True:
        began = now()
        try:
            async with aclosing(_once(stream, version, nothing=nothing)) as events:
                async for event, seen in events:
                    version = seen
                    if event is not None:
                        yield event
                    del event  # megabytes, where it is a page of a list; and the next one may be hours away
        except ApiStatusError as error:
            if error.code not in BUSY:
                # The version may be what the server cannot serve; a list is the safe way back.
                version = ""
            if error.code != GONE:
                yield Event(type="FAILED", object=nothing, error=str(error))
        except ClusterError as error:
            yield Event(type="FAILED", object=nothing, error=str(error))
        if now() - began >= pace.steady:
            backoff.reset()
        # Also where the server ended the watch as agreed: one that is about to stop ends all of them at once.
        await asyncio.sleep(backoff.next())


async def _once(stream: _Stream[T], version: str, *, nothing: T) -> AsyncGenerator[tuple[Event[T] | None, str]]:
    """A list, where no version is known, and one watch; each event (None for a bookmark) with the version to go on from."""
    if not version:
        async with aclosing(stream.pages()) as pages:
            async for page in pages:
                version = page.version if page.ends else ""
                yield Event(type="LISTED", object=nothing, objects=page.objects, starts=page.starts, ends=page.ends), version
                del page
    async with aclosing(stream.changes(version)) as changes:
        async for change in changes:
            yield change


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
        pages: Callable[[], AsyncGenerator[Page[T]]],
        pace: Pace,
        opened: Callable[[], object] = lambda: None,
    ) -> None:
        self._opened = opened
        self.pages = pages
        self.pace = pace
        self._client = client
        self._path = path
        self._params = params
        self._accept = accept
        self._decode = decode

    async def changes(self, version: str) -> AsyncGenerator[tuple[Event[T] | None, str]]:
        """One watch request: changes (None for a bookmark), each with the resourceVersion reached."""
        query = {
            **self._params,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(round(self.pace.watch * (1 + random.random()))),  # noqa: S311 (spreading load, not a secret)
        }
        limits = aiohttp.ClientTimeout(total=None, sock_connect=10.0, sock_read=self.pace.silence)
        async with (
            self._client.request("GET", self._path, params=query, accept=self._accept, limits=limits) as response,
            aclosing(_lines(response, silence=self.pace.silence)) as lines,
        ):
            self._opened()
            async for line in lines:
                try:
                    found = codec.at_any_depth(self._read, line)
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


async def _lines(response: aiohttp.ClientResponse, *, silence: float) -> AsyncGenerator[bytes]:
    rest, now = b"", asyncio.get_running_loop().time
    heard = now()
    async for chunk in response.content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line:
                yield line
        if lines:
            heard = now()
        if len(rest) > LARGEST_EVENT:
            raise Unreachable(f"a watch event is larger than {LARGEST_EVENT} bytes")
        if now() - heard > silence:
            raise Unreachable(f"a watch event did not end within {silence:.0f} s")
