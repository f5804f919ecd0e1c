"""The operations listener: plain HTTP, for what scrapes metrics."""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

METRICS = "/metrics"


@asynccontextmanager
async def serve_metrics(listener: socket.socket, *, show: Callable[[], tuple[bytes, str]]) -> AsyncGenerator[None]:
    """Serve until the block ends. `show` gives a body and its content type."""

    async def answer(_request: web.Request) -> web.Response:
        body, content_type = show()
        return web.Response(body=body, headers={"Content-Type": content_type})

    operations = web.Application()
    operations.router.add_get(METRICS, answer)
    # Who is slow to send or to read would hold a stop back for as long.
    runner = web.AppRunner(operations, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        yield
    finally:
        await runner.cleanup()
