"""The JSON patches by which Guard takes away what others put on a declared object, each for one version of it."""

from __future__ import annotations

from collections.abc import Iterable

from guard.base.codec import JsonObject
from guard.state import fields
from guard.state.additions import Removal
from guard.state.equality import same
from guard.state.fields import EMPTY, FieldSet, Path
from guard.state.managed import entries, held_by, held_to_version, replacing


def of(body: JsonObject, *, removals: Iterable[Removal], kept: list[JsonObject] | None) -> list[JsonObject]:
    """The patch of an object that takes the additions away, and leaves these entries of managedFields; all of them with None."""
    found = held_to_version(body) if kept is None else replacing(body, kept)
    for removal in removals:
        found += _operations(removal)
    return found


def _operations(removal: Removal) -> list[JsonObject]:
    tests: list[JsonObject] = [{"op": "test", "path": _pointer(pointer), "value": value} for pointer, value in removal.tests]
    return [*tests, {"op": "remove", "path": _pointer(removal.pointer)}]


def _pointer(steps: tuple[str | int, ...]) -> str:
    """RFC 6901."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


def stands(before: JsonObject, after: JsonObject, path: Path) -> bool:
    """Whether a patch that took a field away left it as it was."""
    was, now = fields.every(before, path), fields.every(after, path)
    return bool(now) and same(was, now)


def owned_at(paths: Iterable[Path], body: JsonObject) -> FieldSet:
    """What the entries of an object hold at and below the paths."""
    found, held = EMPTY, held_by(entries(body))
    for path in paths:
        below = held.below(path)
        if below is not None:
            for element in reversed(path):
                below = {element: below}
            found = found.union(FieldSet(below))
    return found
