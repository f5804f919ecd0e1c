"""A declared object beside the live one, field by field: what differs, and whose each field is."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from guard.admission.message import Locate
from guard.admission.values import hidden, shown_pair, shown_path, shown_value
from guard.base.codec import Json, JsonObject, is_array, is_object
from guard.state import drift, fields
from guard.state.additions import additions, allowed_additions
from guard.state.desired import Declared, View
from guard.state.drift import Change, Nature
from guard.state.equality import MISSING, same
from guard.state.fields import FieldSet, Path
from guard.state.ids import LABEL_PATH
from guard.state.managed import entries, our_fields, reaches, reaches_below
from guard.state.policy import Left
from guard.state.secrecy import Secrecy

_NATURES = {Nature.ORDER: " (order)", Nature.DUPLICATE: " (twice)"}


class DeclaredField(msgspec.Struct, frozen=True, rename="camel"):
    """A field that Git declares. `git` and `live` are texts, empty where there is no value; `line` is where the file has it."""

    path: str
    git: str
    live: str
    same: bool
    line: int
    managed_by: tuple[str, ...]


class OtherField(msgspec.Struct, frozen=True, rename="camel"):
    """A field that Git does not declare. `addition` says that people put it there who may not: healing takes it away."""

    path: str
    live: str
    addition: bool
    managed_by: tuple[str, ...]


class FieldDifference(msgspec.Struct, frozen=True, rename="camel"):
    """A field that is not as Git says, or that people added. `git` and `live` are texts, empty where there is no value; `line` is
    where the file has it, 0 for what Git does not declare; `managed_by` are the field managers that set it in the cluster.
    """

    path: str
    git: str
    live: str
    line: int = 0
    managed_by: tuple[str, ...] = ()


class Compared:
    """A declared object beside the live one. `git` is what an apply would make of it, None where the API server would not say;
    `left` is what is left to others.
    """

    def __init__(self, declared: Declared, live: JsonObject | None, git: JsonObject | None, *, view: View, left: Left) -> None:
        self._declared = declared
        self._live: JsonObject = live or {}
        self._left = left
        self._is_known = live is not None and git is not None
        self.ours = our_fields(git) if git is not None else view.fields(declared).union(our_fields(self._live))
        self._git = git if git is not None else view.git(declared)
        self._entries = tuple(entries(self._live))
        self._changes = tuple(self._changed()) if self._is_known else ()
        self._additions = tuple(self._added()) if live is not None else ()

    @property
    def is_drifted(self) -> bool:
        return bool(self._changes or self._additions)

    def _changed(self) -> Iterator[Change]:
        """From Git's values to the live ones: each declared field that is not Git's, and Git is no candidate for forgiveness."""
        stored = drift.project(self._git, self.ours.tree, manifest=self._declared.body)
        found = drift.changes(self._git, self._live, git=stored, declared=self.ours.tree)
        for change in drift.settled(found, granular=self._is_granular):
            if change.nature is not Nature.ADDITION:
                yield change

    def _is_granular(self, path: Path) -> bool:
        return any(reaches_below(entry.fields, path) for entry in self._entries)

    def _added(self) -> Iterator[Path]:
        """What people added, that healing takes away."""
        allowed = allowed_additions(self._declared.key, scale=self._declared.scale)
        both = self.ours.union(our_fields(self._live))
        for removal in additions(self._live, both, allowed=allowed, left=self._left):
            yield removal.path

    def differences(self, locate: Locate) -> tuple[FieldDifference, ...]:
        """What is not as Git says, by path: declared fields, as few as say it all, and what people added."""
        secrecy = self._declared.secrecy
        lines = locate(self._declared, tuple(change.path for change in self._changes)).lines
        found = [
            FieldDifference(
                path=written(change.path, secrecy) + _NATURES.get(change.nature, ""),
                git=git,
                live=live,
                line=line,
                managed_by=self._managed_by(change.path),
            )
            for change, line in zip(self._changes, lines, strict=True)
            for git, live in [shown_beside(change.git, change.new, change.path, secrecy)]
        ]
        found += [
            FieldDifference(
                path=written(path, secrecy),
                git="",
                live=shown(value_at(self._live, path), path, secrecy),
                managed_by=self._managed_by(path),
            )
            for path in self._additions
        ]
        return tuple(sorted(found, key=lambda field: field.path))

    def declared_fields(self, locate: Locate) -> tuple[DeclaredField, ...]:
        """Every field, and the lists whose order is not Git's. Our own label is shown where it is wrong."""
        secrecy = self._declared.secrecy
        wrong = [change.path for change in self._changes if change.nature is not Nature.ORDER]
        orders = [change for change in self._changes if change.nature is Nature.ORDER]
        paths = tuple(path for path in leaves(self.ours) if path != LABEL_PATH or path in wrong)
        lines = locate(self._declared, (*paths, *(change.path for change in orders))).lines
        found: list[DeclaredField] = []
        for path, line in zip(paths, lines, strict=False):
            git, live = value_at(self._git, path), value_at(self._live, path)
            is_same = not any(path[: len(other)] == other for other in wrong) if self._is_known else same(git, live)
            texts = (shown(git, path, secrecy), shown(live, path, secrecy)) if is_same else shown_beside(git, live, path, secrecy)
            managed_by = self._managed_by(path)
            found.append(DeclaredField(written(path, secrecy), *texts, same=is_same, line=line, managed_by=managed_by))
        for change, line in zip(orders, lines[len(paths) :], strict=True):
            texts = shown_beside(change.git, change.new, change.path, secrecy)
            path = written(change.path, secrecy) + _NATURES[change.nature]
            found.append(DeclaredField(path, *texts, same=False, line=line, managed_by=()))
        return tuple(found)

    def other_fields(self) -> tuple[OtherField, ...]:
        """What others have beside the declared fields, statuses aside."""
        found: dict[Path, None] = {}
        for entry in self._entries:
            if not entry.is_ours and entry.subresource != "status":
                found |= dict.fromkeys(leaves(entry.fields.minus(self.ours)))
        secrecy = self._declared.secrecy
        return tuple(
            OtherField(
                path=written(path, secrecy),
                live=shown(live, path, secrecy),
                addition=any(path[: len(other)] == other for other in self._additions),
                managed_by=self._managed_by(path),
            )
            for path in found
            for live in [value_at(self._live, path)]
            if path[0] != "f:status" and live is not MISSING
        )

    def _managed_by(self, path: Path) -> tuple[str, ...]:
        return tuple(dict.fromkeys(entry.manager for entry in self._entries if reaches(entry.fields, path)))


