"""Reads YAML and JSON into plain values with the line of every object, as kubectl would read them.

libyaml's events are turned into values directly: that takes half the time of PyYAML's loaders, and it is the only way to see
which key stands twice, what an alias expands to, and what Go would make of a scalar.
"""

from __future__ import annotations

from collections.abc import Iterator

import yaml
from msgspec import Struct

from guard.base.codec import Json, JsonObject, is_object
from guard.base.errors import RenderError
from guard.render import scalars
from guard.render.pieces import Lines, Piece, pieces

# No kind's schema nests deeper than a few dozen levels (CustomResourceDefinitions lead).
MOST_LEVELS = 200
# The API server takes no request over 3 MiB: a file whose aliases stand for more than that declares nothing that can be applied.
MOST_ALIASED = 3 * 1024 * 1024

LONGEST_NAME = 80  # that is shown: a message is one line for a terminal
# `[2001:db8::]`, which kubectl reads as a text.
_HINTS = {"found unexpected ':'": "between brackets, put a text that ends with a colon in quotes"}


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
    aliased = 0
    for piece in pieces(path, data):
        if piece.is_empty():
            continue
        builder = _Builder(piece, aliased=aliased)
        document = builder.document()
        aliased = builder.aliased
        if document is not None:
            yield document


class _Anchored(Struct, frozen=True):
    """What an anchor stands for, and how many characters that takes. A scalar is kept as it is before its way through JSON."""

    value: Json
    weight: int


