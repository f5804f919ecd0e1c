from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.admission import decide
from guard.admission.case import Decision
from guard.admission.review import parse
from guard.base import codec
from guard.base.codec import DecodeError, Json, JsonObject
from guard.state.desired import DesiredState, Learned, View
from guard.state.fields import FieldSet
from guard.state.ids import SYNC_LABEL, Kind
from guard.state.policy import Enforcement, Policy
from guard.state.requesters import GUARD_USER
from tests.state.samples import declared_as

DEPLOYMENT = Kind(group="apps", version="v1", kind="Deployment", resource="deployments", namespaced=True)
FIELDS: JsonObject = {
    "f:metadata": {"f:labels": {f"f:{SYNC_LABEL}": {}}},
    "f:spec": {
        "f:replicas": {},
        "f:template": {"f:spec": {"f:containers": {'k:{"name":"web"}': {".": {}, "f:name": {}, "f:image": {}}}}},
    },
}
LIVE: JsonObject = {
    "metadata": {
        "name": "web",
        "namespace": "default",
        "labels": {SYNC_LABEL: "ns.s"},
        "managedFields": [{"manager": "guard", "operation": "Apply", "apiVersion": "apps/v1", "time": "t", "fieldsV1": FIELDS}],
    },
    "spec": {"replicas": 2, "template": {"spec": {"containers": [{"name": "web", "image": "nginx:1"}]}}},
}
PERSON, OPERATOR = "ada@example.com", "system:serviceaccount:ops:operator"
HPA = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"


def judged(
    change: Callable[[Json], object] = codec.is_object,
    *,
    user: str = PERSON,
    operation: str = "UPDATE",
    name: str = "web",
    subresource: str = "",
    manager: str = "",
    old: JsonObject | None = None,
    enforcement: Enforcement | None = None,
    groups: tuple[str, ...] = (),
    unloaded: dict[str, str] | None = None,
) -> Decision:
    before = copy.deepcopy(old or LIVE)
    before["metadata"]["name"] = name
    after = copy.deepcopy(before)
    change(after)
    request = {
        "uid": "1",
        "kind": {"group": "apps", "version": "v1", "kind": "Deployment"},
        "resource": {"group": "apps", "version": "v1", "resource": "deployments"},
        "operation": operation,
        "subResource": subresource,
        "name": name,
        "namespace": "default",
        "userInfo": {"username": user, "groups": groups},
        "object": None if operation == "DELETE" else after,
        "oldObject": None if operation == "CREATE" else before,
        "options": {"fieldManager": manager},
    }
    body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    view = View()
    git = {"metadata": LIVE["metadata"], "spec": LIVE["spec"]}
    declared = declared_as(DEPLOYMENT, git, sync="ns/s")
    view.replace(DesiredState().with_sync("ns/s", [declared]))
    view.learn(declared.key, Learned(body=git, fields=FieldSet.parse(FIELDS), stored=None))
    policy = Policy(syncs={"ns/s": enforcement or Enforcement()}, unloaded=unloaded or {})
    return decide(review=parse(codec.encode(body)), view=view, policy=policy, now=datetime.now(UTC))


def scaled(body: Json) -> None:
    body["spec"]["replicas"] = 5


def annotated(body: Json) -> None:
    body["metadata"]["annotations"] = {"a": "b"}


def wiped(body: Json) -> None:
    body["metadata"]["managedFields"] = []


def owned(body: Json) -> None:
    body["metadata"]["ownerReferences"] = [{"uid": "1"}]


def finalized(body: Json) -> None:
    body["metadata"]["finalizers"] = ["x"]


def unfinalized(body: Json) -> None:
    del body["metadata"]["finalizers"]


def labelled_off(body: Json) -> None:
    del body["metadata"]["labels"]


