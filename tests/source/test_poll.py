from __future__ import annotations

import asyncio
import time

from guard.source import poll


async def test_waits_for_the_interval_and_at_most_a_tenth_more() -> None:
    started = time.monotonic()

    assert not await poll(interval=lambda: 0.2, wake=asyncio.Event())

    assert 0.2 <= time.monotonic() - started < 1


async def test_being_woken_ends_the_wait_once() -> None:
    wake = asyncio.Event()
    wake.set()

    assert await poll(interval=60, wake=wake)
    assert not await poll(interval=0.01, wake=wake)
