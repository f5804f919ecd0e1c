from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from guard.base import codec
from guard.base.codec import Json, JsonObject
from guard.state.equality import MISSING
from guard.state.fields import DEEPEST, EMPTY, FieldSet, Path, at
from tests.state.samples import owned

ELEMENTS = st.sampled_from(["f:a", "f:b", "f:c", 'k:{"name":"x"}', 'v:"y"', "i:0"])
PATHS = st.lists(st.lists(ELEMENTS, min_size=1, max_size=4).map(tuple), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=8), below, max_size=3),
    max_leaves=8,
)
WILD_ELEMENTS = st.one_of(
    st.text(max_size=6),
    st.builds("{}{}".format, st.sampled_from(["f:", "k:", "v:", "i:", ".", "x:"]), st.text(max_size=6)),
    st.builds("{}{}".format, st.sampled_from(["k:", "v:", "i:"]), JSON.map(lambda value: codec.encode(value).decode())),
)
WILD_SETS = st.recursive(JSON, lambda below: st.dictionaries(WILD_ELEMENTS, below, max_size=4), max_leaves=12).filter(
    codec.is_object
)

POD: JsonObject = {
    "spec": {
        "containers": [
            {"name": "web", "image": "a:1", "ports": [{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}]},
            {"name": "log", "image": "b:1", "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]},
        ],
        "finalizers": ["a<b", "c"],
        "places": ["first", "second"],
        "gone": None,
    }
}


def of(paths: list[Path]) -> FieldSet:
    found = EMPTY
    for path in paths:
        tree: JsonObject = {}
        for element in reversed(path):
            tree = {element: tree}
        found = found.union(FieldSet(tree))
    return found


@given(PATHS)
def test_a_set_holds_just_the_paths_it_was_made_of(paths: list[Path]) -> None:
    assert set(of(paths).paths()) == set(paths)
    assert all(path in of(paths) for path in paths)


@given(PATHS, PATHS)
def test_a_union_holds_what_either_holds(left: list[Path], right: list[Path]) -> None:
    assert set(of(left).union(of(right)).paths()) == {*left, *right}


@given(PATHS, PATHS)
def test_an_intersection_holds_what_both_hold(left: list[Path], right: list[Path]) -> None:
    assert set(of(left).intersection(of(right)).paths()) == set(left) & set(right)


@given(PATHS, PATHS)
def test_a_difference_holds_what_only_the_first_holds(left: list[Path], right: list[Path]) -> None:
    assert set(of(left).minus(of(right)).paths()) == set(left) - set(right)


@given(PATHS)
def test_a_set_survives_the_wire(paths: list[Path]) -> None:
    found = of(paths)
    assert FieldSet.parse_raw(codec.encode(found.tree)) == found


def test_the_set_itself_is_no_path_in_it() -> None:
    assert () not in EMPTY
    assert () not in of([("f:a",)])


def test_equal_sets_share_their_memory_however_they_came() -> None:
    first = FieldSet.parse({"f:a": {"f:b": {}}, "f:c": {}})
    assert FieldSet.parse({"f:c": {}, "f:a": {"f:b": {}}}) is first
    assert FieldSet.parse_raw(b'{"f:a": {"f:b": {}}, "f:c": {}}') is first


def test_the_same_bytes_are_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = b'{"f:decoded": {"f:once": {}}}'
    first = FieldSet.parse_raw(raw)
    monkeypatch.setattr(codec, "decode", None)
    assert FieldSet.parse_raw(bytes(raw)) is first


@given(WILD_SETS)
@example({"k:[1]": {}, "k:": {}, "v:": {}, "v:{": {}, "i:x": {}, "f": {}, "": {}, "x:y": {}, "k:null": {}})
def test_whatever_a_client_wrote_is_read_or_left_out(raw: JsonObject) -> None:
    found = FieldSet.parse(raw)
    again = FieldSet.parse(codec.decode(codec.encode(found.tree)))
    assert again == found
    assert {path for path, _ in found.walk(POD)} == set(found.paths())
    repr(found)


@given(st.binary(max_size=40))
@example(b"\xff")
@example(b"[]")
@example(b'"f:a"')
@example(b'{"f:a":' * 20_000)
def test_bytes_that_are_no_set_raise_one_error(raw: bytes) -> None:
    try:
        FieldSet.parse_raw(raw)
    except codec.DecodeError:
        return
    assert codec.is_object(codec.decode(raw))


def test_what_the_api_server_would_not_know_is_left_out() -> None:
    raw: JsonObject = {"f:a": {"x:later": {}}, "f:b": [], "f:c": {"k:no json": {}, "f:d": {}}, "f:e": {".": {"f:x": {}}}}
    assert FieldSet.parse(raw).tree == {"f:a": {}, "f:b": {}, "f:c": {"f:d": {}}, "f:e": {}}


def test_a_set_nested_without_end_is_cut_off() -> None:
    raw: JsonObject = {}
    for _ in range(400):
        raw = {"f:a": raw}
    assert list(FieldSet.parse(raw).paths()) == [("f:a",) * DEEPEST]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('v:"a\\u003cb"', 'v:"a<b"'),
        ('k:{"port":80,"name":"x"}', 'k:{"name":"x","port":80}'),
        ('k:{"port":80.0}', 'k:{"port": 80}'),
        ("v:1e2", "v:100"),
    ],
)
def test_an_element_has_one_spelling(one: str, other: str) -> None:
    assert FieldSet.parse({"f:a": {one: {}}}) is FieldSet.parse({"f:a": {other: {}}})


