from __future__ import annotations

from guard.base import codec
from guard.base.codec import JsonObject
from guard.state.ids import Kind, ObjectKey
from guard.state.metadata import Metadata
from guard.sync.prune import Candidate, doubt, is_ours

LABELLED: JsonObject = {"f:metadata": {"f:labels": {"f:gitopsguard.dev/sync": {}}}}


def candidate(kind: str) -> Candidate:
    known = Kind(group="", version="v1", kind=kind, resource=f"{kind.lower()}s", namespaced=kind != "Namespace")
    key = ObjectKey(group="", kind=kind, namespace="", name="x")
    return Candidate(key=key, kind=known, uid="1", resource_version="1")


def live(*, manager: str = "guard", operation: str = "Apply", owners: list[JsonObject] | None = None) -> Metadata:
    entry = {"manager": manager, "operation": operation, "fieldsV1": LABELLED}
    return codec.decode_as(codec.encode({"managedFields": [entry], "ownerReferences": owners or []}), Metadata)


def test_ours_is_what_our_apply_labelled_and_no_controller_owns() -> None:
    assert is_ours(live())
    assert is_ours(live(owners=[{"kind": "ConfigMap"}]))
    assert not is_ours(live(operation="Update"))
    assert not is_ours(live(manager="kubectl-expose", operation="Update"))
    assert not is_ours(live(owners=[{"kind": "Service", "controller": True}]))


def test_a_prune_that_looks_like_an_accident_is_doubted() -> None:
    assert not doubt([candidate("ConfigMap")], declared=3, namespaces_left=0)
    assert not doubt([candidate("Namespace")], declared=3, namespaces_left=1)
    assert "every namespace" in doubt([candidate("Namespace")], declared=3, namespaces_left=0)
    assert "empty" in doubt([candidate("ConfigMap")], declared=0, namespaces_left=0)
    assert not doubt([], declared=0, namespaces_left=0)