CASES: list[tuple[Callable[[], Decision], str, str]] = [
    (lambda: judged(scaled), "deny", "DeclaredFieldChanged"),
    (lambda: judged(scaled, user=OPERATOR), "deny", "DeclaredFieldChanged"),
    (lambda: judged(scaled, user=GUARD_USER), "allow", "SyncController"),
    (lambda: judged(scaled, user="system:kube-controller-manager"), "allow", "ControlPlane"),
    (lambda: judged(scaled, enforcement=Enforcement(mode="Warn")), "warn", "DeclaredFieldChanged"),
    (lambda: judged(scaled, enforcement=Enforcement(mode="Audit")), "audit", "DeclaredFieldChanged"),
    (lambda: judged(scaled, name="other"), "allow", "NotDeclared"),
    (lambda: judged(scaled, subresource="scale"), "deny", "ReplicasDeclared"),
    (lambda: judged(scaled, subresource="scale", user=HPA), "deny", "ReplicasDeclared"),
    (lambda: judged(scaled, subresource="scale", user=GUARD_USER), "allow", "SyncController"),
    (lambda: judged(subresource="scale"), "allow", "SameAsGit"),
    (lambda: judged(annotated), "deny", "Addition"),
    (lambda: judged(annotated, user=OPERATOR), "allow", "NothingDeclaredChanged"),
    (lambda: judged(annotated, user=OPERATOR, manager="kubectl-annotate"), "deny", "Addition"),
    (lambda: judged(annotated, enforcement=Enforcement(additions="Allow")), "allow", "NothingDeclaredChanged"),
    (lambda: judged(labelled_off), "deny", "Tampering"),
    (lambda: judged(wiped), "deny", "ManagedFieldsWiped"),
    (lambda: judged(owned), "deny", "Tampering"),
    (
        lambda: judged(finalized, user=OPERATOR),
        "allow",
        "NothingDeclaredChanged",
    ),
    (lambda: judged(operation="DELETE"), "deny", "DeclaredObjectDeleted"),
    (lambda: judged(operation="DELETE", user=OPERATOR), "deny", "DeclaredObjectDeleted"),
    (lambda: judged(operation="DELETE", name="other"), "allow", "NotDeclared"),
    (lambda: judged(operation="DELETE", name="other", unloaded={"ns.s": "ns/s"}), "deny", "GitNotLoaded"),
    (lambda: judged(operation="CREATE"), "allow", "CreatedLikeGit"),
    (lambda: judged(labelled_off, operation="CREATE"), "allow", "CreatedLikeGit"),
    (lambda: judged(scaled, operation="CREATE"), "deny", "CreatedUnlikeGit"),
    (lambda: judged(operation="CREATE", name="other"), "deny", "ForeignLabel"),
    (lambda: judged(operation="CREATE", name="other", user=OPERATOR), "allow", "NotDeclared"),
    (lambda: judged(operation="CREATE", name="other", user=OPERATOR, manager="guard"), "deny", "ForeignFieldManager"),
    (lambda: judged(scaled, subresource="status"), "allow", "NothingDeclaredChanged"),
    (lambda: judged(scaled, subresource="resize"), "deny", "DeclaredFieldChanged"),
    (lambda: judged(annotated, subresource="status"), "deny", "Addition"),
    (lambda: judged(annotated, subresource="status", user=OPERATOR), "allow", "NothingDeclaredChanged"),
    (lambda: judged(labelled_off, subresource="status"), "deny", "Tampering"),
    (lambda: judged(labelled_off, subresource="status", user=OPERATOR), "deny", "DeclaredFieldChanged"),
    (lambda: judged(owned, subresource="finalize"), "deny", "Tampering"),
    (lambda: judged(scaled, subresource="ephemeralcontainers"), "allow", "NothingDeclaredChanged"),
    (lambda: judged(scaled, subresource="eviction", operation="CREATE"), "allow", "Subresource"),
    (lambda: judged(scaled, groups=("gitopsguard:break-glass",)), "allow", "BreakGlass"),
    (lambda: judged(scaled, name="other", unloaded={"ns.s": "ns/s"}), "deny", "GitNotLoaded"),
    (lambda: judged(annotated, name="other", unloaded={"ns.s": "ns/s"}), "deny", "GitNotLoaded"),
    (lambda: judged(annotated, name="other", unloaded={"ns.s": "ns/s"}, user=OPERATOR), "allow", "NotDeclared"),
    (lambda: judged(scaled, name="other", unloaded={"ns.s": "ns/s"}, user=OPERATOR), "deny", "GitNotLoaded"),
    (
        lambda: judged(scaled, name="other", unloaded={"ns.s": "ns/s"}, enforcement=Enforcement(mode="Warn")),
        "warn",
        "GitNotLoaded",
    ),
]


@pytest.mark.parametrize(("decision", "verdict", "reason"), CASES)
def test_each_request_is_judged_by_the_rule_it_falls_under(decision: Callable[[], Decision], verdict: str, reason: str) -> None:
    found = decision()
    assert (found.verdict, found.reason) == (verdict, reason)


def test_what_is_already_terminating_may_go_and_lose_its_finalizers() -> None:
    going = copy.deepcopy(LIVE)
    going["metadata"].update(deletionTimestamp="now", finalizers=["x"])
    assert judged(operation="DELETE", old=going).reason == "AlreadyTerminating"
    assert judged(unfinalized, old=going).allowed


def test_a_field_manager_named_guard_proves_nothing() -> None:
    assert judged(scaled, manager="guard").verdict == "deny"


@given(st.binary(max_size=300))
def test_bytes_that_are_no_review_raise_nothing_but_a_decode_error(data: bytes) -> None:
    with pytest.raises(DecodeError):
        parse(data)


def test_deep_nesting_is_a_decode_error() -> None:
    with pytest.raises(DecodeError):
        parse(b'{"request":' + b"[" * 100_000)
