"""The admission webhook's HTTP side: bytes in, bytes out. It knows no cluster, no Git, and waits for neither.

What cannot be answered gets a status that is not 200, in plain text, though it may hold a uid to answer to: the API server
then does what the webhook's failurePolicy says, which differs by who asks (people are refused, the control plane goes on).
`allowed: false` would refuse everybody, on the word of a review in which not even the user could be read. The text reaches
people: the API server puts it into its own error.

    400 http          what is no HTTP, an unknown Expect (417)
    400 review        no AdmissionReview: not JSON, not UTF-8, nested too deeply, no uid, another version or kind
    400 disconnected  counted only: the client went away before its request was whole
    404 path, 405 method
    408 slow          head or body not there in time
    413 size          more than 7 MiB
    415 media-type    not application/json, or a Content-Encoding
    500 failure       a fault of Guard's own
    503 memory        too much is being received at once; with Retry-After, on which the API server asks again
    504 late          the API server has stopped waiting (its `?timeout=`), so nothing is judged, let alone recorded
    none tls          no TLS, or a handshake that did not end in time; nor is there an answer to
    none connections  a connection that made room for another
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import lru_cache
from urllib.parse import parse_qs

from aiohttp import web

from guard.admission.bodies import Overloaded, TooLarge
from guard.admission.complaints import Complaints, Meter
from guard.admission.connections import SHOWN, Connection, Limits, Pool, Refusal
from guard.api.duration import seconds
from guard.base.codec import DecodeError
from guard.base.concurrency import end

PATH = "/admission"

Responder = Callable[[bytes], bytes]


def application(responders: dict[str, Responder], *, ready: Callable[[], str] = str) -> web.Application:
    """The HTTP application: one responder a path, `/healthz`, and `/readyz`, which is 503 while `ready()` names a reason. A
    responder raises DecodeError for what is no review. It has to be run by `serve`.
    """
    app = web.Application()
    for path, respond in responders.items():
        app.router.add_post(path, _handler(respond))

    async def healthz(_request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def readyz(_request: web.Request) -> web.Response:
        reason = ready()
        return web.Response(text=reason, status=503) if reason else web.Response(text="ok")

    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    return app


@asynccontextmanager
async def serve(
    app: web.Application,
    listener: socket.socket,
    *,
    tls: ssl.SSLContext,
    meter: Meter,
    limits: Limits = Limits(),  # noqa: B008 (a frozen value)
) -> AsyncGenerator[Pool]:
    """Serves `app` on a bound socket until the block ends, within `limits`; what is under way then is answered first."""
    runner = web.AppRunner(app, shutdown_timeout=limits.linger)
    await runner.setup()
    server = runner.server
    assert server is not None  # noqa: S101 (setup made it)
    pool = Pool(Complaints(meter), limits)
    listener.listen(limits.connections)
    background = [
        asyncio.create_task(pool.accept(listener, tls=tls, server=server), name="accepting"),
        asyncio.create_task(pool.sweep(), name="sweeping"),
    ]
    try:
        yield pool
    finally:
        await end(background)
        listener.close()
        await runner.cleanup()


def _handler(respond: Responder) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        connection = request.protocol
        if not isinstance(connection, Connection):
            raise TypeError("the application has to be run by serve()")
        began, pool = connection.since, connection.pool
        connection.enter("body")
        patience = _patience(request.rel_url.raw_query_string)
        try:
            _check(request, pool.limits)
            body = pool.bodies.whole(request.content)
            if body is None:
                body = await pool.bodies.rest(request.content, seconds=min(patience, pool.limits.exchange))
        except (WrongMedia, TooLarge, Overloaded, TimeoutError, web.RequestPayloadError, ConnectionError) as error:
            return _refusal(error, pool.limits)
        # Time that the request spent in the kernel, while something else held the loop, is not seen here.
        if time.monotonic() - began > patience:
            return Refusal("late", status=504, text="The API server has stopped waiting: its timeout is over.")
        try:
            answer = respond(body)
        except DecodeError as error:
            text = f"Not an AdmissionReview that can be answered: {error}"
            return Refusal("review", status=400, text=text[:SHOWN], cause=error)
        response = web.Response(body=answer, content_type="application/json")
        if not pool.keep(connection):
            response.force_close()
        return response

    return handle


class WrongMedia(Exception):
    """Not JSON as it is; says what is wanted."""


def _check(request: web.Request, limits: Limits) -> None:
    """What the head tells already. Raises WrongMedia and TooLarge."""
    if "Content-Encoding" in request.headers:
        raise WrongMedia("Compressed bodies are not read: send no Content-Encoding.")
    if request.content_type != "application/json":
        raise WrongMedia("Expected Content-Type: application/json.")
    if (request.content_length or 0) > limits.review:
        raise TooLarge


def _refusal(error: Exception, limits: Limits) -> Refusal:
    """The answer to a request whose body could not be read."""
    match error:
        case WrongMedia():
            return Refusal("media-type", status=415, text=str(error))
        case TooLarge():
            text = f"A review may hold {limits.review} bytes, enough for two objects of the 3 MiB that the API server takes."
            return Refusal("size", status=413, text=text)
        case Overloaded():
            text = "Too much is being received at once, and this body has been on its way for longest."
            return Refusal("memory", status=503, text=text, headers={"Retry-After": "1"})
        case TimeoutError():
            return Refusal("slow", status=408, text="The body did not arrive in time.")
        case web.RequestPayloadError():
            return Refusal("http", status=400, text="The body is not framed as HTTP wants it.", cause=error)
        case _:
            return Refusal("disconnected", status=400, text="The client went away.", cause=error)


@lru_cache(maxsize=16)  # a webhook has one, rounded up to whole seconds by the API server
def _patience(query: str) -> float:
    """How many seconds the API server waits for the answer, by its `?timeout=`; infinite where it does not say."""
    try:
        return seconds(parse_qs(query)["timeout"][0]) or float("inf")
    except (KeyError, ValueError):
        return float("inf")
