"""A tree of a revision in memory, with its contents; what it is asked is counted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from guard.state.snapshot import Changes, Entry, EntryType


class MemoryTree:
    """`files` by path; `links` are symbolic links, `submodules` what their names say. `before` are trees that changes are told
    from.
    """

    def __init__(
        self,
        files: Mapping[str, str | bytes],
        *,
        revision: str = "main@sha1:1",
        links: Iterable[str] = (),
        submodules: Iterable[str] = (),
        before: Iterable[MemoryTree] = (),
    ) -> None:
        self.contents = {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}
        self.listings = 0
        self.comparisons = 0
        self.reads: list[str] = []
        self._revision = revision
        types: dict[str, EntryType] = {**dict.fromkeys(links, "link"), **dict.fromkeys(submodules, "submodule")}
        self._others = tuple(Entry(path=path, blob="0" * 40, size=0, type=kind) for path, kind in types.items())
        self._before = {tree.name: tree for tree in before}

    @property
    def name(self) -> str:
        return hashlib.sha1(repr(sorted(self.contents.items())).encode(), usedforsecurity=False).hexdigest()

    @property
    def revision(self) -> str:
        return self._revision

    async def id(self, folder: str) -> str:
        return f"{self.name}:{folder}"

    def all(self, folder: str) -> dict[str, Entry]:
        files = (Entry(path=path, blob=_blob(data), size=len(data)) for path, data in self.contents.items())
        return {
            entry.path: entry
            for entry in sorted((*files, *self._others), key=lambda entry: entry.path)
            if not folder or entry.path.startswith(f"{folder}/")
        }

    async def entries(self, folder: str) -> tuple[Entry, ...]:
        self.listings += 1
        return tuple(self.all(folder).values())

    async def changes(self, folder: str, since: str) -> Changes | None:
        self.comparisons += 1
        name, _, old_folder = since.partition(":")
        known = self._before.get(name)
        if known is None or old_folder != folder:
            return None
        old, new = known.all(folder), self.all(folder)
        put = tuple(entry for path, entry in new.items() if old.get(path) != entry)
        return Changes(put=put, gone=tuple(path for path in old if path not in new))

    async def read(self, blobs: Iterable[str]) -> dict[str, bytes]:
        wanted = set(blobs)
        found = {_blob(data): data for data in self.contents.values() if _blob(data) in wanted}
        self.reads += sorted(path for path, data in self.contents.items() if _blob(data) in wanted)
        return found


def _blob(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()
