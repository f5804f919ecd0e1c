"""Looks up the addresses of hosts for aiohttp, in a thread that is given.

aiohttp itself takes the loop's threads. There are a handful of them, in which the whole of Guard works, and a name service that
does not answer holds one for half a minute at a time.
"""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import Executor
from functools import partial

from aiohttp.abc import AbstractResolver, ResolveResult


class Names(AbstractResolver):
    """Raises OSError for a host that is not known, as aiohttp expects it."""

    def __init__(self, thread: Executor) -> None:
        self._thread = thread

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        ask = partial(socket.getaddrinfo, host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=found,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for found, _, protocol, _, address in await asyncio.get_running_loop().run_in_executor(self._thread, ask)
        ]

    async def close(self) -> None:
        """The thread is its owner's."""
