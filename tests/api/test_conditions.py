from __future__ import annotations

from datetime import UTC, datetime, timedelta

from guard.api import Condition, find_condition, set_condition
from guard.api.conditions import ConditionStatus

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)


def ready(
    *conditions: Condition, status: ConditionStatus = "True", message: str = "", now: datetime = NOW, generation: int = 1
) -> tuple[Condition, ...]:
    return set_condition(
        conditions, type="Ready", status=status, reason="Applied", message=message, generation=generation, now=now
    )


def test_a_new_condition_comes_last_with_the_time_it_was_found() -> None:
    other = set_condition((), type="Stalled", status="False", reason="Fine", message="", generation=1, now=NOW)
    first, second = ready(*other, now=LATER)
    assert first == other[0]
    assert (second.type, second.last_transition_time) == ("Ready", "2026-01-02T03:05:05Z")


def test_the_time_stands_while_the_status_stands() -> None:
    (condition,) = ready(*ready(), message="revision b", now=LATER, generation=2)
    assert condition.last_transition_time == "2026-01-02T03:04:05Z"
    assert (condition.message, condition.observed_generation) == ("revision b", 2)


def test_the_time_moves_when_the_status_changes() -> None:
    (condition,) = ready(*ready(), status="False", now=LATER)
    assert condition.last_transition_time == "2026-01-02T03:05:05Z"


def test_a_condition_keeps_its_place() -> None:
    both = set_condition(ready(), type="Stalled", status="False", reason="Fine", message="", generation=1, now=NOW)
    assert [condition.type for condition in ready(*both, status="False")] == ["Ready", "Stalled"]


def test_a_condition_is_found_by_its_type() -> None:
    assert find_condition(ready(), "Ready") == ready()[0]
    assert find_condition(ready(), "Stalled") is None
