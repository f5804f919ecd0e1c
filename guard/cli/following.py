"""How Syncs get on, as they go: lines, and on a terminal a bar while a revision is applied."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

from guard.api import Progress, Standing
from guard.base.clock import Clock, SystemClock, rfc3339_seconds
from guard.base.naming import listed
from guard.cli.output import console, json_line, line, structured

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

# Where nothing can be redrawn, a line for so much of the work.
STEPS = 10


class Following:
    """Shows one standing after the other, in `form`: `table` for people. To be entered, so that a bar is taken off the terminal
    again.
    """

    def __init__(self, *, form: str = "table", clock: Clock | None = None) -> None:
        self._form = form
        self._clock = clock or SystemClock()
        self._interruption = ""
        self._said: dict[str, str] = {}
        self._steps: dict[str, int] = {}
        self._tasks: dict[str, TaskID] = {}
        self._bars: Bars | None = None
        self._is_terminal = form == "table" and sys.stdout.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None) -> None:
        if self._bars is not None:
            self._bars.stop()

    def show(self, standing: Standing) -> None:
        """What is new about it; nothing where nothing is."""
        self._interruption = ""
        if self._form != "table":
            self._structured(standing)
            return
        if standing.progress.total:
            (self._draw if self._is_terminal else self._step)(standing.sync, standing.progress)
            return
        self._end(standing.sync)
        self.say(standing.sync, *_told(standing))

    def deleted(self, sync: str) -> None:
        if self._form == "table":
            self._end(sync)
            self.say(sync, "Deleted")
        else:
            line(f"{sync} was deleted", err=True)

    def interrupted(self, error: str) -> None:
        """The API server cannot be followed for now; said once for each reason."""
        if self._interruption != error:
            self._interruption = error
            line(f"{rfc3339_seconds(self._clock.now())} waiting for the API server: {error}", err=True)

    def say(self, about: str, word: str, text: str = "", *, colour: str | None = None) -> None:
        """One line with the time, unless it is the last one about this again."""
        told = f"{about}: {word}" + (f": {text}" if text else "")
        if self._said.get(about) != told:
            self._said[about] = told
            line(f"{rfc3339_seconds(self._clock.now())} {told}", colour=colour)

    def _structured(self, standing: Standing) -> None:
        if self._form == "json":
            json_line(standing)
        else:
            line("---")
            structured(standing, form=self._form)

    def _step(self, sync: str, progress: Progress) -> None:
        step = progress.done * STEPS // progress.total
        if step > self._steps.get(sync, -1):
            self._steps[sync] = step
            self.say(sync, "Applying", f"{progress.done:,} of {progress.total:,} objects")

    def _draw(self, sync: str, progress: Progress) -> None:
        if self._bars is None:
            self._bars = _bars()
            self._bars.start()
        if sync not in self._tasks:
            self._tasks[sync] = self._bars.add_task(sync)
        self._bars.update(self._tasks[sync], total=progress.total, completed=progress.done)

    def _end(self, sync: str) -> None:
        """Of an apply: its bar goes, and the terminal is as it was once there is none."""
        self._steps.pop(sync, None)
        task = self._tasks.pop(sync, None)
        if self._bars is not None and task is not None:
            self._bars.remove_task(task)
            if not self._tasks:
                self._bars.stop()
                self._bars = None


def _bars() -> Bars:
    from rich.progress import BarColumn, MofNCompleteColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    # A bar is gone when it is done: the line that follows says how it ended.
    return Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=console(),
        transient=True,
    )


def _told(standing: Standing) -> tuple[str, str]:
    """The word, and what stands behind it."""
    objects, health = standing.objects, standing.health
    counts = listed(
        f"{objects.drifted} drifted" if objects.drifted else "",
        f"{objects.failed} failed" if objects.failed else "",
        f"{health.progressing} progressing" if health.progressing else "",
        f"{health.unhealthy} unhealthy" if health.unhealthy else "",
    )
    return standing.word, standing.message + (f" ({counts})" if counts else "")
