"""Reads YAML and JSON into plain values with the line of every object, as kubectl would read them.

libyaml's events are turned into values directly: that takes half the time of PyYAML's loaders, and it is the only way to see
which key stands twice, what an alias expands to, and what Go would make of a scalar.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml
from msgspec import Struct
from yaml._yaml import CParser

from guard.base.codec import Json, JsonObject, is_array, is_object
from guard.base.errors import RenderError
from guard.render import scalars

# No kind's schema nests deeper than a few dozen levels (CustomResourceDefinitions lead).
MOST_LEVELS = 200
# The API server takes no request over 3 MiB: a file whose aliases stand for more than that declares nothing that can be applied.
MOST_ALIASED = 3 * 1024 * 1024

_SURROGATES = re.compile(rb"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")


class Document(Struct, frozen=True):
    """One document. `line_of` has the line of the first key of every object in it."""

    value: Json
    line: int
    lines: dict[int, int]

    def line_of(self, part: Json) -> int:
        """The line (from 1) of `part`, which has to be an object inside `value` itself, not a copy."""
        return self.lines.get(id(part), self.line)


def documents(path: str, data: bytes) -> Iterator[Document]:
    """The documents of a file that are not empty. Raises RenderError with file:line:column; what came before it stands."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _error(path, data, error.start, "is not UTF-8") from error
    # JSON writes a character past U+FFFF as two escapes, which is all that libyaml lacks of JSON.
    data = _SURROGATES.sub(_joined, text.encode()) if path.endswith(".json") else text.encode()
    try:
        yield from _Builder(path, data).documents()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise RenderError(
            ", ".join(part for part in (error.context, error.problem) if part),
            where=f"{path}:{line}:{column}",
            hint="indent with spaces; YAML takes no tabs" if _has_tab(data, line) else "",
        ) from error
    except yaml.reader.ReaderError as error:
        raise _error(path, data, error.position, f"{error.reason}") from error


class _Builder:
    """Turns events into values. One builder reads one file."""

    def __init__(self, path: str, data: bytes) -> None:
        self._path = path
        self._events = CParser(data)
        # An anchor's value and its weight; None while the value is being read.
        self._anchors: dict[str, tuple[Json, int] | None] = {}
        self._lines: dict[int, int] = {}
        # Characters and values so far, what aliases stand for included.
        self._weight = 0
        self._aliased = 0

    def documents(self) -> Iterator[Document]:
        while True:
            event = self._next()
            if isinstance(event, yaml.StreamEndEvent):
                return
            if not isinstance(event, yaml.DocumentStartEvent):
                continue
            self._anchors, self._lines = {}, {}
            first = self._next()
            value = self._value(first, level=0)
            self._next()
            if value is not None:
                line: int = first.start_mark.line + 1
                yield Document(value=value, line=self._lines.get(id(value), line), lines=self._lines)

    def _next(self) -> yaml.Event:
        event = self._events.get_event()
        if event is None:
            raise RenderError("ends in the middle of a document", where=self._path)
        return event

    def _value(self, event: yaml.Event, *, level: int) -> Json:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        anchor: str | None = event.anchor if isinstance(event, yaml.NodeEvent) else None
        before = self._weight
        if anchor:
            self._anchors[anchor] = None
        value = self._read(event, level=level)
        if anchor:
            self._anchors[anchor] = (value, self._weight - before)
        return value

    def _read(self, event: yaml.Event, *, level: int) -> Json:
        if level > MOST_LEVELS:
            raise self._fault(event, f"is nested more than {MOST_LEVELS} levels deep")
        self._weight += 1
        if isinstance(event, yaml.ScalarEvent):
            self._weight += len(event.value)
            try:
                return scalars.json_number(self._scalar(event))
            except scalars.ScalarError as error:
                raise self._fault(event, str(error)) from error
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Json] = []
            while not isinstance(item := self._next(), yaml.SequenceEndEvent):
                items.append(self._value(item, level=level + 1))
            return items
        return self._mapping(event, level=level)

    def _scalar(self, event: yaml.ScalarEvent) -> scalars.Scalar:
        return scalars.scalar(event.value, tag=event.tag, plain=event.implicit[0])

    def _mapping(self, start: yaml.Event, *, level: int) -> JsonObject:
        found: JsonObject = {}
        seen: dict[str, int] = {}
        first = start
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            if first is start:
                first = event
            if isinstance(event, yaml.ScalarEvent) and event.value == "<<" and event.implicit[0]:
                # As Go does it: in order, so that a merge wins over a key that stands before it.
                inner = self._next()
                self._merge(found, self._value(inner, level=level + 1), at=inner)
                continue
            key = self._key(event)
            if key in seen:
                raise self._fault(event, f"the key {key!r} stands twice, first in line {seen[key]}")
            seen[key] = event.start_mark.line + 1
            found[key] = self._value(self._next(), level=level + 1)
        self._lines[id(found)] = first.start_mark.line + 1
        return found

    def _key(self, event: yaml.Event) -> str:
        if isinstance(event, yaml.ScalarEvent):
            try:
                value = self._scalar(event)
                if event.anchor:
                    self._anchors[event.anchor] = (scalars.json_number(value), len(event.value) + 1)
                self._weight += len(event.value)
                return scalars.key(value)
            except scalars.ScalarError as error:
                raise self._fault(event, str(error)) from error
        value = self._alias(event) if isinstance(event, yaml.AliasEvent) else None
        if isinstance(value, (str, int, float)):
            return scalars.key(value)
        raise self._fault(event, "a key has to be a text")

    def _merge(self, into: JsonObject, value: Json, *, at: yaml.Event) -> None:
        # Of several, the earlier wins.
        for part in reversed(value) if is_array(value) else (value,):
            if not is_object(part):
                raise self._fault(at, "`<<` takes an object or a list of objects")
            into.update(part)

    def _alias(self, event: yaml.AliasEvent) -> Json:
        known = self._anchors.get(event.anchor, ())
        if known is None:
            raise self._fault(event, f"the anchor {event.anchor!r} contains itself")
        if not known:
            raise self._fault(event, f"the alias {event.anchor!r} names no anchor")
        value, weight = known
        self._weight += weight
        self._aliased += weight
        if self._aliased > MOST_ALIASED:
            raise self._fault(event, f"the file's aliases stand for more than {MOST_ALIASED // 2**20} MiB")
        return value

    def _fault(self, event: yaml.Event, message: str) -> RenderError:
        mark = event.start_mark
        return RenderError(message, where=f"{self._path}:{mark.line + 1}:{mark.column + 1}")


def _error(path: str, data: bytes, position: int, message: str) -> RenderError:
    before = data[:position]
    line = before.count(b"\n") + 1
    column = position - before.rfind(b"\n")
    return RenderError(message, where=f"{path}:{line}:{column}")


def _has_tab(data: bytes, line: int) -> bool:
    text = data.split(b"\n")[line - 1 : line]
    return bool(text) and b"\t" in text[0][: len(text[0]) - len(text[0].lstrip())]


def _joined(found: re.Match[bytes]) -> bytes:
    high, low = int(found[2], 16), int(found[3], 16)
    return found[1] + b"\\U%08X" % (0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
