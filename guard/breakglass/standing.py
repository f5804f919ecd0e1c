"""What becomes of a BreakGlass at a moment. Pure."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

import msgspec

from guard.api import BreakGlass, BreakGlassStatus, find_condition, set_condition, written, written_target
from guard.base.clock import rfc3339_seconds
from guard.state.breakglass import Opening
from guard.state.ids import GUARD_NAMESPACE

ACTIVE, EXPIRED, REJECTED = "Active", "Expired", "Rejected"


class Phase(Enum):
    ACTIVE = ACTIVE
    EXPIRED = EXPIRED
    REJECTED = REJECTED


class Standing(msgspec.Struct, frozen=True):
    """`reason` is a word for programs, `message` a sentence for people."""

    phase: Phase
    reason: str
    message: str


def standing(glass: BreakGlass, *, now: datetime, longest: float) -> Standing:
    """`now` is the API server's time. What was said to be over stays so, whatever the clock says later."""
    if _has(glass, EXPIRED) or (now >= glass.ends and not _has(glass, REJECTED)):
        return Standing(Phase.EXPIRED, "TimeIsUp", f"it ended at {rfc3339_seconds(glass.ends)}")
    if glass.spec.seconds > longest:
        return Standing(Phase.REJECTED, "TooLong", f"it may last {written(longest)} at most")
    if not glass.is_in_scope:
        text = f"outside {GUARD_NAMESPACE}, break-glass opens only what is in its own namespace"
        return Standing(Phase.REJECTED, "OutOfScope", text)
    if _has(glass, REJECTED):
        return Standing(Phase.REJECTED, "RejectedBefore", "it was rejected when it was made; make another")
    opens = written_target(glass.target)
    until = rfc3339_seconds(glass.ends)
    return Standing(Phase.ACTIVE, "InForce", f"{opens} is neither enforced nor healed until {until}")


def opening(glass: BreakGlass) -> Opening:
    """Of one that is active, as decisions go by it."""
    return Opening(name=glass.key, target=glass.target, until=glass.ends)


def status(glass: BreakGlass, found: Standing, *, by: str, now: datetime) -> BreakGlassStatus:
    """What it says of itself; the same as before when nothing has changed."""
    conditions = glass.status.conditions
    for kind in (ACTIVE, EXPIRED, REJECTED):
        # One that never was anything but active says nothing else.
        if kind in {ACTIVE, found.phase.value} or find_condition(conditions, kind) is not None:
            conditions = set_condition(
                conditions,
                type=kind,
                status="True" if kind == found.phase.value else "False",
                reason=found.reason,
                message=found.message,
                generation=glass.metadata.generation,
                now=now,
            )
    return BreakGlassStatus(
        conditions=conditions,
        observed_generation=glass.metadata.generation,
        opens=written_target(glass.target),
        by=by,
        starts_at=rfc3339_seconds(glass.metadata.creation_timestamp),
        expires_at=rfc3339_seconds(glass.ends),
    )


def said(glass: BreakGlass) -> Phase | None:
    """What its status says became of it; None while it says nothing."""
    return next((phase for phase in Phase if _has(glass, phase.value)), None)


def _has(glass: BreakGlass, kind: str) -> bool:
    condition = find_condition(glass.status.conditions, kind)
    return condition is not None and condition.status == "True"
