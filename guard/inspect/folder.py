"""Reads a folder of manifests as Guard reads one of a commit."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from guard.base.errors import ConfigError, RenderError
from guard.source.listing import MOST_IN_FILE
from guard.source.tree import MOST_IN_ALL
from guard.state.snapshot import File, Snapshot

# As guard.source.manifests has it; tests hold the two together.
_SUFFIXES = (".yaml", ".yml", ".json")
_NAMES = frozenset({"Kustomization"})


def read(directory: Path) -> Snapshot:
    """The manifests at and below `directory`, with paths that begin as it does; what begins with a dot is left out.

    Raises RenderError for what Guard would not take: symbolic links, submodules, files past the limits. Raises ConfigError for
    what cannot be read.
    """
    try:
        files = tuple(sorted(_files(directory), key=lambda file: file.path))
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=str(error.filename or directory)) from error
    if sum(len(file.data) for file in files) > MOST_IN_ALL:
        raise RenderError(f"the manifests are larger than {MOST_IN_ALL // 2**20} MiB", where=str(directory))
    return Snapshot(revision="", path=directory.as_posix(), files=files)


def _files(directory: Path) -> Iterator[File]:
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = directory / entry.name
            if entry.is_symlink():
                raise RenderError("is a symbolic link, which Guard does not follow", where=path.as_posix())
            if entry.is_dir():
                if (path / ".git").exists():
                    raise RenderError("is a submodule, which Guard does not fetch", where=path.as_posix())
                yield from _files(path)
            elif entry.is_file() and (entry.name.endswith(_SUFFIXES) or entry.name in _NAMES):
                yield _file(path, size=entry.stat().st_size)


def _file(path: Path, *, size: int) -> File:
    if not path.as_posix().isprintable():
        raise RenderError(f"the file name {path.as_posix()!r} holds control characters")
    if size > MOST_IN_FILE:
        raise RenderError(f"is larger than {MOST_IN_FILE // 2**20} MiB", where=path.as_posix())
    data = path.read_bytes()
    return File(path=path.as_posix(), blob=hashlib.sha256(data).hexdigest(), data=data)