def test_an_element_spelled_twice_is_one() -> None:
    raw: JsonObject = {'v:"<"': {"f:a": {}}, 'v:"\\u003c"': {"f:b": {}}}
    assert FieldSet.parse(raw).tree == {'v:"<"': {"f:a": {}, "f:b": {}}}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ('f:spec f:containers k:{"name":"web"} f:image', "a:1"),
        # The API server fills the protocol in; the item that has all keys goes first.
        ('f:spec f:containers k:{"name":"web"} f:ports k:{"containerPort":80,"protocol":"TCP"} f:containerPort', 80),
        ('f:spec f:containers k:{"name":"web"} f:ports k:{"containerPort":80,"protocol":"UDP"} f:protocol', "UDP"),
        ('f:spec f:containers k:{"name":"web"} f:ports k:{"containerPort":"80","protocol":"TCP"}', MISSING),
        ('f:spec f:containers k:{"name":"log"} f:env k:{"name":"A"} f:value', "2"),
        ('f:spec f:containers k:{"name":"db"}', MISSING),
        ('f:spec f:finalizers v:"a<b"', "a<b"),
        ('f:spec f:finalizers v:"z"', MISSING),
        ("f:spec f:places i:1", "second"),
        ("f:spec f:places i:2", MISSING),
        ("f:spec f:places i:-1", MISSING),
        ("f:spec f:places f:first", MISSING),
        ("f:spec f:gone", MISSING),
        ("f:spec f:gone f:below", MISSING),
        ("f:spec f:never", MISSING),
    ],
)
def test_a_path_leads_to_its_value(path: str, value: Json) -> None:
    assert at(POD, tuple(path.split(" "))) == value
    [(found, one), *more] = FieldSet.parse(owned(path)).walk(POD)
    assert found == tuple(path.split(" "))
    assert (more[-1][1] if more else one) == value


def test_booleans_are_no_numbers_as_list_keys() -> None:
    assert at([{"a": True, "b": 1}], ('k:{"a":1,"b":1}',)) is MISSING


def test_the_walk_shows_both_items_of_a_doubled_key() -> None:
    env = 'f:spec f:containers k:{"name":"log"} f:env k:{"name":"A"} f:value'
    assert [value for _, value in FieldSet.parse(owned(env)).walk(POD)] == ["1", "2"]
