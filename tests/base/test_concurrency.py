from __future__ import annotations

import asyncio
import contextlib
import gc
import threading

import pytest

from guard.base import concurrency
from guard.base.concurrency import Places, end, for_each, in_thread, unless, within


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


async def test_who_hangs_lets_others_by_and_yet_no_more_than_ever_are_let_in() -> None:
    places, inside, let_go = Places(2, patience=1.0, most=3), 0, asyncio.Event()

    async def hang() -> None:
        nonlocal inside
        async with places.one():
            inside += 1
            await let_go.wait()

    hanging = [asyncio.create_task(hang()) for _ in range(4)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert inside == 2
    async with asyncio.timeout(10):
        while inside < 3:  # noqa: ASYNC110 (the third comes in when patience has ended)
            await asyncio.sleep(0.01)
    await asyncio.sleep(1.2)
    assert inside == 3
    let_go.set()
    await asyncio.gather(*hanging)
    running = most = 0

    async def work() -> None:
        nonlocal running, most
        async with places.one():
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1

    await asyncio.gather(*(work() for _ in range(20)))
    assert most == 2


async def test_an_event_comes_in_time_or_not() -> None:
    event = asyncio.Event()
    assert not await within(event, 0.0)
    asyncio.get_running_loop().call_later(0.01, event.set)
    assert await within(event, None)
    assert await within(event, 60.0)


@pytest.mark.parametrize("turns", range(6))
async def test_who_is_cancelled_just_as_the_event_comes_is_cancelled(turns: int) -> None:
    event = asyncio.Event()

    async def work() -> None:
        await within(event, 60.0)
        await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0.01)
    event.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task], timeout=10)
    assert task.cancelled()


async def test_cleaning_up_that_has_begun_is_not_cut_short() -> None:
    cleaned: list[str] = []

    async def cleans_up(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)
            cleaned.append(name)

    task = asyncio.create_task(cleans_up("one"))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    await end((task,))
    assert cleaned == ["one"]

    async def fails(name: str) -> None:
        if name == "fast":
            await asyncio.Event().wait()
        await cleans_up(name)

    working = asyncio.create_task(for_each(["fast", "two", "three"], fails, at_once=3))
    await asyncio.sleep(0.01)
    working.cancel()
    await asyncio.wait((working,))
    assert working.cancelled()
    assert cleaned == ["one", "two", "three"]


async def test_whoever_is_cancelled_waits_for_the_thread() -> None:
    begun, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def work(first: int, *, second: int) -> int:
        begun.set()
        go_on.wait(30)
        done.set()
        return first + second

    task = asyncio.create_task(in_thread(work, 1, second=2))
    await asyncio.to_thread(begun.wait)
    task.cancel()
    await asyncio.wait((task,), timeout=0.05)
    assert not task.done()
    go_on.set()
    await asyncio.wait((task,))
    assert task.cancelled()
    assert done.is_set()
    assert await in_thread(work, 1, second=2) == 3


def test_whoever_waits_for_a_thread_does_so_also_where_all_tasks_are_ended() -> None:
    begun, go_on = threading.Event(), threading.Event()
    told: list[object] = []

    def work() -> None:
        begun.set()
        go_on.wait(30)
        raise ValueError("no")

    async def main() -> None:
        loop, this = asyncio.get_running_loop(), asyncio.current_task()
        loop.set_exception_handler(lambda _loop, context: told.append(context))
        task = asyncio.create_task(in_thread(work))
        await asyncio.to_thread(begun.wait)
        ending = asyncio.create_task(end(asyncio.all_tasks() - {this}))
        await asyncio.wait((task,), timeout=0.05)
        assert not task.done()
        go_on.set()
        await ending
        assert task.cancelled()
        del task, ending
        gc.collect()
        await asyncio.sleep(0)

    # A loop of its own: that of all tests may just tell of something that another one has left.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(main())
    assert told == []


async def test_what_is_ended_has_ended_also_where_a_cancellation_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrency, "CANCEL_AGAIN_SECONDS", 0.05)
    cleaned: list[str] = []

    async def loses_one() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append("after the second")

    async def fails() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("while it ends")

    async def is_done() -> None:
        cleaned.append("by itself")

    tasks = [asyncio.create_task(work()) for work in (loses_one, fails, is_done)]
    await asyncio.sleep(0)
    await end(tasks)
    assert all(task.done() for task in tasks)
    assert sorted(cleaned) == ["after the second", "by itself"]
    await end([])
