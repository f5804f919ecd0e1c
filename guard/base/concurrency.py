"""Doing one thing to many items, some at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


async def unless(work: Coroutine[None, None, R], other: Coroutine[None, None, None]) -> R | None:
    """The result of the work; None where the other thing came first. Neither goes on afterwards."""
    task, stopper = asyncio.ensure_future(work), asyncio.ensure_future(other)
    try:
        await asyncio.wait((task, stopper), return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else stopper.result()
    finally:
        for one in (task, stopper):
            one.cancel()
        await asyncio.gather(task, stopper, return_exceptions=True)


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
        for one in workers:
            one.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return [results[place] for place in range(len(items))]
