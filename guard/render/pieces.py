"""Takes a file apart into its documents, as kubectl does: JSON values in a row, or YAML between lines of `---`. Pure.

kubectl gives its YAML library one piece at a time and never looks at what that leaves unread, so a document that begins in any
other way would be lost in silence: `Piece.rest` finds it.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator
from typing import cast

import yaml
from msgspec import Struct
from yaml._yaml import CParser

from guard.base.errors import RenderError
from guard.render import jsonevents

LOOKED_AT = 4096  # where kubectl looks for the `{` of JSON

_SPACE = re.compile(r"[ \t\r\n]*+")
_LINE_END = re.compile(r"[ \t\r]*+\n?")
_EMPTY = re.compile(r"(?:---(?=[\r\n]))?[ \r\n]*+")
_BYTE_ORDER_MARK = re.compile(r"(?<=[\r\n\x85\u2028\u2029])\ufeff")
_NOTHING = re.compile(r"(?:[ \t\r\n\x85\u2028\u2029\ufeff]++|#[^\r\n\x85\u2028\u2029]*+|\.\.\.(?=\s|\Z))*+")
_DIRECTIVE = re.compile(r"\ufeff?(?:[ \t]*+(?:#[^\r\n\x85\u2028\u2029]*+)?[\r\n\x85\u2028\u2029])*+%")


class Piece(Struct, frozen=True):
    """One document of a file, which may be empty: `text` begins in `line` (from 1), behind `column` characters."""

    path: str
    text: str
    line: int
    column: int
    is_json: bool

    def events(self) -> Callable[[], yaml.Event]:
        """Gives libyaml's events, or the same made of JSON, one at each call. A mark's index counts the piece's characters."""
        if self.is_json:
            return jsonevents.events(self.text).__next__
        # It returns None only when asked once more after the end of the stream.
        return cast("Callable[[], yaml.Event]", CParser(self.text).get_event)

    def is_empty(self) -> bool:
        """Whether nothing stands there, not even a comment."""
        return _EMPTY.fullmatch(self.text) is not None

    def rest(self, index: int) -> int | None:
        """Where the next thing stands from there on that is more than space, a comment or a `...`; None where there is none."""
        found = _NOTHING.match(self.text, index)
        return None if found is None or found.end() == len(self.text) else found.end()

    def check(self) -> None:
        """Raises RenderError for what libyaml would read in another way than kubectl."""
        if self.is_json:
            return
        if found := _DIRECTIVE.match(self.text):
            raise self.fault(found.end() - 1, "kubectl takes no directives", hint="leave out the lines that begin with %")
        # libyaml passes over it, and Go takes it for the beginning of a name.
        if "\ufeff" in self.text and (found := _BYTE_ORDER_MARK.search(self.text)):
            raise self.fault(found.start(), "a byte order mark in the middle of a document", hint="remove it")

    def is_indented_by_tab(self, index: int) -> bool:
        """Whether the line of a mark's index begins with a tab, spaces before it aside."""
        line = self.text[self.text.rfind("\n", 0, index) + 1 :]
        return line.lstrip(" ").startswith("\t")

    def fault(self, index: int, message: str, *, hint: str = "") -> RenderError:
        """What is wrong at a mark's index."""
        line, column = _place(self.text[:index])
        column += self.column if line == 0 else 0
        return RenderError(message, where=f"{self.path}:{self.line + line}:{column + 1}", hint=hint)


class Lines:
    """Counts the lines of a piece, not as libyaml does, but as Git. Asked in the order of the text, it reads that once."""

    def __init__(self, piece: Piece) -> None:
        self._text = piece.text
        self._first = self._line = piece.line
        self._index = 0

    def at(self, index: int) -> int:
        """The line of a mark's index."""
        if index < self._index:
            self._index, self._line = 0, self._first
        self._line += self._text.count("\n", self._index, index)
        self._index = index
        return self._line


