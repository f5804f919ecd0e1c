"""Taints of nodes: one atomic list, in which Git's and those of the node controllers stand side by side."""

from __future__ import annotations

from guard.base.codec import Json, JsonObject, child, children, is_array, is_object
from guard.state.fields import Path

TAINTS: Path = ("f:spec", "f:taints")
# The node controllers' own: they come and go with the node's condition, beside whatever Git declares in the same list.
CONTROL_PLANE_TAINTS = ("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/")


def has_taints(body: JsonObject) -> bool:
    return body.get("kind") == "Node" and bool(children(child(body, "spec"), "taints"))


def is_control_plane(taint: JsonObject) -> bool:
    return str(taint.get("key", "")).startswith(CONTROL_PLANE_TAINTS)


def are_alike(one: Json, other: Json) -> bool:
    """Whether two lists of taints say the same, those of the control plane aside."""
    return _own(one) == _own(other)


def _own(taints: Json) -> list[tuple[Json, ...]]:
    found = [taint for taint in taints if is_object(taint)] if is_array(taints) else []
    return [(taint.get("key"), taint.get("effect"), taint.get("value") or "") for taint in found if not is_control_plane(taint)]
