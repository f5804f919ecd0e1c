"""A folder for one run of a tool: what it may read, where it may write, and nothing else of the repository or of Guard's data."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct

from guard.base.errors import RenderError
from guard.state.snapshot import Entry, Tree, is_lfs_pointer

PREFIX = "build-"
POINTER = "is only a pointer of Git LFS, whose content Guard does not fetch"

# The API server stores no object over 1.5 MiB; a file of more than ten times that is nothing that manifests are made of.
MOST_IN_FILE = 16 * 1024 * 1024
# 10,000 objects of 5 KB are 50 MB.
MOST_IN_ALL = 128 * 1024 * 1024
MOST_FILES = 20_000
AT_ONCE = 16 * 1024 * 1024  # bytes held in memory on their way to the disk


class Scratch(Struct, frozen=True):
    """`files` is the source's root as far as it was written, `home` is the one place that the tool may write to."""

    files: Path
    home: Path


@asynccontextmanager
async def scratch(directory: Path) -> AsyncGenerator[Scratch]:
    """A new folder below `directory` that nobody else can look into, and that is gone afterwards.

    Raises RenderError where none can be made.
    """
    root = await asyncio.to_thread(_make, directory)
    try:
        yield Scratch(files=root / "files", home=root / "home")
    finally:
        # The thread goes on where this task is cancelled once more.
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, root, ignore_errors=True))


def _make(directory: Path) -> Path:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        root = Path(tempfile.mkdtemp(dir=directory, prefix=PREFIX))
        (root / "files").mkdir(mode=0o700)
        (root / "home").mkdir(mode=0o700)
    except OSError as error:
        raise _disk(error) from error
    return root


def sweep(directory: Path) -> None:
    """Take away what a Guard that was killed left behind. To be called before anything is built."""
    for left in directory.glob(f"{PREFIX}*"):
        shutil.rmtree(left, ignore_errors=True)


def unfit(entries: Iterable[Entry]) -> Iterator[tuple[Entry, str]]:
    """Entries that no tool gets to see, each with what it is."""
    for entry in entries:
        if entry.type == "link":
            yield entry, "is a symbolic link, which Guard does not follow"
        elif entry.type == "submodule":
            yield entry, "is a submodule, which Guard does not fetch"
        elif entry.size > MOST_IN_FILE:
            yield entry, f"is larger than {MOST_IN_FILE // 2**20} MiB"


async def write(tree: Tree, entries: Iterable[Entry], into: Path) -> tuple[str, ...]:
    """Write files, which have to be fit, below a folder; pointers of Git LFS are left out, and their paths returned.

    Raises RenderError for too many files or too much in them, and for paths that no file system takes or that lead elsewhere;
    SourceError where one is not at hand.
    """
    files = list(entries)
    if len(files) > MOST_FILES:
        raise RenderError(f"more than {MOST_FILES:,} files would have to be read")
    if sum(entry.size for entry in files) > MOST_IN_ALL:
        raise RenderError(f"the files to be read are larger than {MOST_IN_ALL // 2**20} MiB together")
    pointers: list[str] = []
    for batch in _batches(files):
        contents = await tree.read(entry.blob for entry in batch)
        pointers += await asyncio.to_thread(_write, into, [(entry.path, contents[entry.blob]) for entry in batch])
    return tuple(pointers)


def _batches(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        if batch and size + entry.size > AT_ONCE:
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += entry.size
    if batch:
        yield batch


def _write(into: Path, files: Iterable[tuple[str, bytes]]) -> list[str]:
    pointers: list[str] = []
    for path, data in files:
        if is_lfs_pointer(data):
            pointers.append(path)
            continue
        # Git itself refuses such names only when it checks out a work tree, and there is none here.
        if path.startswith("/") or not {"", ".", "..", ".git"}.isdisjoint(path.split("/")):
            raise RenderError("the repository holds a file whose name leads elsewhere", where=path)
        place = into / path
        try:
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Nothing that is there already is written to, or through.
            with open(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:  # noqa: PTH123
                file.write(data)
        except (FileExistsError, NotADirectoryError) as error:
            raise RenderError("the repository holds two things in one place", where=path) from error
        except OSError as error:
            raise _disk(error, where=path) from error
    return pointers


def _disk(error: OSError, *, where: str = "") -> RenderError:
    return RenderError(f"files for a build cannot be written: {error.strerror}", where=where)
