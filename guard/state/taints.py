"""Taints of nodes: one atomic list, in which Git's stand beside those of controllers. They are told apart by key and effect, as
the API server does: what Git declares is Git's, every other taint is somebody's addition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from guard.base.codec import JsonObject, child, children
from guard.state.drift import Change, Nature
from guard.state.elements import key_element
from guard.state.equality import MISSING
from guard.state.fields import Path

TAINTS: Path = ("f:spec", "f:taints")
# The node controllers' own: they come and go with the node's condition.
CONTROL_PLANE_TAINTS = ("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/")
_KEYS = ("effect", "key")


def has_taints(body: JsonObject) -> bool:
    return body.get("kind") == "Node" and bool(taints_of(body))


def taints_of(body: JsonObject) -> list[JsonObject]:
    return children(child(body, "spec"), "taints")


def with_taints(body: JsonObject, taints: list[JsonObject]) -> JsonObject:
    return {**body, "spec": {**child(body, "spec"), "taints": taints}}


def without_taints(body: JsonObject) -> JsonObject:
    """The node with all else that it has."""
    if "taints" not in child(body, "spec"):
        return body
    return {**body, "spec": {name: value for name, value in body["spec"].items() if name != "taints"}}


def is_control_plane(taint: JsonObject) -> bool:
    return str(taint.get("key", "")).startswith(CONTROL_PLANE_TAINTS)


def taint_changes(old: JsonObject, new: JsonObject, *, git: JsonObject) -> Iterator[Change]:
    """What happens to the taints of a node, one by one. Their order means nothing, nor does the time when one was added."""
    before, after, wanted = _named(taints_of(old)), _named(taints_of(new)), _named(taints_of(git))
    for name in sorted({*before, *after, *wanted}):
        was, now, said = before.get(name), after.get(name), wanted.get(name)
        if _are_one(was, now) or (said is not None and _are_one(now, said)):
            continue
        yield Change(
            nature=Nature.ADDITION if said is None else Nature.DECLARED,
            path=(*TAINTS, name),
            git=said or MISSING,
            old=was or MISSING,
            new=now or MISSING,
        )


Compare: TypeAlias = Callable[[JsonObject, JsonObject, JsonObject], Iterable[Change]]


def apart(manifest: JsonObject, old: JsonObject, new: JsonObject, git: JsonObject, compare: Compare) -> Iterable[Change]:
    """What `compare` finds between `old` and `new`, beside `git`; where the manifest declares taints, these are compared one by
    one, and it is asked for the rest.
    """
    if not has_taints(manifest):
        return compare(old, new, git)
    rest = compare(without_taints(old), without_taints(new), without_taints(git))
    return (*rest, *taint_changes(old, new, git=manifest))


def beside(standing: list[JsonObject], declared: list[JsonObject]) -> list[JsonObject]:
    """Those of a node's taints that Git does not declare."""
    known = _named(declared)
    return [taint for name, taint in _named(standing).items() if name not in known]


def holds(standing: list[JsonObject], declared: list[JsonObject]) -> bool:
    """Whether a node has all the taints that Git declares, as it declares them."""
    found = _named(standing)
    return all(_are_one(found.get(name), taint) for name, taint in _named(declared).items())


def _named(taints: list[JsonObject]) -> dict[str, JsonObject]:
    return {key_element(taint, _KEYS): taint for taint in taints}


def _are_one(one: JsonObject | None, other: JsonObject | None) -> bool:
    if one is None or other is None:
        return one is other
    return (one.get("value") or "") == (other.get("value") or "")
