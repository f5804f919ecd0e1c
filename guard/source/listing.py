"""Reads what git says about trees: `ls-tree`, `diff-tree` and `cat-file`."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence

from msgspec import Struct

from guard.base.errors import RenderError, SourceError
from guard.state.snapshot import Entry, EntryType

# The API server stores no object over 1.5 MiB; a file of more than ten times that is not a manifest.
MOST_IN_FILE = 16 * 1024 * 1024
# The size of a file that was left out of the copy since it is larger than that: all that is known of it.
LARGER = MOST_IN_FILE + 1
# What Linux takes for a path and for a name in it (PATH_MAX, NAME_MAX): tools that work on files could not be given longer ones.
MOST_IN_PATH, MOST_IN_NAME = 4096, 255
# Four times what people have been seen to nest folders.
MOST_DEPTH = 100
_LENGTHS = f"{MOST_IN_PATH} bytes at most, {MOST_IN_NAME} in a name, and {MOST_DEPTH} folders"

OBJECT = re.compile(r"[0-9a-f]{40}")

_TYPES: dict[str, EntryType] = {"120000": "link", "160000": "submodule"}
_DELETED = "D"
# Kinds of space that Python does not count as printable, but people have in names: those of macOS' screenshots, for one.
_SPACE = "Zs"


class Change(Struct, frozen=True):
    """A line of `diff-tree`. `blob` is of the new content, and empty where the path is gone."""

    path: str
    blob: str
    type: EntryType


def listed(output: bytes, *, folder: str, revision: str, wanted: Callable[[str], bool]) -> Iterator[Entry]:
    """Read the output of `ls-tree -r -z -l`: `<mode> <type> <id> <size>TAB<path>NUL`. Raises RenderError for odd names."""
    for line in _parts(output):
        described, _, name = line.partition(b"\t")
        mode, _, blob, size = described.decode().split()
        if path := checked(name, folder=folder, revision=revision, wanted=wanted):
            # git writes `BAD` where it does not have the content, and `-` for a submodule.
            known = int(size) if size.isdigit() else LARGER
            kind = _TYPES.get(mode, "file")
            yield Entry(path=path, blob=blob, size=0 if kind == "submodule" else known, type=kind)


def changed(output: bytes, *, folder: str, revision: str, wanted: Callable[[str], bool]) -> Iterator[Change]:
    """Read the output of `diff-tree -r -z --raw`: `:<mode> <mode> <id> <id> <status>NUL<path>NUL`. Raises RenderError for odd
    names.
    """
    parts = _parts(output)
    for described, name in zip(parts, parts, strict=True):
        _, mode, _, blob, status = described.decode().split()
        if path := checked(name, folder=folder, revision=revision, wanted=wanted):
            yield Change(path=path, blob="" if status == _DELETED else blob, type=_TYPES.get(mode, "file"))


def sizes(output: bytes, blobs: Sequence[str]) -> dict[str, int]:
    """Read the output of `cat-file --batch-check=%(objectsize)` for these blobs; LARGER for those that are not in the copy."""
    lines = output.decode().splitlines()
    return {blob: int(line) if line.isdigit() else LARGER for blob, line in zip(blobs, lines, strict=True)}


def contents(output: bytes, blobs: Iterable[str]) -> Iterator[tuple[str, bytes | None]]:
    """Read the output of `cat-file --batch` for these blobs: `<id> blob <size>LF<content>LF`, or `<id> missing`, which gives
    None. Raises SourceError for anything else.
    """
    at = 0
    for blob in blobs:
        end = output.find(b"\n", at)
        header = output[at:end].decode(errors="replace").split()
        at = end + 1
        if header == [blob, "missing"]:
            yield blob, None
            continue
        if end < 0 or header[:2] != [blob, "blob"]:
            raise SourceError(f"the local copy is damaged at {blob}", hint="remove its folder to fetch it anew")
        yield blob, output[at : at + int(header[2])]
        at += int(header[2]) + 1


def _parts(output: bytes) -> Iterator[bytes]:
    """What NUL ends. A generator, so that a long listing is not held twice."""
    at = 0
    while (end := output.find(b"\0", at)) >= 0:
        yield output[at:end]
        at = end + 1


def checked(name: bytes, *, folder: str, revision: str, wanted: Callable[[str], bool]) -> str:
    """The path from the root, empty for what is not wanted. Raises RenderError for one that cannot be shown or leads out."""
    inside = name.decode(errors="backslashreplace")
    path = f"{folder}/{inside}" if folder else inside
    parts = name.split(b"/")
    # Before patterns are held against it, which takes the longer the more there is to try.
    if len(name) + len(folder) > MOST_IN_PATH or len(parts) > MOST_DEPTH or max(map(len, parts)) > MOST_IN_NAME:
        raise RenderError(f"the path {path[:64]!r}... is too long", where=revision, hint=_LENGTHS)
    if not wanted(path):
        return ""
    if not _is_printable(path) or inside.encode() != name:
        raise RenderError(f"the file name {path!r} holds control characters or is not UTF-8", where=revision)
    # git itself makes none of these, but a tree can be forged.
    if not {b"", b".", b".."}.isdisjoint(parts):
        raise RenderError(f"the path {path!r} leads out of its folder, or has an empty name in it", where=revision)
    return path


def _is_printable(text: str) -> bool:
    return text.isprintable() or all(each.isprintable() or unicodedata.category(each) == _SPACE for each in text)
