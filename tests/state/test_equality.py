from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.base.codec import Json
from guard.state.equality import MISSING, covers, same

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=2),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from("abc"), below, max_size=3),
    max_leaves=12,
)


@given(VALUES)
def test_a_value_is_the_same_as_itself_and_covers_itself(value: Json) -> None:
    assert same(value, value)
    assert covers(value, value)


@pytest.mark.parametrize(
    ("left", "right"),
    [(True, 1), (0, False), ("1", 1), ([True], [1]), ({"a": [{"b": 0}]}, {"a": [{"b": False}]}), ({}, MISSING), ([1, 2], [2, 1])],
)
def test_values_that_json_tells_apart_are_not_the_same(left: Json, right: Json) -> None:
    assert not same(left, right)
    assert not same(right, left)


def test_key_order_number_form_and_null_make_no_difference() -> None:
    assert same({"a": 1, "b": {"c": [1.0]}}, {"b": {"c": [1]}, "a": 1})
    assert same(None, MISSING)


def test_what_is_about_to_be_created_may_hold_more_but_not_less() -> None:
    declared = {"spec": {"ports": [{"port": 80}], "gone": None}}
    assert covers({"spec": {"ports": [{"port": 80, "protocol": "TCP"}], "type": "ClusterIP"}}, declared)
    assert not covers({"spec": {"ports": [{"port": 81, "protocol": "TCP"}]}}, declared)
    assert not covers({"spec": {"ports": [{"port": 80}, {"port": 81}]}}, declared)
