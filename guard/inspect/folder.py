"""A folder of this machine as the tree of a revision, read as Guard reads one of a commit."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from guard.base.errors import ConfigError, RenderError
from guard.state.snapshot import Changes, Entry

_GIT = ".git"


class FolderTree:
    """The work tree around a folder, or the folder alone where there is none; a `guard.state.snapshot.Tree`.

    Raises ConfigError for what cannot be read, RenderError for names that cannot be shown.
    """

    def __init__(self, directory: Path) -> None:
        found = directory.resolve()
        self._root = next((above for above in (found, *found.parents) if (above / _GIT).exists()), found)
        inside = found.relative_to(self._root).as_posix()
        # The folder, as trees name it.
        self.folder = "" if inside == "." else inside
        given = directory.as_posix()
        # What stands before the tree's paths where they are shown: the folder's own name comes first, as it was given.
        if not self.folder:
            self._prefix = "" if given == "." else f"{given}/"
        elif given == self.folder or given.endswith(f"/{self.folder}"):
            self._prefix = given.removesuffix(self.folder)
        else:
            self._prefix = f"{self._root.as_posix()}/"

    @property
    def revision(self) -> str:
        return ""

    def shown(self, path: str) -> str:
        """A path of the tree, or a place in one of its files, as who named the folder would write it."""
        return f"{self._prefix}{path}"

    async def id(self, folder: str) -> str:
        return f"now:{folder}"

    async def entries(self, folder: str) -> tuple[Entry, ...]:
        return await asyncio.to_thread(lambda: tuple(sorted(self._entries(folder), key=lambda entry: entry.path)))

    async def changes(self, folder: str, since: str) -> Changes | None:  # noqa: ARG002 (nothing is known of earlier times)
        return None

    async def read(self, blobs: Iterable[str]) -> dict[str, bytes]:
        """Contents by the path that stands in for a blob's name: files are read once."""
        wanted = set(blobs)
        try:
            return await asyncio.to_thread(lambda: {path: (self._root / path).read_bytes() for path in wanted})
        except OSError as error:
            raise self._unreadable(error) from error

    def _entries(self, folder: str) -> Iterator[Entry]:
        top = self._root / folder
        if not top.is_dir():
            what = "is a file, not a folder" if top.exists() else "does not exist"
            raise RenderError(f"the path {self.shown(folder)!r} {what}")
        try:
            yield from self._below(top)
        except OSError as error:
            raise self._unreadable(error) from error

    def _below(self, directory: Path) -> Iterator[Entry]:
        with os.scandir(directory) as found:
            for entry in found:
                path = (directory / entry.name).relative_to(self._root).as_posix()
                if entry.name == _GIT:
                    continue
                if not path.isprintable():
                    raise RenderError(f"the file name {self.shown(path)!r} holds control characters")
                if entry.is_symlink():
                    yield Entry(path=path, blob=path, size=0, type="link")
                elif entry.is_dir():
                    if (directory / entry.name / _GIT).exists():
                        yield Entry(path=path, blob=path, size=0, type="submodule")
                    else:
                        yield from self._below(directory / entry.name)
                elif entry.is_file():
                    yield Entry(path=path, blob=path, size=entry.stat().st_size)

    def _unreadable(self, error: OSError) -> ConfigError:
        return ConfigError(f"cannot be read: {error.strerror}", where=str(error.filename or self.shown(self.folder)))
