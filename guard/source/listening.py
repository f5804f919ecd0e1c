"""The connections of the push listener, which anyone may reach: few, short-lived, and told nothing.

A connection carries one request and is closed, so there are neither idle ones nor requests behind requests. What is no HTTP gets
the answer that all get who are not known. So many connections are taken in a second and no more, since each costs the event loop
time, on which admission waits as well; the others wait in the kernel.
"""

from __future__ import annotations

import asyncio
import socket
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from aiolimiter import AsyncLimiter
from msgspec import Struct

from guard import telemetry
from guard.base.concurrency import end

MIB = 1024 * 1024

# What hosts send with a push, and what proxies add to it. Each may hold 8 KiB: heads hold 64 MiB at most, with all connections.
HEADERS = 64
# The longest path is that of a namespace of 63 and a name of 253 characters.
LINE_BYTES = 2048
# Until another connection is tried, where one could not be taken: descriptors have to become free.
ACCEPT_AGAIN_SECONDS = 1.0
# For what is being answered when the listener ends.
GOODBYE_SECONDS = 1.0
# Of a fault of Guard's own, in the log.
FRAMES = 8

_log = telemetry.get("push")

# Faults of the client or the network.
_FOREIGN = (HttpProcessingError, web.RequestPayloadError, ConnectionError)


class Limits(Struct, frozen=True, kw_only=True):
    """Seconds, bytes, and numbers of connections."""

    # GitHub sends no more than 25 MB; the others send less.
    body: int = 25 * MIB
    # From the head to the end of the body. Hosts give up after 10 s themselves.
    exchange: float = 15.0
    # No refusal is sent sooner after the head: how long verifying took, and reading a Secret before it, tells nobody anything.
    refusal: float = 0.5
    # A body that was not read is dropped for so long, or closing would reset the connection before the answer is read.
    linger: float = 2.0
    # At a time; where there are more, the oldest makes room. A push is here for milliseconds.
    connections: int = 128
    # In a second. A refused request costs the loop a third of a millisecond.
    arrivals: int = 100

    @property
    def life(self) -> float:
        """Of a connection, whatever it is at; as long again as a head and a body may take, for the answer to be read."""
        return 2 * self.exchange + self.refusal + self.linger


class Answer(web.Response):
    """A status and nothing else, after which the connection is closed."""

    def __init__(self, status: int) -> None:
        super().__init__(status=status)
        self.force_close()

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self.headers.popall(hdrs.SERVER, None)  # names the versions of aiohttp and Python
        self.headers.popall(hdrs.CONTENT_TYPE, None)  # for HEAD only, where nothing is to differ


def refusal() -> Answer:
    """The one answer to all who are not known."""
    return Answer(404)


class _Connection(web.RequestHandler):
    def __init__(
        self, server: web.Server, *, limits: Limits, others: dict[_Connection, None], refused: Callable[[], None]
    ) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(
            server,
            loop=loop,
            max_line_size=LINE_BYTES,
            max_headers=HEADERS,
            lingering_time=limits.linger,
            auto_decompress=False,  # compressed bodies are refused, so they are not to cost anything
        )
        self._limits = limits
        self._others = others  # the oldest first
        self._refused = refused
        self._end = loop.call_later(limits.life, self.abort)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if len(self._others) >= self._limits.connections:
            next(iter(self._others)).abort()
        self._others[self] = None

    def connection_lost(self, exc: BaseException | None) -> None:
        self._end.cancel()
        self._others.pop(self, None)
        super().connection_lost(exc)

    def abort(self) -> None:
        """End it at once: saying goodbye would wait for a client that may not listen."""
        self._others.pop(self, None)
        if self.transport is not None:
            self.transport.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,  # noqa: ARG002 (aiohttp's, and not told)
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what is no HTTP (`message` says what is wrong with it), and to a request whose handler failed."""
        if message is None and exc is not None:
            _fault(exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun, it cannot become another one")
        self._refused()
        return refusal()

    def log_exception(self, *_args: object, **kw: object) -> None:
        """What aiohttp came upon between requests, as when it drops the rest of a body."""
        error = kw.get("exc_info")
        if isinstance(error, BaseException) and not isinstance(error, _FOREIGN):
            _fault(error)


def _fault(error: BaseException) -> None:
    """Of Guard's own. Its text may hold a secret that was sent, and stays out."""
    frames = traceback.format_tb(error.__traceback__)[-FRAMES:]
    _log.error("a push could not be answered", error=type(error).__name__, frames=frames)


@asynccontextmanager
async def serve(
    handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
    listener: socket.socket,
    *,
    limits: Limits,
    refused: Callable[[], None],
) -> AsyncGenerator[None]:
    """Has `handle` answer what comes to a bound socket, until the block ends. `refused` is told of what never gets to it."""
    server = web.Server(handle)
    listener.listen(limits.connections)
    accepting = asyncio.create_task(_accept(listener, server, limits=limits, refused=refused), name="accepting pushes")
    try:
        yield
    finally:
        await end((accepting,))
        listener.close()
        server.pre_shutdown()
        await server.shutdown(GOODBYE_SECONDS)


async def _accept(listener: socket.socket, server: web.Server, *, limits: Limits, refused: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    arrivals = AsyncLimiter(limits.arrivals, 1)
    connections: dict[_Connection, None] = {}
    while True:
        await arrivals.acquire()
        try:
            arrived, _ = await loop.sock_accept(listener)
        except OSError as error:
            _log.warning("a connection could not be taken", error=str(error))
            await asyncio.sleep(ACCEPT_AGAIN_SECONDS)
            continue
        await loop.connect_accepted_socket(
            lambda: _Connection(server, limits=limits, others=connections, refused=refused), arrived
        )
