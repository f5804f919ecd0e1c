from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guard.base.codec import JsonObject
from guard.state.fields import EMPTY, FieldSet, Path, written

ELEMENTS = st.sampled_from(["f:a", "f:b", "f:c", 'k:{"name":"x"}', 'v:"y"', "i:0"])
PATHS = st.lists(st.lists(ELEMENTS, min_size=1, max_size=4).map(tuple), max_size=8)


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
def test_a_difference_holds_what_only_the_first_holds(left: list[Path], right: list[Path]) -> None:
    assert set(of(left).minus(of(right)).paths()) == set(left) - set(right)


def test_equal_sets_share_their_memory() -> None:
    first = FieldSet.parse({"f:a": {"f:b": {}}})
    assert FieldSet.parse({"f:a": {"f:b": {}}}) is first


def test_paths_are_written_as_people_write_them() -> None:
    container = ("f:spec", "f:containers", 'k:{"name":"web"}', "f:ports", 'k:{"containerPort":80,"protocol":"TCP"}')
    assert written(container) == "spec.containers[name=web].ports[containerPort=80,protocol=TCP]"
    assert written(("f:metadata", "f:labels", "f:example.com/team")) == "metadata.labels[example.com/team]"
    assert written(("f:metadata", "f:finalizers", 'v:"a/b"')) == "metadata.finalizers[a/b]"
