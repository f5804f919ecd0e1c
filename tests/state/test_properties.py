"""What holds of any object: properties of comparing, and the corners in which they once broke."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.base.codec import Json, JsonObject, is_array, is_object
from guard.state import MISSING, Change, Nature, changes, project, same, written
from guard.state.fields import Path, key_element
from tests.state.samples import owned

# Small alphabets make equal and nearly equal values likely: true beside 1, 1 beside 1.0, "1" beside 1.
_likely_equal = st.sampled_from([None, True, False, 0, 1, 0.0, 1.0, 2**63, -(2**63), "", "1", "true", "é"])
values: st.SearchStrategy[Json] = st.recursive(
    _likely_equal,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from("abc"), below, max_size=3),
    max_leaves=6,
)

_names = st.sampled_from(["alpha", "beta", "example.com/delta", "a<b>&c"])


def _by_name(items: list[JsonObject]) -> list[JsonObject]:
    return list({item["name"]: item for item in items}.values())


_below: st.SearchStrategy[Json] = st.recursive(
    st.sampled_from([True, False, 0, 1, 1.5, "", "1", "é"]) | st.lists(st.integers(0, 2), min_size=1, max_size=2),
    lambda below: (
        st.dictionaries(_names, below, min_size=1, max_size=3)
        | st.lists(st.fixed_dictionaries({"name": _names, "value": below}), min_size=1, max_size=3).map(_by_name)
    ),
    max_leaves=6,
)
objects = st.dictionaries(st.sampled_from(["spec", "data", "rules"]), _below, min_size=1, max_size=3)


def marked(value: Json) -> Json:
    """A value that Python's `==` compares as JSON does: booleans apart from numbers."""
    if isinstance(value, bool):
        return ("boolean", value)
    if is_array(value):
        return [marked(item) for item in value]
    return {name: marked(item) for name, item in value.items()} if is_object(value) else value


def reordered(value: Json) -> Json:
    if is_array(value):
        return [reordered(item) for item in value]
    return {name: reordered(item) for name, item in reversed(value.items())} if is_object(value) else value


def is_keyed(value: Json) -> bool:
    return is_array(value) and all(is_object(item) and "name" in item for item in value)


def fields_of(value: Json) -> JsonObject:
    """What an apply of the value would own: maps by key, lists of named items by name, everything else whole."""
    if is_object(value):
        return {f"f:{name}": fields_of(item) for name, item in value.items()}
    return {_escaped(item): {".": {}, **fields_of(item)} for item in value} if is_keyed(value) else {}


def _escaped(item: JsonObject) -> str:
    """As the API server writes it: Go's JSON escapes what HTML would trip over."""
    element = key_element(item, ("name",))
    for character in "<>&":
        element = element.replace(character, f"\\u{ord(character):04x}")
    return element


def leaves(value: Json, path: Path = ()) -> list[Path]:
    if is_object(value):
        return [leaf for name, item in value.items() for leaf in leaves(item, (*path, f"f:{name}"))]
    if is_keyed(value):
        return [leaf for item in value for leaf in leaves({"value": item["value"]}, (*path, key_element(item, ("name",))))]
    return [path]


def with_value(root: Json, path: Path, new: Json) -> Json:
    """A copy with another value at one path; MISSING takes the field away."""
    if not path:
        return new
    step, rest = path[0], path[1:]
    if is_array(root):
        return [with_value(item, rest, new) if key_element(item, ("name",)) == step else item for item in root]
    copy = {name: item for name, item in cast("JsonObject", root).items() if f"f:{name}" != step}
    found = with_value(cast("JsonObject", root)[step[2:]], rest, new)
    return copy if found is MISSING else {**copy, step[2:]: found}


def found(old: JsonObject, new: JsonObject, declared: JsonObject, *, git: JsonObject | None = None) -> list[Change]:
    return list(changes(old, new, git=old if git is None else git, declared=declared))


