"""What a source hands to a renderer: the files of one revision, named before they are read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Protocol, TypeAlias

import msgspec

EntryType: TypeAlias = Literal["file", "link", "submodule"]

# A pointer's keys are sorted but for the version, which comes first, and it is no longer than this
# (https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md). The second is what the first releases wrote.
_LFS_VERSIONS = (b"version https://git-lfs.github.com/spec/v", b"version https://hawser.github.com/spec/v")
_LONGEST_LFS_POINTER = 1024


class Entry(msgspec.Struct, frozen=True):
    """A file of a revision, or what stands in its place. `path` is from the source's root; `blob` names the content, so that what
    was made of it can be kept; `size` is in bytes.
    """

    path: str
    blob: str
    size: int
    type: EntryType = "file"


class Changes(msgspec.Struct, frozen=True):
    """What differs between two folders: entries that are new or other than before, and paths that are gone."""

    put: tuple[Entry, ...]
    gone: tuple[str, ...]


class Tree(Protocol):
    """The files of one revision. Paths are from the source's root, whose own is empty; folders end without a slash."""

    @property
    def revision(self) -> str: ...

    async def id(self, folder: str) -> str:
        """Names what the folder holds: with the same id it holds the same. Raises RenderError where there is no such folder."""
        ...

    async def entries(self, folder: str) -> tuple[Entry, ...]:
        """All that is at and below the folder, sorted by path. Raises RenderError where there is no such folder."""
        ...

    async def changes(self, folder: str, since: str) -> Changes | None:
        """What differs in the folder from the id that it had at another time; None where that cannot be told any more.
        Costs what the difference costs. Raises RenderError where there is no such folder.
        """
        ...

    async def read(self, blobs: Iterable[str]) -> dict[str, bytes]:
        """Contents of files. Raises SourceError where one is not at hand."""
        ...


def is_lfs_pointer(data: bytes) -> bool:
    """Whether a file only says where Git LFS keeps its content."""
    return len(data) < _LONGEST_LFS_POINTER and data.startswith(_LFS_VERSIONS) and b"\noid " in data


class File(msgspec.Struct, frozen=True):
    """`path` is from the source's root; `blob` names the content, so that what was made of it can be kept."""

    path: str
    blob: str
    data: bytes
