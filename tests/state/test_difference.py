from __future__ import annotations

import copy

from hypothesis import given
from hypothesis import strategies as st

from guard.base import codec
from guard.base.codec import Json, JsonObject
from guard.state.difference import difference

MANIFEST: JsonObject = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "namespace": "shop", "labels": {"a": "b"}},
    "spec": {"ports": [{"port": 80}, {"port": 81}], "cpu": "1000m"},
}
STORED: JsonObject = {
    "metadata": {"labels": {"a": "b"}},
    "spec": {"ports": [{"port": 80, "protocol": "TCP"}, {"port": 81, "protocol": "TCP"}], "cpu": "1"},
}


def test_it_is_what_is_stored_under_the_manifests_name() -> None:
    before = copy.deepcopy(MANIFEST)
    found = difference(MANIFEST, STORED)
    assert found is not None
    assert found.on(MANIFEST) == {**MANIFEST, "spec": STORED["spec"]}
    assert before == MANIFEST


def test_objects_of_one_shape_share_it() -> None:
    other = copy.deepcopy(MANIFEST)
    other["metadata"]["name"] = "other"
    assert difference(MANIFEST, STORED) is difference(other, copy.deepcopy(STORED))


def test_numbers_and_truth_values_are_told_apart() -> None:
    one, other = difference({"a": 0}, {"a": 1}), difference({"a": 0}, {"a": True})
    assert one is not None
    assert other is not None
    assert (one.on({}), other.on({})) == ({"a": 1}, {"a": True})
    assert type(other.on({})["a"]) is bool


def test_more_than_single_values_is_kept_whole() -> None:
    others: list[JsonObject] = [{"a": [1]}, {"a": [1, 2, 3]}, {"a": {"b": 1}}, {"b": 1}, {"a": [1, 2], "c": {}}]
    for stored in others:
        assert difference({"a": [1, 2]}, stored) is None


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from("abcd"), below, max_size=3),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4)


@given(OBJECTS, OBJECTS)
def test_with_it_the_manifest_is_what_is_stored(manifest: dict[str, Json], stored: dict[str, Json]) -> None:
    found = difference(manifest, stored)
    if found is not None:
        # As JSON, which tells true and 1 apart.
        assert codec.canonical(found.on(manifest)) == codec.canonical(stored)
