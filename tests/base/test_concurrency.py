from __future__ import annotations

import asyncio

import pytest

from guard.base.concurrency import for_each, unless


async def test_results_are_in_the_order_of_the_items_and_few_are_under_way_at_once() -> None:
    running = most = 0

    async def work(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001 * (number % 3))
        running -= 1
        return number * 2

    assert await for_each(range(50), work, at_once=4) == [number * 2 for number in range(50)]
    assert most == 4
    assert await for_each([], work, at_once=4) == []


async def test_work_is_done_unless_something_else_comes_first_and_neither_goes_on_after_that() -> None:
    ended: list[str] = []

    async def after(seconds: float, name: str) -> None:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            ended.append(name)
            raise

    async def work(seconds: float) -> str:
        await after(seconds, "work")
        return "done"

    async def fails() -> str:
        raise ValueError("no")

    assert await unless(work(0.0), after(60.0, "other")) == "done"
    assert await unless(work(60.0), after(0.0, "other")) is None
    assert ended == ["other", "work"]
    with pytest.raises(ValueError, match="no"):
        await unless(fails(), after(60.0, "other"))


async def test_the_first_error_ends_all() -> None:
    done: list[int] = []

    async def work(number: int) -> None:
        await asyncio.sleep(0.001)
        if number == 3:
            raise ValueError("three")
        done.append(number)

    with pytest.raises(ValueError, match="three"):
        await for_each(range(1000), work, at_once=2)
    assert len(done) < 6


async def test_who_is_cancelled_while_an_error_ends_all_is_cancelled() -> None:
    ending = asyncio.Event()

    async def work(number: int) -> None:
        if number == 0:
            raise ValueError("zero")
        try:
            await asyncio.Event().wait()
        finally:
            ending.set()
            await asyncio.sleep(0.01)

    task = asyncio.create_task(for_each(range(2), work, at_once=2))
    await asyncio.sleep(0)
    await ending.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
