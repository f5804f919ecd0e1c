"""A folder for one run of a tool: what it may read, where it may write, and nothing else of the repository or of Guard's data.

What was decrypted gets one that lies in memory, and never on a disk.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import AsyncGenerator, Generator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from types import MappingProxyType

from msgspec import Struct

from guard.base.concurrency import in_thread
from guard.base.errors import RenderError
from guard.state.snapshot import Entry, Tree, is_lfs_pointer

PREFIX = "build-"
POINTER = "is only a pointer of Git LFS, whose content Guard does not fetch"

# Where every Linux and every container has a file system in memory; Kubernetes gives a pod 64 MiB of it.
MEMORY = Path("/dev/shm")  # noqa: S108 (folders in it are made under names that nobody knows before)
_IN_MEMORY = ("tmpfs", "ramfs")
_OURS = "guard-"
_NAME_BYTES = 8
# Between a folder and its lock there are microseconds.
_SETTLED_SECONDS = 60.0
_NOTHING: Mapping[str, bytes] = MappingProxyType({})

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
async def scratch(directory: Path, *, in_memory: bool = False) -> AsyncGenerator[Scratch]:
    """A new folder below `directory` that nobody else can look into, and that is gone afterwards; `in_memory` it lies below
    MEMORY instead, and is swept with `directory` all the same.

    Raises RenderError where none can be made.
    """
    name = secrets.token_hex(_NAME_BYTES)
    root = MEMORY / f"{_prefix(directory)}{name}" if in_memory else directory / f"{PREFIX}{name}"
    try:
        await in_thread(_make_in_memory if in_memory else _make, root)
        with _held(root):
            yield Scratch(files=root / "files", home=root / "home")
    finally:
        await in_thread(shutil.rmtree, root, ignore_errors=True)


@contextmanager
def _held(root: Path) -> Generator[None]:
    """Locked for as long as the process is there: a lock goes with who holds it, however that ends."""
    try:
        file = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise _disk(error, on=root) from error
    try:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield
    finally:
        os.close(file)


def _make(root: Path) -> None:
    try:
        root.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (root, root / "files", root / "home"):
            folder.mkdir(mode=0o700)
    except OSError as error:
        raise _disk(error, on=root.parent) from error


def _make_in_memory(root: Path) -> None:
    if not is_in_memory(MEMORY, Path("/proc/self/mounts")):
        raise RenderError(
            f"decrypted files are put together in memory only, and {MEMORY} is no file system in memory here",
            hint=f"mount a tmpfs there; in a container, an emptyDir of medium Memory at {MEMORY}",
        )
    _make(root)


def is_in_memory(folder: Path, mounts: Path) -> bool:
    """Whether the file system of a folder lies in memory, as the kernel's list of mounts has it."""
    at = os.path.realpath(folder)
    found, length = "", 0
    for line in mounts.read_text().splitlines():
        _, point, kind, *_ = line.split(" ")
        # What was mounted later over the same place is what is seen.
        if len(point) >= length and (at == point or at.startswith(f"{point.rstrip('/')}/")):
            found, length = kind, len(point)
    return found in _IN_MEMORY


def _prefix(directory: Path) -> str:
    """Whose the folders in memory are: that of one data folder and user."""
    name = f"{os.getuid()} {os.path.realpath(directory)}"
    return f"{_OURS}{hashlib.sha256(name.encode()).hexdigest()[:16]}-"


def folders(directory: Path) -> tuple[Path, ...]:
    """The scratch folders that there are, those in memory among them."""
    return (*directory.glob(f"{PREFIX}*"), *MEMORY.glob(f"{_prefix(directory)}*"))


def sweep(directory: Path) -> None:
    """Take away what a Guard that was killed left behind. To be called before anything is built."""
    for left in folders(directory):
        shutil.rmtree(left, ignore_errors=True)


def sweep_abandoned() -> None:
    """Take away what any killed process of this user left in memory: the next run of a command has another folder, so that
    `sweep` would not find it.
    """
    for left in MEMORY.glob(f"{_OURS}*"):
        # It may be gone by now.
        with suppress(OSError):
            about = left.lstat()
            if about.st_uid != os.getuid() or time.time() - about.st_mtime < _SETTLED_SECONDS:
                continue
            file = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(file)


def unfit(entries: Iterable[Entry]) -> Iterator[tuple[Entry, str]]:
    """Entries that no tool gets to see, each with what it is."""
    for entry in entries:
        if entry.type == "link":
            yield entry, "is a symbolic link, which Guard does not follow"
        elif entry.type == "submodule":
            yield entry, "is a submodule, which Guard does not fetch"
        elif entry.size > MOST_IN_FILE:
            yield entry, f"is larger than {MOST_IN_FILE // 2**20} MiB"


async def write(tree: Tree, entries: Iterable[Entry], into: Path, *, instead: Mapping[str, bytes] = _NOTHING) -> tuple[str, ...]:
    """Write files, which have to be fit, below a folder; pointers of Git LFS are left out, and their paths returned. `instead`
    has contents by path, which are written in place of the tree's.

    Raises RenderError for too many files or too much in them, and for paths that no file system takes or that lead elsewhere;
    SourceError where one is not at hand.
    """
    files = list(entries)
    if len(files) > MOST_FILES:
        raise RenderError(f"more than {MOST_FILES:,} files would have to be read")
    if sum(entry.size for entry in files) > MOST_IN_ALL:
        raise RenderError(f"the files to be read are larger than {MOST_IN_ALL // 2**20} MiB together")
    pointers: list[str] = []
    for batch in batches(files):
        contents = await tree.read(entry.blob for entry in batch)
        pointers += await in_thread(
            _write, into, [(entry.path, instead.get(entry.path, contents[entry.blob])) for entry in batch]
        )
    return tuple(pointers)


def batches(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
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
            raise _disk(error, on=into, where=path) from error
    return pointers


def _disk(error: OSError, *, on: Path, where: str = "") -> RenderError:
    lacks = error.errno == errno.ENOSPC and on.is_relative_to(MEMORY)
    hint = f"{MEMORY}, where decrypted files are put together, is too small: give it twice what the folder holds" if lacks else ""
    return RenderError(f"files for a build cannot be written: {error.strerror}", where=where, hint=hint)
