"""A small fingerprint of what an apply left behind, to see in an object's metadata alone that somebody touched it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from guard.base import codec
from guard.base.codec import JsonObject
from guard.state.managed import Entry, RawEntry, entries


class Fingerprint(msgspec.Struct, frozen=True, gc=False):
    """`ours` covers our entry, its time included, `digest` also those of people's tools, `others` those that are neither;
    `status` has the entries of the status subresource, which heartbeats move; `generation` is 0 for kinds that have none. Key
    order is none of it: the API server shows one object in one order or another (after a custom resource was scaled).
    `version` is the resourceVersion, a decimal number that grows (guaranteed since Kubernetes 1.35), 0 where there is none.
    """

    ours: bytes
    digest: bytes
    status: bytes
    others: bytes
    generation: int
    version: int


def fingerprint(body: JsonObject) -> Fingerprint:
    """The fingerprint of a decoded object."""
    metadata = body["metadata"]
    generation, version = metadata.get("generation", 0), int(metadata.get("resourceVersion") or 0)
    return fingerprint_of(entries(body), generation=generation, version=version)


def fingerprint_of(found: Iterable[Entry | RawEntry], *, generation: int, version: int) -> Fingerprint:
    ours: list[Entry | RawEntry] = []
    people: list[Entry | RawEntry] = []
    status: list[Entry | RawEntry] = []
    others: list[Entry | RawEntry] = []
    for entry in found:
        if entry.is_ours:
            ours.append(entry)
        elif entry.is_person:
            people.append(entry)
        elif entry.subresource != "status":
            others.append(entry)
        if entry.subresource == "status":
            status.append(entry)
    own = _hash(ours)
    return Fingerprint(
        ours=own,
        digest=own + _hash(people) if people else own,
        status=_hash(status),
        others=_hash(others),
        generation=generation,
        version=version,
    )


def _hash(found: list[Entry | RawEntry]) -> bytes:
    if not found:
        return b""
    return codec.digest([(*entry.identity, entry.time, entry.digest.hex()) for entry in found])
