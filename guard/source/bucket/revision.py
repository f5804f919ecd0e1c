"""What a revision of a bucket is: which objects, in which versions, and the digest that names them. No I/O."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from msgspec import Struct

from guard.base import codec
from guard.base.errors import SourceError

_DIGEST = re.compile(r"[0-9a-f]{64}")


class Listed(Struct, frozen=True, array_like=True):
    """An object as a listing has it, which does not tell versions. `modified` is as the store writes it."""

    key: str
    etag: str
    size: int
    modified: str


class Held(Struct, frozen=True, array_like=True):
    """An object of a revision. `version` is empty where the store keeps none; `blob` names the content."""

    key: str
    etag: str
    size: int
    modified: str
    version: str
    blob: str

    @property
    def listed(self) -> Listed:
        return Listed(key=self.key, etag=self.etag, size=self.size, modified=self.modified)


def line(key: str, version: str, etag: str) -> bytes:
    """What stands for one object in a digest: `["<key>","<version id>"]` and a newline, or `["<key>","","<ETag>"]` where the
    store keeps no version of it, in JSON without spaces. No JSON text holds a newline.
    """
    return codec.encode([key, version] if version else [key, "", etag]) + b"\n"


def digest(objects: Iterable[Held]) -> str:
    """SHA-256, in hex, over the `line` of each object, in the order of their keys as bytes of UTF-8, which is S3's own. The keys
    are whole ones, with the prefix.
    """
    lines = [line(each.key, each.version, each.etag) for each in sorted(objects, key=_key)]
    return hashlib.sha256(b"".join(lines)).hexdigest()


def written(bucket: str, digest_: str) -> str:
    return f"{bucket}@sha256:{digest_}"


def digest_of(revision: str) -> str:
    """Raises SourceError for what is no revision of a bucket, such as a commit."""
    algorithm, _, found = revision.rpartition("@")[2].partition(":")
    if algorithm != "sha256" or not _DIGEST.fullmatch(found):
        raise SourceError(f"{revision!r} is not a revision of a bucket")
    return found


def weakness(objects: Iterable[Held]) -> str:
    """Why a revision is less than immutable, as people read it; empty where each object has a version."""
    without = total = 0
    for each in objects:
        total += 1
        without += not each.version
    if not without:
        return ""
    return (
        f"{without:,} of {total:,} objects have no version in the bucket, so an earlier revision cannot be fetched again: only "
        "Guard's own copy has it (turn versioning on, and put again what was there before)"
    )


def _key(held: Held) -> str:
    return held.key
