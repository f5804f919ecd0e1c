"""A Git server on loopback: the real `git http-backend` behind TLS and, on request, a password or a token."""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import trustme
from aiohttp import web

USER, PASSWORD, TOKEN = "deploy", "correct-horse-battery", "bearer-of-good-news"


class GitServer:
    """`requests` has the path of every request; `redirect_to` sends all of them to another server; with `old` it knows but the
    first version of the protocol; with `echo` it refuses everyone, and tells them what they sent.
    """

    def __init__(self, root: Path, *, private: bool) -> None:
        self.requests: list[str] = []
        self.authorizations: list[str] = []
        self.redirect_to = ""
        self.old = False
        self.echo = False
        self.authority = trustme.CA()
        self.port = 0
        self._root = root
        self._private = private

    def url(self, name: str) -> str:
        return f"https://127.0.0.1:{self.port}/{name}"

    @property
    def ca_certificate(self) -> str:
        return self.authority.cert_pem.bytes().decode()

    async def answer(self, request: web.Request) -> web.Response:
        self.requests.append(request.path)
        self.authorizations.append(request.headers.get("Authorization", ""))
        if self.redirect_to:
            raise web.HTTPFound(self.redirect_to + request.path_qs)
        if self.echo and request.headers.get("Authorization"):
            return web.Response(status=403, text=f"you sent {request.headers['Authorization']}\x1b[2J", content_type="text/plain")
        expected = {"Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode(), f"Bearer {TOKEN}"}
        if self._private and request.headers.get("Authorization") not in expected:
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="git"'})
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self._root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": "" if self.old else request.headers.get("Git-Protocol", ""),
            "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
            "REQUEST_METHOD": request.method,
            "PATH_INFO": request.path,
            "QUERY_STRING": request.query_string,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "REMOTE_ADDR": "127.0.0.1",
        }
        backend = await asyncio.create_subprocess_exec(
            "git",
            "http-backend",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment,
        )
        out, _ = await backend.communicate(await request.read())
        head, _, body = out.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        status = int(headers.pop("Status", "200 OK").split()[0])
        return web.Response(status=status, headers=headers, body=body)


@asynccontextmanager
async def serve(root: Path, *, private: bool = False) -> AsyncGenerator[GitServer, None]:
    """Serve the repositories below `root` until the block ends."""
    server = GitServer(root, private=private)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with server.authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.tempfile() as pair:
        tls.load_cert_chain(pair)
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", server.answer)
    # Git does not ask for the request's body to be unpacked; http-backend does that itself.
    runner = web.AppRunner(app, auto_decompress=False)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        server.port = runner.addresses[0][1]
        yield server
    finally:
        await runner.cleanup()
