"""Finds the line in which a field of a manifest stands, for people who are sent there. Pure.

The text has been read before, by `guard.render.yaml`; this reads it once more, only as far as the object, when somebody asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import yaml
from msgspec import Struct

from guard.base.codec import Json
from guard.base.errors import RenderError
from guard.render import scalars
from guard.render.pieces import Lines, Piece, pieces
from guard.state import fields
from guard.state.fields import Path

# Bounds on the work, since it is done while a request waits: 10,000 events take 20 ms and are some 500 lines or more.
MOST_CHARACTERS = 256 * 1024  # of one document
MOST_EVENTS = 10_000

_MERGE = "<<"


class _Scalar(Struct, frozen=True):
    line: int
    value: Json


class _Map(Struct, frozen=True):
    """`line` is that of the first key. A merge stands among the entries under `<<`."""

    line: int
    entries: list[tuple[str, int, _Node]]


class _List(Struct, frozen=True):
    line: int
    items: list[_Node]


class _Alias(Struct, frozen=True):
    line: int
    target: _Node | None


_Node: TypeAlias = _Scalar | _Map | _List | _Alias


class _TooMuchError(Exception):
    pass


def lines_of(text: bytes, paths: tuple[Path, ...], *, line: int) -> tuple[int, ...]:
    """The line (from 1) of each path in a file whose object begins in `line`, as Origin has it.

    Of a field that is not there, it is the line of the nearest node above it, at last `line` itself; that is the answer for all
    of them where the text is too large or cannot be read. What an alias or a merge brings in stands where it is used. A Secret's
    `data` is looked for in its `stringData`, too.
    """
    try:
        found = _object(text, line) if paths else None
        if found is not None:
            secret = any(name == "kind" and _plain(value) == "Secret" for name, _, value in found.entries)
            return tuple(max(_reached(found, variant, line) for variant in _variants(path, secret=secret))[1] for path in paths)
    except (yaml.YAMLError, RenderError, RecursionError, _TooMuchError):
        pass  # a refusal without the field's line is still one
    return (line,) * len(paths)


def _variants(path: Path, *, secret: bool) -> Iterator[Path]:
    yield path
    if secret and path[:1] == ("f:data",):
        yield ("f:stringData", *path[1:])


def _reached(node: _Node, path: Path, line: int) -> tuple[int, int]:
    """How many elements of the path are there, and the line of the last of them."""
    depth = 0
    for element in path:
        step = _step(node, element)
        if step is None:
            break
        depth += 1
        line, node = step
        if isinstance(node, _Alias):
            break
    return depth, line


def _step(node: _Node, element: str) -> tuple[int, _Node] | None:
    """The line of an element below a node, and what stands there."""
    if isinstance(node, _Map) and element.startswith("f:"):
        return _field(node, element[2:])
    if isinstance(node, _List):
        item = _item(node.items, element)
        return (item.line, item) if item is not None else None
    return None


def _field(node: _Map, name: str) -> tuple[int, _Node] | None:
    found = None
    for key, line, value in node.entries:
        if key == name:
            found = line, value
        elif key == _MERGE and any(merged == name for part in _merged(value) for merged, _, _ in part.entries):
            # What is merged may stand far away, and its use here is what the object is made of. As in Go, a later merge wins.
            # Merges within merges are not followed: aliases of aliases could make that endless.
            found = line, _Alias(line=line, target=None)
    return found


def _merged(value: _Node) -> Iterator[_Map]:
    target = _target(value)
    for part in target.items if isinstance(target, _List) else (target,):
        inner = _target(part) if part is not None else None
        if isinstance(inner, _Map):
            yield inner


def _item(items: list[_Node], element: str) -> _Node | None:
    if element.startswith("k:"):
        keys = dict(fields.item_keys(element))
        # Keys that the file leaves out count as the default, which is what the element says, unless another item says it itself.
        for least in (len(keys), 1):
            for item in items:
                if _agrees(item, keys, least=least):
                    return item
    elif element.startswith("v:"):
        wanted = fields.item_value(element)
        return next((item for item in items if _plain(item) == wanted), None)
    elif element.startswith("i:") and element[2:].isdecimal() and int(element[2:]) < len(items):
        return items[int(element[2:])]
    return None


def _agrees(item: _Node, keys: dict[str, Json], *, least: int) -> bool:
    node = _target(item)
    if not isinstance(node, _Map):
        return False
    given = {name: step[1] for name in keys if (step := _field(node, name)) is not None}
    return len(given) >= least and all(_plain(value) == keys[name] for name, value in given.items())


def _target(node: _Node) -> _Node | None:
    return node.target if isinstance(node, _Alias) else node


def _plain(node: _Node) -> Json:
    """The value of a scalar; of anything else, nothing that a key or an item of a set could be."""
    target = _target(node)
    return target.value if isinstance(target, _Scalar) else target


# ---- reading


def _object(text: bytes, line: int) -> _Map | None:
    """The object whose first key stands in `line`."""
    for piece in pieces("", text):
        if piece.line <= line <= piece.line + piece.text.count("\n") and len(piece.text) <= MOST_CHARACTERS:
            for node in _objects(_Composer(piece).root()):
                if node.line == line:
                    return node
    return None


def _objects(node: _Node | None) -> Iterator[_Map]:
    """The object itself, or the items of a `kind: List`, as `guard.render.manifests` takes them apart."""
    node = _target(node) if node is not None else None
    if not isinstance(node, _Map):
        return
    kind, items = (_field(node, name) for name in ("kind", "items"))
    listed = _target(items[1]) if items else None
    if kind and str(_plain(kind[1])).endswith("List") and isinstance(listed, _List):
        for item in listed.items:
            yield from _objects(item)
    else:
        yield node


class _Composer:
    """The events of a piece as nodes that know their line."""

    def __init__(self, piece: Piece) -> None:
        self._events = piece.events()
        self._line_at = Lines(piece).at
        self._left = MOST_EVENTS
        self._anchors: dict[str, _Node] = {}

    def root(self) -> _Node | None:
        while isinstance(event := self._next(), (yaml.StreamStartEvent, yaml.DocumentStartEvent)):
            pass
        return None if isinstance(event, yaml.StreamEndEvent) else self._node(event)

    def _next(self) -> yaml.Event:
        self._left -= 1
        if self._left < 0:
            raise _TooMuchError
        return self._events()

    def _node(self, event: yaml.Event) -> _Node:
        line = self._line(event)
        if isinstance(event, yaml.AliasEvent):
            return _Alias(line=line, target=self._anchors.get(event.anchor))
        if isinstance(event, yaml.ScalarEvent):
            node: _Node = _Scalar(line=line, value=_value(event))
        elif isinstance(event, yaml.SequenceStartEvent):
            items: list[_Node] = []
            while not isinstance(item := self._next(), yaml.SequenceEndEvent):
                items.append(self._node(item))
            node = _List(line=line, items=items)
        else:
            entries = list(self._entries())
            node = _Map(line=entries[0][1] if entries else line, entries=entries)
        if isinstance(event, yaml.NodeEvent) and event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _entries(self) -> Iterator[tuple[str, int, _Node]]:
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._node(event)
            # Of keys that are no scalars only aliases of some are allowed.
            name = _name(event) if isinstance(event, yaml.ScalarEvent) else str(_plain(key))
            yield name, key.line, self._node(self._next())

    def _line(self, event: yaml.Event) -> int:
        return self._line_at(event.start_mark.index)


def _value(event: yaml.ScalarEvent) -> Json:
    try:
        return scalars.json_number(scalars.scalar(event.value, tag=event.tag, plain=event.implicit[0]))
    except scalars.ScalarError:
        return event.value


def _name(event: yaml.ScalarEvent) -> str:
    try:
        return scalars.key(scalars.scalar(event.value, tag=event.tag, plain=event.implicit[0]))
    except scalars.ScalarError:
        text: str = event.value
        return text
