"""Sets of fields as the API server writes them in `metadata.managedFields` (FieldsV1).

A set is a tree. Its elements are `f:<name>` (a field or map key), `k:<json>` (a list item by its keys), `v:<json>` (an
item of a set by its value), `i:<n>` (an item by its place) and `.` (the node itself). A node without children is a leaf:
an atomic value, or a map or list that was empty when it was set. The source of these rules is
sigs.k8s.io/structured-merge-diff, `fieldpath/serialize.go`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TypeAlias
from weakref import WeakValueDictionary

from guard.base import codec
from guard.base.codec import Json, JsonObject

Tree: TypeAlias = "Mapping[str, Tree]"
Path: TypeAlias = tuple[str, ...]

SELF = "."
_LEAF: Tree = {}


class FieldSet:
    """An immutable set of fields. Equal sets made by `parse` are one object: objects of one shape share their memory."""

    __slots__ = ("__weakref__", "tree")

    def __init__(self, tree: Tree) -> None:
        self.tree = tree

    @classmethod
    def parse(cls, raw: JsonObject) -> FieldSet:
        """The set for one managedFields entry's decoded `fieldsV1`."""
        key = codec.canonical(raw)
        known = _interned.get(key)
        if known is None:
            known = cls(raw)
            _interned[key] = known
        return known

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FieldSet) and self.tree == other.tree

    def __hash__(self) -> int:
        return hash(codec.canonical(self.tree))

    def __bool__(self) -> bool:
        return bool(self.tree)

    def union(self, other: FieldSet) -> FieldSet:
        if not other.tree or self.tree == other.tree:
            return self
        return FieldSet(_union(self.tree, other.tree)) if self.tree else other

    def minus(self, other: FieldSet) -> FieldSet:
        """What is in this set and not in the other; a node whose children all go, goes."""
        return FieldSet(_minus(self.tree, other.tree) or _LEAF)

    def paths(self) -> Iterator[Path]:
        """Every owned path: leaves, and nodes owned themselves (`.`), parents before their children."""
        return _paths(self.tree, ())

    def __contains__(self, path: Path) -> bool:
        node: Tree | None = self.tree
        for element in path:
            node = node.get(element)
            if node is None:
                return False
        return _owns_itself(node)


EMPTY = FieldSet(_LEAF)
_interned: WeakValueDictionary[bytes, FieldSet] = WeakValueDictionary()


def _union(left: Tree, right: Tree) -> Tree:
    if not left or not right:
        # A leaf owns itself; beside children that ownership is written `.`.
        rest = left or right
        return {SELF: _LEAF, **rest} if rest else _LEAF
    merged = dict(left)
    for element, child in right.items():
        mine = merged.get(element)
        merged[element] = child if mine is None else _union(mine, child)
    return merged


def _minus(left: Tree, right: Tree) -> Tree | None:
    """None where nothing is left."""
    own = _owns_itself(left) and not _owns_itself(right)
    kept: dict[str, Tree] = {}
    for element, child in left.items():
        if element == SELF:
            continue
        other = right.get(element)
        rest = child if other is None else _minus(child, other)
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


@lru_cache(maxsize=4096)
def item_keys(element: str) -> tuple[tuple[str, Json], ...]:
    """The keys of a `k:` element, as (name, value) in the order written (the API server sorts them by name)."""
    return tuple(codec.decode(element[2:].encode()).items())


@lru_cache(maxsize=4096)
def item_value(element: str) -> Json:
    """The value of a `v:` element."""
    return codec.decode(element[2:].encode())


def spelled(items: Tree) -> Tree:
    """The items of a list under the elements that `key_element` and `value_element` write for them: the API server escapes
    `<`, `>` and `&` (Go's JSON does), and one spelling is needed to find an item's element.
    """
    if not any("\\" in element for element in items):
        return items
    return {_spelled(element) if "\\" in element else element: child for element, child in items.items()}


@lru_cache(maxsize=4096)
def _spelled(element: str) -> str:
    if element.startswith("k:"):
        return key_element(dict(item_keys(element)), tuple(name for name, _ in item_keys(element)))
    return value_element(item_value(element)) if element.startswith("v:") else element


def key_element(item: JsonObject, names: tuple[str, ...]) -> str:
    """The `k:` element that names a list item by those of its keys that it has."""
    return "k:" + codec.encode({name: item[name] for name in names if name in item}).decode()


def value_element(value: Json) -> str:
    return "v:" + codec.encode(value).decode()


_PLAIN_NAME = re.compile(r"[A-Za-z0-9_$-]+")


def written(path: Path) -> str:
    """The path as people write it: `spec.template.spec.containers[name=web].image`, `metadata.labels[example.com/team]`."""
    text = ""
    for element in path:
        if element.startswith("f:"):
            name = element[2:]
            if _PLAIN_NAME.fullmatch(name):
                text += f".{name}" if text else name
            else:
                text += f"[{name}]"
        elif element.startswith("k:"):
            text += "[" + ",".join(f"{name}={_scalar(value)}" for name, value in item_keys(element)) + "]"
        elif element.startswith("v:"):
            text += f"[{_scalar(item_value(element))}]"
        else:
            text += f"[{element.removeprefix('i:')}]"
    return text


def _scalar(value: Json) -> str:
    return value if isinstance(value, str) else codec.encode(value).decode()
