from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ulid import ULID

from guard.audit import References


class StandingClock:
    def __init__(self) -> None:
        self.moment = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return 0.0


def test_references_increase_within_one_millisecond() -> None:
    references = References(StandingClock())
    made = [references.new() for _ in range(1000)]
    assert made == sorted(set(made))


def test_references_increase_when_the_clock_steps_back() -> None:
    clock = StandingClock()
    references = References(clock)
    first = references.new()
    clock.moment -= timedelta(hours=1)
    assert references.new() > first


def test_a_reference_tells_its_time() -> None:
    clock = StandingClock()
    assert ULID.from_str(References(clock).new()).datetime == clock.moment
