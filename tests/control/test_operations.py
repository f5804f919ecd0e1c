"""The operations listener by itself."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from guard.control import serve_metrics


@pytest.mark.parametrize(
    "request_head",
    [b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf", b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"],
    ids=["sends half", "reads nothing"],
)
async def test_who_is_slow_holds_up_no_stop(request_head: bytes) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    # More than the pipes between the two hold.
    async with serve_metrics(listener, show=lambda: (bytes(30_000_000), "text/plain")):
        _, slow = await asyncio.open_connection(*listener.getsockname(), limit=1)
        slow.write(request_head)
        await asyncio.sleep(0.3)
        began = time.monotonic()
    # It would be ten seconds for the first, and two minutes for the second.
    assert time.monotonic() - began < 5
    slow.close()
