"""A few seconds of `python -m tests.fuzz`, and what hypothesis thinks of."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.base.codec import Json
from tests.admission.recorded import recorded
from tests.fuzz import fieldsets, reviews
from tests.fuzz.mutations import spoil_bytes

STEPS = 1000


@pytest.mark.case(37)
def test_spoiled_reviews_are_answered_clearly_and_never_let_a_declared_field_change() -> None:
    fuzzer = reviews.Fuzzer(seed=37)
    for _ in range(STEPS):
        fuzzer.step()
    assert not fuzzer.findings
    assert fuzzer.counts["declared field changed: decodable and still changed"] > STEPS / 3
    assert fuzzer.counts["anything: allowed"] > STEPS / 30


def test_sets_of_fields_are_read_and_combined_or_refused() -> None:
    fuzzer = fieldsets.Fuzzer(seed=37)
    for _ in range(STEPS):
        fuzzer.step()
    assert not fuzzer.findings
    assert fuzzer.counts["fields: read"] > STEPS / 10


@pytest.mark.case(37)
@given(st.sampled_from(recorded()), st.sampled_from(recorded()), st.integers(0, 2**32))
def test_a_review_with_spoiled_bytes_gets_an_answer_or_a_decode_error(
    base: reviews.Recorded, other: reviews.Recorded, seed: int
) -> None:
    fuzzer = reviews.Fuzzer(seed=0)
    fuzzer.answer(base, spoil_bytes(Random(seed), base.data, other=other.data), sort="bytes")  # noqa: S311
    assert not fuzzer.findings


_json: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(), below, max_size=3),
    max_leaves=8,
)
_elements = st.sampled_from(["f:", "k:", "v:", "i:", ".", ""]).flatmap(lambda prefix: st.text().map(lambda text: prefix + text))
_trees = st.dictionaries(_elements, st.dictionaries(_elements, _json, max_size=3) | _json, max_size=3)


@given(_trees, _trees)
def test_any_json_as_a_set_of_fields_is_read_or_refused(one: Json, other: Json) -> None:
    assert fieldsets.combine(one, other) in {"read", "refused"}
