from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.state.quantities import LONGEST, micro_time, number_text, quantity, time

SUFFIXES = ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "e3", "E-3", "e18"]
QUANTITIES = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", "-", "+"]),
    st.from_regex(r"[0-9]{1,20}(\.[0-9]{0,12})?", fullmatch=True),
    st.sampled_from(SUFFIXES),
)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("1000m", "1"),
        ("0.5", "500m"),
        ("-1.5", "-1500m"),
        ("1.5Gi", "1536Mi"),
        ("1024Ki", "1Mi"),
        ("1000Ki", "1000Ki"),
        ("0.3Ki", "307200m"),
        ("1023Ki", "1023Ki"),
        ("0.1n", "1n"),
        ("-0.1n", "-1n"),
        ("9Ei", "9223372036854775807"),
        ("100000000000000000000", "100E"),
        ("12E6", "12E6"),
        ("1500e-3", "1500e-3"),
        ("15000e2", "1500e3"),
        ("0e5", "0"),
        ("1E", "1E"),
        (" 1000m ", "1"),
        ("", None),
        ("1i", None),
        ("1e", None),
        ("one", None),
        ("1 Gi", None),
        ("1_000", None),
        ("1" * (LONGEST + 1), None),
        ("1e99999999999", None),
        # The API server keeps these as they are.
        ("+1", "+1"),
        ("007", "007"),
        ("1.500", "1.500"),
    ],
)
def test_a_quantity_has_a_canonical_form(text: str, canonical: str | None) -> None:
    assert quantity(text) == canonical


def test_resource_lists_have_no_less_than_thousandths() -> None:
    assert quantity("0.0001", whole_milli=True) == "1m"
    assert quantity("1.0001", whole_milli=True) == "1001m"
    assert quantity("1.0001") == "1000100u"


@given(QUANTITIES, st.booleans())
def test_the_canonical_form_is_its_own(text: str, whole_milli: bool) -> None:  # noqa: FBT001 (hypothesis gives it)
    once = quantity(text, whole_milli=whole_milli)
    assert once is not None
    assert quantity(once, whole_milli=whole_milli) == once


@given(st.text(alphabet="0123456789.eEinumkKMGTP+-", max_size=12) | st.text(max_size=8))
def test_no_text_breaks_the_reading_of_quantities(text: str) -> None:
    quantity(text)
    quantity(text, whole_milli=True)


@pytest.mark.parametrize("text", ["1e-999999999", "9.9e-999999999", "1e999999999", "0.1Ei"])
def test_huge_exponents_cost_nothing(text: str) -> None:
    assert quantity(text) is not None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        (1.0, "1"),
        (0.1, "0.1"),
        (1e-7, "1e-7"),
        (1.5e-9, "1.5e-9"),
        (1e21, "1e+21"),
        (2**64, "18446744073709551616"),
        (0.0, "0"),
    ],
)
def test_numbers_are_written_as_go_writes_them(value: float, text: str) -> None:
    assert number_text(value) == text


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("2026-01-01T01:30:00.999+01:30", "2026-01-01T00:00:00Z"),
        ("2025-12-31T19:00:00-05:00", "2026-01-01T00:00:00Z"),
        ("0800-01-01T00:00:00Z", "0800-01-01T00:00:00Z"),
        ("2026-13-01T00:00:00Z", None),
        ("2026-01-01", None),
        ("0001-01-01T00:00:00+01:00", None),
        ("now", None),
    ],
)
def test_times_are_in_utc(text: str, utc: str | None) -> None:
    assert time(text) == utc


def test_micro_times_have_six_digits() -> None:
    assert micro_time("2026-01-01T00:00:00.120000+01:00") == "2025-12-31T23:00:00.120000Z"
    assert micro_time("2026-01-01T00:00:00.12Z") is None
    assert micro_time("2026-01-01T00:00:00Z") is None
