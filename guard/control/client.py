"""Asking the running Guard over its control socket."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from guard.audit import Record
from guard.base import codec
from guard.base.errors import ControlError
from guard.control.server import SOCKET
from guard.inspect import Comparison, Explanation

LARGEST_LINE = 8 * 1024 * 1024


@asynccontextmanager
async def _ask(directory: Path, path: str, query: Mapping[str, str]) -> AsyncGenerator[aiohttp.ClientResponse]:
    connector = aiohttp.UnixConnector(path=str(directory / SOCKET))
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5.0)
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout, read_bufsize=LARGEST_LINE) as session,
            session.get(f"http://guard{path}", params=query) as response,
        ):
            if response.status != 200:  # noqa: PLR2004 (HTTP's OK)
                raise ControlError((await response.text()).strip())
            yield response
    except (aiohttp.ClientError, OSError) as error:
        raise ControlError(
            "no Guard is running on this data folder", where=str(directory), hint="start it with guard run, or give --data-dir"
        ) from error


async def diff(directory: Path, *, sync: str) -> Comparison:
    """What `guard diff` shows. Raises ControlError."""
    async with _ask(directory, "/v1/diff", {"sync": sync}) as response:
        return codec.decode_as(await response.read(), Comparison)


async def explain(directory: Path, *, kind: str, name: str, namespace: str) -> Explanation:
    """What `guard explain` shows. Raises ControlError, also for a kind or an object that is not there."""
    async with _ask(directory, "/v1/explain", {"kind": kind, "name": name, "namespace": namespace}) as response:
        return codec.decode_as(await response.read(), Explanation)


async def audit(directory: Path, query: Mapping[str, str]) -> AsyncGenerator[Record]:
    """Records as the query asks for; without end under `follow=true`. Raises ControlError."""
    async with _ask(directory, "/v1/audit", query) as response:
        async for line in response.content:
            yield codec.decode_as(line, Record)