def judged(old: JsonObject, new: JsonObject, declared: JsonObject, *, git: JsonObject | None = None) -> dict[str, Nature]:
    return {written(change.path): change.nature for change in found(old, new, declared, git=git)}


@given(values, values)
def test_values_are_the_same_exactly_when_json_says_so(one: Json, other: Json) -> None:
    assert same(one, other) == same(other, one) == (marked(one) == marked(other))
    assert same(one, reordered(one))


@given(objects, objects)
def test_an_object_that_stays_as_it_is_has_no_changes(body: JsonObject, git: JsonObject) -> None:
    assert not found(body, body, fields_of(git), git=git)
    assert not found(body, body, fields_of(body), git=git)


@given(objects, objects)
def test_what_is_not_declared_is_never_reported_as_declared(old: JsonObject, new: JsonObject) -> None:
    assert {change.nature for change in found(old, new, {"f:other": {"f:field": {}}})} <= {Nature.ADDITION}


@given(st.data())
def test_another_value_in_any_declared_leaf_is_reported_there(data: st.DataObject) -> None:
    git = data.draw(objects)
    leaf = data.draw(st.sampled_from(leaves(git)))
    other = data.draw(st.sampled_from(["another value", MISSING, ["one"], {"a": 1}, 7]))
    new = cast("JsonObject", with_value(git, leaf, other))
    (change,) = found(git, new, fields_of(git))
    assert (change.nature, change.path) == (Nature.DECLARED, leaf)
    assert not found(new, git, fields_of(git), git=git)


@given(objects, objects)
def test_going_back_to_git_from_any_drift_takes_only_additions_away(old: JsonObject, git: JsonObject) -> None:
    assert {change.nature for change in found(old, git, fields_of(git), git=git)} <= {Nature.ADDITION}


@given(st.permutations(["a", "b", "c<d"]), st.sampled_from([(), ("sidecar",)]))
def test_another_order_of_declared_items_is_a_change_wherever_others_stand(order: list[str], others: tuple[str, ...]) -> None:
    declared = [{"name": name} for name in ("a", "b", "c<d")]
    old = {"spec": {"items": [*declared, *({"name": name} for name in others)]}}
    new = {"spec": {"items": [{"name": name} for name in [*others, *order]]}}
    git = {"spec": {"items": declared}}
    expected = {} if order == ["a", "b", "c<d"] else {"spec.items": Nature.ORDER}
    assert judged(old, new, fields_of(git), git=git) == expected


@given(objects, objects)
def test_what_was_applied_is_found_again_among_what_others_added(git: JsonObject, others: JsonObject) -> None:
    assert project({**others, **git}, fields_of(git), manifest=git) == git


PORTS: JsonObject = {"spec": {"ports": [{"port": 80}, {"port": 443}]}}
STORED: JsonObject = {"spec": {"ports": [{"port": 80, "protocol": "TCP"}, {"port": 443, "protocol": "TCP"}]}}
OWNED_PORTS: JsonObject = {
    "f:spec": {"f:ports": {f'k:{{"port":{port},"protocol":"TCP"}}': {".": {}, "f:port": {}} for port in (80, 443)}}
}


@pytest.mark.parametrize("git", [PORTS, STORED], ids=["as-written", "as-stored"])
def test_a_list_key_that_git_leaves_to_its_default_still_names_the_item(git: JsonObject) -> None:
    swapped: JsonObject = {"spec": {"ports": STORED["spec"]["ports"][::-1]}}
    (change,) = found(STORED, swapped, OWNED_PORTS, git=git)
    assert (change.nature, change.git) == (Nature.ORDER, ["port=80,protocol=TCP", "port=443,protocol=TCP"])
    assert not found(swapped, STORED, OWNED_PORTS, git=git)
    other: JsonObject = {"spec": {"ports": [{"port": 80, "protocol": "TCP"}, {"port": 443, "protocol": "UDP"}]}}
    assert judged(STORED, other, OWNED_PORTS, git=git) == {
        "spec.ports[port=443,protocol=TCP]": Nature.DECLARED,
        "spec.ports[port=443,protocol=UDP]": Nature.ADDITION,
    }


