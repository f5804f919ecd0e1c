"""The files of one commit, read from the local copy without a work tree and without the network."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol, TypeVar

from guard.base.errors import ConfigError, NothingDeclared, RenderError, SourceError
from guard.source.command import MOST_OUTPUT, TooMuch
from guard.source.failures import GitFailed
from guard.source.include import Include
from guard.source.listing import MOST_IN_FILE, OBJECT, changed, contents, listed, sizes
from guard.state.snapshot import Changes, Entry

T = TypeVar("T")

# 10,000 objects of 5 KB are 50 MB.
MOST_IN_ALL = 128 * 1024 * 1024
# Ten times the files of a large repository of manifests; each takes half a kilobyte of memory here.
MOST_ENTRIES = 100_000

# `<id> blob <size>` with its newline, and the one behind the content.
MOST_IN_HEADER = 64


class Run(Protocol):
    """Runs git on the repository and returns its output. Raises SourceError: GitFailed, or TooMuch past `most` bytes."""

    def __call__(self, *arguments: str, stdin: bytes = b"", most: int = MOST_OUTPUT) -> bytes: ...


class Call(Protocol):
    """Runs a function on the source's thread. Errors get to say which source it is."""

    def __call__(self, function: Callable[[], T], /) -> Awaitable[T]: ...


class GitTree:
    """A `guard.state.snapshot.Tree`, readable as long as its commit is in the local copy."""

    def __init__(self, *, revision: str, commit: str, include: Include, run: Run, call: Call) -> None:
        self._revision = revision
        self._commit = commit
        self._include = include
        self._run = run
        self._call = call
        # By folder; a commit never changes.
        self._ids: dict[str, str] = {}
        # Paths of files that are too large to be read, by blob.
        self._large: dict[str, str] = {}

    @property
    def revision(self) -> str:
        return self._revision

    async def id(self, folder: str) -> str:
        """Names what the folder holds: the id of git's tree, and of the patterns that say what is read of it. Raises RenderError
        where there is no such folder, SourceError where the commit is not in the copy, ConfigError for a path that leaves the
        repository.
        """
        return await self._call(lambda: self._named(self._id(normal(folder))))

    async def entries(self, folder: str) -> tuple[Entry, ...]:
        """All files at and below the folder, sorted by path, what begins with a dot as well. Raises as `id` does, and RenderError
        for more than MOST_ENTRIES, and for names that cannot be shown or lead elsewhere. A file past MOST_IN_FILE may have been
        left out of the copy; its size is then LARGER, whatever it really is.
        """
        return await self._call(lambda: self._entries(normal(folder)))

    async def changes(self, folder: str, since: str) -> Changes | None:
        """What differs in the folder from what `id` gave at another time; None where the copy does not have that any more, or
        the patterns are others. Raises as `entries` does.
        """
        return await self._call(lambda: self._changes(normal(folder), since))

    async def read(self, blobs: Iterable[str]) -> dict[str, bytes]:
        """Contents by blob. Raises RenderError for files past MOST_IN_FILE, or MOST_IN_ALL together, SourceError where the copy
        lacks one.
        """
        return await self._call(lambda: self._read(sorted(set(blobs))))

    def _named(self, tree: str) -> str:
        return f"{tree}-{self._include.digest}" if self._include.digest else tree

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
                raise self._missing(folder)
            self._ids[folder] = tree
        return self._ids[folder]

    def _missing(self, folder: str) -> RenderError:
        parts = folder.split("/")
        above = ["/".join(parts[:number]) for number in range(1, len(parts) + 1)]
        listing = self._run("--literal-pathspecs", "ls-tree", "-z", "-l", self._commit, "--", *above)
        entries = listed(listing, folder="", revision=self._revision, wanted=_everything)
        for entry in entries:
            if entry.type != "file":
                what = (
                    "a symbolic link, which Guard does not follow"
                    if entry.type == "link"
                    else "a submodule, which Guard does not fetch"
                )
                return RenderError(f"the path {folder!r} does not exist in {self._revision}: {entry.path!r} is {what}")
        return NothingDeclared(f"the path {folder!r} does not exist in {self._revision}")

    def _entries(self, folder: str) -> tuple[Entry, ...]:
        try:
            output = self._run("ls-tree", "-r", "-z", "-l", self._id(folder))
        except TooMuch as error:
            raise self._too_many(folder) from error
        entries = listed(output, folder=folder, revision=self._revision, wanted=self._include.wants)
        return self._known(folder, entries)

    def _changes(self, folder: str, since: str) -> Changes | None:
        now = self._id(folder)
        before, _, patterns = since.partition("-")
        if patterns != self._include.digest or not OBJECT.fullmatch(before):
            return None
        if before == now:
            return Changes(put=(), gone=())
        try:
            output = self._run("diff-tree", "-r", "-z", "--raw", "--no-renames", before, now)
        except GitFailed:
            # The copy does not have it any more; if it lacks something else, whoever asks for the entries will be told.
            return None
        except TooMuch as error:
            raise self._too_many(folder) from error
        found = tuple(changed(output, folder=folder, revision=self._revision, wanted=self._include.wants))
        files = sorted({change.blob for change in found if change.blob and change.type != "submodule"})
        known = self._sizes(files)
        put = (
            Entry(path=change.path, blob=change.blob, size=known.get(change.blob, 0), type=change.type)
            for change in found
            if change.blob
        )
        return Changes(put=self._known(folder, put), gone=tuple(sorted(change.path for change in found if not change.blob)))

    def _known(self, folder: str, entries: Iterable[Entry]) -> tuple[Entry, ...]:
        known = tuple(sorted(entries, key=_path_of))
        if len(known) > MOST_ENTRIES:
            raise self._too_many(folder)
        self._large.update((entry.blob, entry.path) for entry in known if entry.size > MOST_IN_FILE)
        return known

    def _too_many(self, folder: str) -> RenderError:
        return RenderError(
            f"more than {MOST_ENTRIES:,} files are at and below the path {folder!r} of {self._revision}",
            hint="name a smaller folder, or say in source.git.include what is wanted",
        )

    def _read(self, blobs: list[str]) -> dict[str, bytes]:
        if odd := next((blob for blob in blobs if not OBJECT.fullmatch(blob)), None):
            raise SourceError(f"{odd!r} is not the id of a file in a Git repository")
        if not blobs:
            return {}
        try:
            output = self._run("cat-file", "--batch", stdin=_lines(blobs), most=MOST_IN_ALL + MOST_IN_HEADER * len(blobs))
        except TooMuch as error:
            if large := next((blob for blob, size in self._sizes(blobs).items() if size > MOST_IN_FILE), None):
                raise self._too_large(large) from error
            raise RenderError(f"the files to be read hold more than {MOST_IN_ALL // 2**20} MiB", where=self._revision) from error
        read: dict[str, bytes] = {}
        for blob, data in contents(output, blobs):
            if data is None and blob not in self._large:
                raise SourceError(f"the local copy lacks the file content {blob}", hint="remove its folder to fetch it anew")
            if data is None or len(data) > MOST_IN_FILE:
                raise self._too_large(blob)
            read[blob] = data
        return read

    def _too_large(self, blob: str) -> RenderError:
        path = self._large.get(blob, f"the file {blob}")
        return RenderError(f"is larger than {MOST_IN_FILE // 2**20} MiB", where=path, hint=f"in {self._revision}")

    def _sizes(self, blobs: list[str]) -> dict[str, int]:
        if not blobs:
            return {}
        return sizes(self._run("cat-file", "--batch-check=%(objectsize)", stdin=_lines(blobs)), blobs)


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
