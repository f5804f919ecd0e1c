from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from guard.base.backoff import Backoff


@given(st.floats(0.001, 10), st.floats(10, 1e6))
def test_delays_double_up_to_the_most_and_are_cut_by_at_most_a_third(first: float, most: float) -> None:
    backoff = Backoff(first=first, most=most)
    for attempt in range(40):
        whole = min(most, first * 2**attempt)
        assert whole * 0.66 <= backoff.next() <= whole


def test_waiting_parties_do_not_come_back_together() -> None:
    assert len({Backoff(first=1, most=8).next() for _ in range(20)}) > 1


def test_it_never_stops_and_starts_over_when_told() -> None:
    backoff = Backoff(first=1, most=60)
    delays = [backoff.next() for _ in range(5000)]
    assert all(40 <= delay <= 60 for delay in delays[10:])
    assert all(one != other for one, other in pairwise(delays[10:20]))
    backoff.reset()
    assert backoff.next() <= 1
