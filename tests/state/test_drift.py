from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.base.codec import Json, JsonObject
from guard.state.drift import Change, Nature, changes, manifest_fields, project, unowned_empties
from guard.state.fields import Tree, written

GIT: JsonObject = {
    "metadata": {"labels": {"app": "web"}},
    "spec": {
        "replicas": 2,
        "containers": [
            {"name": "web", "image": "nginx:1", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
            {"name": "log", "image": "busybox"},
        ],
        "finalizers": ["one", "two"],
        "rules": [{"verbs": ["get"]}],
        "empty": {},
    },
}
DECLARED: Tree = {
    "f:metadata": {"f:labels": {"f:app": {}}},
    "f:spec": {
        "f:replicas": {},
        "f:containers": {
            'k:{"name":"web"}': {
                ".": {},
                "f:name": {},
                "f:image": {},
                "f:env": {
                    'k:{"name":"A"}': {".": {}, "f:name": {}, "f:value": {}},
                    'k:{"name":"B"}': {".": {}, "f:name": {}, "f:value": {}},
                },
            },
            'k:{"name":"log"}': {".": {}, "f:name": {}, "f:image": {}},
        },
        "f:finalizers": {'v:"one"': {}, 'v:"two"': {}},
        "f:rules": {},
        "f:empty": {},
    },
}


def found(change: Callable[[Json], object], *, old: JsonObject | None = None) -> list[tuple[str, Nature]]:
    before = copy.deepcopy(old or GIT)
    after = copy.deepcopy(before)
    change(after)
    return sorted((written(one.path), one.nature) for one in changes(before, after, git=GIT, declared=DECLARED))


def containers(body: Json) -> list[JsonObject]:
    listed: list[JsonObject] = body["spec"]["containers"]
    return listed


D, A = Nature.DECLARED, Nature.ADDITION


CASES: list[tuple[Callable[[Json], object], list[tuple[str, Nature]]]] = [
    (lambda body: body["spec"].update(replicas=3), [("spec.replicas", D)]),
    (lambda body: body["spec"].pop("replicas"), [("spec.replicas", D)]),
    (lambda body: containers(body)[0].update(image="x"), [("spec.containers[name=web].image", D)]),
    (lambda body: containers(body).pop(), [("spec.containers[name=log]", D)]),
    (lambda body: containers(body).append({"name": "new"}), [("spec.containers[name=new]", A)]),
    (lambda body: containers(body)[0].update(tty=True), [("spec.containers[name=web].tty", A)]),
    (lambda body: containers(body).reverse(), [("spec.containers", Nature.ORDER)]),
    (lambda body: containers(body)[0]["env"].reverse(), [("spec.containers[name=web].env", Nature.ORDER)]),
    (lambda body: containers(body).append(dict(containers(body)[0])), [("spec.containers[name=web]", Nature.DUPLICATE)]),
    (lambda body: body["spec"]["finalizers"].remove("one"), [("spec.finalizers[one]", D)]),
    (lambda body: body["spec"]["finalizers"].append("three"), [("spec.finalizers[three]", A)]),
    (lambda body: body["spec"]["rules"].append({}), [("spec.rules", D)]),
    (lambda body: body["spec"]["empty"].update(a=1), [("spec.empty", Nature.FILLED)]),
    (lambda body: body["spec"].pop("empty"), [("spec.empty", D)]),
    (lambda body: body["metadata"].update(annotations={"a": "b"}), [("metadata.annotations.a", A)]),
    (lambda body: body["metadata"]["labels"].pop("app"), [("metadata.labels.app", D)]),
    (lambda body: body["metadata"].pop("labels"), [("metadata.labels.app", D)]),
    (lambda body: body.update(status={"x": 1}), []),
    (lambda body: body["metadata"].update(resourceVersion="2", generation=4), []),
    (lambda body: body["spec"].update(tolerations=[]), []),
    (lambda body: body["spec"].update(paused=False), [("spec.paused", A)]),
]


@pytest.mark.parametrize(("change", "expected"), CASES)
def test_each_change_is_found_where_it_is(change: Callable[[Json], object], expected: list[tuple[str, Nature]]) -> None:
    assert found(change) == expected


def test_putting_gits_value_back_is_no_change_and_older_drift_is_not_this_requests_fault() -> None:
    drifted = copy.deepcopy(GIT)
    drifted["spec"]["replicas"] = 9
    containers(drifted)[0]["image"] = "old"
    assert found(lambda body: body["spec"].update(replicas=2), old=drifted) == []
    assert found(lambda body: body["metadata"].update(annotations={"a": "b"}), old=drifted) == [("metadata.annotations.a", A)]
    assert found(lambda body: containers(body)[0].update(image="other"), old=drifted) == [("spec.containers[name=web].image", D)]


def test_a_boolean_does_not_pass_for_a_number() -> None:
    git: JsonObject = {"spec": {"count": 1}}
    (change,) = changes(git, {"spec": {"count": True}}, git=git, declared={"f:spec": {"f:count": {}}})
    assert change == Change(nature=D, path=("f:spec", "f:count"), git=1, old=1, new=True)


LEAVES: tuple[tuple[str | int, ...], ...] = (
    ("metadata", "labels", "app"),
    ("spec", "replicas"),
    ("spec", "containers", 0, "image"),
    ("spec", "containers", 0, "env", 1, "value"),
    ("spec", "containers", 1, "image"),
    ("spec", "finalizers", 0),
    ("spec", "rules", 0, "verbs", 0),
)


@given(st.sampled_from(LEAVES), st.integers(100) | st.text(min_size=9) | st.booleans() | st.lists(st.integers(), min_size=1))
def test_no_declared_leaf_changes_unseen(leaf: tuple[str | int, ...], value: Json) -> None:
    body = copy.deepcopy(GIT)
    node: Json = body
    for step in leaf[:-1]:
        node = node[step]
    node[leaf[-1]] = value
    assert any(change.nature is D for change in changes(GIT, body, git=GIT, declared=DECLARED))


def test_the_projection_holds_what_the_fields_name_and_nothing_else() -> None:
    live = copy.deepcopy(GIT)
    live["spec"]["clusterIP"] = "10.0.0.1"
    containers(live)[0]["terminationMessagePath"] = "/dev/log"
    containers(live).append({"name": "sidecar"})
    assert project(live, DECLARED, manifest=GIT) == GIT


@pytest.mark.case(16)
@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        ("abc", "acb", True),
        ("acb", "acb", False),
        ("acb", "abc", False),
        ("ab", "abc", False),
        ("ab", "acb", True),
        ("ba", "bac", False),
        ("", "ba", True),
        ("", "ab", False),
        ("ax", "ba", True),
        ("abc", "ac", False),
    ],
)
def test_the_order_of_declared_items_is_this_requests_fault_where_it_made_it_wrong(
    before: str, after: str, *, fault: bool
) -> None:
    declared: JsonObject = {"f:spec": {"f:members": {f'v:"{member}"': {} for member in "abc"}}}
    git, old, new = ({"spec": {"members": list(members)}} for members in ("abc", before, after))
    found = [change.nature for change in changes(old, new, git=git, declared=declared)]
    assert (Nature.ORDER in found) is fault


