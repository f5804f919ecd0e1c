"""A bucket as a source: what a listing of it says, with the content of each object as it was listed, in a local copy from which
any revision that is held can be read.

A look is one listing, and a GET for each object that it shows as new or other than before.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TypeVar
from weakref import WeakValueDictionary

import msgspec

from guard.base.concurrency import for_each
from guard.base.errors import SourceError
from guard.source.bucket import revision as revisions
from guard.source.bucket.address import address_of
from guard.source.bucket.answers import NO_VERSION, Version
from guard.source.bucket.credentials import BucketCredentials
from guard.source.bucket.failures import Changed, Refused
from guard.source.bucket.history import TooFarBack, find
from guard.source.bucket.keys import Keys
from guard.source.bucket.localcopy import BucketCopy
from guard.source.bucket.revision import Held, Listed, digest_of, weakness, written
from guard.source.bucket.store import AT_ONCE, Got, Store
from guard.source.bucket.tree import BucketTree, Files, blob_of
from guard.source.include import Include
from guard.source.listing import MOST_IN_FILE
from guard.source.places import placed
from guard.source.ports import Link, Signed, Trust
from guard.source.verify import sums
from guard.source.verify.bucket import BucketVerification, BucketVerify, Content, signed_at

__all__ = ["BucketSource"]

T = TypeVar("T")

# As a fetch of Git may bring.
MOST_IN_FETCH = 1024**3
# How often a listing is taken anew since the bucket changed while its objects were fetched.
ROUNDS = 5
# What came in is put on disk in pieces of so many bytes, or objects, so that whatever ends Guard does not end all of it.
_PIECE, _MOST_IN_PIECE = 4 * 1024 * 1024, 200
# Few are so large that it takes a hand of them to fill the memory of a Guard with ten such buckets; these come in twos.
_LARGE, _LARGE_AT_ONCE = 1024 * 1024, 2
# The revision in force and the one that may come next.
_MOST_FILES = 2

# One fetch of a copy at a time, so that Syncs that share one do not fetch the same twice.
_locks: WeakValueDictionary[Path, asyncio.Lock] = WeakValueDictionary()


class _Last(msgspec.Struct, frozen=True):
    """What was fetched last, and the listing that showed it; `digest` is empty, and that of no revision, before."""

    listed: list[Listed] | None = None
    held: Sequence[Held] = ()
    digest: str = ""


class BucketSource:
    """What is below `prefix` in one bucket. Errors name the bucket, never a secret.

    Who shares a copy can read what is in it, so that is shared by those of one place and one `secret`, the name of where the
    credentials come from; without `credentials` those of Guard's surroundings are used. `include` are patterns of what is read at
    all, everything if empty; with `verify` nothing is taken that is not signed so. With `pinned`, the digest of an earlier
    revision, that one is used, whatever the bucket holds now. Raises ConfigError at once for an endpoint or pattern that will
    never work.
    """

    def __init__(
        self,
        *,
        name: str,
        prefix: str = "",
        endpoint: str = "",
        region: str = "",
        path_style: bool | None = None,
        pinned: str = "",
        credentials: BucketCredentials | None = None,
        secret: str = "",
        include: Iterable[str] = (),
        verify: BucketVerify | None = None,
        directory: Path,
        timeout: float = 60,
    ) -> None:
        self._name = name
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._pinned = pinned
        self._include = Include(include)
        self._signing = frozenset(f"{self._prefix}{name}" for name in sums.FILES) if verify is not None else frozenset[str]()
        self._keys = Keys(self._prefix, self._include, besides=self._signing)
        address = address_of(name=name, endpoint=endpoint, region=region, path_style=path_style)
        self._store = Store(address=address, credentials=credentials or BucketCredentials(), timeout=timeout)
        path = directory / f"{_slug(address.base, self._prefix, secret)}.bucket"
        self._copy = BucketCopy(path)
        self._lock = _locks.setdefault(path, asyncio.Lock())
        self._owner = f"last {_slug(self._include.digest, pinned, *(['signed'] if verify else []))}"
        self._verification = (
            BucketVerification(verify, directory=directory, is_pinned=bool(pinned)) if verify is not None else None
        )
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="bucket")
        self._last = _Last()
        self._files: dict[str, Files] = {}
        self._trust = Trust()
        # The history in which a pinned revision was looked for last, and why it was not found.
        self._in_vain = (0, "")

    async def fetch(self) -> str:
        """Look what the bucket holds, and get what is new. Returns the revision.

        With nothing new this is one listing (a request for each 1,000 objects), and nothing at all for a pinned revision that is
        held. Raises SourceError.
        """
        try:
            async with self._lock:
                found = await (self._fetch_pinned() if self._pinned else self._fetch())
        except SourceError as error:
            raise self._placed(error) from error
        return written(self._name, found)

    def tree(self, revision: str) -> BucketTree:
        """The files of a revision that is held; reading them needs no network.

        Raises SourceError for what is no revision of a bucket. Further calls are of `guard.state.snapshot.Tree`.
        """
        digest_of(revision)
        return BucketTree(revision=revision, files=self._files_of, copy=self._copy, call=self._call)

    async def keep(self, revision: str, *, owner: str = "") -> None:
        """Hold `revision` as the last good one of `owner` (a Sync), in place of the one before."""
        await self._call(lambda: self._copy.keep(digest_of(revision), owner=f"kept {owner}"))

    @property
    def trust(self) -> Trust:
        """A `guard.source.ports.Source`'s: weaker where objects have no version."""
        return self._trust

    def link(self, revision: str) -> Link:
        """`s3://<bucket>/<key>?versionId=<id>`."""
        files = self._files.get(digest_of(revision))
        return partial(files.link, self._name) if files else lambda _path, _line: ""

    async def close(self) -> None:
        """Release connections and the thread. Can be called twice."""
        await self._store.close()
        if self._verification is not None:
            self._verification.stop()
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)
        await asyncio.to_thread(self._copy.close)

    async def _call(self, function: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, function)
        except SourceError as error:
            raise self._placed(error) from error

    def _placed(self, error: SourceError) -> SourceError:
        return placed(error, f"s3://{self._name}/{self._prefix}")

    async def _fetch(self) -> str:
        await self._store.begin()
        lacking: list[Listed] = []
        for _ in range(ROUNDS):
            listed = await self._store.listing(self._prefix)
            if await self._is_known(listed):
                return self._last.digest
            wanted, known, lacking = await self._call(lambda found=listed: self._sorted(found))
            known |= await self._get(lacking)
            if not (lacking := [each for each in lacking if each not in known]):
                return await self._hold(lambda wanted=wanted, known=known: [known[each] for each in wanted], listed=listed)
        raise SourceError(
            f"the bucket changes faster than it can be fetched: {ROUNDS} listings were out of date, as in {lacking[0].key!r}",
            hint="Guard looks again; the last good revision stays in force",
        )

    async def _is_known(self, listed: list[Listed]) -> bool:
        last = self._last
        return listed == last.listed and await self._call(lambda: self._copy.is_whole(last.digest))

    def _sorted(self, listed: list[Listed]) -> tuple[list[Listed], dict[Listed, Held], list[Listed]]:
        """What is read of a listing, and of that what is at hand and what is not. Raises SourceError for keys that cannot be
        files.
        """
        wanted = self._keys.wanted(listed)
        last = self._last
        before = {each.listed: each for each in last.held} if self._copy.is_whole(last.digest) else {}
        known = {each: before[each] for each in wanted if each in before}
        known |= self._copy.known([each for each in wanted if each not in known])
        return wanted, known, [each for each in wanted if each not in known]

    async def _fetch_pinned(self) -> str:
        digest = self._pinned
        if await self._call(lambda: self._copy.is_whole(digest)):
            held = await self._call(lambda: self._copy.objects(digest))
            signed = await self._call(lambda: self._signed(held))
            self._trust = Trust(is_fetched=True, signed=signed, weakness=weakness(held))
            return digest
        await self._store.begin()
        found = await self._found(digest)
        versions = {_listed(version): version.version or NO_VERSION for version in found}
        known = await self._call(lambda: self._copy.known(tuple(versions)))
        got = known | await self._get([each for each in versions if each not in known], versions=versions)
        if len(got) < len(versions):
            raise SourceError("an object of the pinned revision is not in the bucket any more", hint="pin another revision")
        return await self._hold(lambda: [msgspec.structs.replace(got[_listed(each)], version=each.version) for each in found])

    async def _found(self, digest: str) -> Sequence[Version]:
        history = await self._store.versions(self._prefix)

        def search() -> tuple[Version, ...] | str:
            """What it consisted of, or why that is not known. It takes up to ten seconds of a core, so once for each history."""
            looked_at = hash(tuple(history))
            if looked_at != self._in_vain[0]:
                try:
                    found = find(history, digest, wanted=self._keys.could_hold)
                except TooFarBack:
                    self._in_vain = looked_at, "the pinned revision is too far back in the history of the bucket to be found"
                else:
                    if found is not None:
                        return found
                    self._in_vain = looked_at, "the pinned revision is neither in Guard's copy nor in the history of the bucket"
            return self._in_vain[1]

        found = await self._call(search)
        if isinstance(found, str):
            raise SourceError(
                found, hint="its versions may have been taken away, or prefix and include are not those that it was made with"
            )
        return found

    async def _get(self, wanted: Sequence[Listed], *, versions: Mapping[Listed, str] | None = None) -> dict[Listed, Held]:
        """Fetch objects into the copy, in these versions where they are known. What is not what was listed is left out."""
        if sum(each.size for each in wanted if each.size <= MOST_IN_FILE) > MOST_IN_FETCH:
            raise SourceError(
                f"what is below the prefix is more than {MOST_IN_FETCH // 2**20} MiB",
                hint="name a longer prefix, or say in source.bucket.include what is wanted",
            )
        found: dict[Listed, Held] = {}
        piece: dict[Listed, Got] = {}
        large = asyncio.Semaphore(_LARGE_AT_ONCE)

        async def flush() -> None:
            some = dict(piece)
            piece.clear()
            found.update(await self._call(lambda: self._put(some)))

        async def get(each: Listed) -> None:
            async with large if each.size > _LARGE else nullcontext():
                try:
                    piece[each] = await self._got(each, version=(versions or {}).get(each, ""))
                except Changed:
                    return
                if len(piece) >= _MOST_IN_PIECE or sum(len(got.data or b"") for got in piece.values()) > _PIECE:
                    await flush()

        try:
            await for_each(wanted, get, at_once=AT_ONCE)
        finally:
            if piece:
                await flush()
        return found

    def _put(self, got: Mapping[Listed, Got]) -> dict[Listed, Held]:
        """Put what came in into the copy."""
        found: dict[Listed, Held] = {}
        contents: dict[str, bytes] = {}
        for each, one in got.items():
            blob = blob_of(one.data, etag=each.etag)
            found[each] = Held(
                key=each.key, etag=each.etag, size=each.size, modified=each.modified, version=one.version, blob=blob
            )
            if one.data is not None:
                contents[blob] = one.data
        self._copy.put_objects(found.values(), contents)
        return found

    async def _got(self, listed: Listed, *, version: str) -> Got:
        """What was listed. Where it was replaced or deleted since, its version may still be there. Raises Changed otherwise."""
        try:
            return await self._store.get(listed, version=version, most=MOST_IN_FILE)
        except Changed:
            if version:
                raise
        except SourceError as error:
            raise SourceError(error.message, where=f"s3://{self._name}/{listed.key}", hint=error.hint) from error
        try:
            found = await self._store.versions(listed.key, only_first=True)
        except Refused as error:
            raise Changed(error.message) from error
        same = [
            each for each in found if each.version and (each.key, each.etag, each.size) == (listed.key, listed.etag, listed.size)
        ]
        if not same:
            raise Changed("the object is not there any more as it was listed")
        # Not all stores tell of old versions when they came, but all do of the latest; otherwise it is the newest.
        likeliest = min(same, key=lambda each: (each.modified != listed.modified, each.is_latest))
        return await self._store.get(listed, version=likeliest.version, most=MOST_IN_FILE)

    async def _hold(self, objects: Callable[[], Sequence[Held]], *, listed: list[Listed] | None = None) -> str:
        def hold() -> str:
            held = objects()
            signed = self._signed(held)
            digest = revisions.digest(held)
            self._copy.put_revision(digest, held, owner=self._owner)
            self._last = _Last(listed=listed, held=held, digest=digest)
            self._trust = Trust(is_fetched=True, signed=signed, weakness=weakness(held))
            return digest

        return await self._call(hold)

    def _signed(self, held: Sequence[Held]) -> Signed | None:
        """Who signed these objects, where that is asked for. Raises VerificationError."""
        if self._verification is None:
            return None
        content = Content(
            revision=written(self._name, revisions.digest(held)),
            digests={each.key[len(self._prefix) :]: each.blob for each in held},
            read=self._read,
            wants=self._include.wants,
            at=self._signed_at,
        )
        return self._verification.check(content)

    def _read(self, blob: str) -> bytes:
        return self._copy.contents([blob])[blob]

    def _signed_at(self, revision: str) -> float | None:
        """When a revision was signed, as far as it is in the copy."""

        def read() -> bytes:
            held = self._copy.objects(digest_of(revision))
            blobs = {each.key: each.blob for each in held if not sums.is_too_large(each.blob)}
            return self._read(blobs[f"{self._prefix}{sums.LIST}"])

        return signed_at(read)

    def _files_of(self, digest: str) -> Files:
        found = self._files.pop(digest, None) or Files(self._manifests(digest), prefix=self._prefix)
        while len(self._files) >= _MOST_FILES:
            del self._files[next(iter(self._files))]
        self._files[digest] = found
        return found

    def _manifests(self, digest: str) -> Sequence[Held]:
        """What a revision holds, less what is there to sign it."""
        return [each for each in self._copy.objects(digest) if each.key not in self._signing]


def _listed(version: Version) -> Listed:
    return Listed(key=version.key, etag=version.etag, size=version.size, modified=version.modified)


def _slug(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
