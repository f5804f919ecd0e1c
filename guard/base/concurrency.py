"""Tasks: doing one thing to many items, some at a time, waiting for so long, and ending what runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import ParamSpec, TypeVar

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")

# Cleaning up takes less.
CANCEL_AGAIN_SECONDS = 5.0


class Places:
    """Lets `number` in at once. Who stays for longer than `patience` seconds no longer counts, so that some that hang keep nobody
    out; but never are there more than `most`.
    """

    def __init__(self, number: int, *, patience: float, most: int) -> None:
        self._patience = patience
        self._free = asyncio.Semaphore(number)
        self._all = asyncio.Semaphore(most)

    @asynccontextmanager
    async def one(self) -> AsyncGenerator[None]:
        async with self._all:
            await self._free.acquire()
            is_given_back = False

            def give_back() -> None:
                nonlocal is_given_back
                if not is_given_back:
                    is_given_back = True
                    self._free.release()

            timer = asyncio.get_running_loop().call_later(self._patience, give_back)
            try:
                yield
            finally:
                timer.cancel()
                give_back()


async def within(event: asyncio.Event, seconds: float | None) -> bool:
    """Whether the event came within so many seconds; None waits for ever.

    Not by asyncio.wait_for: that of Python 3.11 forgets a cancellation that comes together with the event, and whoever cancelled
    waits for ever.
    """
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def end(tasks: Iterable[asyncio.Task[object]]) -> None:
    """Cancel tasks, and return when all of them have ended, in whichever way. One that goes on all the same is cancelled again: a
    library may lose a cancellation, as those of Python itself do.
    """
    waiting = set(tasks)
    for task in waiting:
        # One that somebody has cancelled is cleaning up, and another cancellation would end that.
        if not task.cancelling():
            task.cancel()
    while waiting:
        ended, waiting = await asyncio.wait(waiting, timeout=CANCEL_AGAIN_SECONDS)
        for task in ended:
            # Seen, so that nobody is told that it was not.
            _ = task.cancelled() or task.exception()
        for task in waiting:
            task.cancel()


async def in_thread(work: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """As asyncio.to_thread, for what has to be over before the next thing is done: whoever is cancelled meanwhile waits for it.
    Only a second cancellation leaves the thread to itself.
    """
    # No task: whoever ends all that there are would end it, and nobody would wait for the thread.
    thread = asyncio.get_running_loop().run_in_executor(None, partial(work, *args, **kwargs))
    try:
        return await asyncio.shield(thread)
    except asyncio.CancelledError:
        await asyncio.wait((thread,))
        # Seen, so that nobody is told that it was not.
        _ = thread.exception()
        raise


async def unless(work: Coroutine[None, None, R], other: Coroutine[None, None, None]) -> R | None:
    """The result of the work; None where the other thing came first. Neither goes on afterwards."""
    task, stopper = asyncio.ensure_future(work), asyncio.ensure_future(other)
    try:
        await asyncio.wait((task, stopper), return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else stopper.result()
    finally:
        await end((task, stopper))


async def for_each(items: Sequence[T], work: Callable[[T], Awaitable[R]], *, at_once: int) -> list[R]:
    """The results in the order of the items. The first error ends all and is raised as it is.

    A task for each item would hold up the loop where there are thousands; so some tasks take one item after the other.
    """
    results: dict[int, R] = {}
    waiting = iter(enumerate(items))

    async def worker() -> None:
        for place, item in waiting:
            results[place] = await work(item)

    # No TaskGroup: one that ends for an error forgets that whoever waits for it was cancelled meanwhile.
    workers = [asyncio.create_task(worker()) for _ in range(min(at_once, len(items)))]
    try:
        await asyncio.gather(*workers)
    finally:
        await end(workers)
    return [results[place] for place in range(len(items))]
