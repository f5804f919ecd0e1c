"""From the files of a revision to manifests that know their place, at the cost of what changed since the last one."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping
from typing import Literal, TypeAlias, TypeVar

from msgspec import Struct, structs

from guard.base.errors import RenderError
from guard.render.confidential import marked
from guard.render.decrypt import Decryption, Encrypted, needed
from guard.render.detect import Form, decides, detect
from guard.render.encrypted import format_of
from guard.render.ignoring import is_ignore_file
from guard.render.manifests import Fault, FaultsError, Parsed
from guard.render.parse import Parser
from guard.render.plain import MOST_IN_ALL, is_manifest, may_be_manifest
from guard.render.texts import Texts
from guard.render.tool import Output, Tool, documents
from guard.state.ids import Manifest, Origin
from guard.state.snapshot import Changes, Entry, File, Tree, is_lfs_pointer

# Files are read and parsed in batches, so that no more of a large repository than this is in memory as text, and so that what is
# done with a batch in one go does not hold up the loop: for so many files that takes 4 ms at a time.
BATCH_BYTES = 8 * 1024 * 1024
BATCH_FILES = 2500
# Most that cannot be rendered stays so. What the load of the machine caused is tried again, after ten minutes at the longest.
SAID_AGAIN = 10

# The manifests of a revision in groups that come and go together: of one file, or of one document that a tool wrote. What did not
# change since the last revision is the same tuple.
Groups: TypeAlias = Mapping[str, tuple[Manifest, ...]]


T = TypeVar("T")

# The tool for a form; None where its files are read as plain manifests.
MakeTool: TypeAlias = Callable[[Form], Awaitable[Tool | None]]


async def no_tool(_form: Form) -> Tool | None:
    return None


class _Plain(Struct, frozen=True):
    """A folder of plain manifests as it was rendered last. `ignoring` are the ignore files in it, by path; `encrypted` are files
    that were, and `keys` names what opened them.
    """

    folder: str
    id: str
    files: dict[str, Entry]
    ignoring: dict[str, bytes]
    groups: dict[str, tuple[Manifest, ...]]
    encrypted: frozenset[str] = frozenset()
    keys: str = ""


class _Made(Struct, frozen=True):
    """What a tool made last, and of which inputs; whether some of them were encrypted."""

    key: str
    via: str
    groups: dict[str, tuple[Manifest, ...]]
    is_of_opened: bool = False


class _Refused(Struct, frozen=True):
    """What could not be rendered last, why, and how many more times that is said without another try."""

    what: str
    told: Fault
    left: int


class _Detected(Struct, frozen=True):
    """What a folder was last found to be."""

    folder: str
    id: str
    form: Form


class Renderer:
    """One for each Sync, since it remembers what it rendered last; `texts` are given the files that it reads."""

    def __init__(self, parser: Parser, *, texts: Texts | None = None) -> None:
        self._parser = parser
        self._texts = texts if texts is not None else Texts()
        self._detected = _Detected(folder="", id="", form="YAML")
        self._plain = _Plain(folder="", id="", files={}, ignoring={}, groups={})
        self._made = _Made(key="", via="", groups={})
        self._refused = _Refused(what="", told=Fault(where="", message=""), left=0)

    async def render(
        self,
        tree: Tree,
        folder: str,
        *,
        form: Form | Literal["Auto"] = "Auto",
        tool: MakeTool = no_tool,
        decryption: Decryption | None = None,
    ) -> Groups:
        """The manifests of a folder of plain ones, or what the tool of its form makes of it; `Auto` goes by what it holds.
        `decryption` opens plain ones that are encrypted; with other keys than before all those are opened again.

        Raises RenderError with the first fault of all files, the others in its hint, and SourceError.
        """
        tree = _Listed(tree)
        found = await self._form(tree, folder) if form == "Auto" else form
        made_by = await tool(found)
        return await (self._rendered_by(made_by, tree) if made_by else self._rendered_plain(tree, folder, decryption))

    async def _form(self, tree: Tree, folder: str) -> Form:
        known, folder_id = self._detected, await tree.id(folder)
        if (known.folder, known.id) != (folder, folder_id):
            changes = await tree.changes(folder, known.id) if known.id and known.folder == folder else None
            form = known.form
            if changes is None or any(
                decides(path, folder=folder) for path in (*(put.path for put in changes.put), *changes.gone)
            ):
                form = detect(await tree.entries(folder), folder)
            self._detected = _Detected(folder=folder, id=folder_id, form=form)
        return self._detected.form

    async def _rendered_by(self, tool: Tool, tree: Tree) -> Groups:
        key = await tool.key(tree)
        if self._made.key != key:
            self._made = await self._anew(key, self._built(tool, tree, key=key))
        self._texts.hold(tree.revision, {})
        return self._made.groups

    async def _anew(self, what: str, work: Coroutine[None, None, T]) -> T:
        """Do the work, unless it has failed for the same before: what takes a minute to fail is not to be done every minute."""
        refused = self._refused
        if refused.what == what and refused.left:
            work.close()
            self._refused = structs.replace(refused, left=refused.left - 1)
            raise RenderError(refused.told.message, where=refused.told.where, hint=refused.told.hint)
        try:
            return await work
        except RenderError as error:
            # Not the error itself, whose frames hold all that was read.
            told = Fault(where=error.where, message=error.message, hint=error.hint)
            self._refused = _Refused(what=what, told=told, left=SAID_AGAIN)
            raise

    async def _built(self, tool: Tool, tree: Tree, *, key: str) -> _Made:
        known = await self._parser.made(key)
        if known is not None:
            output = Output(data=known)
        else:
            async with self._parser.turns:
                output = await tool.build(tree)
        groups = await self._taken_apart(tool, output)
        if output.opened or self._made.is_of_opened:
            values = await self._parser.secrets_of(output.opened)
            groups = await asyncio.to_thread(marked, groups, values=values, files={each.file.path for each in output.opened})
        # All of it could be read.
        if output.is_kept:
            await self._parser.keep_made(key, output.data)
        return _Made(key=key, via=tool.via, groups=groups, is_of_opened=bool(output.opened))

    async def _taken_apart(self, tool: Tool, output: Output) -> dict[str, tuple[Manifest, ...]]:
        """The manifests of each document, named by its content. Raises RenderError with all faults in them."""
        known = self._made.groups if self._made.via == tool.via else {}
        texts = await asyncio.to_thread(_named, output.data)
        fresh = [File(path=_place(tool, text), blob=name, data=text) for name, text in texts.items() if name not in known]
        made: dict[str, tuple[Manifest, ...]] = {}
        faults: list[Fault] = []
        results = await (self._parser.parse_alone(fresh) if output.opened else self._parser.parse(fresh))
        for file, parsed in zip(fresh, results, strict=True):
            # Lines are those of the output, which nobody has before him.
            faults += [structs.replace(fault, where=file.path) for fault in parsed.faults]
            made[file.blob] = tuple(tool.place(file.data, manifest) for manifest in _placed(file.path, parsed))
        if faults:
            raise FaultsError(faults)
        return {name: made[name] if name in made else known[name] for name in texts}

    async def _rendered_plain(self, tree: Tree, folder: str, decryption: Decryption | None) -> Groups:
        known = self._plain
        folder_id = await tree.id(folder)
        keys = decryption.digest if decryption is not None else ""
        if (known.folder, known.id) != (folder, folder_id) or (known.encrypted and known.keys != keys):
            work = self._updated(tree, folder, folder_id=folder_id, decryption=decryption)
            self._plain = await self._anew(f"{folder} {folder_id} {keys}", work)
        self._texts.hold(tree.revision, self._plain.files)
        return self._plain.groups

    async def _updated(self, tree: Tree, folder: str, *, folder_id: str, decryption: Decryption | None) -> _Plain:
        known = self._plain
        keys = decryption.digest if decryption is not None else ""
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
        if known.keys != keys:
            fresh_ones = {entry.path for entry in put}
            put += [files[path] for path in known.encrypted if path in files and path not in fresh_ones]
        fresh, encrypted = await self._read(tree, put, decryption)
        groups = {path: fresh[path] if path in fresh else known.groups[path] for path in files}
        return _Plain(
            folder=folder,
            id=folder_id,
            files=files,
            ignoring=ignoring,
            groups=groups,
            encrypted=frozenset(path for path in known.encrypted if path in files and path not in fresh) | encrypted,
            keys=keys,
        )

    async def _selected(self, entries: Iterable[Entry], *, folder: str, ignoring: dict[str, bytes]) -> list[Entry]:
        """Those of the entries that are manifests."""
        found = [entry for entry in entries if may_be_manifest(entry.path, folder=folder)]
        if ignoring and found:
            out = await self._parser.left_out([entry.path for entry in found], ignoring)
            found = [entry for entry in found if entry.path not in out]
        return [entry for entry in found if is_manifest(entry)]

    async def _read(
        self, tree: Tree, entries: list[Entry], decryption: Decryption | None
    ) -> tuple[dict[str, tuple[Manifest, ...]], frozenset[str]]:
        """The manifests of files, and which of these were encrypted. Raises RenderError with all faults in them."""
        found: dict[str, tuple[Manifest, ...]] = {}
        encrypted: set[str] = set()
        faults: list[Fault] = []
        for batch in _batches(entries):
            blobs = await tree.read({entry.blob for entry in batch})
            files = [File(path=entry.path, blob=entry.blob, data=blobs[entry.blob]) for entry in batch]
            for file in files:
                if is_lfs_pointer(file.data):
                    raise RenderError("is kept in Git LFS, from which Guard does not fetch", where=file.path)
            await asyncio.to_thread(self._texts.add, blobs)
            closed = [Encrypted(file=file, format=how) for file in files if (how := format_of(file.path, file.data)) is not None]
            encrypted |= {each.file.path for each in closed}
            files = [file for file in files if file.path not in encrypted]
            results = list(zip(files, await self._parser.parse(files), strict=True))
            try:
                results += await self._opened(closed, decryption)
            except FaultsError as error:
                faults += error.faults
            for file, parsed in results:
                faults += parsed.faults
                found[file.path] = _placed(file.path, parsed)
        if faults:
            raise FaultsError(faults)
        return found, frozenset(encrypted)

    async def _opened(self, closed: list[Encrypted], decryption: Decryption | None) -> list[tuple[File, Parsed]]:
        """What encrypted files hold. Raises FaultsError."""
        if not closed:
            return []
        opened = await needed(decryption, closed).open(closed)
        parsed = await self._parser.parse_opened(opened)
        return [(each.file, found) for each, found in zip(opened, parsed, strict=True)]


class _Listed:
    """A tree of which each folder is listed once, and compared once."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._entries: dict[str, tuple[Entry, ...]] = {}
        self._changes: dict[tuple[str, str], Changes | None] = {}
        self.revision = tree.revision
        self.id = tree.id
        self.read = tree.read

    async def entries(self, folder: str) -> tuple[Entry, ...]:
        if folder not in self._entries:
            self._entries[folder] = await self._tree.entries(folder)
        return self._entries[folder]

    async def changes(self, folder: str, since: str) -> Changes | None:
        asked = (folder, since)
        if asked not in self._changes:
            self._changes[asked] = await self._tree.changes(folder, since)
        return self._changes[asked]


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
        if size > BATCH_BYTES or len(batch) == BATCH_FILES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _named(output: bytes) -> dict[str, bytes]:
    """The documents of an output by their content; of two alike each has a name."""
    found: dict[str, bytes] = {}
    for document in documents(output):
        digest = hashlib.sha256(document).hexdigest()
        name = digest
        while name in found:
            name += "+"
        found[name] = document
    return found


def _place(tool: Tool, document: bytes) -> str:
    """The file that a document was made of, and by which tool."""
    return str(tool.place(document, Manifest(body={}, origin=Origin(file="", line=0))).origin)


def _placed(path: str, parsed: Parsed) -> tuple[Manifest, ...]:
    return tuple(
        Manifest(body=found.body, origin=Origin(file=path, line=found.line), confidential=found.confidential)
        for found in parsed.manifests
    )
