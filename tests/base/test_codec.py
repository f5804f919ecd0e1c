from __future__ import annotations

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.base import codec
from guard.base.codec import DecodeError, Json


class Shape(msgspec.Struct):
    count: int
    body: msgspec.Raw = msgspec.Raw(b"null")


@given(st.binary(max_size=64))
def test_whatever_the_bytes_nothing_but_a_decode_error_is_raised(data: bytes) -> None:
    with suppress(DecodeError):
        codec.decode(data)
    with suppress(DecodeError):
        codec.decode_as(data, Shape)


@pytest.mark.parametrize(
    "data",
    [b"[" * 100_000, b'{"a":' * 100_000, b"1e999", b"9" * 5000, b'"\xff"', b'{"\xff":1}', b'"\\ud800"', b"NaN", b"", b"{} {}"],
)
def test_what_is_no_json_or_cannot_be_held_is_a_decode_error(data: bytes) -> None:
    with pytest.raises(DecodeError):
        codec.decode(data)


def test_a_wrong_field_is_named() -> None:
    with pytest.raises(DecodeError, match=r"\$\.count"):
        codec.decode_as(b'{"count":"1"}', Shape)
    with pytest.raises(DecodeError, match=r"\$\.count"):
        codec.convert({"count": "1"}, Shape)


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=2), below, max_size=3),
    max_leaves=8,
)


@given(_values)
def test_what_is_encoded_is_decoded_as_it_was(value: Json) -> None:
    assert codec.decode(codec.encode(value)) == value
    assert codec.decode(codec.canonical(value)) == value


@given(st.dictionaries(st.text(max_size=2), _values, max_size=4))
def test_the_order_of_keys_does_not_show_in_the_canonical_form(value: codec.JsonObject) -> None:
    assert codec.canonical(value) == codec.canonical(dict(reversed(value.items())))


def test_what_is_not_there_or_of_another_type_reads_as_empty() -> None:
    assert codec.child({"a": None}, "a") == codec.child({"a": [1]}, "a") == codec.child({}, "a") == {}
    assert codec.children({"a": [{"b": 1}, None, "text"]}, "a") == [{"b": 1}]
    assert codec.children({"a": {"b": 1}}, "a") == []


@pytest.mark.case(37)
def test_of_what_is_nested_without_end_the_rest_can_be_read() -> None:
    deep = b'{"a":' * 9000 + b"[1]" + b"}" * 9000
    data = b'{"before":["}\\"{"],"deep":' + deep + b',"after":{"a":[{}]}}'
    with pytest.raises(DecodeError):
        codec.decode(data)
    found = codec.at_any_depth(codec.decode, data)
    assert (found["before"], found["after"]) == (['}"{'], {"a": [{}]})
    assert codec.encode(found["deep"]).count(b'"a"') == 199
    with pytest.raises(DecodeError):
        codec.at_any_depth(codec.decode, b"[" * 9000)
