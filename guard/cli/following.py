"""How Syncs get on, as they go: lines, and on a terminal a bar while a revision is applied."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

from guard.api import Standing
from guard.base.clock import Clock, SystemClock, rfc3339_seconds
from guard.base.naming import listed
from guard.cli.output import console, json_line, line, structured

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

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
        self._bars: dict[str, TaskID] = {}
        self._progress: Progress | None = None
        self._is_terminal = form == "table" and sys.stdout.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None) -> None:
        if self._progress is not None:
            self._progress.stop()

    def show(self, standing: Standing) -> None:
        """What is new about it; nothing where nothing is."""
        self._interruption = ""
        if self._form != "table":
            self._structured(standing)
            return
        if self._is_terminal:
            self._draw(standing)
        else:
            self._step(standing)
        self.say(standing.sync, *_told(standing))

    def deleted(self, sync: str) -> None:
        if self._form == "table":
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

    def _step(self, standing: Standing) -> None:
        done, total = standing.progress.done, standing.progress.total
        step = done * STEPS // total if total else 0
        if step and step > self._steps.get(standing.sync, 0):
            self.say(standing.sync, "Applying", f"{done:,} of {total:,} objects")
        self._steps[standing.sync] = step

    def _draw(self, standing: Standing) -> None:
        """A bar for each Sync that applies."""
        done, total = standing.progress.done, standing.progress.total
        bar = self._bars.get(standing.sync)
        if not total:
            if bar is not None and self._progress is not None:
                self._progress.remove_task(self._bars.pop(standing.sync))
                self._stop_unless_needed()
            return
        if self._progress is None:
            self._progress = _progress()
            self._progress.start()
        if bar is None:
            self._bars[standing.sync] = self._progress.add_task(standing.sync, total=total, completed=done)
        else:
            self._progress.update(bar, total=total, completed=done)

    def _stop_unless_needed(self) -> None:
        if self._progress is not None and not self._bars:
            self._progress.stop()
            self._progress = None


def _progress() -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    # The bar is gone when it is done: the line that follows says how it ended.
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=console(),
        transient=True,
    )


def _told(standing: Standing) -> tuple[str, str]:
    """The word and what stands behind it, without the counts of an apply under way, which would be a line each."""
    if standing.progress.total and not standing.suspended:
        return "Applying", f"{standing.progress.total:,} objects"
    objects, health = standing.objects, standing.health
    counts = listed(
        f"{objects.drifted} drifted" if objects.drifted else "",
        f"{objects.failed} failed" if objects.failed else "",
        f"{health.progressing} progressing" if health.progressing else "",
        f"{health.unhealthy} unhealthy" if health.unhealthy else "",
    )
    return standing.word, standing.message + (f" ({counts})" if counts else "")