class _Builder:
    """Turns the events of one piece into values."""

    def __init__(self, piece: Piece, *, aliased: int) -> None:
        self.aliased = aliased  # characters that the file's aliases stand for, so far
        self._piece = piece
        self._next = piece.events()
        # None while the value is being read.
        self._anchors: dict[str, _Anchored | None] = {}
        self._line = Lines(piece).at
        self._lines: dict[int, int] = {}
        self._end = 0  # of the collection that was read last

    def document(self) -> Document | None:
        """The piece's document, if there is one that is more than null."""
        piece = self._piece
        piece.check()
        try:
            return self._document()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            at = mark.index if mark else 0
            hint = (
                "indent with spaces; YAML takes no tabs" if piece.is_indented_by_tab(at) else _HINTS.get(error.problem or "", "")
            )
            raise piece.fault(at, ", ".join(told for told in (error.context, error.problem) if told), hint=hint) from error
        except yaml.reader.ReaderError as error:
            before = piece.text.encode()[: error.position].decode(errors="ignore")
            raise piece.fault(len(before), f"{error.reason}") from error

    def _document(self) -> Document | None:
        while isinstance(first := self._next(), (yaml.StreamStartEvent, yaml.DocumentStartEvent)):
            pass
        if isinstance(first, yaml.StreamEndEvent):
            return None
        line = self._line(first.start_mark.index)
        value = self._value(first, 0)
        if (rest := self._piece.rest(self._next().end_mark.index)) is not None:
            hint = "indent it as what is before it, or put a line of `---` between them"
            raise self._piece.fault(rest, "kubectl would leave out what stands here", hint=hint)
        return None if value is None else Document(value=value, line=self._lines.get(id(value), line), lines=self._lines)

    def _value(self, event: yaml.Event, level: int) -> Json:
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event)
            return value if isinstance(value, str) else self._json(value, event)
        if isinstance(event, yaml.AliasEvent):
            return self._json(self._alias(event), event)
        if level > MOST_LEVELS:
            raise self._fault(event, f"is nested more than {MOST_LEVELS} levels deep")
        anchor: str | None = event.anchor if isinstance(event, yaml.CollectionStartEvent) else None
        before = self.aliased
        if anchor:
            self._anchors[anchor] = None
        value = self._sequence(level + 1) if isinstance(event, yaml.SequenceStartEvent) else self._mapping(event, level + 1)
        # Inside of the value another may have got the name.
        if anchor and self._anchors[anchor] is None:
            weight = self._end - event.start_mark.index + self.aliased - before
            self._anchors[anchor] = _Anchored(value=value, weight=weight)
        return value

    def _sequence(self, level: int) -> list[Json]:
        items: list[Json] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._value(event, level))
        self._end = event.end_mark.index
        return items

    def _mapping(self, start: yaml.Event, level: int) -> JsonObject:
        found: JsonObject = {}
        given: dict[str, yaml.Mark] = {}  # no events: there may be a million
        event = self._next()
        line = self._line((start if isinstance(event, yaml.MappingEndEvent) else event).start_mark.index)
        while not isinstance(event, yaml.MappingEndEvent):
            key = self._key(event)
            if key == "<<" and _is_merge(event):
                self._merge(found, self._next(), level)
            elif key in given:
                first = Lines(self._piece).at(given[key].index)
                raise self._fault(event, f"the key {_shown(key)} stands twice, first in line {first}")
            else:
                given[key] = event.start_mark
                found[key] = self._value(self._next(), level)
            event = self._next()
        self._end = event.end_mark.index
        self._lines[id(found)] = line
        return found

    def _merge(self, into: JsonObject, event: yaml.Event, level: int) -> None:
        """As Go does it: in order, so that a merge wins over a key that stands before it; of several, the earlier wins."""
        value = self._value(event, level)
        for part in reversed(value) if isinstance(event, yaml.SequenceStartEvent) else (value,):
            if not is_object(part):
                raise self._fault(event, "`<<` takes an object or a list of objects")
            into.update(part)

    def _key(self, event: yaml.Event) -> str:
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event)
        else:
            value = self._alias(event) if isinstance(event, yaml.AliasEvent) else ()
        if isinstance(value, str):
            return value
        if is_object(value) or isinstance(value, (list, tuple)):
            raise self._fault(event, "a key has to be a text")
        try:
            return scalars.key(value)
        except scalars.ScalarError as error:
            raise self._fault(event, str(error)) from error

    def _scalar(self, event: yaml.ScalarEvent) -> scalars.Scalar:
        value = event.value
        if event.tag is not None:
            value = self._tagged(event)
        elif event.implicit[0] and value[:1] in scalars.FIRST:
            value = scalars.resolved(value)
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchored(value=value, weight=event.end_mark.index - event.start_mark.index)
        return value

    def _tagged(self, event: yaml.ScalarEvent) -> scalars.Scalar:
        if not event.value and self._piece.text.startswith(",", event.end_mark.index):
            raise self._fault(event, "a tag has to end with a space: Go takes a comma for a part of it")
        try:
            return scalars.scalar(event.value, tag=event.tag, plain=event.implicit[0])
        except scalars.ScalarError as error:
            raise self._fault(event, str(error)) from error

    def _json(self, value: Json, event: yaml.Event) -> Json:
        try:
            return scalars.json_number(value)
        except scalars.ScalarError as error:
            raise self._fault(event, str(error)) from error

    def _alias(self, event: yaml.AliasEvent) -> Json:
        """What the anchor stands for; a scalar before its way through JSON."""
        if event.anchor not in self._anchors:
            # Its name is not shown: a password that begins with `*` and stands there without quotes looks like one.
            raise self._fault(event, "the alias names no anchor", hint="put a text that begins with `*` in quotes")
        known = self._anchors[event.anchor]
        if known is None:
            raise self._fault(event, f"the anchor {_shown(event.anchor)} contains itself")
        self.aliased += known.weight
        if self.aliased > MOST_ALIASED:
            raise self._fault(event, f"the file's aliases stand for more than {MOST_ALIASED // 2**20} MiB")
        return known.value

    def _fault(self, event: yaml.Event, message: str, *, hint: str = "") -> RenderError:
        return self._piece.fault(event.start_mark.index, message, hint=hint)


def _is_merge(event: yaml.Event) -> bool:
    return isinstance(event, yaml.ScalarEvent) and (event.implicit[0] or event.tag == scalars.MERGE)


def _shown(name: str) -> str:
    return repr(name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}...")
