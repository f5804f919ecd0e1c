from __future__ import annotations

import asyncio
import sys

import pytest

from guard.source import poll


async def test_waits_for_the_interval_and_at_most_a_tenth_more(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    async def nothing_comes(_event: asyncio.Event, seconds: float) -> bool:
        waited.append(seconds)
        return False

    monkeypatch.setattr(sys.modules[poll.__module__], "within", nothing_comes)
    for _ in range(100):
        assert not await poll(interval=lambda: 60.0, wake=asyncio.Event())

    assert 60.0 <= min(waited) < max(waited) <= 66.0


async def test_being_woken_ends_the_wait_once() -> None:
    wake = asyncio.Event()
    wake.set()

    assert await poll(interval=60, wake=wake)
    assert not await poll(interval=0.01, wake=wake)
