"""Sets of fields as the API server writes them in `metadata.managedFields` (FieldsV1).

A set is a tree. Its elements are `f:<name>` (a field or map key), `k:<json>` (a list item by its keys), `v:<json>` (an
item of a set by its value), `i:<n>` (an item by its place) and `.` (the node itself). A node without children is a leaf:
an atomic value, or a map or list that was empty when it was set. The source of these rules is
sigs.k8s.io/structured-merge-diff, `fieldpath/serialize.go`.

Clients write managedFields, so a set never fails to parse for what stands in it. What the API server would not understand is left
out; what lies deeper than 100 elements counts as one with the node there; an element's value that is no object counts as empty.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias
from weakref import WeakValueDictionary

from guard.base import codec
from guard.base.codec import Json, JsonObject, is_object
from guard.base.remembered import Remembered
from guard.state import elements
from guard.state.elements import SELF, find, item_keys, item_value, key_element, key_names, value_element
from guard.state.equality import MISSING
from guard.state.notation import label, parse_written, written

__all__ = [
    "EMPTY",
    "SELF",
    "FieldSet",
    "Path",
    "Tree",
    "at",
    "item_keys",
    "item_value",
    "key_element",
    "key_names",
    "label",
    "parse_written",
    "spelled",
    "value_element",
    "written",
]

Tree: TypeAlias = "Mapping[str, Tree]"
Path: TypeAlias = tuple[str, ...]

DEEPEST = 100
# What `parse_raw` remembers: 1,600 sets of 5 KB that all differ; as trees they take some ten times that.
REMEMBERED_BYTES = 8 * 1024 * 1024
_LEAF: Tree = {}


class FieldSet:
    """An immutable set of fields. Equal sets made by `parse` are one object: objects of one shape share their memory."""

    __slots__ = ("__weakref__", "tree")

    def __init__(self, tree: Tree) -> None:
        """Of a tree that is well formed, its elements in their one spelling."""
        self.tree = tree

    @classmethod
    def parse(cls, raw: JsonObject) -> FieldSet:
        """The set for one managedFields entry's decoded `fieldsV1`."""
        return _intern(_parsed(raw, 0) or _LEAF)

    @classmethod
    def parse_raw(cls, raw: bytes) -> FieldSet:
        """The same from its bytes; those met lately are not decoded again. Raises DecodeError for what is no JSON object."""
        known = _remembered.get(raw)
        if known is None:
            decoded = codec.at_any_depth(codec.decode, raw)
            if not is_object(decoded):
                raise codec.DecodeError("a set of fields has to be a JSON object")
            known = cls.parse(decoded)
            _remembered.put(raw, known)
        return known

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FieldSet) and (self.tree is other.tree or self.tree == other.tree)

    def __hash__(self) -> int:
        return hash(codec.canonical(self.tree))

    def __bool__(self) -> bool:
        return bool(self.tree)

    def __repr__(self) -> str:
        return f"FieldSet({', '.join(written(path) for path in self.paths())})"

    def union(self, other: FieldSet) -> FieldSet:
        if not other.tree or self.tree is other.tree or self.tree == other.tree:
            return self
        return FieldSet(_union(self.tree, other.tree)) if self.tree else other

    def intersection(self, other: FieldSet) -> FieldSet:
        """What is in both sets."""
        if self.tree == other.tree:
            return self
        return FieldSet(_intersection(self.tree, other.tree) or _LEAF)

    def minus(self, other: FieldSet) -> FieldSet:
        """What is in this set and not in the other; a node whose children all go, goes."""
        if not other.tree:
            return self
        return FieldSet(_minus(self.tree, other.tree) or _LEAF)

    def paths(self) -> Iterator[Path]:
        """Every owned path: leaves, and nodes owned themselves (`.`), parents before their children."""
        return _paths(self.tree, ())

    def __contains__(self, path: Path) -> bool:
        node = self.below(path)
        return node is not None and bool(path) and _owns_itself(node)

    def below(self, path: Path) -> Tree | None:
        """The tree below a path; None where the set holds nothing at it or below."""
        node: Tree | None = self.tree
        for element in path:
            node = node.get(element)
            if node is None:
                return None
        return node

    def walk(self, body: Json) -> Iterator[tuple[Path, Json]]:
        """Every owned path with its value in an object, MISSING where it is not there; both items of a doubled list key."""
        return _walk(self.tree, body, ())


