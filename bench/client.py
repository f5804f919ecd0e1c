"""The client that measures: one TLS session with keep-alive to the API server, and watches that keep the time."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from time import perf_counter
from typing import Self

import aiohttp
import msgspec

from guard.base import codec
from guard.base.codec import JsonObject, child
from guard.state.requesters import BREAK_GLASS_GROUP
from tools.controlplane import PERSON, ControlPlane, Identity

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
# What kubectl edit sends for built-in kinds: lists are merged by key, so a patch is as small as its change.
STRATEGIC = "application/strategic-merge-patch+json"

CONNECTIONS = 32
REQUEST_SECONDS = 30.0
EVENT_SECONDS = 30.0
REFUSED = 403

# Headers that say who asks.
Caller = tuple[tuple[str, str], ...]
Condition = Callable[[str, JsonObject], bool]


class Answer(msgspec.Struct, frozen=True):
    """What came back; times are those of perf_counter, from before the request to after the last byte."""

    status: int
    body: bytes
    started: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.started

    def json(self) -> JsonObject:
        """The answer. Raises AssertionError when it is an error: a benchmark whose writes fail measures something else."""
        assert self.status < 400, f"{self.status}: {self.body.decode()}"
        found = codec.decode(self.body)
        assert codec.is_object(found)
        return found


class ApiClient:
    def __init__(self, plane: ControlPlane, session: aiohttp.ClientSession) -> None:
        self._plane = plane
        self._session = session

    @classmethod
    @asynccontextmanager
    async def open(cls, plane: ControlPlane) -> AsyncGenerator[Self]:
        trust = ssl.create_default_context(cafile=str(plane.ca_file))
        connector = aiohttp.TCPConnector(ssl=trust, limit=CONNECTIONS, keepalive_timeout=300.0)
        limits = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
        async with aiohttp.ClientSession(plane.url, connector=connector, timeout=limits) as session:
            yield cls(plane, session)

    def caller(self, identity: Identity) -> Caller:
        return (("Authorization", f"Bearer {self._plane.token(identity)}"),)

    def past_the_webhook(self) -> Caller:
        """A person in the group that Guard's webhooks never see."""
        groups = (BREAK_GLASS_GROUP, "system:authenticated")
        return (*self.caller("admin"), ("Impersonate-User", PERSON), *(("Impersonate-Group", group) for group in groups))

    async def send(
        self,
        method: str,
        path: str,
        *,
        caller: Caller,
        body: bytes | None = None,
        content_type: str = "application/json",
        params: Mapping[str, str] | None = None,
    ) -> Answer:
        headers = (*caller, ("Content-Type", content_type))
        started = perf_counter()
        async with self._session.request(method, path, data=body, headers=headers, params=params) as response:
            content = await response.read()
        return Answer(status=response.status, body=content, started=started, ended=perf_counter())

    async def patch(self, path: str, change: JsonObject, *, caller: Caller, manager: str) -> Answer:
        params = {"fieldManager": manager}
        return await self.send("PATCH", path, caller=caller, body=codec.encode(change), content_type=STRATEGIC, params=params)

    async def apply(self, path: str, body: JsonObject, *, caller: Caller, manager: str) -> Answer:
        """A forced server-side apply."""
        params = {"fieldManager": manager, "force": "true"}
        return await self.send("PATCH", path, caller=caller, body=codec.encode(body), content_type=APPLY, params=params)

    @asynccontextmanager
    async def observe(self, collection: str) -> AsyncGenerator[Observer]:
        """A watch of a collection, open inside the block."""
        caller = self.caller("admin")
        listed = (await self.send("GET", collection, caller=caller)).json()
        observer = Observer(version=str(child(listed, "metadata")["resourceVersion"]))
        reading = asyncio.create_task(self._watch(collection, observer), name=f"watch {collection}")
        try:
            await observer.opened.wait()
            yield observer
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _watch(self, collection: str, observer: Observer) -> None:
        """The API server ends the watch of whoever is too slow for it, which this process is while it makes a storm."""
        caller, limits = self.caller("admin"), aiohttp.ClientTimeout(total=None)
        while True:
            params = {"watch": "true", "resourceVersion": observer.version}
            async with self._session.get(collection, headers=caller, params=params, timeout=limits) as response:
                assert response.status == 200, await response.text()
                observer.opened.set()
                with suppress(aiohttp.ClientPayloadError):
                    await observer.read(response)


class Observer:
    """Who waits for which event of a watch."""

    def __init__(self, *, version: str) -> None:
        self.opened = asyncio.Event()
        self.version = version
        self._waiting: dict[str, tuple[Condition, asyncio.Future[float]]] = {}

    async def read(self, response: aiohttp.ClientResponse) -> None:
        rest = b""
        async for chunk in response.content.iter_any():
            arrived = perf_counter()
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                event = codec.decode(line)
                self.version = child(event["object"], "metadata").get("resourceVersion", self.version)
                self._take(event["type"], event["object"], arrived=arrived)

    def _take(self, event: str, body: JsonObject, *, arrived: float) -> None:
        name = child(body, "metadata").get("name", "")
        if name in self._waiting and self._waiting[name][0](event, body):
            _, future = self._waiting.pop(name)
            if not future.done():
                future.set_result(arrived)

    @asynccontextmanager
    async def expect(self, name: str, condition: Condition) -> AsyncGenerator[asyncio.Future[float]]:
        """Wait, from here to the end of the block, for an event of the object that fulfils the condition, which is asked about
        each event in turn; the future holds when it arrived. Write inside the block. Raises TimeoutError.
        """
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting[name] = (condition, future)
        try:
            yield future
            async with asyncio.timeout(EVENT_SECONDS):
                await future
        finally:
            self._waiting.pop(name, None)