def test_gits_value_as_stored_keeps_the_defaulted_keys_of_its_items() -> None:
    assert project({"spec": {**STORED["spec"], "type": "ClusterIP"}}, OWNED_PORTS, manifest=PORTS) == STORED


def test_an_escaped_list_key_is_the_item_that_it_names() -> None:
    """An environment variable may be called `A&B`, which the API server escapes in managedFields."""
    declared = owned('f:env k:{"name":"A\\u0026B"} .', 'f:env k:{"name":"A\\u0026B"} f:value')
    git: JsonObject = {"env": [{"name": "A&B", "value": "1"}]}
    assert judged(git, {"env": [{"name": "A&B", "value": "2"}]}, declared) == {"env[name=A&B].value": Nature.DECLARED}
    assert judged(git, {"env": []}, declared) == {"env[name=A&B]": Nature.DECLARED}


def test_an_escaped_set_member_is_the_member_that_it_names() -> None:
    git: JsonObject = {"spec": {"members": ["a>b"]}}
    assert judged(git, {"spec": {"members": []}}, owned('f:spec f:members v:"a\\u003eb"')) == {
        "spec.members[=a>b]": Nature.DECLARED
    }


def test_taking_the_last_foreign_entry_away_after_declared_ones_drifted_is_not_this_requests_fault() -> None:
    old: JsonObject = {"data": {"theirs": "busy"}}
    assert judged(old, {}, owned("f:data f:color"), git={"data": {"color": "blue"}}) == {"data.theirs": Nature.ADDITION}


def test_a_whole_map_taken_away_names_its_declared_fields() -> None:
    old: JsonObject = {"data": {"color": "blue", "theirs": "1"}}
    assert judged(old, {}, owned("f:data f:color"), git={"data": {"color": "blue"}}) == {
        "data.color": Nature.DECLARED,
        "data.theirs": Nature.ADDITION,
    }


def test_a_field_that_git_dropped_may_go_before_guard_takes_it() -> None:
    declared = owned("f:data f:color", "f:data f:old")
    git: JsonObject = {"data": {"color": "blue"}}
    old: JsonObject = {"data": {"color": "blue", "old": "1"}}
    assert not found(old, git, declared, git=git)
    assert judged(old, {"data": {"color": "blue", "old": "2"}}, declared, git=git) == {"data.old": Nature.DECLARED}


def test_the_last_of_two_items_of_one_key_cannot_be_changed_in_silence() -> None:
    """A container sees the last environment variable of a name."""
    declared = owned('f:env k:{"name":"A"} .', 'f:env k:{"name":"A"} f:value')
    one, two = {"name": "A", "value": "1"}, {"name": "A", "value": "2"}
    git: JsonObject = {"env": [one]}
    expected = {"env[name=A].value": Nature.DECLARED}
    assert judged({"env": [one, one]}, {"env": [one, two]}, declared, git=git) == expected
    assert judged({"env": [two, one]}, {"env": [two]}, declared, git=git) == expected
    assert not judged({"env": [one, two]}, git, declared, git=git)


def test_the_first_annotation_of_a_template_is_named_and_not_the_map_that_it_makes() -> None:
    old: JsonObject = {"spec": {"template": {"metadata": {"labels": {"app": "web"}}}}}
    new: JsonObject = {"spec": {"template": {"metadata": {"labels": {"app": "web"}, "annotations": {"at": "now"}}}}}
    assert judged(old, new, fields_of(old)) == {"spec.template.metadata.annotations.at": Nature.ADDITION}


def test_a_type_change_of_a_declared_node_is_reported() -> None:
    assert judged({"spec": {"a": {"b": 1}}}, {"spec": {"a": [1]}}, owned("f:spec f:a f:b")) == {"spec.a": Nature.DECLARED}