def leaves(owned: FieldSet) -> Iterator[Path]:
    """The owned fields that hold values: a map or list item that is owned itself is told by its fields."""
    paths = [*owned.paths()]
    above = {path[:length] for path in paths for length in range(1, len(path))}
    return (path for path in paths if path not in above)


def value_at(value: Json, path: Path) -> Json:
    """The value at a path; MISSING where there is none."""
    for element in path:
        if element.startswith("f:"):
            value = value.get(element[2:], MISSING) if is_object(value) else MISSING
        elif is_array(value):
            value = next((item for place, item in enumerate(value) if _is_item(item, place, element)), MISSING)
        else:
            return MISSING
    return MISSING if value is None else value


def _is_item(item: Json, place: int, element: str) -> bool:
    if element.startswith("k:"):
        return is_object(item) and all(item.get(name) == wanted for name, wanted in fields.item_keys(element))
    return element == f"i:{place}" or (element.startswith("v:") and same(item, fields.item_value(element)))


def shown(value: Json, path: Path, secrecy: Secrecy) -> str:
    """A value for people."""
    return hidden(value) if secrecy.hides(path) else shown_value(value)


def shown_beside(git: Json, live: Json, path: Path, secrecy: Secrecy) -> tuple[str, str]:
    """Two values that differ, so that it shows where they do."""
    return (hidden(git), hidden(live)) if secrecy.hides(path) else shown_pair(git, live)


def written(path: Path, secrecy: Secrecy) -> str:
    """A path for people."""
    return shown_path(secrecy.shown(path))
