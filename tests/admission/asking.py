"""Reviews as the API server would send them, and how they are judged."""

from __future__ import annotations

from datetime import UTC, datetime

from guard.admission import Decision, decide
from guard.admission.review import Review, parse
from guard.base import codec
from guard.base.codec import Json, JsonObject
from guard.state import Enforcement, Kind, Policy, View, written
from guard.state.pointers import parse_pointer
from guard.state.policy import Ignore, Mode
from tests.state.samples import CONFIG_MAP, LABEL_FIELD, declared_as, object_of, ours, owned

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


def held(mode: Mode = "Deny", **more: Json) -> Policy:
    return Policy(syncs={"guard-system/apps": Enforcement(mode=mode, **more)})


def ignoring(*paths: str, managers: tuple[str, ...] = (), **more: str) -> Policy:
    rule = Ignore(paths=tuple(map(parse_pointer, paths)), managers=frozenset(managers), **more)
    return held(ignore=(rule,))
