"""From the files of a revision to manifests that know their place, at the cost of what changed since the last one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from msgspec import Struct

from guard.base.errors import RenderError
from guard.render.ignoring import is_ignore_file
from guard.render.manifests import Fault, FaultsError, Parsed
from guard.render.parse import Parser
from guard.render.plain import MOST_IN_ALL, is_manifest, may_be_manifest
from guard.render.texts import Texts
from guard.state.ids import Manifest, Origin
from guard.state.snapshot import Entry, File, Tree, is_lfs_pointer

# Files are read and parsed in batches, so that no more of a large repository than this is in memory as text.
BATCH_BYTES = 8 * 1024 * 1024

# The manifests of a revision in groups that come and go together: of one file, or of one document that a tool wrote. What did not
# change since the last revision is the same tuple.
Groups: TypeAlias = Mapping[str, tuple[Manifest, ...]]


class _Plain(Struct, frozen=True):
    """A folder of plain manifests as it was rendered last. `ignoring` are the ignore files in it, by path."""

    folder: str
    id: str
    files: dict[str, Entry]
    ignoring: dict[str, bytes]
    groups: dict[str, tuple[Manifest, ...]]


class Renderer:
    """One for each Sync, since it remembers what it rendered last; `texts` are given what it reads."""

    def __init__(self, parser: Parser, *, texts: Texts | None = None) -> None:
        self._parser = parser
        self._texts = texts if texts is not None else Texts()
        self._plain = _Plain(folder="", id="", files={}, ignoring={}, groups={})

    async def render(self, tree: Tree, folder: str) -> Groups:
        """Raises RenderError with the first fault of all files, the others in its hint, and SourceError."""
        return await self._rendered_plain(tree, folder)

    async def _rendered_plain(self, tree: Tree, folder: str) -> Groups:
        known = self._plain
        folder_id = await tree.id(folder)
        if (known.folder, known.id) != (folder, folder_id):
            self._plain = await self._updated(tree, folder, folder_id=folder_id)
        self._texts.hold(tree.revision, self._plain.files)
        return self._plain.groups

    async def _updated(self, tree: Tree, folder: str, *, folder_id: str) -> _Plain:
        known = self._plain
        changes = await tree.changes(folder, known.id) if known.id and known.folder == folder else None
        ignoring = known.ignoring
        if changes is None or any(map(is_ignore_file, (*(entry.path for entry in changes.put), *changes.gone))):
            # From the start; what is known of a file holds all the same.
            entries = await tree.entries(folder)
            ignoring = await _ignore_files(tree, entries)
            files = {entry.path: entry for entry in await self._selected(entries, folder=folder, ignoring=ignoring)}
            put = [entry for path, entry in files.items() if known.files.get(path) != entry]
        else:
            put = await self._selected(changes.put, folder=folder, ignoring=ignoring)
            files = {**known.files}
            for path in (*changes.gone, *(entry.path for entry in changes.put)):
                files.pop(path, None)
            files |= {entry.path: entry for entry in put}
        if sum(entry.size for entry in files.values()) > MOST_IN_ALL:
            where = f"{folder or '.'} in {tree.revision}"
            raise RenderError(f"the manifests are larger than {MOST_IN_ALL // 2**20} MiB", where=where)
        fresh = await self._read(tree, put)
        groups = {path: fresh[path] if path in fresh else known.groups[path] for path in files}
        return _Plain(folder=folder, id=folder_id, files=files, ignoring=ignoring, groups=groups)

    async def _selected(self, entries: Iterable[Entry], *, folder: str, ignoring: dict[str, bytes]) -> list[Entry]:
        """Those of the entries that are manifests."""
        found = [entry for entry in entries if may_be_manifest(entry.path, folder=folder)]
        if ignoring and found:
            out = await self._parser.left_out([entry.path for entry in found], ignoring)
            found = [entry for entry in found if entry.path not in out]
        return [entry for entry in found if is_manifest(entry)]

    async def _read(self, tree: Tree, entries: list[Entry]) -> dict[str, tuple[Manifest, ...]]:
        """The manifests of files. Raises RenderError with all faults in them."""
        found: dict[str, tuple[Manifest, ...]] = {}
        faults: list[Fault] = []
        for batch in _batches(entries):
            blobs = await tree.read({entry.blob for entry in batch})
            files = [File(path=entry.path, blob=entry.blob, data=blobs[entry.blob]) for entry in batch]
            for file in files:
                if is_lfs_pointer(file.data):
                    raise RenderError("is kept in Git LFS, from which Guard does not fetch", where=file.path)
            await asyncio.to_thread(self._texts.add, blobs)
            for file, parsed in zip(files, await self._parser.parse(files), strict=True):
                faults += parsed.faults
                found[file.path] = _placed(file.path, parsed)
        if faults:
            raise FaultsError(faults)
        return found


async def _ignore_files(tree: Tree, entries: Iterable[Entry]) -> dict[str, bytes]:
    files = {entry.path: entry.blob for entry in entries if is_ignore_file(entry.path) and entry.type == "file"}
    blobs = await tree.read(set(files.values())) if files else {}
    return {path: blobs[blob] for path, blob in files.items()}


def _batches(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        batch.append(entry)
        size += entry.size
        if size > BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _placed(path: str, parsed: Parsed) -> tuple[Manifest, ...]:
    return tuple(Manifest(body=found.body, origin=Origin(file=path, line=found.line)) for found in parsed.manifests)