def test_an_empty_list_that_nobody_owns_is_found() -> None:
    manifest: JsonObject = {"metadata": {"name": "a"}, "spec": {"set": [], "gone": [], "owned": [], "deep": {"map": {}}}}
    stored: JsonObject = {"metadata": {"name": "a"}, "spec": {"set": [], "owned": [], "deep": {"map": {}}}}
    assert set(unowned_empties(manifest, stored, {"f:spec": {"f:owned": {}}})) == {
        ("f:spec", "f:set"),
        ("f:spec", "f:gone"),
        ("f:spec", "f:deep", "f:map"),
    }


def test_what_a_manifest_says_joins_what_is_known_of_its_fields() -> None:
    one, two = 'k:{"name":"one"}', 'k:{"name":"two"}'
    manifest: JsonObject = {
        "apiVersion": "v1",
        "kind": "Thing",
        "metadata": {"name": "a", "labels": {"b": "c"}, "finalizers": ["x"], "ownerReferences": [{"uid": "1", "name": "root"}]},
        "spec": {
            "target": {"kind": "Deployment", "name": "web"},
            "items": [{"name": "one", "image": "x"}, {"name": "two", "tags": []}],
            "set": ["a", "b"],
            "list": [{"name": "one"}],
            "nothing": None,
        },
    }
    known: JsonObject = {"f:spec": {"f:items": {one: {"f:name": {}}}, "f:set": {'v:"a"': {}}}}
    assert manifest_fields(manifest, known) == {
        "f:metadata": {
            "f:labels": {"f:b": {}},
            "f:finalizers": {'v:"x"': {}},
            "f:ownerReferences": {'k:{"uid":"1"}': {".": {}, "f:uid": {}, "f:name": {}}},
        },
        "f:spec": {
            "f:target": {"f:kind": {}, "f:name": {}},
            "f:items": {one: {".": {}, "f:name": {}, "f:image": {}}, two: {".": {}, "f:name": {}, "f:tags": {}}},
            "f:set": {'v:"a"': {}, 'v:"b"': {}},
            "f:list": {},
        },
    }
    # What is one value is not taken apart.
    assert manifest_fields(manifest, {"f:spec": {}})["f:spec"] == {}


def test_what_is_empty_in_a_list_item_is_found_as_well() -> None:
    item = 'k:{"name":"a"}'
    manifest: JsonObject = {"items": [{"name": "a", "parts": [], "owned": []}, {"name": "b", "parts": []}]}
    stored: JsonObject = {"items": [{"name": "b", "parts": []}, {"name": "a", "parts": [], "owned": []}]}
    declared: JsonObject = {"f:items": {item: {".": {}, "f:name": {}, "f:owned": {}}}}
    # Of an item that is nobody's nothing is Git's either.
    assert list(unowned_empties(manifest, stored, declared)) == [("f:items", item, "f:parts")]
    assert not list(unowned_empties(manifest, stored, {"f:items": {}}))


@pytest.mark.parametrize("old", [{}, {"list": ["a"]}])
def test_what_others_have_put_into_an_empty_list_that_is_not_stored_is_theirs_to_change(old: JsonObject) -> None:
    (found,) = changes(old, {"list": ["a", "b"]}, git={}, declared={"f:list": {}})
    assert found.nature is Nature.FILLED


def test_an_empty_list_of_gits_that_is_not_stored_may_be_put_back_and_not_filled() -> None:
    declared: JsonObject = {"f:rules": {}}
    rules: JsonObject = {"rules": [{"verbs": ["get"]}]}
    assert not list(changes(rules, {"rules": []}, git={}, declared=declared))
    assert not list(changes(rules, {}, git={}, declared=declared))
    (found,) = changes({}, rules, git={}, declared=declared)
    assert found.nature is Nature.FILLED
