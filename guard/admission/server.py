"""The admission webhook's HTTP side: bytes in, bytes out. It knows no cluster, no Git, and waits for neither."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from guard.base.codec import DecodeError

PATH = "/admission"

# Both objects of a review may be as large as a request to the API server, 3 MiB each; the rest of the review is small.
LARGEST_REVIEW = 7 * 1024 * 1024
# The API server keeps idle connections for 90 s; whoever closes first loses requests, so it has to be the API server.
KEEP_ALIVE_SECONDS = 120.0
BAD_REQUEST = 400

Responder = Callable[[bytes], bytes]


def application(responders: dict[str, Responder], *, ready: Callable[[], str] = str) -> web.Application:
    """The HTTP application: one responder a path, `/healthz`, and `/readyz`, which is 503 while `ready()` names a reason."""
    app = web.Application(client_max_size=LARGEST_REVIEW)
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


def _handler(respond: Responder) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        if request.headers.get("Content-Encoding"):
            return web.Response(status=415, text="compressed bodies are not read\n")
        if request.content_type != "application/json":
            return web.Response(status=415, text="expected application/json\n")
        try:
            body = respond(await request.read())
        except DecodeError as error:
            return web.Response(status=BAD_REQUEST, text=f"not an AdmissionReview that can be answered: {error}\n")
        return web.Response(body=body, content_type="application/json")

    return handle
