"""The control interface: reads that need the index or the journal, as HTTP and JSON on a Unix socket in the data folder.

Its file mode, 0600, is who may ask: the user that Guard runs as.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Protocol

from aiohttp import web

from guard.audit import Filter, follow, read
from guard.base import codec
from guard.base.errors import ConfigError, GuardError
from guard.inspect import Comparison, Explanation

SOCKET = "control.sock"
LONGEST_SOCKET_PATH = 100  # bytes; Linux takes 107, macOS 103

# What `guard diff` shows, of all Syncs where none is named. Raises GuardError, a ConfigError for a Sync that is not there.
Diff = Callable[[str], Awaitable[Comparison]]


class Explain(Protocol):
    """What `guard explain` shows. Raises GuardError, a ConfigError for what is not there."""

    async def __call__(self, kind: str, name: str, *, namespace: str) -> Explanation: ...


async def serve(directory: Path, *, journal: Path, diff: Diff, explain: Explain) -> web.AppRunner:
    """Serve until the runner is cleaned up. Raises ConfigError where the socket cannot be made."""
    app = web.Application()

    async def show_diff(request: web.Request) -> web.Response:
        try:
            found = await diff(request.query.get("sync", ""))
        except GuardError as error:
            return _refused(error)
        return web.Response(body=codec.encode(found), content_type="application/json")

    async def show_explanation(request: web.Request) -> web.Response:
        query = request.query
        try:
            found = await explain(query.get("kind", ""), query.get("name", ""), namespace=query.get("namespace", ""))
        except GuardError as error:
            return _refused(error)
        return web.Response(body=codec.encode(found), content_type="application/json")

    async def show_audit(request: web.Request) -> web.StreamResponse:
        try:
            wanted = _filter(request.query)
        except ValueError as error:
            return web.Response(status=400, text=str(error))
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        if request.query.get("follow") == "true":
            async for record in follow(journal, wanted):
                await response.write(record.line())
        else:
            for record in await asyncio.to_thread(lambda: list(read(journal, wanted))):
                await response.write(record.line())
        await response.write_eof()
        return response

    app.router.add_get("/v1/diff", show_diff)
    app.router.add_get("/v1/explain", show_explanation)
    app.router.add_get("/v1/audit", show_audit)
    # A follower would hold a stop back for as long as it likes.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, handler_cancellation=True)
    await runner.setup()
    await web.SockSite(runner, _bound(directory / SOCKET)).start()
    return runner


def _refused(error: GuardError) -> web.Response:
    return web.Response(status=404 if isinstance(error, ConfigError) else 502, text=str(error))


def _bound(path: Path) -> socket.socket:
    if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
        raise ConfigError("the path is too long for a Unix socket", where=str(path), hint="give a shorter --data-dir")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Left over from a Guard that was killed: the lock on the data folder says that no other one is running.
        path.unlink(missing_ok=True)
        # The mode has to hold from the very start: bind makes the file under the umask.
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
    except OSError as error:
        listener.close()
        raise ConfigError(f"the control socket cannot be made: {error.strerror}", where=str(path)) from error
    listener.setblocking(False)
    return listener


def _filter(query: Mapping[str, str]) -> Filter:
    """The filter that a query string asks for. Raises ValueError saying what is wrong with it."""
    since = query.get("since", "")
    limit = query.get("limit", "0")
    if not limit.isdigit():
        raise ValueError("limit has to be a number")
    return codec.convert(
        {
            "events": [event for event in query.get("events", "").split(",") if event],
            "sync": query.get("sync", ""),
            "kind": query.get("kind", ""),
            "namespace": query.get("namespace", ""),
            "name": query.get("name", ""),
            "user": query.get("user", ""),
            "since": datetime.fromisoformat(since) if since else None,
            "reference": query.get("reference", ""),
            "limit": int(limit),
        },
        Filter,
    )
