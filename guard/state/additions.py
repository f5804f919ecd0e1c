"""What people add to declared objects: the documented list of what they may, and finding the rest in managedFields."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import cast

import msgspec

from guard.base import codec
from guard.base.codec import Json, JsonObject, is_array, is_object
from guard.state import fields
from guard.state.fields import EMPTY, SELF, FieldSet, Path, Tree
from guard.state.ids import ObjectKey
from guard.state.managed import Entry, entries
from guard.state.policy import NOTHING_LEFT, Left
from guard.state.taken import NOTHING_TAKEN, Taken

_METADATA = FieldSet({"f:metadata": {}})
_ANNOTATIONS: Path = ("f:metadata", "f:annotations")
_RESTARTED: Path = ("f:spec", "f:template", *_ANNOTATIONS, "f:kubectl.kubernetes.io/restartedAt")
_ROLLED_OUT = frozenset({("apps", "DaemonSet"), ("apps", "Deployment"), ("apps", "StatefulSet")})
_DAEMON_SETS = frozenset({("apps", "DaemonSet")})
_NODES = frozenset({("", "Node")})
_EVERY: frozenset[tuple[str, str]] = frozenset()


class Allowed(msgspec.Struct, frozen=True):
    """A field that people may change where Git does not declare it: on `kinds` (group, kind), on all where there are none."""

    path: Path
    kinds: frozenset[tuple[str, str]]
    command: str


# What people may change on a declared object where Git does not declare it (`additions: Deny`); docs/operations.md lists it. The
# replicas of whatever has a /scale come on top: kubectl scale.
ALLOWED_ADDITIONS: tuple[Allowed, ...] = (
    Allowed(_RESTARTED, _ROLLED_OUT, "kubectl rollout restart"),
    Allowed(("f:spec", "f:unschedulable"), _NODES, "kubectl cordon, uncordon, drain"),
    Allowed(("f:spec", "f:taints"), _NODES, "kubectl taint"),
    # The API server counts the changes of a template, and keeps the number from being written.
    Allowed((*_ANNOTATIONS, "f:deprecated.daemonset.template.generation"), _DAEMON_SETS, "any change of a DaemonSet's template"),
    Allowed((*_ANNOTATIONS, "f:kubectl.kubernetes.io/last-applied-configuration"), _EVERY, "kubectl apply of the file in Git"),
    Allowed((*_ANNOTATIONS, "f:kubernetes.io/change-cause"), _EVERY, "kubectl annotate of a rollout's cause"),
)


@lru_cache(maxsize=1024)
def _allowed(group: str, kind: str, scale: Path | None) -> frozenset[Path]:
    found = {allowed.path for allowed in ALLOWED_ADDITIONS if not allowed.kinds or (group, kind) in allowed.kinds}
    return frozenset(found if scale is None else found | {scale})


def allowed_additions(key: ObjectKey, *, scale: Path | None) -> frozenset[Path]:
    """What people may change on this object. `scale` is the path of its replicas, None for kinds without a /scale."""
    return _allowed(key.group, key.kind, scale)


# Entries that hold what an object was created with, before anybody applied it.
BEFORE_FIRST_APPLY = "before-first-apply"
# What an adopted object's people owned is theirs to keep: their entries go on under this name.
ADOPTED_MANAGER = "before-guard"


def field_set(paths: Iterable[Path]) -> FieldSet:
    """The set of these fields, each with all below it."""
    root: dict[str, Tree] = {}
    for path in paths:
        node = root
        for element in path:
            node = cast("dict[str, Tree]", node.setdefault(element, {}))
    return FieldSet(root)


class Removal(msgspec.Struct, frozen=True):
    """A field to take away: its path, and its place in the object as a JSON pointer with the tests that prove the place right."""

    path: Path
    pointer: tuple[str | int, ...]
    tests: tuple[tuple[tuple[str | int, ...], Json], ...] = ()


def additions(
    body: JsonObject, ours: FieldSet, *, allowed: frozenset[Path], left: Left = NOTHING_LEFT, taken: Taken = NOTHING_TAKEN
) -> tuple[Removal, ...]:
    """The fields that only people's tools own, that Git does not declare, that are not on the list and not left to them, as
    removals in an order in which each leaves the places of the next as they are.
    """
    theirs, others = EMPTY, ours.union(field_set(allowed))
    for entry in entries(body):
        if entry.is_person:
            # Through a subresource people may change its own part; metadata is nobody's own.
            theirs = theirs.union(entry.fields.intersection(_METADATA) if entry.subresource else entry.fields)
            if left and (mine := left.of([entry.manager])):
                others = others.union(field_set(path for path in entry.fields.paths() if mine.holds(path)))
        elif not entry.is_ours:
            # A person's write that repeats an addition makes it no less of one.
            held = entry.fields.minus(taken.again) if entry.identity in taken.entries else entry.fields
            others = others.union(held)
    return tuple(_removals(theirs.tree, others.tree, body, (), ()))


def _removals(theirs: Tree, others: Tree, value: Json, path: Path, pointer: tuple[str | int, ...]) -> Iterator[Removal]:
    found: list[Removal] = []
    for element, below in theirs.items():
        if element == SELF:
            continue
        other = others.get(element)
        # A key that stands twice goes twice.
        for index, item, tests in _places(value, element):
            here, there = (*path, element), (*pointer, index)
            if other is None:
                found.append(Removal(path=here, pointer=there, tests=tuple(((*there, *name), wanted) for name, wanted in tests)))
            elif other and below:
                found.extend(_removals(below, other, item, here, there))
    # From the end of a list to its start: taking an item away moves those behind it.
    found.sort(key=lambda removal: _index(removal, len(pointer)), reverse=True)
    yield from found


def _index(removal: Removal, depth: int) -> int:
    step = removal.pointer[depth]
    return step if isinstance(step, int) else 0


def _places(value: Json, element: str) -> Iterator[tuple[str | int, Json, list[tuple[tuple[str, ...], Json]]]]:
    """Where an element stands in the live value: key or index, the item, and what to test so that a moved item is not hit."""
    if element.startswith("f:"):
        name = element[2:]
        if is_object(value) and name in value:
            yield name, value[name], []
        return
    for index, item in enumerate(value if is_array(value) else ()):
        if element.startswith("k:") and is_object(item):
            keys = fields.item_keys(element)
            if all(item.get(name) == wanted for name, wanted in keys):
                yield index, item, [((name,), wanted) for name, wanted in keys if name in item]
        elif (element.startswith("v:") and item == fields.item_value(element)) or element == f"i:{index}":
            yield index, item, [((), item)]


def shared_entries(
    body: JsonObject, ours: FieldSet, *, adopting: bool, handed: FieldSet = EMPTY, taken: Taken = NOTHING_TAKEN
) -> list[JsonObject] | None:
    """The managedFields list with people's entries, and those that have `taken` something, relieved of what we declare (or Git's
    later removals would leave the value to them), None where nothing needs to change. When adopting, what is left of people's
    entries moves to a name that is no person's, and so do those of our own fields that are `handed` over.
    """
    changed = False
    kept: list[JsonObject] = []
    for entry in entries(body):
        if entry.is_ours and handed:
            changed = True
            kept.append({**entry.raw, "fieldsV1": entry.fields.minus(handed).tree})
            kept.append({**entry.raw, "manager": ADOPTED_MANAGER, "operation": "Update", "fieldsV1": handed.tree})
            continue
        took = entry.identity in taken.entries
        if not (_is_relievable(entry) or took):
            kept.append(entry.raw)
            continue
        left = entry.fields.minus(ours.union(taken.again) if took and not entry.is_person else ours)
        if left == entry.fields and not (adopting and entry.is_person):
            kept.append(entry.raw)
            continue
        changed = True
        if any(path for path in left.paths()):
            manager = ADOPTED_MANAGER if adopting and entry.is_person else entry.manager
            # An Apply entry cannot be renamed beside another of that name; what people applied becomes an update of theirs.
            operation = "Update" if adopting else entry.operation
            kept.append({**entry.raw, "manager": manager, "operation": operation, "fieldsV1": left.tree})
    return _merged(kept) if changed else None


def _is_relievable(entry: Entry) -> bool:
    return (entry.is_person or entry.manager in {BEFORE_FIRST_APPLY, ADOPTED_MANAGER}) and not entry.subresource


def _merged(kept: list[JsonObject]) -> list[JsonObject]:
    """The API server refuses two entries of one identity: those that got the same name become one."""
    found: dict[bytes, JsonObject] = {}
    for raw in kept:
        identity = codec.canonical([raw.get(name) for name in ("manager", "operation", "apiVersion", "subresource")])
        twin = found.get(identity)
        if twin is not None and raw.get("manager") == ADOPTED_MANAGER:
            union = FieldSet.parse(twin["fieldsV1"]).union(FieldSet.parse(raw["fieldsV1"]))
            found[identity] = {**raw, "fieldsV1": union.tree}
        else:
            found[identity] = raw
    return list(found.values())
