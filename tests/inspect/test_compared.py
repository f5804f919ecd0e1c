from __future__ import annotations

import pytest
from msgspec import structs

from guard.admission.message import at_the_object
from guard.base.codec import JsonObject
from guard.inspect.compared import Compared, leaves, value_at
from guard.state import MISSING, FieldSet, Kind, View
from guard.state.ids import SYNC_LABEL
from guard.state.policy import NOTHING_LEFT
from tests.state.samples import DEPLOYMENT, SECRET, declared_as, entry, object_of, ours, owned

WIDGET = Kind(group="example.com", version="v1", kind="Widget", resource="widgets", namespaced=True)
ITEMS = "f:spec f:template f:spec f:containers"
FIELDS = owned(
    f"f:metadata f:labels f:{SYNC_LABEL}",
    "f:spec f:replicas",
    *(f'{ITEMS} k:{{"name":"{name}"}} {below}' for name in ("web", "side") for below in (".", "f:name", "f:image")),
)


def deployment(*names: str, replicas: int = 2, managed: list[JsonObject] | None = None, **labels: str) -> JsonObject:
    containers = [{"name": name, "image": f"{name}:1"} for name in names]
    body = object_of(DEPLOYMENT, spec={"replicas": replicas, "template": {"spec": {"containers": containers}}})
    body["metadata"] |= {"labels": {**body["metadata"]["labels"], **labels}, "managedFields": managed or [ours(FIELDS)]}
    return body


GIT = deployment("web", "side")
DECLARED = declared_as(DEPLOYMENT, GIT)


def compared(live: JsonObject | None, git: JsonObject | None = GIT) -> Compared:
    return Compared(DECLARED, live, git, view=View(), left=NOTHING_LEFT)


def test_an_object_as_git_says_has_every_field_the_same() -> None:
    found = compared(deployment("web", "side"))
    shown = found.declared_fields(at_the_object)
    assert not found.is_drifted
    assert {field.path for field in shown} == {
        "spec.replicas",
        *(f"spec.template.spec.containers[name={name}].{field}" for name in ("web", "side") for field in ("name", "image")),
    }
    assert all(field.same and field.managed_by == ("guard",) and field.line == 17 for field in shown)


def test_another_order_is_told_of_the_list_and_not_of_its_items() -> None:
    found = compared(deployment("side", "web"))
    wrong = [field for field in found.declared_fields(at_the_object) if not field.same]
    assert found.is_drifted
    assert [(field.path, field.git, field.live) for field in wrong] == [
        ("spec.template.spec.containers (order)", '["name=web","name=side"]', '["name=side","name=web"]')
    ]


def test_what_differs_is_told_once_and_by_its_kind() -> None:
    managed = [ours(FIELDS), entry("kubectl-label", owned("f:metadata f:labels f:team"))]
    changed = compared(deployment("side", "web", replicas=3, managed=managed, team="blue")).differences(at_the_object)
    assert [(field.path, field.git, field.live) for field in changed] == [
        ("metadata.labels.team", "", "blue"),
        ("spec.replicas", "2", "3"),
        ("spec.template.spec.containers (order)", '["name=web","name=side"]', '["name=side","name=web"]'),
    ]
    twice = compared(deployment("web", "web", "side")).differences(at_the_object)
    assert [field.path for field in twice] == ["spec.template.spec.containers[name=web] (twice)"]
    assert compared(deployment("web", "side")).differences(at_the_object) == ()


def test_long_values_are_shown_where_they_differ() -> None:
    live, git = deployment("web", "side"), deployment("web", "side")
    for body, last in ((git, "1"), (live, "2")):
        body["spec"]["template"]["spec"]["containers"][0]["image"] = "x" * 500 + last
    (wrong,) = [field for field in compared(live, git).declared_fields(at_the_object) if not field.same]
    assert (wrong.git[-2:], wrong.live[-2:]) == ("x1", "x2")


def test_an_item_that_is_gone_differs_in_each_of_its_fields() -> None:
    wrong = [field for field in compared(deployment("web")).declared_fields(at_the_object) if not field.same]
    assert {(field.path.rpartition("]")[2], field.live) for field in wrong} == {(".name", ""), (".image", "")}


