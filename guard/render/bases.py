"""Follows what a kustomization refers to through a tree, so that nothing else has to be shown to kustomize."""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import Iterator, Mapping

from msgspec import Struct, structs

from guard.base.errors import RenderError
from guard.render import kustomization, scratch
from guard.render.encrypted import format_of
from guard.render.kustomization import FILE_NAMES, Kustomization, Reference
from guard.render.quoting import in_one_line
from guard.state.snapshot import Entry, Tree, is_lfs_pointer

# Installations of hundreds of applications have that many; each costs a listing.
MOST_FOLDERS = 1000
MOST_BYTES = 1024 * 1024  # of all kustomizations together

_CONTAINED = "kustomize reads files only at and below the kustomization's own folder, and elsewhere folders that have one"


class Bases(Struct, frozen=True):
    """The folders that a kustomization is made of, and all that is at and below them but for what no tool gets to see."""

    top: Kustomization
    folders: Mapping[str, Kustomization]
    entries: Mapping[str, Entry]
    remote: bool

    def files(self) -> Iterator[tuple[Kustomization, Reference, Entry]]:
        """What is referred to and is a file of the repository; one may come more than once."""
        for found in self.folders.values():
            for reference in found.references:
                entry = self.entries.get(_joined(found, reference))
                if entry is not None:
                    yield found, reference, entry

    def check(self, left_out: Mapping[str, str]) -> None:
        """Raises RenderError where something is referred to that is left out, or lies below that; says what it is."""
        for found in self.folders.values():
            for reference in found.references:
                if why := _left_out(_joined(found, reference), left_out):
                    raise _error(found, reference, f"which {why}")


async def visit(tree: Tree, folder: str, *, remote: bool) -> Bases:
    """Raises RenderError for what cannot be followed: missing, outside of the repository, or remote where that is not allowed."""
    return await _Visit(tree, remote=remote).start(folder)


