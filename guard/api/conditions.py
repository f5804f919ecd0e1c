"""Conditions, as Kubernetes objects report their state."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from guard.base.clock import rfc3339_seconds

ConditionStatus: TypeAlias = Literal["True", "False", "Unknown"]


class Condition(Struct, frozen=True, kw_only=True, rename="camel"):
    """One aspect of the state (metav1.Condition)."""

    type: Annotated[str, Meta(min_length=1, max_length=316)]
    status: ConditionStatus
    reason: Annotated[str, Meta(description="A word for programs.", min_length=1, max_length=1024)]
    message: Annotated[str, Meta(description="A sentence for people.", max_length=32768)] = ""
    last_transition_time: Annotated[
        str, Meta(description="When the status last changed.", extra_json_schema={"format": "date-time"})
    ]
    observed_generation: Annotated[int, Meta(description="The generation that this was found for.")] = 0


def set_condition(
    conditions: Sequence[Condition],
    *,
    type: str,  # noqa: A002 (the name that Kubernetes gives it)
    status: ConditionStatus,
    reason: str,
    message: str,
    generation: int,
    now: datetime,
) -> tuple[Condition, ...]:
    """The conditions with this one set, in its old place or at the end. Its time moves only when its status changes."""
    known = find_condition(conditions, type)
    new = Condition(
        type=type,
        status=status,
        reason=reason,
        message=message,
        last_transition_time=known.last_transition_time if known and known.status == status else rfc3339_seconds(now),
        observed_generation=generation,
    )
    if known is None:
        return (*conditions, new)
    return tuple(new if condition.type == type else condition for condition in conditions)


def without_condition(conditions: Sequence[Condition], type: str) -> tuple[Condition, ...]:  # noqa: A002 (as above)
    return tuple(condition for condition in conditions if condition.type != type)


def find_condition(conditions: Sequence[Condition], type: str) -> Condition | None:  # noqa: A002 (as above)
    return next((condition for condition in conditions if condition.type == type), None)
