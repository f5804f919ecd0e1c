"""What people add to declared objects: the documented list of what they may, and finding the rest in managedFields."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from guard.base import codec
from guard.base.codec import Json, JsonObject, is_array, is_object
from guard.state import fields
from guard.state.fields import EMPTY, SELF, FieldSet, Path, Tree
from guard.state.managed import Entry, entries

REPLICAS: Path = ("f:spec", "f:replicas")
_ANNOTATIONS: Path = ("f:metadata", "f:annotations")

# What people may change on any declared object where Git does not declare it (`additions: Deny`); docs/operations.md lists it.
ALLOWED_ADDITIONS: frozenset[Path] = frozenset(
    {
        # kubectl rollout restart
        ("f:spec", "f:template", "f:metadata", "f:annotations", "f:kubectl.kubernetes.io/restartedAt"),
        # kubectl scale, where the replicas path is a field of the object
        REPLICAS,
        # kubectl cordon, uncordon, drain, taint
        ("f:spec", "f:unschedulable"),
        ("f:spec", "f:taints"),
        # kubectl apply of the file in Git; kubectl annotate of a rollout's cause
        (*_ANNOTATIONS, "f:kubectl.kubernetes.io/last-applied-configuration"),
        (*_ANNOTATIONS, "f:kubernetes.io/change-cause"),
    }
)

# Entries that hold what an object was created with, before anybody applied it.
BEFORE_FIRST_APPLY = "before-first-apply"
# What an adopted object's people owned is theirs to keep: their entries go on under this name.
ADOPTED_MANAGER = "before-guard"


def _tree(paths: frozenset[Path]) -> FieldSet:
    found = EMPTY
    for path in paths:
        tree: Tree = {}
        for element in reversed(path):
            tree = {element: tree}
        found = found.union(FieldSet(tree))
    return found


_ALLOWED = _tree(ALLOWED_ADDITIONS)


class Removal(msgspec.Struct, frozen=True):
    """A field to take away: its path, and its place in the object as a JSON pointer with the tests that prove the place right."""

    path: Path
    pointer: tuple[str | int, ...]
    tests: tuple[tuple[tuple[str | int, ...], Json], ...] = ()


def additions(body: JsonObject, ours: FieldSet) -> tuple[Removal, ...]:
    """The fields that only people's tools own, that Git does not declare and that are not on the list, as removals in an order
    in which each leaves the places of the next as they are.
    """
    theirs, others = EMPTY, ours.union(_ALLOWED)
    for entry in entries(body):
        if entry.is_person and entry.subresource != "status":
            theirs = theirs.union(entry.fields)
        elif not entry.is_ours:
            others = others.union(entry.fields)
    return tuple(_removals(theirs.tree, others.tree, body, (), ()))


def _removals(theirs: Tree, others: Tree, value: Json, path: Path, pointer: tuple[str | int, ...]) -> Iterator[Removal]:
    found: list[Removal] = []
    for element, below in theirs.items():
        if element == SELF:
            continue
        place = _place(value, element, theirs)
        if place is None:
            continue
        index, item, tests = place
        here, there = (*path, element), (*pointer, index)
        other = others.get(element)
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


def _place(value: Json, element: str, siblings: Tree) -> tuple[str | int, Json, list[tuple[tuple[str, ...], Json]]] | None:
    """Where an element stands in the live value: key or index, the item, and what to test so that a moved item is not hit."""
    if element.startswith("f:"):
        name = element[2:]
        return (name, value[name], []) if is_object(value) and name in value else None
    if not is_array(value):
        return None
    for index, item in enumerate(value):
        if element.startswith("k:") and is_object(item):
            keys = fields.item_keys(element)
            if all(item.get(name) == wanted for name, wanted in keys):
                return index, item, [((name,), wanted) for name, wanted in keys if name in item]
        elif (element.startswith("v:") and item == fields.item_value(element)) or (element == f"i:{index}" and len(siblings) > 0):
            return index, item, [((), item)]
    return None


def shared_entries(body: JsonObject, ours: FieldSet, *, adopting: bool) -> list[JsonObject] | None:
    """The managedFields list with people's entries relieved of what we declare (or Git's later removals would leave the value to
    them), None where nothing needs to change. When adopting, what is left of those entries moves to a name that is no person's.
    """
    changed = False
    kept: list[JsonObject] = []
    for entry in entries(body):
        if not _relievable(entry):
            kept.append(entry.raw)
            continue
        left = entry.fields.minus(ours)
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


def _relievable(entry: Entry) -> bool:
    return (entry.is_person or entry.manager == BEFORE_FIRST_APPLY) and not entry.subresource


def _merged(kept: list[JsonObject]) -> list[JsonObject]:
    """The API server refuses two entries of one identity: those that got the same name become one."""
    found: dict[bytes, JsonObject] = {}
    for raw in kept:
        identity = codec.canonical([raw.get(name) for name in ("manager", "operation", "apiVersion", "subresource")])
        twin = found.get(identity)
        if twin is not None and raw.get("manager") == ADOPTED_MANAGER:
            union = FieldSet(twin["fieldsV1"]).union(FieldSet(raw["fieldsV1"]))
            found[identity] = {**raw, "fieldsV1": union.tree}
        else:
            found[identity] = raw
    return list(found.values())
