"""Whether what was asked of Guard has been done: what `--wait` waits for. Pure."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from guard.api.standing import ready_of
from guard.api.sync import REQUESTED_AT, Sync

Answer: TypeAlias = Literal["done", "failed", "waiting"]

# Of a Ready that is False, and about which nobody has to do anything but wait.
WAITS = "DependencyNotReady"


class Awaited(Struct, frozen=True):
    """How far a request has got. `what` says why it failed, or what is waited for; `taken_up` that Guard has seen it."""

    answer: Answer
    what: str
    taken_up: bool


def awaited(sync: Sync, *, requested: str) -> Awaited:
    """The answer to a request to reconcile. A later request of somebody else covers it."""
    if sync.spec.suspend:
        return Awaited("failed", "it is suspended", taken_up=False)
    handled = sync.status.last_handled_reconcile_at
    progress = sync.status.progress
    if not handled or handled not in {requested, sync.metadata.annotations.get(REQUESTED_AT, "")}:
        what = f"{progress.done} of {progress.total} objects are applied" if progress.total else "Guard has not answered yet"
        return Awaited("waiting", what, taken_up=progress.total > 0)
    ready = ready_of(sync)
    if ready.status == "True":
        return Awaited("done", ready.message, taken_up=True)
    if ready.status == "Unknown" or ready.reason == WAITS:
        return Awaited("waiting", ready.message, taken_up=True)
    return Awaited("failed", ready.message, taken_up=True)
