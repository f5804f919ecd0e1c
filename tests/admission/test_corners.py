"""Requests at the edges of the rules, judged as the API server would deliver them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from guard.admission import Decision, decide
from guard.admission.review import Review, parse
from guard.base import codec
from guard.base.codec import DecodeError, Json, JsonObject
from guard.state import Declared, Kind, Policy, View, written
from guard.state.ids import SYNC_LABEL
from tests.state.samples import (
    CONFIG_MAP,
    DEPLOYMENT,
    LABEL_FIELD,
    NAMESPACE,
    declared_as,
    entry,
    lesson,
    object_of,
    ours,
    owned,
    view_of,
)

PERSON, OPERATOR = "ada@example.com", "system:serviceaccount:ops:operator"
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def review(
    operation: str, of: Kind, *, old: Json = None, new: Json = None, user: str = PERSON, manager: str = "", **more: Json
) -> Review:
    metadata = (new or old)["metadata"]
    request = {
        "uid": "1",
        "kind": {"group": of.group, "version": of.version, "kind": of.kind},
        "resource": {"group": of.group, "version": of.version, "resource": of.resource},
        "operation": operation,
        "name": metadata["name"],
        "namespace": metadata.get("namespace", ""),
        "userInfo": {"username": user},
        "object": new,
        "oldObject": old,
        "options": {"fieldManager": manager},
        **more,
    }
    return parse(codec.encode({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}))


def judged(asked: Review, view: View) -> Decision:
    return decide(review=asked, view=view, policy=Policy(), now=NOW)


def changed_paths(decision: Decision) -> list[str]:
    return [written(change.path) for change in decision.changes]


def merged(*trees: JsonObject) -> JsonObject:
    return {name: tree for part in trees for name, tree in part.items()}


def config(**more: Json) -> JsonObject:
    return object_of(CONFIG_MAP, data={"color": "blue"}, **more)


FIELDS = merged(LABEL_FIELD, owned("f:data f:color"))
DECLARED = declared_as(CONFIG_MAP, config())


def live(*, fields: JsonObject = FIELDS, **metadata: Json) -> JsonObject:
    return config(metadata={"managedFields": [ours(fields)], **metadata})


def test_wiping_our_entry_together_with_a_harmless_change_is_refused() -> None:
    """PUT and PATCH may supply managedFields that hold other entries, so nothing but ours is missing."""
    cause = {"kubernetes.io/change-cause": "tidying"}
    theirs = entry("kubectl-patch", owned("f:metadata f:annotations f:kubernetes.io/change-cause"))
    new = config(metadata={"annotations": cause, "managedFields": [theirs]})
    assert judged(review("UPDATE", CONFIG_MAP, old=live(), new=new), view_of(DECLARED)).reason == "ManagedFieldsWiped"


def test_taking_every_field_of_ours_over_with_its_value_is_harmless() -> None:
    new = config(metadata={"managedFields": [entry("argocd-controller", FIELDS, operation="Apply")]})
    assert judged(review("UPDATE", CONFIG_MAP, old=live(), new=new), view_of(DECLARED)).allowed


@pytest.mark.parametrize("user", [PERSON, OPERATOR])
def test_finalizers_that_git_declares_may_go_from_an_object_that_is_going(user: str) -> None:
    tree = merged(FIELDS, {"f:metadata": {**LABEL_FIELD["f:metadata"], "f:finalizers": {'v:"example.com/keep"': {}}}})
    going = {"deletionTimestamp": "2026-01-02T03:04:05Z"}
    old = live(fields=tree, finalizers=["example.com/keep", "example.com/more"], **going)
    new = live(fields=FIELDS, **going)
    declared = declared_as(CONFIG_MAP, config(metadata={"finalizers": ["example.com/keep"]}))
    assert judged(review("UPDATE", CONFIG_MAP, old=old, new=new, user=user), view_of(declared)).allowed
    old["metadata"].pop("deletionTimestamp")
    assert not judged(review("UPDATE", CONFIG_MAP, old=old, new=new, user=user), view_of(declared)).allowed


@pytest.mark.case(9)
@pytest.mark.parametrize("known", [True, False], ids=["after-an-apply", "before-any"])
@pytest.mark.parametrize(("label", "allowed"), [("guard-system.apps", True), ("", True), ("guard-system.other", False)])
def test_a_declared_name_may_be_created_with_our_label_or_without_but_not_with_another(
    label: str, *, allowed: bool, known: bool
) -> None:
    view = view_of(DECLARED, learned={DECLARED.key: lesson(DECLARED, FIELDS)} if known else {})
    new = object_of(CONFIG_MAP, label=label, data={"color": "blue"})
    decision = judged(review("CREATE", CONFIG_MAP, new=new), view)
    assert decision.allowed is allowed
    assert changed_paths(decision) == ([] if allowed else [f"metadata.labels[{SYNC_LABEL}]"])


@pytest.mark.case(9)
def test_a_created_object_may_not_lack_a_declared_list_item() -> None:
    ports = [{"port": 80, "protocol": "TCP"}, {"port": 443, "protocol": "TCP"}]
    body = object_of(DEPLOYMENT, spec={"ports": [{"port": 80}, {"port": 443}]})
    declared = declared_as(DEPLOYMENT, body)
    tree = merged(
        LABEL_FIELD, {"f:spec": {"f:ports": {f"k:{codec.encode(port).decode()}": {".": {}, "f:port": {}} for port in ports}}}
    )
    stored = object_of(DEPLOYMENT, spec={"ports": ports})
    view = view_of(declared, learned={declared.key: lesson(declared, tree, stored)})
    lacking = object_of(DEPLOYMENT, spec={"ports": ports[:1]})
    decision = judged(review("CREATE", DEPLOYMENT, new=lacking), view)
    assert changed_paths(decision) == ["spec.ports[port=443,protocol=TCP]"]
    assert judged(review("CREATE", DEPLOYMENT, new=stored), view).allowed


def test_an_object_is_judged_in_the_version_that_git_declares_it_in() -> None:
    """With another version of the kind registered as well, the API server asks in both; paths mean nothing across versions."""
    beta = Kind(group="apps", version="v1beta1", kind="Deployment", resource="deployments", namespaced=True)
    declared = declared_as(DEPLOYMENT, object_of(DEPLOYMENT, spec={"replicas": 2}))
    old, new = (
        object_of(
            DEPLOYMENT,
            spec={"replicas": count},
            metadata={"managedFields": [ours(owned("f:spec f:replicas"), apiVersion="apps/v1")]},
        )
        for count in (2, 3)
    )
    assert judged(review("UPDATE", beta, old=old, new=new), view_of(declared)).reason == "OtherVersion"
    assert not judged(review("UPDATE", DEPLOYMENT, old=old, new=new), view_of(declared)).allowed


@pytest.mark.case(3)
@pytest.mark.parametrize(("spec", "allowed"), [({"replicas": 2}, False), ({"replicas": None}, True), ({}, True)])
def test_scaling_is_refused_where_git_declares_a_number_of_replicas(spec: JsonObject, *, allowed: bool) -> None:
    declared = declared_as(DEPLOYMENT, object_of(DEPLOYMENT, spec=spec))
    sizes = [{"metadata": {"name": "web", "namespace": "shop"}, "spec": {"replicas": count}} for count in (2, 5)]
    asked = review(
        "UPDATE",
        DEPLOYMENT,
        old=sizes[0],
        new=sizes[1],
        subResource="scale",
        kind={"group": "autoscaling", "version": "v1", "kind": "Scale"},
    )
    assert judged(asked, view_of(declared)).allowed is allowed


def rolled(annotations: JsonObject) -> JsonObject:
    return {"template": {"metadata": {"annotations": annotations}, "spec": {"containers": []}}}


ALLOWED: list[tuple[str, JsonObject, JsonObject]] = [
    ("rollout-restart", {}, {"spec": rolled({"kubectl.kubernetes.io/restartedAt": "now"})}),
    ("scale-where-git-has-no-replicas", {}, {"spec": {**rolled({}), "replicas": 5}}),
    ("cordon", {}, {"spec": {**rolled({}), "unschedulable": True}}),
    ("taint", {}, {"spec": {**rolled({}), "taints": [{"key": "a", "effect": "NoSchedule"}]}}),
    ("client-side-apply", {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}}, {}),
    ("change-cause", {"annotations": {"kubernetes.io/change-cause": "a release"}}, {}),
]


@pytest.mark.case(5)
@pytest.mark.parametrize(("metadata", "more"), [case[1:] for case in ALLOWED], ids=[case[0] for case in ALLOWED])
def test_people_may_do_what_the_list_allows_and_nothing_beside_it(metadata: JsonObject, more: JsonObject) -> None:
    declared = declared_as(DEPLOYMENT, object_of(DEPLOYMENT, spec={"template": {"spec": {"containers": []}}}))
    entries = {"managedFields": [ours(LABEL_FIELD, apiVersion="apps/v1")]}
    old = object_of(DEPLOYMENT, spec=rolled({}), metadata=entries)
    new = {**object_of(DEPLOYMENT, spec=rolled({}), metadata={**entries, **metadata}), **more}
    assert judged(review("UPDATE", DEPLOYMENT, old=old, new=new), view_of(declared)).reason == "NothingDeclaredChanged"
    new["spec"]["paused"] = True
    decision = judged(review("UPDATE", DEPLOYMENT, old=old, new=new), view_of(declared))
    assert (decision.reason, changed_paths(decision)) == ("Addition", ["spec.paused"])


def test_a_machine_may_write_beside_drift_but_not_drift_further() -> None:
    old = live()
    old["data"] = {"color": "red"}
    noted, worse = ({**old, "data": {"color": color, "theirs": "1"}} for color in ("red", "green"))
    assert judged(review("UPDATE", CONFIG_MAP, old=old, new=noted, user=OPERATOR), view_of(DECLARED)).allowed
    decision = judged(review("UPDATE", CONFIG_MAP, old=old, new=worse, user=OPERATOR), view_of(DECLARED))
    assert changed_paths(decision) == ["data.color"]


def test_fields_that_our_entry_lost_stay_declared_by_what_the_last_apply_was_given() -> None:
    view = view_of(DECLARED, learned={DECLARED.key: lesson(DECLARED, FIELDS)})
    old = config(metadata={"managedFields": [ours(LABEL_FIELD)]})
    new = {**old, "data": {"color": "red"}}
    assert changed_paths(judged(review("UPDATE", CONFIG_MAP, old=old, new=new, user=OPERATOR), view)) == ["data.color"]


@pytest.mark.case(6)
def test_deletecollection_names_no_object_but_is_judged_by_the_one_it_deletes() -> None:
    assert judged(review("DELETE", CONFIG_MAP, old=live(), name=""), view_of(DECLARED)).reason == "DeclaredObjectDeleted"


def test_a_namespace_is_found_though_its_review_says_that_it_is_in_itself() -> None:
    body = object_of(NAMESPACE, name="shop")
    asked = review("DELETE", NAMESPACE, old=body, namespace="shop")
    assert not judged(asked, view_of(declared_as(NAMESPACE, body))).allowed


@pytest.mark.case(10)
@pytest.mark.parametrize("operation", ["CREATE", "UPDATE", "DELETE"])
def test_bodies_of_undeclared_objects_are_not_decoded(operation: str) -> None:
    body = object_of(CONFIG_MAP, name="other", label="", data={"a": "1"})
    asked = review(
        operation, CONFIG_MAP, old=None if operation == "CREATE" else body, new=None if operation == "DELETE" else body
    )
    assert judged(asked, view_of(DECLARED)).reason == "NotDeclared"
    assert not {"new", "old"} & vars(asked.request).keys()


@pytest.mark.parametrize("broken", ["text", [1], 7])
def test_an_object_that_is_none_is_no_reason_to_allow(broken: Json) -> None:
    asked = review("UPDATE", CONFIG_MAP, old=live(), new=live(), object=broken)
    with pytest.raises(DecodeError):
        judged(asked, view_of(DECLARED))


def test_changes_are_named_in_one_order() -> None:
    declared: Declared = declared_as(CONFIG_MAP, object_of(CONFIG_MAP, data=dict.fromkeys("dbca", "1")))
    tree = merged(LABEL_FIELD, owned(*(f"f:data f:{name}" for name in "abcd")))
    old = object_of(CONFIG_MAP, data=dict.fromkeys("dbca", "1"), metadata={"managedFields": [ours(tree)]})
    new = {**old, "data": dict.fromkeys("cadb", "2")}
    decision = judged(review("UPDATE", CONFIG_MAP, old=old, new=new), view_of(declared))
    assert changed_paths(decision) == ["data.a", "data.b", "data.c", "data.d"]
