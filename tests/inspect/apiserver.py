"""Stands in for an API server where a real one would not say what a test needs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestServer

from guard.base import codec
from guard.base.codec import JsonObject


@asynccontextmanager
async def answering(directory: Path, answers: Mapping[str, JsonObject | None]) -> AsyncGenerator[Path]:
    """The kubeconfig of a server that breaks the connection off where the answer is None, and knows no other path."""

    async def answer(request: web.Request) -> web.Response:
        if request.path not in answers:
            return _json({"kind": "Status", "reason": "NotFound", "message": f"no {request.path}"}, status=404)
        found = answers[request.path]
        if found is None and request.transport is not None:
            request.transport.abort()
        return _json(found or {})

    async with _serving(directory, answer) as kubeconfig:
        yield kubeconfig


@asynccontextmanager
async def hanging(directory: Path) -> AsyncGenerator[tuple[Path, list[str]]]:
    """The kubeconfig of a server that takes requests and never answers, and the paths that were asked for."""
    asked: list[str] = []
    end = asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        await end.wait()
        return _json({}, status=503)

    async with _serving(directory, answer) as kubeconfig:
        yield kubeconfig, asked
        end.set()


@asynccontextmanager
async def _serving(directory: Path, answer: Callable[[web.Request], Awaitable[web.Response]]) -> AsyncGenerator[Path]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        named = {"name": "it"}
        kubeconfig = directory / "kubeconfig"
        kubeconfig.write_bytes(
            codec.encode(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "it",
                    "contexts": [{**named, "context": {"cluster": "it", "user": "it"}}],
                    "clusters": [{**named, "cluster": {"server": str(server.make_url("")).rstrip("/")}}],
                    "users": [{**named, "user": {"token": "none"}}],
                }
            )
        )
        yield kubeconfig


def _json(body: JsonObject, *, status: int = 200) -> web.Response:
    return web.Response(body=codec.encode(body), status=status, content_type="application/json")
