"""`guard run` on asyncio's own loop, watched: `python -m bench.guard_watched LOG run ...`.

Guard runs on uvloop, whose handles cannot be wrapped; what a callback costs is Guard's code and Python's, and the same on both.
LOG gets what `Seen` says, a line of JSON each: callbacks that cost much, times in which the loop stood still, collections of
garbage, and the steps of a sync as they begin.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from time import perf_counter, thread_time
from types import CodeType, FrameType
from typing import Literal, ParamSpec, TypeVar, cast

import msgspec
import uvloop

from guard.base import codec
from guard.cli.main import main
from guard.sync import SourceFolder, gate, inforce

COSTLY_SECONDS = 0.003
TICK_SECONDS = 0.005
# A gap between two ticks that is no stall: a tick, and what a busy machine adds.
GAP_SECONDS = 0.010
ROOT = Path(__file__).resolve().parents[1]

P = ParamSpec("P")
T = TypeVar("T")
Place = tuple[CodeType, int]
# What a coroutine, an asynchronous generator and a generator have: their frame, and what they wait for.
_INNER = (("cr_frame", "cr_await"), ("ag_frame", "ag_await"), ("gi_frame", "gi_yieldfrom"))


class Seen(msgspec.Struct, frozen=True):
    """`at` is when it ended, by perf_counter, which on Linux all processes share. `seconds` are of CPU, but for stalls: of the
    time that passed.
    """

    kind: Literal["callback", "stall", "collection", "step"]
    at: float
    seconds: float
    what: str


class Watch:
    def __init__(self, log: Path) -> None:
        self._log = log.open("wb")
        self._collecting: dict[int, float] = {}

    def note(self, seen: Seen) -> None:
        self._log.write(codec.encode(seen) + b"\n")

    def close(self) -> None:
        self._log.close()

    def step(self, name: str) -> None:
        self.note(Seen(kind="step", at=perf_counter(), seconds=0.0, what=name))

    def run(self, work: Coroutine[object, object, T]) -> T:
        """In the place of uvloop.run."""
        watch = self
        original = asyncio.Handle._run  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] (no public way to see each callback)

        def run(self: asyncio.Handle) -> None:
            callback: object = getattr(self, "_callback")  # noqa: B009
            task = _task_of(callback)
            before = _place(task) if task is not None else None
            started = thread_time()
            original(self)
            seconds = thread_time() - started
            if seconds > COSTLY_SECONDS:
                watch.note(Seen(kind="callback", at=perf_counter(), seconds=seconds, what=_named(callback, before)))

        asyncio.Handle._run = run  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        gc.callbacks.append(self._collected)
        try:
            return asyncio.run(self._beside(work))
        finally:
            gc.callbacks.remove(self._collected)
            self.close()

    async def _beside(self, work: Coroutine[object, object, T]) -> T:
        ticking = asyncio.create_task(self._tick(), name="tick")
        try:
            return await work
        finally:
            ticking.cancel()

    async def _tick(self) -> None:
        before = perf_counter()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = perf_counter()
            if now - before > GAP_SECONDS:
                self.note(Seen(kind="stall", at=perf_counter(), seconds=now - before, what=""))
            before = now

    def _collected(self, phase: str, info: dict[str, int]) -> None:
        thread = threading.get_ident()
        if phase == "start":
            self._collecting[thread] = thread_time()
            return
        seconds = thread_time() - self._collecting.pop(thread)
        if seconds > COSTLY_SECONDS:
            what = f"generation {info['generation']} in {threading.current_thread().name}"
            self.note(Seen(kind="collection", at=perf_counter(), seconds=seconds, what=what))

    def marked(self, name: str, function: Callable[P, Awaitable[T]], *, after: str) -> Callable[P, Awaitable[T]]:
        @functools.wraps(function)
        async def run(*args: P.args, **kwargs: P.kwargs) -> T:
            self.step(name)
            try:
                return await function(*args, **kwargs)
            finally:
                self.step(after)

        return run


def _place(task: asyncio.Task[object]) -> Place | None:
    """Where a task goes on: the innermost line of Guard's that can be seen."""
    found: Place | None = None
    waiting: object = task.get_coro()
    while waiting is not None:
        frame: FrameType | None = None
        inner: object = None
        for frame_name, inner_name in _INNER:
            frame, inner = getattr(waiting, frame_name, frame), getattr(waiting, inner_name, inner)
        if frame is not None and "/guard/" in frame.f_code.co_filename:
            found = (frame.f_code, frame.f_lineno)
        waiting = inner
    return found


def _task_of(callback: object) -> asyncio.Task[object] | None:
    """The task that a callback drives on."""
    owner: object = getattr(callback, "__self__", None)
    return cast("asyncio.Task[object]", owner) if isinstance(owner, asyncio.Task) else None


def _named(callback: object, before: Place | None) -> str:
    task = _task_of(callback)
    if task is None:
        return getattr(callback, "__qualname__", repr(callback))
    after = None if task.done() else _place(task)
    return f"{task.get_name()}: {_told(before)} to {_told(after) if after else 'its end'}"


def _told(place: Place | None) -> str:
    if place is None:
        return "elsewhere"
    code, line = place
    file = Path(code.co_filename)
    name = file.relative_to(ROOT) if file.is_relative_to(ROOT) else file.name
    return f"{name}:{line} {code.co_name}"


def mark(watch: Watch) -> None:
    """Have the steps of a sync noted."""
    fetch = watch.marked("fetch", SourceFolder.fetch, after="render, resolve")
    SourceFolder.fetch = fetch  # pyright: ignore[reportAttributeAccessIssue] (as a method it takes the same)
    gate.check = watch.marked("dry run", gate.check, after="index, register")
    inforce.apply_all = watch.marked("apply", inforce.apply_all, after="prune, status")
    watch.step("start")


def watched() -> None:
    watch = Watch(Path(sys.argv.pop(1)))
    uvloop.run = watch.run  # pyright: ignore[reportAttributeAccessIssue] (a loop whose handles can be wrapped)
    mark(watch)
    main()


if __name__ == "__main__":
    watched()