def pieces(path: str, data: bytes) -> Iterator[Piece]:
    """The documents of a file. Raises RenderError with file:line:column; what came before it stands."""
    cut = _Cut(path, _decoded(path, data))
    if cut.file[:LOOKED_AT].lstrip(" \t\r\n").startswith("{"):
        yield from cut.json()
    yield from cut.yaml()


class _Cut:
    """Cuts pieces off a file."""

    def __init__(self, path: str, file: str) -> None:
        self.file = file
        self._path = path
        self._start, self._line, self._column = 0, 1, 0

    def json(self) -> Iterator[Piece]:
        count = 0
        while end := self._json_end():
            yield self._piece(end, is_json=True)
            count += 1
        left = _after(_SPACE, self.file, self._start)
        if count > 1 and left < len(self.file):
            raise self._fault(left, "is not JSON, as all before it is", hint="put it into a file of its own")
        # One JSON value may still be the beginning of a YAML file.
        self._piece(_after(_LINE_END, self.file, self._start), is_json=False)

    def _json_end(self) -> int:
        """The end of the JSON value that stands next; 0 where none does."""
        try:
            return _JSON.raw_decode(self.file, _after(_SPACE, self.file, self._start))[1]
        except (ValueError, RecursionError):
            return 0

    def yaml(self) -> Iterator[Piece]:
        at = self._separator(self._start)
        while at >= 0:
            end = self.file.find("\n", at) + 1 or len(self.file)
            # The first line of a piece stays with it.
            parted = at > self._start
            if parted:
                yield self._piece(at, is_json=False)
            behind = self.file[at + 3 : end]
            told = behind.strip()
            if told and not told.startswith("#"):
                index = end - len(behind.lstrip())
                raise self._fault(index, "kubectl takes nothing but a comment after `---`", hint="put it into the next line")
            if parted:
                self._piece(end, is_json=False)
            at = self._separator(end)
        yield self._piece(len(self.file), is_json=False)

    def _separator(self, start: int) -> int:
        """Where a line of `---` begins, from the beginning of a line on; -1 where none does."""
        if self.file.startswith("---", start):
            return start
        found = self.file.find("\n---", start)
        return found if found < 0 else found + 1

    def _piece(self, end: int, *, is_json: bool) -> Piece:
        text = self.file[self._start : end]
        line, column = self._line, self._column
        lines, last = _place(text)
        self._start, self._line, self._column = end, line + lines, last if lines else column + last
        if not is_json:
            # kubectl ends the last line, too, and so the text of a block that stands in it.
            text = text.removeprefix("\ufeff").replace("\r\n", "\n")
            text = text if text.endswith("\n") else f"{text}\n"
        return Piece(path=self._path, text=text, line=line, column=column, is_json=is_json)

    def _fault(self, index: int, message: str, *, hint: str) -> RenderError:
        return _fault(self._path, self.file[:index], message, hint=hint)


def _decoded(path: str, data: bytes) -> str:
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_BE, codecs.BOM_UTF16_LE)) else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        before = data[: error.start].decode(encoding)
        raise _fault(path, before, f"is not {encoding.removesuffix('-sig').upper()}") from error


def _fault(path: str, before: str, message: str, *, hint: str = "") -> RenderError:
    """What is wrong behind the first characters of a file."""
    line, column = _place(before)
    return RenderError(message, where=f"{path}:{line + 1}:{column + 1}", hint=hint)


def _place(before: str) -> tuple[int, int]:
    """The lines, and the characters of the last one. Lines are those that Git, editors and web pages count."""
    return before.count("\n"), len(before) - before.rfind("\n") - 1


def _after(pattern: re.Pattern[str], text: str, index: int) -> int:
    found = pattern.match(text, index)
    return found.end() if found else index


def _refused(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


# Only the end of a value is asked for, so that numbers, which may have any length, are left as they are.
_JSON = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_refused)
