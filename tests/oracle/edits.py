"""What a change does to an object, as data: edits at places of it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Literal

import msgspec

from guard.base.codec import Json, JsonObject, is_array, is_object
from tests.oracle.kinds import Path

Action = Literal["set", "remove", "insert"]

_SYSTEM = frozenset(
    {"managedFields", "uid", "resourceVersion", "generation", "creationTimestamp", "name", "namespace", "selfLink"}
)


class Edit(msgspec.Struct, frozen=True):
    """`sort` is what it is meant to be; `set` and `insert` (before an item of a list) put `value` at the path."""

    sort: str
    action: Action
    path: Path
    value: Json = None


def edited(body: JsonObject, edits: tuple[Edit, ...]) -> JsonObject:
    """A copy with the edits made; one whose place is not there is left out."""
    found = copy.deepcopy(body)
    for edit in edits:
        _edit(found, edit)
    return found


def _edit(body: JsonObject, edit: Edit) -> None:
    place = _parent(body, edit.path)
    last, value = edit.path[-1], copy.deepcopy(edit.value)
    if is_object(place) and isinstance(last, str):
        if edit.action == "remove":
            place.pop(last, None)
        else:
            place[last] = value
    elif is_array(place) and isinstance(last, int):
        if edit.action == "insert":
            place.insert(last, value)
        else:
            place[last : last + 1] = [] if edit.action == "remove" else [value]


def _parent(body: JsonObject, path: Path) -> Json:
    """What holds the last step, maps made on the way; None where the way ends."""
    place: Json = body
    for step in path[:-1]:
        if is_object(place) and isinstance(step, str):
            if place.get(step) is None:
                place[step] = {}
            place = place[step]
        elif is_array(place) and isinstance(step, int) and step < len(place):
            place = place[step]
        else:
            return None
    return place


def at(body: Json, path: Path) -> Json:
    """What stands there; None where nothing does."""
    for step in path:
        if is_object(body) and isinstance(step, str):
            body = body.get(step)
        elif is_array(body) and isinstance(step, int) and step < len(body):
            body = body[step]
        else:
            return None
    return body


def places(value: Json, path: Path = ()) -> Iterator[tuple[Path, Json]]:
    """Every field and item below, but for what is the API server's, with its value."""
    steps: list[tuple[str | int, Json]] = []
    if is_object(value):
        hidden = {"apiVersion", "kind", "status"} if not path else _SYSTEM if path == ("metadata",) else frozenset[str]()
        steps = [(name, item) for name, item in value.items() if name not in hidden]
    elif is_array(value):
        steps = list(enumerate(value))
    for step, item in steps:
        below = (*path, step)
        if below != ("metadata",):
            yield below, item
        yield from places(item, below)