EMPTY = FieldSet(_LEAF)


def at(body: Json, path: Path) -> Json:
    """The value at a path; MISSING where there is none, or null. Where a list key stands twice, the last item (as with
    environment variables).
    """
    for element in path:
        found = find(body, element)
        if not found or found[-1] is None:
            return MISSING
        body = found[-1]
    return body


def every(body: Json, path: Path) -> list[Json]:
    """All values at a path, null aside; more than one where a list key stands twice."""
    found: list[Json] = [body]
    for element in path:
        found = [value for item in found for value in find(item, element)]
    return [value for value in found if value is not None]


_remembered: Remembered[FieldSet] = Remembered(REMEMBERED_BYTES)
_interned: WeakValueDictionary[bytes, FieldSet] = WeakValueDictionary()


def _intern(tree: Tree) -> FieldSet:
    key = codec.canonical(tree)
    known = _interned.get(key)
    if known is None:
        known = FieldSet(tree)
        _interned[key] = known
    return known


def _parsed(raw: Json, depth: int) -> Tree | None:
    """A node of what a client wrote, None where nothing is left of it. Leaves share their memory."""
    if not is_object(raw) or depth == DEEPEST:
        return None
    tree: dict[str, Tree] = {}
    for name, below in raw.items():
        element = elements.spelled(name)
        if element is not None:
            child = (_parsed(below, depth + 1) if below and element != SELF else None) or _LEAF
            tree[element] = _union(tree[element], child) if element in tree else child
    # A node that is owned itself, and nothing below it, is a leaf.
    return None if tree.keys() <= {SELF} else tree


def _union(left: Tree, right: Tree) -> Tree:
    if not left or not right:
        # A leaf owns itself; beside children that ownership is written `.`.
        rest = left or right
        return {SELF: _LEAF, **rest} if rest else _LEAF
    merged = dict(left)
    for element, child in right.items():
        mine = merged.get(element)
        if mine is None:
            merged[element] = child
        elif mine is not child and mine != child:
            merged[element] = _union(mine, child)
    return merged


def _intersection(left: Tree, right: Tree) -> Tree | None:
    """None where nothing is left."""
    own = _owns_itself(left) and _owns_itself(right)
    kept: dict[str, Tree] = {}
    for element, child in left.items():
        other = right.get(element)
        if other is not None and element != SELF:
            rest = child if child is other or child == other else _intersection(child, other)
            if rest is not None:
                kept[element] = rest
    if own and kept:
        kept[SELF] = _LEAF
    return kept if kept or own else None


def _minus(left: Tree, right: Tree) -> Tree | None:
    """None where nothing is left."""
    own = _owns_itself(left) and not _owns_itself(right)
    kept: dict[str, Tree] = {}
    for element, child in left.items():
        if element == SELF:
            continue
        other = right.get(element)
        # Most sets differ in a field or two, and Python compares what is equal faster than any walk in it (0.05 of the time).
        rest = child if other is None else None if child is other or child == other else _minus(child, other)
        if rest is not None:
            kept[element] = rest
    if own and kept:
        kept[SELF] = _LEAF
    return kept if kept or own else None


def _owns_itself(tree: Tree) -> bool:
    return not tree or SELF in tree


def _paths(tree: Tree, prefix: Path) -> Iterator[Path]:
    if prefix and _owns_itself(tree):
        yield prefix
    for element, child in tree.items():
        if element != SELF:
            yield from _paths(child, (*prefix, element))


def _walk(tree: Tree, value: Json, prefix: Path) -> Iterator[tuple[Path, Json]]:
    if prefix and _owns_itself(tree):
        yield prefix, MISSING if value is None else value
    for element, child in tree.items():
        if element != SELF:
            for item in find(value, element) or (MISSING,):
                yield from _walk(child, item, (*prefix, element))


def spelled(items: Tree) -> Tree:
    """The items of a list under the elements that `key_element` and `value_element` write for them. Sets made by `parse` have
    them already; it matters for trees taken from managedFields as they are.
    """
    if not any("\\" in element for element in items):
        return items
    return {elements.spelled(element) or element: child for element, child in items.items()}
