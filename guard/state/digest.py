"""A small fingerprint of what an apply left behind, to see in an object's metadata alone that somebody touched it."""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from guard.base import codec
from guard.base.codec import JsonObject
from guard.state.managed import entries

DIGEST_BYTES = 16  # 128 bits: a collision among all objects of a cluster, over years, is out of reach


class Fingerprint(msgspec.Struct, frozen=True):
    """`ours` covers our entry, its time included, `digest` also those of people's tools, `status` the entries of the status
    subresource, which heartbeats move; `generation` is 0 for kinds that have none. Key order is none of it:
    the API server shows one object in one order or another (after a custom resource was scaled).
    """

    ours: bytes
    digest: bytes
    status: bytes
    generation: int
    resource_version: str


def fingerprint(body: JsonObject) -> Fingerprint:
    """The fingerprint of an object, or of its metadata alone."""
    metadata = body["metadata"]
    ours: list[JsonObject] = []
    people: list[JsonObject] = []
    status: list[JsonObject] = []
    for entry in entries(body):
        if entry.is_ours:
            ours.append(entry.raw)
        elif entry.is_person:
            people.append(entry.raw)
        if entry.subresource == "status":
            status.append(entry.raw)
    return Fingerprint(
        ours=(own := _hash(ours)),
        digest=own + _hash(people) if people else own,
        status=_hash(status),
        generation=metadata.get("generation", 0),
        resource_version=metadata.get("resourceVersion", ""),
    )


def _hash(entries: list[JsonObject]) -> bytes:
    return blake2b(codec.canonical(entries), digest_size=DIGEST_BYTES).digest() if entries else b""
