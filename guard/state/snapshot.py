"""What a source hands to a renderer: the files of one revision."""

from __future__ import annotations

import msgspec


class File(msgspec.Struct, frozen=True):
    """`path` is from the source's root; `blob` names the content, so that what was made of it can be kept."""

    path: str
    blob: str
    data: bytes


class Snapshot(msgspec.Struct, frozen=True):
    """The files of `revision` at and below `path` (from the source's root, empty for the root itself), sorted by path."""

    revision: str
    path: str
    files: tuple[File, ...]
