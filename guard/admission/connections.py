"""The listener's connections: how long each may take, how many there may be, and who goes when there are too many.

aiohttp ends idle connections and no others. What is missing is here, and its limits derive from what the API server does: it
sends a review in one go, never a second one before the first is answered, takes the answer at once, waits 30 s at most, and
keeps up to 25 idle connections for 90 s.

Anyone may reach the port, but only the API server is told the path of a responder. A connection that was served there is no
stranger's: strangers make room for each other and for the API server, never the API server for them.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from typing import Literal, TypeAlias, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from msgspec import Struct

from guard.admission.bodies import Bodies
from guard.admission.complaints import Complaints, Reason

# The API server keeps idle connections for 90 s; whoever closes first loses requests, so it has to be the API server.
KEEP_ALIVE_SECONDS = 120.0
MIB = 1024 * 1024
# Twice what the API server sends, Authorization and Traceparent included. Each may hold 8 KiB, so the unfinished heads of all
# connections together hold 90 MiB at most, and not aiohttp's 700.
HEADERS = 16
# What a descriptor may need to become free.
ACCEPT_AGAIN_SECONDS = 0.1
# Characters of an error text in an answer: some quote the request, which may hold 7 MiB.
SHOWN = 400


class Limits(Struct, frozen=True, kw_only=True):
    """Seconds, bytes, and a number of connections."""

    # Both objects of a review may be as large as a request to the API server, 3 MiB each; the rest of the review is small.
    review: int = 7 * MIB
    # The API server (client-go) gives up a TLS handshake after 10 s.
    handshake: float = 10.0
    # Handshakes at a time: all that an API server may have in flight (see `connections`), at once.
    handshakes: int = 200
    # From the first byte of a request to the last, and again for the answer to be taken. 7 MiB in 10 s are 6 Mbit/s.
    exchange: float = 10.0
    keep_alive: float = KEEP_ALIVE_SECONDS
    # An API server has at most 200 changes in flight (--max-mutating-requests-inflight) and 25 idle connections: three of them
    # need 675. With the handshakes below the 1,024 descriptors of a process where nobody raised them; git and watches need some.
    connections: int = 700
    # Of all unfinished bodies: 9 of the largest reviews at once. A whole body is judged in the same step as it is read.
    bodies: int = 64 * MIB
    # A refused body is read and dropped for so long, or closing would reset the connection before the answer is read.
    linger: float = 2.0
    # How often connections are looked through.
    sweep: float = 1.0


class Refusal(web.Response):
    """An answer that is not a review, and why. `cause` goes to the log, not to the caller."""

    def __init__(
        self,
        reason: Reason,
        *,
        status: int,
        text: str,
        headers: dict[str, str] | None = None,
        cause: BaseException | None = None,
    ) -> None:
        super().__init__(status=status, text=text + "\n", headers=headers)
        self.refused_for: Reason = reason
        self.cause = cause


# The answers of aiohttp's router: no such path, no such method there, an Expect that means nothing.
_OF_STATUS: dict[int, Reason] = {404: "path", 405: "method", 417: "http"}

# Faults of the client or the network.
_FOREIGN = (HttpProcessingError, web.RequestPayloadError, ConnectionError)

_SLOW = b"The request did not arrive in time.\n"
_SLOW_ANSWER = (
    b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_SLOW), _SLOW)
)

# Of a connection: nothing was asked; a request has begun; its body is awaited; it is being answered.
_Phase: TypeAlias = Literal["idle", "head", "body", "answer"]


class Connection(web.RequestHandler):
    """One connection, TLS done. `since` is when its phase began."""

    def __init__(self, pool: Pool, server: web.Server) -> None:
        limits = pool.limits
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=limits.keep_alive,
            lingering_time=limits.linger,
            max_headers=HEADERS,
            auto_decompress=False,  # compressed bodies are refused, so they are not to cost anything
        )
        self.pool = pool
        self.phase: _Phase = "idle"
        self.since = time.monotonic()
        self.served = False  # by a responder: no stranger

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.pool.admit(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.pool.connections.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if data and self.phase == "idle":  # aiohttp calls it with nothing to go on after a pause
            self.enter("head")
        elif data and self.phase == "answer" and self.writing_paused:
            self.drop("slow")  # asks on without taking what it asked for: 32 heads would be kept for it
            return
        super().data_received(data)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Every answer passes here, those of aiohttp's own included."""
        if isinstance(resp, Refusal):
            self.complain(resp.refused_for, error=resp.cause)
        elif resp.status in _OF_STATUS:
            self.complain(_OF_STATUS[resp.status])
        if not request.content.is_eof():
            resp.force_close()  # what is left of the body would pass for the head of a next request, and for a slow one
        self.enter("answer")
        result = await super().finish_response(request, resp, start_time)
        if resp.keep_alive:
            self.enter("idle")
        return result

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """The answer to what is no HTTP (`message` says what is wrong with it), and to a request whose handler failed."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun, it cannot become another one")
        if message is None:
            resp = Refusal("failure", status=status, text="Guard failed to answer; its log says more.", cause=exc)
        else:
            resp = Refusal("http", status=status, text=message[:SHOWN], cause=exc)
        resp.force_close()
        return resp

    def log_exception(self, *_args: object, **kw: object) -> None:
        """What aiohttp came upon between requests, as when it drops the rest of a body; nobody is left to be told."""
        error = kw.get("exc_info")
        if isinstance(error, BaseException) and not isinstance(error, _FOREIGN):
            self.complain("failure", error=error)

    def enter(self, phase: _Phase) -> None:
        self.phase = phase
        self.since = time.monotonic()

    def complain(self, reason: Reason, *, error: BaseException | None = None) -> None:
        self.pool.complaints.add(reason, peer=_host(self.transport), error=error)

    def expire(self, now: float) -> None:
        """End it if the client was too slow; awaiting a body has a limit of its own, `Bodies.rest`."""
        if self.transport is None or now - self.since < self.pool.limits.exchange:
            return
        if self.phase == "head":
            self.complain("slow")
            self.transport.write(_SLOW_ANSWER)
            self.force_close()
        elif self.phase == "answer":
            self.drop("slow")

    def drop(self, reason: Reason) -> None:
        """End it at once: saying goodbye would wait for a client that does not listen."""
        self.complain(reason)
        if self.transport is not None:
            self.transport.abort()


class Pool:
    """All connections of a listener."""

    def __init__(self, complaints: Complaints, limits: Limits) -> None:
        self.complaints = complaints
        self.limits = limits
        self.connections: dict[Connection, None] = {}  # the oldest first
        self.bodies = Bodies(largest=limits.review, unfinished=limits.bodies)
        self._handshakes: dict[asyncio.Task[None], None] = {}  # the oldest first

    async def accept(self, listener: socket.socket, *, tls: ssl.SSLContext, server: web.Server) -> None:
        """Takes connections in, for ever. Not by create_server, which neither tells of handshakes that fail nor bounds them."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    arrived, (host, *_) = await loop.sock_accept(listener)
                except Exception as error:  # noqa: BLE001 (no descriptors left, a client gone; whatever it is, others will come)
                    self.complaints.add("connections" if isinstance(error, OSError) else "failure", error=error)
                    await asyncio.sleep(ACCEPT_AGAIN_SECONDS)
                    continue
                if len(self._handshakes) >= self.limits.handshakes:
                    oldest = next(iter(self._handshakes))  # the API server's own take milliseconds
                    del self._handshakes[oldest]
                    oldest.cancel()
                handshake = loop.create_task(self._welcome(arrived, str(host), tls=tls, server=server))
                self._handshakes[handshake] = None
                handshake.add_done_callback(lambda done: self._handshakes.pop(done, None))
                await asyncio.sleep(0)  # whoever connects without end must not keep the loop for himself
        finally:
            for handshake in self._handshakes:
                handshake.cancel()

    async def _welcome(self, arrived: socket.socket, host: str, *, tls: ssl.SSLContext, server: web.Server) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: Connection(self, server),
                arrived,
                ssl=tls,
                ssl_handshake_timeout=self.limits.handshake,
                ssl_shutdown_timeout=self.limits.linger,
            )
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 (this one is gone; the others go on)
            self.complaints.add("tls", peer=host, error=error)

    def admit(self, newcomer: Connection) -> None:
        """Takes in one more, a stranger as yet. Where there are too many, the stranger goes that came first, whatever it is at:
        the API server is a stranger for milliseconds. Where there is none, the newcomer is one more than there may be.
        """
        if len(self.connections) >= self.limits.connections:
            oldest = next((connection for connection in self.connections if not connection.served), None)
            if oldest is not None:
                self._end(oldest)
        self.connections[newcomer] = None

    def keep(self, served: Connection) -> bool:
        """Whether a connection that a responder has an answer for may stay; it is no stranger's then. Where it is one too many,
        the one that has been idle for longest goes instead, or, with all in use, it has to go itself, once it is answered.
        """
        if not served.served and len(self.connections) > self.limits.connections:
            idle = (connection for connection in self.connections if connection.phase == "idle")
            longest = min(idle, key=lambda connection: connection.since, default=None)
            if longest is None:
                return False
            self._end(longest)
        served.served = True
        return True

    def _end(self, connection: Connection) -> None:
        del self.connections[connection]
        connection.drop("connections")

    async def sweep(self) -> None:
        """Ends connections that are too slow, for ever. A timer for each request would cost every request."""
        while True:
            await asyncio.sleep(self.limits.sweep)
            now = time.monotonic()
            for connection in list(self.connections):
                connection.expire(now)


def _host(transport: asyncio.BaseTransport | None) -> str:
    """The address of the other side, which is (host, port, ...) for IPv4 and IPv6."""
    peer: object = transport.get_extra_info("peername") if transport is not None else None
    return str(cast("tuple[object, ...]", peer)[0]) if isinstance(peer, tuple) and peer else ""
