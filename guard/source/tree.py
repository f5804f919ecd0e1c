"""The files of one commit, read from the local copy without a work tree and without the network."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol, TypeVar

from guard.base.errors import ConfigError, RenderError, SourceError
from guard.source import listing
from guard.source.listing import MOST_IN_FILE
from guard.state.snapshot import Changes, Entry

T = TypeVar("T")

# 10,000 objects of 5 KB are 50 MB.
MOST_IN_ALL = 128 * 1024 * 1024
# Ten times the files of a large repository of manifests; each takes half a kilobyte of memory here.
MOST_ENTRIES = 100_000

_MISSING = "missing"


class Run(Protocol):
    """Runs git on the repository and returns its output. Raises SourceError."""

    def __call__(self, *arguments: str, stdin: bytes = b"") -> bytes: ...


class Call(Protocol):
    """Runs a function on the source's thread. Errors get to say which source it is."""

    def __call__(self, function: Callable[[], T], /) -> Awaitable[T]: ...


class GitTree:
    """A `guard.state.snapshot.Tree`, readable as long as its commit is in the local copy."""

    def __init__(self, *, revision: str, commit: str, run: Run, call: Call) -> None:
        self._revision = revision
        self._commit = commit
        self._run = run
        self._call = call
        # By folder; a commit never changes.
        self._ids: dict[str, str] = {}

    @property
    def revision(self) -> str:
        return self._revision

    async def id(self, folder: str) -> str:
        """Names what the folder holds: the id of git's tree. Raises RenderError where there is no such folder, SourceError where
        the commit is not in the copy, ConfigError for a path that leaves the repository.
        """
        return await self._call(lambda: self._id(normal(folder)))

    async def entries(self, folder: str) -> tuple[Entry, ...]:
        """All files at and below the folder, sorted by path, what begins with a dot as well. Raises as `id` does, and RenderError
        for more than MOST_ENTRIES, and for names that cannot be shown or lead elsewhere.
        """
        return await self._call(lambda: self._entries(normal(folder)))

    async def changes(self, folder: str, since: str) -> Changes | None:
        """What differs in the folder from what `id` gave at another time; None where the copy does not have that any more.
        Raises as `entries` does.
        """
        return await self._call(lambda: self._changes(normal(folder), since))

    async def read(self, blobs: Iterable[str]) -> dict[str, bytes]:
        """Contents by blob. Raises SourceError where the copy lacks one, RenderError for files past MOST_IN_FILE, or MOST_IN_ALL
        together.
        """
        return await self._call(lambda: self._read(sorted(set(blobs))))

    def _id(self, folder: str) -> str:
        if folder not in self._ids:
            asked = f"{self._commit}\n{self._commit}:{folder}\n".encode()
            answers = self._run("cat-file", "--batch-check=%(objecttype) %(objectname)", stdin=asked).decode(errors="replace")
            commit, found = answers.splitlines()
            if commit != f"commit {self._commit}":
                raise SourceError(f"{self._revision} is not in the local copy")
            kind, _, tree = found.partition(" ")
            if kind == "blob":
                raise RenderError(f"the path {folder!r} is a file in {self._revision}, not a folder")
            if kind != "tree":
                raise RenderError(f"the path {folder!r} does not exist in {self._revision}")
            self._ids[folder] = tree
        return self._ids[folder]

    def _entries(self, folder: str) -> tuple[Entry, ...]:
        output = self._run("ls-tree", "-r", "-z", "-l", self._id(folder))
        if output.count(b"\0") > MOST_ENTRIES:
            raise RenderError(f"more than {MOST_ENTRIES:,} files are at and below the path {folder!r} of {self._revision}")
        entries = listing.listed(output, folder=folder, revision=self._revision, wanted=_everything)
        return tuple(sorted(entries, key=_path_of))

    def _changes(self, folder: str, since: str) -> Changes | None:
        now = self._id(folder)
        if since == now:
            return Changes(put=(), gone=())
        if not listing.OBJECT.fullmatch(since) or not self._holds(since):
            return None
        output = self._run("diff-tree", "-r", "-z", "--raw", "--no-renames", since, now)
        found = tuple(listing.changed(output, folder=folder, revision=self._revision, wanted=_everything))
        files = sorted({change.blob for change in found if change.blob and change.type != "submodule"})
        sizes = self._sizes(files)
        put = (
            Entry(path=change.path, blob=change.blob, size=sizes.get(change.blob, 0), type=change.type)
            for change in found
            if change.blob
        )
        gone = (change.path for change in found if not change.blob)
        return Changes(put=tuple(sorted(put, key=_path_of)), gone=tuple(sorted(gone)))

    def _read(self, blobs: list[str]) -> dict[str, bytes]:
        if not blobs:
            return {}
        if odd := next((blob for blob in blobs if not listing.OBJECT.fullmatch(blob)), None):
            raise SourceError(f"{odd!r} is not the id of a file in a Git repository")
        sizes = self._sizes(blobs)
        if large := next((blob for blob, size in sizes.items() if size > MOST_IN_FILE), None):
            raise RenderError(f"the file with the blob {large} is larger than {MOST_IN_FILE // 2**20} MiB", where=self._revision)
        if sum(sizes.values()) > MOST_IN_ALL:
            raise RenderError(f"the files to be read are larger than {MOST_IN_ALL // 2**20} MiB together", where=self._revision)
        output = self._run("cat-file", "--batch", stdin=_lines(blobs))
        read = listing.contents(output, blobs)
        return {blob: data for blob, data in read.items() if data is not None}

    def _sizes(self, blobs: list[str]) -> dict[str, int]:
        if not blobs:
            return {}
        return listing.sizes(self._run("cat-file", "--batch-check=%(objectsize)", stdin=_lines(blobs)), blobs)

    def _holds(self, tree: str) -> bool:
        described = self._run("cat-file", "--batch-check=%(objecttype)", stdin=f"{tree}\n".encode())
        return described.decode().strip() == "tree"


def normal(path: str) -> str:
    """`./clusters/prod/` as `clusters/prod`, the root as an empty text. Raises ConfigError for what leaves the repository."""
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if ".." in parts or not path.isprintable():
        raise ConfigError(f"the path {path!r} is not one inside the repository")
    return "/".join(parts)


def _lines(blobs: Iterable[str]) -> bytes:
    return "".join(f"{blob}\n" for blob in blobs).encode()


def _everything(_path: str) -> bool:
    return True


def _path_of(entry: Entry) -> str:
    return entry.path
