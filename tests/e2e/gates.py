"""A gate before an API server that stops at the n-th write of whoever comes through it, so that it can be killed right there."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Literal

import aiohttp
import trustme
from aiohttp import web
from multidict import CIMultiDict

from tools.controlplane import ControlPlane
from tools.controlplane.identities import write_kubeconfig
from tools.guardrun import GuardProcess

When = Literal["before", "after"]
HOPS = {"connection", "content-length", "host", "keep-alive", "transfer-encoding"}


class Gate:
    """`closed` is set once the gate has stopped a write, `before` it reached the API server or `after` that had answered."""

    def __init__(self, plane: ControlPlane, session: aiohttp.ClientSession) -> None:
        self.plane = plane
        self.closed = asyncio.Event()
        self.port = 0
        self._session = session
        self._left = 0
        self._when: When = "before"
        self._for_ever = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def before(cls, plane: ControlPlane, directory: Path) -> AsyncGenerator[Gate]:
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)  # pyright: ignore[reportUnknownMemberType] (knows pyOpenSSL, too)
        authority.cert_pem.write_to_path(str(directory / "gate.crt"))
        trust = ssl.create_default_context(cafile=str(plane.ca_file))
        connector = aiohttp.TCPConnector(ssl=trust, limit=0)
        async with aiohttp.ClientSession(
            connector=connector, timeout=aiohttp.ClientTimeout(total=None), auto_decompress=False
        ) as session:
            gate = cls(plane, session)
            app = web.Application(client_max_size=8 * 1024 * 1024)
            app.router.add_route("*", "/{tail:.*}", gate._pass)
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
            await site.start()
            gate.port = int(site.name.rpartition(":")[2])
            try:
                yield gate
            finally:
                await runner.cleanup()

    def kubeconfig(self, path: Path) -> Path:
        token = self.plane.token("admin")
        write_kubeconfig(
            path, url=f"https://127.0.0.1:{self.port}", ca_file=path.with_name("gate.crt"), identity="admin", token=token
        )
        return path

    def close_at(self, number: int, when: When) -> None:
        """Stop the `number`th write from now, and whatever comes after it; 0 for none."""
        self._left, self._when = number, when
        self.closed.clear()

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        is_write = request.method != "GET" and "dryRun" not in request.query and not request.path.endswith("reviews")
        stops = False
        if is_write and self._left:
            self._left -= 1
            stops = not self._left
        if self.closed.is_set() or (stops and self._when == "before"):
            self.closed.set()
            await self._for_ever.wait()
        headers = CIMultiDict((name, value) for name, value in request.headers.items() if name.lower() not in HOPS)
        url = f"{self.plane.url}{request.raw_path}"
        async with self._session.request(request.method, url, data=body or None, headers=headers) as answer:
            if stops:
                await answer.read()
                self.closed.set()
                await self._for_ever.wait()
            response = web.StreamResponse(status=answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in HOPS:
                    response.headers.add(name, value)
            await response.prepare(request)
            with suppress(ConnectionError, aiohttp.ClientError):
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
            return response


class GatedGuard(GuardProcess):
    """One that reaches its API server through a gate."""

    kubeconfig: Path

    def arguments(self) -> list[str]:
        found = super().arguments()
        found[found.index("--kubeconfig") + 1] = str(self.kubeconfig)
        return found
