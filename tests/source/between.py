"""Stands between Guard and a real S3 server: counts what is asked, and lets a test act, or answer, in the middle of it.

What is passed on is signed for the host that Guard named, which is this one; the real server is told so.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web
from yarl import URL

from tools.s3server import S3Server

Answer = Callable[[web.Request], Awaitable[web.StreamResponse | None]]


class Between:
    """`asked` has what each request was for: `list`, `versions`, or a key. `before` may answer in place of the server; where it
    returns None, it does.
    """

    def __init__(self, server: S3Server) -> None:
        self.asked: list[str] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.before: Answer | None = None
        self.url = ""
        self._server = server
        self._session: aiohttp.ClientSession | None = None

    def taken(self) -> list[str]:
        """What was asked since this was called last."""
        found, self.asked = self.asked, []
        return found

    async def answer(self, request: web.Request) -> web.StreamResponse:
        key = request.path.strip("/").partition("/")[2]
        self.asked.append("versions" if "versions" in request.query else "list" if "list-type" in request.query else key)
        self.paths.append(request.raw_path)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        if self.before and (answer := await self.before(request)) is not None:
            return answer
        return await self.passed_on(request)

    async def passed_on(self, request: web.Request) -> web.Response:
        """What the real server answers."""
        assert self._session is not None
        # A proxy is asked for a whole URL.
        asked = URL(request.raw_path, encoded=True)
        path = asked.raw_path_qs if asked.absolute else request.raw_path
        async with self._session.request(
            request.method,
            URL(self._server.url + path, encoded=True),
            headers=request.headers,
            allow_redirects=False,
        ) as found:
            dropped = {"Transfer-Encoding", "Connection", "Content-Length"}
            headers = {name: value for name, value in found.headers.items() if name not in dropped}
            return web.Response(status=found.status, body=await found.read(), headers=headers)

    @classmethod
    @asynccontextmanager
    async def of(cls, server: S3Server) -> AsyncGenerator[Between]:
        between = cls(server)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", between.answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            between._session = session
            try:
                site = web.TCPSite(runner, "127.0.0.1", 0)
                await site.start()
                between.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
                yield between
            finally:
                await runner.cleanup()
