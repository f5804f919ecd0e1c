"""What was made of which content, kept across restarts: a file of SQLite's in the data folder.

It holds only what can be made again. Where it cannot be read it is made anew, and where it cannot be written Guard does without.
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TypeVar

from guard import telemetry
from guard.base import codec
from guard.render import jsonevents, manifests, pieces, scalars, yaml
from guard.render.manifests import Found
from guard.state.snapshot import File

# Level 1 packs JSON to a third in 15 us a manifest.
_LEVEL = 1
# What nobody has asked for in so many days goes.
KEPT_DAYS = 30
# Ten installations of 10,000 objects, packed. Past that the oldest goes.
MOST_BYTES = 256 * 1024 * 1024
_AT_ONCE = 500  # names in one statement: SQLite takes 999 in old builds

_SCHEMA = "CREATE TABLE IF NOT EXISTS made (name BLOB PRIMARY KEY, value BLOB NOT NULL, day INTEGER NOT NULL) WITHOUT ROWID"

_log = telemetry.get("render")

T = TypeVar("T")


def parsed_key(file: File) -> bytes:
    """Names what parsing makes of a file: its content, and the code that reads it, whatever the file's name."""
    return _digest(b"parsed", _parser(), file.blob.encode())


@cache
def _parser() -> bytes:
    """Another parser may make something else of the same text."""
    return _digest(*(Path(str(module.__file__)).read_bytes() for module in (jsonevents, manifests, pieces, scalars, yaml)))


def _digest(*parts: bytes) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()[:20]


class Cache:
    """`today` counts days. Calls block, so they queue on a thread of its own."""

    def __init__(self, path: Path, *, today: Callable[[], int]) -> None:
        self._path = path
        self._today = today
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="cache")
        self._database: sqlite3.Connection | None = None
        self._is_broken = False
        self._looked = 0  # on which day there was a look for what can go
        self._written = 0  # bytes since

    async def close(self) -> None:
        await self._call(self._close)
        await asyncio.to_thread(self._thread.shutdown)

    async def parsed(self, names: Iterable[bytes]) -> dict[bytes, list[Found]]:
        """What is known of these files, by parsed_key."""
        wanted = list(names)
        return await self._call(lambda: self._read(wanted, as_=_unpacked))

    async def keep_parsed(self, found: Mapping[bytes, list[Found]]) -> None:
        await self._call(lambda: self._write({name: _packed(value) for name, value in found.items()}))

    async def output(self, key: str) -> bytes | None:
        """What a tool made of the inputs that `key` names."""
        name = _digest(b"output", key.encode())
        return (await self._call(lambda: self._read([name], as_=zlib.decompress))).get(name)

    async def keep_output(self, key: str, output: bytes) -> None:
        await self._call(lambda: self._write({_digest(b"output", key.encode()): zlib.compress(output, _LEVEL)}))

    async def _call(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    def _read(self, names: list[bytes], *, as_: Callable[[bytes], T]) -> dict[bytes, T]:
        def read(database: sqlite3.Connection) -> dict[bytes, T]:
            found: dict[bytes, T] = {}
            old: list[bytes] = []
            for start in range(0, len(names), _AT_ONCE):
                some = names[start : start + _AT_ONCE]
                marks = ",".join("?" * len(some))
                for name, value, day in database.execute(f"SELECT name, value, day FROM made WHERE name IN ({marks})", some):  # noqa: S608 (marks alone)
                    found[name] = as_(value)
                    if day != self._today():
                        old.append(name)
            with database:
                database.executemany("UPDATE made SET day = ? WHERE name = ?", [(self._today(), name) for name in old])
            return found

        return self._with_database(read) or {}

    def _write(self, values: Mapping[bytes, bytes]) -> None:
        def write(database: sqlite3.Connection) -> None:
            with database:
                if self._looked != self._today() or self._written > MOST_BYTES // 8:
                    self._forget(database)
                rows = [(name, value, self._today()) for name, value in values.items()]
                database.executemany("INSERT OR REPLACE INTO made VALUES (?, ?, ?)", rows)
                self._written += sum(map(len, values.values()))

        if values:
            self._with_database(write)

    def _with_database(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """None where the cache is of no use."""
        try:
            return work(self._opened()) if not self._is_broken else None
        except (sqlite3.Error, zlib.error, codec.DecodeError, OSError) as error:
            _log.warning("the cache of manifests cannot be used and is made anew", path=str(self._path), error=str(error))
        try:
            self._close()
            self._path.unlink(missing_ok=True)
            return work(self._opened())
        except (sqlite3.Error, OSError) as error:
            self._is_broken = True
            _log.error("Guard goes on without a cache of manifests", path=str(self._path), error=str(error))
            return None

    def _opened(self) -> sqlite3.Connection:
        if self._database is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path.touch(mode=0o600)
            self._database = sqlite3.connect(self._path)
            # Losing the last writes to a power cut costs only time.
            self._database.execute("PRAGMA journal_mode = TRUNCATE")
            self._database.execute("PRAGMA synchronous = OFF")
            with self._database:
                self._database.execute(_SCHEMA)
                self._forget(self._database)
        return self._database

    def _forget(self, database: sqlite3.Connection) -> None:
        self._looked, self._written = self._today(), 0
        database.execute("DELETE FROM made WHERE day < ?", (self._looked - KEPT_DAYS,))
        # What was of use today stays if anything does.
        for day in (self._looked, self._looked + 1):
            (held,) = database.execute("SELECT total(length(value)) FROM made").fetchone()
            if held > MOST_BYTES:
                database.execute("DELETE FROM made WHERE day < ?", (day,))

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None


def _packed(found: list[Found]) -> bytes:
    return zlib.compress(codec.encode(found), _LEVEL)


def _unpacked(packed: bytes) -> list[Found]:
    return codec.decode_as(zlib.decompress(packed), list[Found])
