"""A tree of files in memory, for what needs no repository."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from guard.base.errors import RenderError
from guard.state.snapshot import Changes, Entry


class MemoryTree:
    def __init__(self, files: Mapping[str, str | bytes], *, links: Iterable[str] = ()) -> None:
        self._contents = {path: data.encode() if isinstance(data, str) else data for path, data in files.items()}
        self._links = frozenset(links)

    @property
    def revision(self) -> str:
        return "main@sha1:" + "0" * 40

    async def id(self, folder: str) -> str:
        return _hash(repr(await self.entries(folder)).encode())

    async def entries(self, folder: str) -> tuple[Entry, ...]:
        below = sorted(path for path in self._contents if not folder or path.startswith(f"{folder}/"))
        if not below:
            raise RenderError(f"the path {folder!r} does not exist in {self.revision}")
        return tuple(
            Entry(path=path, blob=_hash(data), size=len(data), type="link" if path in self._links else "file")
            for path in below
            for data in (self._contents[path],)
        )

    async def changes(self, folder: str, since: str) -> Changes | None:
        del folder, since

    async def read(self, blobs: Iterable[str]) -> dict[str, bytes]:
        by_blob = {_hash(data): data for data in self._contents.values()}
        return {blob: by_blob[blob] for blob in blobs}


def _hash(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()
