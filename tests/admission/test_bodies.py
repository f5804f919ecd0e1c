"""What no client can bring about at will: two things within one turn of the loop."""

from __future__ import annotations

import asyncio
import time
from unittest.mock import create_autospec

import pytest
from aiohttp import StreamReader
from aiohttp.base_protocol import BaseProtocol

from guard.admission.bodies import Bodies, Overloaded

pytestmark = pytest.mark.case(37)


async def test_a_body_whose_time_is_just_over_can_make_room_too() -> None:
    loop = asyncio.get_running_loop()
    bodies = Bodies(largest=1_000, unfinished=100)
    first, second = (StreamReader(create_autospec(BaseProtocol), 1_000, loop=loop) for _ in range(2))
    waiting = [
        loop.create_task(bodies.rest(first, seconds=1.0)),
        loop.create_task(bodies.rest(second, seconds=20)),
    ]
    first.feed_data(b"x" * 60)
    await asyncio.sleep(0.01)
    loop.call_later(0.5, second.feed_data, b"x" * 60)
    time.sleep(1.2)  # noqa: ASYNC251 (both are due in the same turn, the second's bytes first)
    with pytest.raises(Overloaded):
        await waiting[0]
    second.feed_eof()
    assert await waiting[1] == b"x" * 60
    assert bodies.held == 0
