from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from guard.base.clock import rfc3339, rfc3339_seconds

_zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2200, 1, 1), timezones=_zones)  # noqa: DTZ001 (zones are drawn)


@given(moments, moments)
def test_written_times_sort_as_the_moments_do_whatever_their_zone(one: datetime, other: datetime) -> None:
    if one <= other:
        assert rfc3339(one) <= rfc3339(other)
        assert rfc3339_seconds(one) <= rfc3339_seconds(other)


@given(moments)
def test_written_times_are_read_back_to_the_millisecond(moment: datetime) -> None:
    text = rfc3339(moment)
    assert text.endswith("Z")
    assert timedelta() <= moment - datetime.fromisoformat(text) < timedelta(milliseconds=1)


def test_whole_seconds_keep_their_zeros() -> None:
    assert rfc3339(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) == "2026-01-02T03:04:05.000Z"
    assert rfc3339_seconds(datetime(2026, 1, 2, 3, 4, 5, 999_999, tzinfo=UTC)) == "2026-01-02T03:04:05Z"
