"""Reads the manifests below a folder of a commit, without a work tree: two listings and one `cat-file --batch`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from msgspec import Struct

from guard.base.errors import RenderError, SourceError
from guard.source.listing import MOST_IN_FILE
from guard.source.tree import MOST_IN_ALL, normal
from guard.state.snapshot import File, Snapshot

# `Kustomization` is a name that kustomize takes as it stands, so the renderer has to see it.
_SUFFIXES = (".yaml", ".yml", ".json")
_NAMES = frozenset({"Kustomization"})

_SYMLINK = "120000"
_SUBMODULE = "160000"


class Run(Protocol):
    """Runs git on the repository and returns its output. Raises SourceError."""

    def __call__(self, *arguments: str, stdin: bytes = b"") -> bytes: ...


class _Entry(Struct, frozen=True):
    mode: str
    blob: str
    size: int
    path: str


def read(run: Run, *, revision: str, commit: str, path: str) -> Snapshot:
    """The manifests at and below `path`; files and folders whose names begin with a dot are left out.

    Raises RenderError for a path that is missing or no folder, symbolic links, submodules and files past the limits.
    """
    folder = normal(path)
    described = run("cat-file", "--batch-check=%(objecttype) %(objectname)", stdin=f"{commit}:{folder}\n".encode())
    kind, _, tree = described.decode(errors="replace").strip().partition(" ")
    if kind == "blob":
        raise RenderError(f"the path {path!r} is a file in {revision}, not a folder")
    if kind != "tree":
        raise RenderError(f"the path {path!r} does not exist in {revision}")
    entries = sorted(_entries(run("ls-tree", "-r", "-z", "-l", tree), folder=folder, revision=revision), key=lambda e: e.path)
    if sum(entry.size for entry in entries) > MOST_IN_ALL:
        raise RenderError(f"the manifests below {path!r} are larger than {MOST_IN_ALL // 2**20} MiB", where=revision)
    blobs = _blobs(run, sorted({entry.blob for entry in entries}))
    files = tuple(File(path=entry.path, blob=entry.blob, data=blobs[entry.blob]) for entry in entries)
    return Snapshot(revision=revision, path=folder, files=files)


def _entries(listing: bytes, *, folder: str, revision: str) -> Iterator[_Entry]:
    """Read `<mode> <type> <id> <size>TAB<path>NUL` for what may be a manifest, and refuse what leads elsewhere."""
    for line in listing.split(b"\0"):
        if not line:
            continue
        described, _, name = line.partition(b"\t")
        mode, _, blob, size = described.decode().split()
        inside = name.decode(errors="backslashreplace")
        if any(part.startswith(".") for part in inside.split("/")):
            continue
        path = f"{folder}/{inside}" if folder else inside
        if mode == _SYMLINK:
            raise RenderError("is a symbolic link, which Guard does not follow", where=path, hint=f"in {revision}")
        if mode == _SUBMODULE:
            raise RenderError("is a submodule, which Guard does not fetch", where=path, hint=f"in {revision}")
        if not inside.endswith(_SUFFIXES) and inside.rpartition("/")[2] not in _NAMES:
            continue
        if not inside.isprintable():
            raise RenderError(f"the file name {path!r} holds control characters", where=revision)
        if int(size) > MOST_IN_FILE:
            raise RenderError(f"is larger than {MOST_IN_FILE // 2**20} MiB", where=path, hint=f"in {revision}")
        yield _Entry(mode=mode, blob=blob, size=int(size), path=path)


def _blobs(run: Run, ids: list[str]) -> dict[str, bytes]:
    """The contents of blobs. The output is `<id> blob <size>LF<content>LF` for each."""
    if not ids:
        return {}
    output = run("cat-file", "--batch", stdin="".join(f"{blob}\n" for blob in ids).encode())
    blobs: dict[str, bytes] = {}
    at = 0
    for blob in ids:
        end = output.find(b"\n", at)
        header = output[at:end].split()
        if end < 0 or header[:2] != [blob.encode(), b"blob"]:
            raise SourceError(f"the local copy lacks the file content {blob}", hint="remove its folder to fetch it anew")
        start = end + 1
        at = start + int(header[2]) + 1
        blobs[blob] = output[start : at - 1]
    return blobs