class _Visit:
    def __init__(self, tree: Tree, *, remote: bool) -> None:
        self._tree = tree
        self._allowed = remote
        self._remote = False
        self._folders: dict[str, Kustomization] = {}
        self._listings: dict[str, Mapping[str, Entry]] = {}
        self._bytes = 0

    async def start(self, folder: str) -> Bases:
        self._listings[folder] = await self._listing(folder)
        pending = [folder]
        while pending:
            read = await self._read(pending)
            # Of the top one all is needed, of the others what they refer to.
            self._folders.update(
                {found.folder: found if found.folder == folder else structs.replace(found, value={}) for found in read}
            )
            bases = [await self._followed(found, reference) for found in read for reference in found.references]
            pending = [base for base in dict.fromkeys(bases) if base is not None and base not in self._folders]
            if len(self._folders) + len(pending) > MOST_FOLDERS:
                raise RenderError(f"is made of more than {MOST_FOLDERS} kustomizations", where=self._folders[folder].file)
        everything = {path: entry for listing in self._listings.values() for path, entry in listing.items()}
        left_out = {entry.path: why for entry, why in scratch.unfit(everything.values())}
        bases_found = Bases(
            top=self._folders[folder],
            folders=self._folders,
            entries={path: entry for path, entry in everything.items() if path not in left_out},
            remote=self._remote,
        )
        bases_found.check(left_out)
        return bases_found

    async def _listing(self, folder: str) -> Mapping[str, Entry]:
        above = next((listing for known, listing in self._listings.items() if not known or folder.startswith(f"{known}/")), None)
        if above is not None:
            return {path: entry for path, entry in above.items() if path.startswith(f"{folder}/")}
        return {entry.path: entry for entry in await self._tree.entries(folder)}

    async def _read(self, folders: list[str]) -> list[Kustomization]:
        entries = [self._file(folder) for folder in folders]
        self._bytes += sum(entry.size for entry in entries)
        if self._bytes > MOST_BYTES:
            raise RenderError(f"kustomizations are larger than {MOST_BYTES // 2**20} MiB together", where=entries[-1].path)
        contents = await self._tree.read(entry.blob for entry in entries)
        # Reading YAML takes long enough to be in the way of reviews.
        return await asyncio.to_thread(lambda: [_parsed(entry, contents[entry.blob]) for entry in entries])

    def _file(self, folder: str) -> Entry:
        """The one kustomization of a folder."""
        listing = self._listings[folder]
        found = [listing[path] for name in FILE_NAMES if (path := posixpath.join(folder, name)) in listing]
        if not found:
            raise RenderError("the folder holds no kustomization.yaml", where=folder or ".")
        if len(found) > 1:
            names = " and ".join(posixpath.basename(entry.path) for entry in found)
            raise RenderError(f"the folder holds {names}", where=folder or ".", hint="keep one of them")
        for entry, why in scratch.unfit(found):
            raise RenderError(why, where=entry.path)
        if found[0].size > kustomization.MOST_BYTES:
            raise RenderError(kustomization.TOO_LARGE, where=found[0].path)
        return found[0]

    async def _followed(self, found: Kustomization, reference: Reference) -> str | None:
        """The folder that a reference leads to, listed by now; None where it names a file, or something elsewhere."""
        listing = self._listings[found.folder]
        path = _joined(found, reference)
        if reference.inline and path not in listing and _looks_inline(reference.name):
            return None
        if reference.remote:
            self._remote = True
            if self._allowed and "file:" not in reference.name.casefold():
                return None
            hint = "copy it into the repository" if self._allowed else _ELSEWHERE
            raise _error(found, reference, "which is elsewhere", hint=hint)
        if reference.name.startswith("/"):
            raise _error(found, reference, "an absolute path")
        if path == ".." or path.startswith("../"):
            raise _error(found, reference, "which leads out of the repository")
        if not reference.folder or path in listing:
            return None
        return await self._base(found, reference, "" if path == "." else path)

    async def _base(self, found: Kustomization, reference: Reference, base: str) -> str:
        if base in self._listings:
            return base
        try:
            await self._tree.id(base)
        except RenderError as error:
            unfit = {entry.path: why for entry, why in scratch.unfit(self._listings[found.folder].values())}
            if why := _left_out(base, unfit):
                raise _error(found, reference, f"which {why}") from error
            if not found.folder or base.startswith(f"{found.folder}/"):
                raise _error(found, reference, "which is not in the repository") from error
            raise _error(found, reference, "which is no folder of the repository", hint=_CONTAINED) from error
        listing = await self._listing(base)
        if not any(posixpath.join(base, name) in listing for name in FILE_NAMES):
            raise _error(found, reference, "a folder without a kustomization.yaml", hint="list its files, or give it one")
        self._listings[base] = listing
        return base


_ENCRYPT = "encrypt the files that it names, and have secretGenerator name them"
_ELSEWHERE = "copy it into the repository, or set spec.kustomize.remoteBases: Allow"


def _parsed(entry: Entry, data: bytes) -> Kustomization:
    if is_lfs_pointer(data):
        raise RenderError(scratch.POINTER, where=entry.path)
    if format_of(entry.path, data) is not None:
        raise RenderError("is a kustomization, which cannot be encrypted with SOPS", where=entry.path, hint=_ENCRYPT)
    return kustomization.read(entry.path, data)


def _joined(found: Kustomization, reference: Reference) -> str:
    """From the source's root; begins with `..` where it leads out of it."""
    return posixpath.normpath(posixpath.join(found.folder, reference.name))


def _left_out(path: str, left_out: Mapping[str, str]) -> str:
    while path and path not in left_out:
        path = posixpath.dirname(path) if path != "/" else ""
    return left_out.get(path, "")


def _looks_inline(name: str) -> bool:
    return "\n" in name or ": " in name or name.startswith("{")


def _error(found: Kustomization, reference: Reference, why: str, *, hint: str = "") -> RenderError:
    return RenderError(f"{reference.field} names {_shown(reference.name)}, {why}", where=found.where(reference), hint=hint)


def _shown(name: str) -> str:
    """A path or a URL, the latter without what may be a password in it."""
    scheme, found, rest = name.partition("://")
    host, slash, path = rest.partition("/")
    return in_one_line(f"{scheme}://{host.rpartition('@')[2]}{slash}{path}" if found else name)