def test_our_label_is_shown_only_where_it_is_wrong() -> None:
    live = deployment("web", "side")
    live["metadata"]["labels"] = {}
    paths = [field.path for field in compared(live).declared_fields(at_the_object) if not field.same]
    assert paths == ["metadata.labels[gitopsguard.dev/sync]"]


def test_a_field_of_a_person_is_an_addition_and_one_of_a_machine_is_not() -> None:
    managed = [
        ours(FIELDS),
        entry("kubectl-label", owned("f:metadata f:labels f:team")),
        entry("operator", owned("f:metadata f:labels f:shard")),
        entry("kube-controller-manager", owned("f:status f:replicas"), subresource="status"),
    ]
    found = compared(deployment("web", "side", managed=managed, team="blue", shard="7"))
    assert [(other.path, other.live, other.addition, other.managed_by) for other in found.other_fields()] == [
        ("metadata.labels.team", "blue", True, ("kubectl-label",)),
        ("metadata.labels.shard", "7", False, ("operator",)),
    ]
    assert found.is_drifted


def test_where_the_server_does_not_say_what_git_means_values_are_compared() -> None:
    found = compared(deployment("web", "side", replicas=3), git=None)
    wrong = [field.path for field in found.declared_fields(at_the_object) if not field.same]
    assert wrong == ["spec.replicas"]


def test_a_secret_shows_which_key_differs_and_no_value() -> None:
    fields = owned(f"f:metadata f:labels f:{SYNC_LABEL}", "f:data f:password", "f:metadata f:annotations f:copy")
    git, live = (
        object_of(SECRET, data={"password": value}, metadata={"annotations": {"copy": value}, "managedFields": [ours(fields)]})
        for value in ("Z2l0", "bGl2ZQ==")
    )
    for body in (git, live):
        body["metadata"]["labels"] = {SYNC_LABEL: "guard-system.apps"}
    found = Compared(declared_as(SECRET, git), live, git, view=View(), left=NOTHING_LEFT)
    shown = found.declared_fields(at_the_object)
    assert {(field.path, field.git, field.live, field.same) for field in shown} == {
        ("data.password", "(not shown)", "(not shown)", False),
        ("metadata.annotations.copy", "(not shown)", "(not shown)", False),
    }


@pytest.mark.case(39)
def test_of_what_is_encrypted_in_git_no_value_is_shown() -> None:
    fields = owned(f"f:metadata f:labels f:{SYNC_LABEL}", "f:metadata f:labels f:app", 'f:spec f:tags v:"hunter2"')
    theirs = entry("kubectl", owned('f:spec f:tags v:"hunter3"'))
    git, live = (
        object_of(WIDGET, metadata={"labels": {"app": tags[-1]}, "managedFields": managed}, spec={"tags": tags})
        for tags, managed in ((["hunter2"], [ours(fields)]), (["hunter2", "hunter3"], [ours(fields), theirs]))
    )
    plain = declared_as(WIDGET, git)
    for declared, shows in ((plain, True), (structs.replace(plain, confidential=True), False)):
        found = Compared(declared, live, git, view=View(), left=NOTHING_LEFT)
        told = (found.declared_fields(at_the_object), found.differences(at_the_object), found.other_fields())
        assert ("hunter2" in repr(told), "hunter3" in repr(told)) == (shows, shows)
        assert {field.path for field in told[1]} >= {"metadata.labels.app"}


def test_leaves_leave_out_what_their_fields_tell() -> None:
    tree = FieldSet.parse(owned('f:a k:{"n":1} .', 'f:a k:{"n":1} f:b', "f:c ."))
    assert list(leaves(tree)) == [("f:a", 'k:{"n":1}', "f:b"), ("f:c",)]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("f:a", 'k:{"n":1,"p":"x"}', "f:b"), "found"),
        (("f:a", 'k:{"n":2}', "f:b"), MISSING),
        (("f:set", 'v:"y"'), "y"),
        (("f:set", "i:0"), "x"),
        (("f:set", "f:a"), MISSING),
        (("f:null",), MISSING),
    ],
)
def test_a_value_is_found_by_its_path(path: tuple[str, ...], value: object) -> None:
    body = {"a": [{"n": 1, "p": "x", "b": "found"}], "set": ["x", "y"], "null": None}
    assert value_at(body, path) == value
