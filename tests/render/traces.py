"""Looks for values where none may be: in files as they are and unpacked, and in the memory of child processes."""

from __future__ import annotations

import base64
import os
import re
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) r\S+ \S+ \S+ \S+ *(.*)")
_AT_ONCE = 64 * 1024 * 1024
_ENDED = "ZX"


def forms(value: str) -> tuple[bytes, ...]:
    """A value as it is, in hexadecimal, and in base64 wherever in a text it begins."""
    data = value.encode()
    encoded = [base64.b64encode(b"\0" * shift + data)[-(-shift * 8 // 6) :] for shift in range(3)]
    # Its last characters hang on what follows.
    return (data, data.hex().encode(), *(text.rstrip(b"=")[:-1] for text in encoded))


def in_files(folder: Path, *values: str) -> list[str]:
    """Which files at and below a folder hold one of the values; rows of SQLite's are unpacked."""
    wanted = [form for value in values for form in forms(value)]
    return [
        str(path)
        for path in folder.rglob("*")
        if path.is_file() and any(form in text for text in _texts(path) for form in wanted)
    ]


def _texts(path: Path) -> Iterator[bytes]:
    data = path.read_bytes()
    yield data
    if data.startswith(b"SQLite format 3"):
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            for (value,) in database.execute("SELECT value FROM made"):
                yield zlib.decompress(value)


def in_children(*values: str, parent: int = 0) -> list[str]:
    """Which processes below `parent` (this one) hold one of the values in their memory. Those that the kernel lets nobody look
    into hold none that could be found.
    """
    wanted = [form for value in values for form in forms(value)]
    return [
        f"{process} {place}"
        for process in children(parent or os.getpid())
        for place, data in _memory(process)
        if any(form in data for form in wanted)
    ]


def children(parent: int) -> list[int]:
    """The processes below one, as far as they run."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, above = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if state not in _ENDED:
                parents[int(entry.name)] = int(above)
    found = [parent]
    for process in found:
        found += [child for child, above in parents.items() if above == process]
    return found[1:]


def _memory(process: int) -> Iterator[tuple[str, bytes]]:
    try:
        mappings = Path(f"/proc/{process}/maps").read_text().splitlines()
        memory = os.open(f"/proc/{process}/mem", os.O_RDONLY)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return
    try:
        for found in filter(None, map(_MAPPING.match, mappings)):
            start, end = int(found[1], 16), int(found[2], 16)
            for at in range(start, end, _AT_ONCE):
                try:
                    yield found[3] or "heap", os.pread(memory, min(_AT_ONCE, end - at), at)
                except (OSError, OverflowError):  # the kernel's own pages
                    break
    finally:
        os.close(memory)
