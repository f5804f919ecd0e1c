"""What Git declared of a live object, as far as the object says so itself: for a start at which nothing else can tell."""

from __future__ import annotations

from guard.base.codec import Json, JsonObject, child, children, is_array, is_object
from guard.state import drift, fields
from guard.state.equality import MISSING
from guard.state.fields import FieldSet, Path, Tree
from guard.state.ids import LABEL_PATH, Kind
from guard.state.managed import entries, held_by, our_fields, reaches_below
from guard.state.taints import TAINTS

# Under that name the API server records what nobody owned when managedFields began.
BEFORE_FIRST_APPLY = "before-first-apply"


def is_ours(live: JsonObject) -> bool:
    """Our Apply entry owns the label, no controller owns the object, and it is not about to go."""
    metadata = child(live, "metadata")
    is_controlled = any(owner.get("controller") for owner in children(metadata, "ownerReferences"))
    return LABEL_PATH in our_fields(live) and not is_controlled and not metadata.get("deletionTimestamp")


def is_others(live: JsonObject) -> bool:
    """Somebody else put the label there. An object whose label nobody owns may be ours: its managedFields were wiped."""
    holders = {entry.manager for entry in entries(live) if LABEL_PATH in entry.fields}
    return bool(holders - {BEFORE_FIRST_APPLY}) and not is_ours(live)


def manifest_of(live: JsonObject, kind: Kind) -> JsonObject | None:
    """Of an object that is ours: the fields that our Apply entry holds, with the values that they have. Those were applied last,
    since whoever changes a value takes the field. None where the object does not tell: our entry is of another version, or names
    taints, which are one value with those of others.

    What was declared empty and filled by defaults cannot be told from an atomic value, and counts as declared with what is there.
    """
    held = list(entries(live))
    ours = next((entry for entry in held if entry.is_ours), None)
    if ours is None or ours.api_version != kind.api_version or (kind.kind == "Node" and TAINTS in ours.fields):
        return None
    found = _with_defaulted_keys(drift.project(live, ours.fields.tree, manifest={}), ours.fields.tree)
    theirs = held_by(entry for entry in held if not entry.is_ours)
    for path in _filled_by_others(found, ours.fields, theirs):
        found = _emptied(found, path)
    for path in ours.fields.paths():
        if fields.at(found, path) is MISSING:
            # Declared as false, 0 or empty, which is not stored: null says so, too, and keeps the field ours.
            found = _with_null(found, path)
    metadata = child(live, "metadata")
    named = {name: metadata[name] for name in ("name", "namespace") if metadata.get(name)}
    body = {name: value for name, value in found.items() if name not in {"apiVersion", "kind", "metadata", "status"}}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {**named, **child(found, "metadata")}, **body}


def _filled_by_others(body: JsonObject, ours: FieldSet, theirs: FieldSet) -> list[Path]:
    """What was declared empty, and others have put something in."""
    return [
        path
        for path in ours.paths()
        if (value := fields.at(body, path)) and (is_object(value) or is_array(value)) and not ours.below(path)
        if reaches_below(theirs, path)
    ]


def _emptied(body: Json, path: Path) -> Json:
    """The object with an empty map or list at a path."""
    if not path:
        return {} if is_object(body) else []
    if is_object(body):
        name = path[0][2:]
        return {**body, name: _emptied(body[name], path[1:])}
    found = fields.every(body, path[:1])
    return [_emptied(item, path[1:]) if any(item is one for one in found) else item for item in body]


def _with_null(body: Json, path: Path) -> Json:
    """The object with null at a path; as it is where the path leads through an item that is not there."""
    element, rest = path[0], path[1:]
    if element.startswith("f:"):
        given = body if is_object(body) else {}
        return {**given, element[2:]: _with_null(given.get(element[2:]), rest) if rest else None}
    if not rest or not is_array(body):
        return body
    items = fields.every(body, (element,))
    return [_with_null(item, rest) if any(item is one for one in items) else item for item in body]


def _with_defaulted_keys(body: Json, declared: Tree) -> Json:
    """The object without keys of list items that Git left to their default, as it can the protocol of ports: applied, they would
    become ours.
    """
    if is_object(body):
        return {
            name: _with_defaulted_keys(value, declared[f"f:{name}"]) if f"f:{name}" in declared else value
            for name, value in body.items()
            if not (name == "protocol" and value == "TCP" and f"f:{name}" not in declared)
        }
    names = fields.key_names(declared)
    if not names or not is_array(body):
        return body
    items = [(item, declared.get(fields.key_element(item, names))) for item in body]
    return [item if below is None else _with_defaulted_keys(item, below) for item, below in items]
