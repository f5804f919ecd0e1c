"""What is held of a bucket on disk: contents, and for each revision which objects it consists of. A file of SQLite's.

Whatever ends Guard, the file is whole afterwards; contents that came in before that stay. What is damaged is noticed when it
is read, and fetched anew.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar, cast

from guard import telemetry
from guard.base import codec
from guard.base.errors import SourceError
from guard.source.bucket.revision import Held, Listed

# Revisions that nobody keeps, beside the last of each Sync: so many looks can be told what changed since.
MOST_REVISIONS = 20
# What they may hold together with those that are kept.
MOST_BYTES = 1024**3
# Of a writer in another Sync.
_WAIT_SECONDS = 30
_AT_ONCE = 500  # names in one statement: SQLite takes 999 in old builds

_SCHEMA = """
CREATE TABLE IF NOT EXISTS blobs (blob TEXT PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS objects (
    key TEXT, etag TEXT, size INTEGER, modified TEXT, version TEXT NOT NULL, blob TEXT NOT NULL,
    PRIMARY KEY (key, etag, size, modified)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS revisions (
    number INTEGER PRIMARY KEY AUTOINCREMENT, digest TEXT UNIQUE NOT NULL, objects BLOB NOT NULL, check_ BLOB NOT NULL,
    is_whole INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS held (owner TEXT PRIMARY KEY, digest TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS folders (folder TEXT, id TEXT, digest TEXT NOT NULL, PRIMARY KEY (folder, id)) WITHOUT ROWID;
"""
_KNOWN = """
SELECT version, blob FROM objects WHERE key = ? AND etag = ? AND size = ? AND modified = ?
AND (blob LIKE '-%' OR EXISTS (SELECT 1 FROM blobs WHERE blobs.blob = objects.blob))
"""
# Where something else stands it is damaged.
_OBJECTS = "SELECT CAST(objects AS BLOB), CAST(check_ AS BLOB) FROM revisions"

T = TypeVar("T")

_log = telemetry.get("source")


class BucketCopy:
    """Calls block, and belong on one thread. Several may share a file. Raises SourceError where it cannot be used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database: sqlite3.Connection | None = None
        self._inode = 0

    def known(self, wanted: Iterable[Listed]) -> dict[Listed, Held]:
        """Those objects whose content is at hand."""
        names = [(each.key, each.etag, each.size, each.modified) for each in wanted]

        def read(database: sqlite3.Connection) -> dict[Listed, Held]:
            found: dict[Listed, Held] = {}
            for name in names:
                row = cast("tuple[str, str] | None", database.execute(_KNOWN, name).fetchone())
                if row is not None:
                    held = Held(*name, *row)
                    found[held.listed] = held
            return found

        return self._with_database(read) if names else {}

    def put_objects(self, objects: Iterable[Held], contents: Mapping[str, bytes]) -> None:
        """Keep what was fetched."""
        rows = [(each.key, each.etag, each.size, each.modified, each.version, each.blob) for each in objects]

        def write(database: sqlite3.Connection) -> None:
            database.executemany("INSERT OR REPLACE INTO blobs VALUES (?, ?)", contents.items())
            database.executemany("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?)", rows)

        self._with_database(write)

    def put_revision(self, digest: str, objects: Sequence[Held], *, owner: str) -> None:
        """Hold a revision as the last one of `owner`, and let go of what nobody holds. Raises SourceError where it was another
        content before: what may be in force, and verified, never changes under its name.
        """
        data = codec.encode(objects)

        def write(database: sqlite3.Connection) -> None:
            row = cast("tuple[bytes, bytes] | None", database.execute(_OBJECTS + " WHERE digest = ?", (digest,)).fetchone())
            before = _decoded(row) if row is not None else None
            if before is not None and (key := _other_content(before, objects)):
                raise SourceError(
                    f"the store gives out other content under the same version of {key!r}",
                    hint="a version of S3 never changes: check the endpoint; what was read first stays in the copy",
                )
            database.execute(
                "INSERT OR REPLACE INTO revisions (digest, objects, check_, is_whole) VALUES (?, ?, ?, 1)",
                (digest, data, hashlib.sha256(data).digest()),
            )
            database.execute("INSERT OR REPLACE INTO held VALUES (?, ?)", (owner, digest))
            self._forget(database)

        self._with_database(write)

    def keep(self, digest: str, *, owner: str) -> None:
        """Raises SourceError for a revision that is not here."""
        self.objects(digest)
        self._with_database(lambda database: database.execute("INSERT OR REPLACE INTO held VALUES (?, ?)", (owner, digest)))

    def is_whole(self, digest: str) -> bool:
        """Whether all of a revision is here, as far as is known."""
        return self._with_database(
            lambda database: bool(database.execute("SELECT 1 FROM revisions WHERE digest = ? AND is_whole", (digest,)).fetchone())
        )

    def objects(self, digest: str) -> tuple[Held, ...]:
        """Those of a revision. Raises SourceError for one that is not here."""
        found = self._with_database(lambda database: database.execute(_OBJECTS + " WHERE digest = ?", (digest,)).fetchone())
        if found is None:
            raise SourceError(f"the revision {digest} is not in the local copy")
        objects = _decoded(cast("tuple[bytes, bytes]", found))
        if objects is None:
            self._with_database(lambda database: database.execute("DELETE FROM revisions WHERE digest = ?", (digest,)))
            raise SourceError(f"the local copy of the revision {digest} is damaged", hint="it is fetched anew")
        return objects

    def sizes(self, blobs: Sequence[str]) -> dict[str, int]:
        return dict(cast("list[tuple[str, int]]", self._select("blob, length(data)", blobs)))

    def contents(self, blobs: Sequence[str]) -> dict[str, bytes]:
        """Raises SourceError where one is missing or damaged; it is fetched anew then."""
        found = dict(cast("list[tuple[str, bytes]]", self._select("blob, CAST(data AS BLOB)", blobs)))
        bad = [blob for blob in blobs if blob not in found or hashlib.sha256(found[blob]).hexdigest() != blob]
        if bad:

            def doubt(database: sqlite3.Connection) -> None:
                database.executemany("DELETE FROM blobs WHERE blob = ?", [(blob,) for blob in bad])
                database.execute("UPDATE revisions SET is_whole = 0")

            self._with_database(doubt)
            raise SourceError(f"the local copy lacks the file content {bad[0]}", hint="it is fetched anew at the next look")
        return found

    def remember(self, folder: str, identity: str, digest: str) -> None:
        """In which revision a folder was what its id says."""
        self._with_database(
            lambda database: database.execute("INSERT OR REPLACE INTO folders VALUES (?, ?, ?)", (folder, identity, digest))
        )

    def remembered(self, folder: str, identity: str) -> str:
        """The digest of that revision; empty where that is not known."""
        found = self._with_database(
            lambda database: database.execute(
                "SELECT digest FROM folders WHERE folder = ? AND id = ?", (folder, identity)
            ).fetchone()
        )
        return cast("tuple[str]", found)[0] if found else ""

    def close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _select(self, columns: str, blobs: Sequence[str]) -> list[tuple[object, ...]]:
        def read(database: sqlite3.Connection) -> list[tuple[object, ...]]:
            found: list[tuple[object, ...]] = []
            for start in range(0, len(blobs), _AT_ONCE):
                some = blobs[start : start + _AT_ONCE]
                marks = ",".join("?" * len(some))
                found += database.execute(f"SELECT {columns} FROM blobs WHERE blob IN ({marks})", some)  # noqa: S608 (marks alone)
            return found

        return self._with_database(read)

    def _with_database(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """In one transaction. A file that cannot be read is made anew, once."""
        for is_last in (False, True):
            try:
                database = self._opened()
                with database:
                    return work(database)
            except sqlite3.OperationalError as error:
                # No room, no right, or somebody at work: the file is not at fault.
                self.close()
                raise SourceError(f"the local copy cannot be used: {error}", where=str(self._path)) from error
            except sqlite3.DatabaseError as error:
                self.close()
                if is_last:
                    raise SourceError(f"the local copy cannot be made: {error}", where=str(self._path)) from error
                _log.warning("a local copy is damaged and is made anew", where=str(self._path), error=str(error))
                for name in (self._path, *(self._path.with_name(self._path.name + ending) for ending in ("-wal", "-shm"))):
                    name.unlink(missing_ok=True)
            except OSError as error:
                self.close()
                raise SourceError(f"the local copy cannot be used: {error}", where=str(self._path)) from error
        raise AssertionError("the last try returns or raises")

    def _opened(self) -> sqlite3.Connection:
        # Another Sync may have found the file damaged, and made it anew.
        if self._database is not None and (not self._path.exists() or self._path.stat().st_ino != self._inode):
            self.close()
        if self._database is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path.touch(mode=0o600)
            self._inode = self._path.stat().st_ino
            self._database = sqlite3.connect(self._path, timeout=_WAIT_SECONDS, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.executescript(_SCHEMA)
        return self._database

    def _forget(self, database: sqlite3.Connection) -> None:
        (size,) = database.execute("SELECT total(length(data)) FROM blobs").fetchone()
        unheld = "digest NOT IN (SELECT digest FROM held)"
        (count,) = database.execute(f"SELECT count(*) FROM revisions WHERE {unheld}").fetchone()  # noqa: S608 (no value)
        # Many at once, since it takes a look at all.
        if size <= MOST_BYTES and count <= 2 * MOST_REVISIONS:
            return
        gone = database.execute(
            f"DELETE FROM revisions WHERE {unheld} AND number NOT IN"  # noqa: S608 (no value)
            f" (SELECT number FROM revisions WHERE {unheld} ORDER BY number DESC LIMIT ?)",
            (MOST_REVISIONS if size <= MOST_BYTES else 0,),
        ).rowcount
        if not gone:
            return
        database.execute("DELETE FROM folders WHERE digest NOT IN (SELECT digest FROM revisions)")
        used: set[tuple[str, str, int, str]] = set()
        for row in database.execute(_OBJECTS):
            used |= {(each.key, each.etag, each.size, each.modified) for each in _decoded(row) or ()}
        rows = database.execute("SELECT key, etag, size, modified FROM objects").fetchall()
        database.executemany(
            "DELETE FROM objects WHERE key = ? AND etag = ? AND size = ? AND modified = ?",
            [row for row in rows if tuple(row) not in used],
        )
        database.execute("DELETE FROM blobs WHERE blob NOT IN (SELECT blob FROM objects)")


def _other_content(before: Iterable[Held], objects: Iterable[Held]) -> str:
    """A key whose content is not what it was; empty where there is none."""
    known = {each.key: each.blob for each in before}
    return next((each.key for each in objects if known.get(each.key, each.blob) != each.blob), "")


def _decoded(row: tuple[bytes, bytes]) -> tuple[Held, ...] | None:
    """None where it is damaged."""
    data, check = row
    return codec.decode_as(data, tuple[Held, ...]) if hashlib.sha256(data).digest() == check else None
