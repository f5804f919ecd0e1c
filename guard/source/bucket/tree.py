"""The files of one revision of a bucket, read from the local copy without the network."""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left
from collections.abc import Iterable
from typing import Protocol
from urllib.parse import quote

from guard.base import codec
from guard.base.errors import NothingDeclared, RenderError, SourceError
from guard.source.bucket.localcopy import BucketCopy
from guard.source.bucket.revision import Held, digest_of
from guard.source.listing import MOST_IN_FILE
from guard.source.tree import MOST_IN_ALL, Call, normal
from guard.state.snapshot import Changes, Entry

_BLOB = re.compile(r"[0-9a-f]{64}")
# In place of a content that is too large to be held.
LARGE = "-"


def blob_of(data: bytes | None, *, etag: str) -> str:
    """Names a content by its SHA-256; one that was not asked for by what the store calls it."""
    return hashlib.sha256(data).hexdigest() if data is not None else LARGE + hashlib.sha256(etag.encode()).hexdigest()


class Files:
    """What a revision holds, by path from the source's root."""

    def __init__(self, objects: Iterable[Held], *, prefix: str) -> None:
        self.held = {each.key[len(prefix) :]: each for each in objects}
        self.entries = tuple(Entry(path=path, blob=each.blob, size=each.size) for path, each in sorted(self.held.items()))
        self._paths = [entry.path for entry in self.entries]

    def below(self, folder: str) -> tuple[Entry, ...]:
        if not folder:
            return self.entries
        # `0` is what comes after the slash.
        return self.entries[bisect_left(self._paths, f"{folder}/") : bisect_left(self._paths, f"{folder}0")]

    def link(self, bucket: str, path: str, _line: int) -> str:
        """`s3://<bucket>/<key>?versionId=<id>`, without the last part where there is no version."""
        held = self.held.get(path)
        if held is None:
            return ""
        version = f"?versionId={quote(held.version, safe='')}" if held.version else ""
        return f"s3://{bucket}/{quote(held.key)}{version}"


class FilesOf(Protocol):
    """The files of a revision that is held, by its digest. Raises SourceError for another one."""

    def __call__(self, digest: str, /) -> Files: ...


class BucketTree:
    """A `guard.state.snapshot.Tree`, readable as long as its revision is in the local copy."""

    def __init__(self, *, revision: str, files: FilesOf, copy: BucketCopy, call: Call) -> None:
        self._revision = revision
        self._digest = digest_of(revision)
        self._files_of = files
        self._copy = copy
        self._call = call
        self._ids: dict[str, str] = {}

    @property
    def revision(self) -> str:
        return self._revision

    async def id(self, folder: str) -> str:
        """Names what the folder holds: a digest of paths in it and contents. Raises RenderError where there is no such folder."""
        return await self._call(lambda: self._id(normal(folder)))

    async def entries(self, folder: str) -> tuple[Entry, ...]:
        """All files at and below the folder, sorted by path, what begins with a dot as well. Raises as `id` does."""
        return await self._call(lambda: self._below(normal(folder)))

    async def changes(self, folder: str, since: str) -> Changes | None:
        """What differs in the folder from what `id` gave at another time; None where the copy does not have that any more."""
        return await self._call(lambda: self._changes(normal(folder), since))

    async def read(self, blobs: Iterable[str]) -> dict[str, bytes]:
        """Contents by blob. Raises RenderError for files past MOST_IN_FILE, or MOST_IN_ALL together, SourceError where the copy
        lacks one.
        """
        return await self._call(lambda: self._read(sorted(set(blobs))))

    def _files(self) -> Files:
        return self._files_of(self._digest)

    def _id(self, folder: str) -> str:
        if folder not in self._ids:
            start = len(folder) + 1 if folder else 0
            listed = [[entry.path[start:], entry.blob] for entry in self._below(folder)]
            found = hashlib.sha256(codec.encode(listed)).hexdigest()
            self._copy.remember(folder, found, self._digest)
            self._ids[folder] = found
        return self._ids[folder]

    def _below(self, folder: str) -> tuple[Entry, ...]:
        files = self._files()
        entries = files.below(folder)
        if entries:
            return entries
        if folder in files.held:
            raise RenderError(f"the path {folder!r} is a file in {self._revision}, not a folder")
        if not folder:
            raise NothingDeclared(
                f"there is nothing in {self._revision}", hint="check name and prefix of the bucket, and include"
            )
        raise NothingDeclared(f"the path {folder!r} does not exist in {self._revision}")

    def _changes(self, folder: str, since: str) -> Changes | None:
        now = self._below(folder)
        if self._id(folder) == since:
            return Changes(put=(), gone=())
        digest = self._copy.remembered(folder, since)
        if not digest:
            return None
        try:
            before = {entry.path: entry for entry in self._files_of(digest).below(folder)}
        except SourceError:
            # The copy does not have it any more.
            return None
        put = tuple(entry for entry in now if before.get(entry.path) != entry)
        gone = before.keys() - {entry.path for entry in now}
        return Changes(put=put, gone=tuple(sorted(gone)))

    def _read(self, blobs: list[str]) -> dict[str, bytes]:
        if large := next((blob for blob in blobs if blob.startswith(LARGE)), None):
            path = next((entry.path for entry in self._files().entries if entry.blob == large), "a file")
            raise RenderError(f"is larger than {MOST_IN_FILE // 2**20} MiB", where=path, hint=f"in {self._revision}")
        if odd := next((blob for blob in blobs if not _BLOB.fullmatch(blob)), None):
            raise SourceError(f"{odd!r} is not the name of a content in a bucket")
        if sum(self._copy.sizes(blobs).values()) > MOST_IN_ALL:
            raise RenderError(f"the files to be read hold more than {MOST_IN_ALL // 2**20} MiB", where=self._revision)
        return self._copy.contents(blobs)
