"""Looks for values where none may be: in texts, in files, unpacked as well, and in the memory of processes."""

from __future__ import annotations

import base64
import os
import re
import secrets
import sqlite3
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) r\S+ \S+ \S+ \S+ *(.*)")
_AT_ONCE = 64 * 1024 * 1024
_SQLITE = b"SQLite format 3\0"


def forms(value: str) -> tuple[bytes, ...]:
    """A value as it is, in hexadecimal, quoted for a URL, in UTF-16, and in base64 wherever it begins there."""
    data = value.encode()
    found = {data, data.hex().encode(), data.hex().upper().encode(), quote(value, safe="").encode()}
    found |= {value.encode("utf-16-le"), value.encode("utf-16-be")}
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + data)
        # The first and last characters hang on what stands before and behind.
        encoded = whole[-(-shift * 8 // 6) : (shift + len(data)) * 8 // 6]
        found |= {encoded, encoded.translate(bytes.maketrans(b"+/", b"-_"))}
    return tuple(sorted(found))


class Marks:
    """Values that are found again, however they are cut: all of them begin and end alike."""

    def __init__(self) -> None:
        self._stem = secrets.token_hex(6)
        self._forms = forms(self._stem)
        self._made: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        """The same for the same name. It is at its beginning in every form what the stem is, and no word that others use."""
        return self._made.setdefault(name, f"{self._stem}+{name}/{self._stem}")

    def also(self, value: str) -> None:
        """A value that is nobody's to choose."""
        self._forms += forms(value)

    def found(self, data: bytes) -> str:
        """Which form stands there, with what is around it; empty where none does."""
        for form in self._forms:
            at = data.find(form)
            if at >= 0:
                return ascii(data[max(0, at - 60) : at + len(form) + 60])
        return ""

    # ---- where to look

    def in_files(self, folder: Path) -> list[str]:
        """The files at and below a folder that hold one, databases and Git repositories unpacked."""
        found = [f"{path}: {shown}" for path in _files(folder) for text in _unpacked(path) if (shown := self.found(text))]
        for head in folder.rglob("HEAD"):
            objects = head.parent / "objects"
            if objects.is_dir() and (shown := self.found(_objects(head.parent))):
                found.append(f"{head.parent}: {shown}")
        return found

    def in_process(self, process: int) -> list[str]:
        """The parts of a process' memory that hold one, its arguments and environment among them."""
        command = described(process)[0].replace("\0", " ")[:200]
        return [f"{process} {command} {place}: {shown}" for place, data in _memory(process) if (shown := self.found(data))]

    def below(self, process: int) -> list[str]:
        """The same of all processes below one, but for copies of it that have become no other program yet."""
        own = described(process)[0]
        programs = [child for child in children(process) if described(child)[0] != own]
        return [found for program in programs for found in self.in_process(program)]


def children(parent: int) -> list[int]:
    """The processes below one, as far as they run."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                state, above = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                if state not in "ZX":
                    parents[int(entry.name)] = int(above)
    found = [parent]
    for process in found:
        found += [child for child, above in parents.items() if above == process]
    return found[1:]


def described(process: int) -> tuple[str, str]:
    """Its command line and its environment; empty where it has ended."""
    with suppress(OSError):
        command, environment = (
            Path(f"/proc/{process}/{name}").read_bytes().decode(errors="replace") for name in ("cmdline", "environ")
        )
        return command, environment
    return "", ""


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _unpacked(path: Path) -> Iterator[bytes]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:  # gone meanwhile
        return
    yield path.name.encode() + b"\n" + data
    if data.startswith(_SQLITE):
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                for row in database.execute(f'SELECT * FROM "{table}"'):  # noqa: S608 (a name out of the database itself)
                    for value in row:
                        yield from _inflated(value if isinstance(value, bytes) else str(value).encode())


def _inflated(value: bytes) -> Iterator[bytes]:
    yield value
    with suppress(zlib.error):
        yield zlib.decompress(value)


def _objects(repository: Path) -> bytes:
    command = ["git", "-C", str(repository), "cat-file", "--batch-all-objects", "--batch"]
    return subprocess.run(command, capture_output=True, check=True).stdout


def _memory(process: int) -> Iterator[tuple[str, bytes]]:
    """What can be read of it: a process may end meanwhile, and the kernel's own pages are nobody's to read."""
    try:
        mappings = Path(f"/proc/{process}/maps").read_text().splitlines()
        memory = os.open(f"/proc/{process}/mem", os.O_RDONLY)
    except (FileNotFoundError, ProcessLookupError):
        return
    try:
        for found in filter(None, map(_MAPPING.match, mappings)):
            with suppress(OSError, OverflowError):
                yield found[3] or "memory", _read(memory, int(found[1], 16), int(found[2], 16))
    finally:
        os.close(memory)


def _read(memory: int, start: int, end: int) -> bytes:
    """A mapping, as far as it is there."""
    parts: list[bytes] = []
    while start < end:
        part = os.pread(memory, min(_AT_ONCE, end - start), start)
        if not part:
            break
        parts.append(part)
        start += len(part)
    return b"".join(parts)
