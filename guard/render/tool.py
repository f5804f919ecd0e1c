"""What Kustomize and Helm have in common for those who render: inputs that can be named, and a stream of documents that say where
they come from.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Protocol

from msgspec import Struct, structs

from guard.render.opened import Opened
from guard.state.ids import Manifest, Origin
from guard.state.snapshot import Tree

# `---` in the first column parts documents wherever it stands: YAML allows it in no scalar of a mapping.
_SEPARATOR = re.compile(rb"^---(?=[ \t\r\n]|\Z)", re.MULTILINE)
# A document's end and directives, which belong to the document that follows. No tool writes them of its own accord.
_UNUSUAL = re.compile(rb"^(?:\.\.\.(?=[ \t\r\n]|\Z)|%)", re.MULTILINE)
_CONTENT = re.compile(rb"^(?:---(?=[ \t\r\n]|\Z))?+[ \t]*+[^\s#]", re.MULTILINE)
_SOURCE = re.compile(rb"\A---\n# Source: ([^\n]*)\n")


class Output(Struct, frozen=True):
    """A stream of YAML whose documents, taken apart by `documents`, are what `Tool.place` takes. `opened` are the encrypted files
    that it was made of; it may be kept on a disk only if it `is_kept`.
    """

    data: bytes
    opened: tuple[Opened, ...] = ()
    is_kept: bool = True


class Tool(Protocol):
    """One run of a tool on a folder, with all its options but the files. Knows nothing between two calls."""

    @property
    def via(self) -> str:
        """As `Origin.via` has it: `Kustomize clusters/prod`."""
        ...

    async def key(self, tree: Tree) -> str:
        """Names all that the output hangs on: with the same key it is the same. Costs listings and small files, not a run.

        Raises RenderError for what is refused, SourceError where a file is not at hand.
        """
        ...

    async def build(self, tree: Tree) -> Output:
        """Raises RenderError for what is refused and what the tool finds wrong, and when it takes too long or too much;
        SourceError where a file is not at hand.
        """
        ...

    def place(self, text: bytes, manifest: Manifest) -> Manifest:
        """A manifest of one document of the output with the file that the tool made it of. `text` is that document."""
        ...


def documents(output: bytes) -> Iterator[bytes]:
    """The documents of a stream that hold something, each from its `---`, comments included.

    A stream with directives or with ends of documents comes as one piece.
    """
    return filter(holds_something, pieces(output))


def pieces(output: bytes) -> Iterator[bytes]:
    """All documents of a stream, those among them that hold nothing but comments."""
    start = 0
    if not _UNUSUAL.search(output):
        for found in _SEPARATOR.finditer(output):
            yield output[start : found.start()]
            start = found.start()
    yield output[start:]


def holds_something(document: bytes) -> bool:
    return _CONTENT.search(document) is not None


def sourced(document: bytes, *, path: str) -> bytes:
    """A document that says which file it was made of, a path from the source's root, in the form that Helm made known."""
    return b"---\n# Source: " + path.encode() + b"\n" + _SEPARATOR.sub(b"", document, count=1).lstrip(b"\r\n")


def source_of(document: bytes) -> tuple[str, bytes] | None:
    """What a document says it was made of, and the document without that; None where it says nothing."""
    found = _SOURCE.match(document)
    return (found[1].decode(errors="backslashreplace"), document[found.end() :]) if found else None


def placed(text: bytes, manifest: Manifest, *, via: str) -> Manifest:
    """The manifest of a document that `sourced` made, with that file; no line, since there is none in it."""
    found = source_of(text)
    return structs.replace(manifest, origin=Origin(file=found[0] if found else "", line=0, via=via))
