"""When to look at a source again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from guard.base.concurrency import within

# Many Syncs that started together do not ask their Git server together for ever.
JITTER = 0.1


async def poll(*, interval: Callable[[], float] | float, wake: asyncio.Event) -> bool:
    """Wait for `interval` seconds and up to a tenth more, or until `wake` is set. True says it was woken; the event is clear
    again. A callable is asked once at the start of each wait, so that a changed interval counts from the next one.
    """
    seconds = interval if isinstance(interval, (int, float)) else interval()
    if not await within(wake, seconds * (1 + random.random() * JITTER)):  # noqa: S311 (spreading load, not a secret)
        return False
    wake.clear()
    return True
