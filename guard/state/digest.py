"""A small fingerprint of what an apply left behind, to see in an object's metadata alone that somebody touched it."""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from guard.base import codec
from guard.base.codec import JsonObject
from guard.state.managed import entries

DIGEST_BYTES = 16  # 128 bits: a collision among all objects of a cluster, over years, is out of reach


class Fingerprint(msgspec.Struct, frozen=True):
    """`digest` covers our entry and those of people's tools, `status` the entries of the status subresource, which heartbeats
    move; `generation` is 0 for kinds that have none.
    """

    digest: bytes
    status: bytes
    generation: int
    resource_version: str


def fingerprint(body: JsonObject) -> Fingerprint:
    """The fingerprint of an object, or of its metadata alone."""
    metadata = body["metadata"]
    watched: list[JsonObject] = []
    status: list[JsonObject] = []
    for entry in entries(body):
        if entry.is_ours or entry.is_person:
            watched.append(entry.raw)
        if entry.subresource == "status":
            status.append(entry.raw)
    return Fingerprint(
        digest=_hash(watched),
        status=_hash(status),
        generation=metadata.get("generation", 0),
        resource_version=metadata.get("resourceVersion", ""),
    )


def _hash(entries: list[JsonObject]) -> bytes:
    return blake2b(codec.canonical(entries), digest_size=DIGEST_BYTES).digest()
