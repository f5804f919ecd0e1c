"""Reading `metadata.managedFields`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

import msgspec

from guard.base import codec
from guard.base.codec import JsonObject, child, children
from guard.base.lazy import lazy
from guard.base.remembered import Remembered
from guard.state.fields import EMPTY, SELF, FieldSet, Path
from guard.state.ids import FIELD_MANAGER, REPAIR_MANAGER
from guard.state.requesters import is_person_tool

# 400 sets of 5 KB: those of the objects that are written again and again.
_digests: Remembered[bytes] = Remembered(2 * 1024 * 1024)


class Manager(msgspec.Struct, frozen=True, rename="camel"):
    """Who an entry is of, and when it last wrote."""

    manager: str = ""
    operation: str = ""
    subresource: str = ""
    api_version: str = ""
    time: str | None = None

    @property
    def is_ours(self) -> bool:
        return self.manager == FIELD_MANAGER and self.operation == "Apply" and not self.subresource

    @property
    def is_person(self) -> bool:
        """Written by a person's tool (the documented list), to the object or through a subresource; or under our names by
        somebody else: what Guard declares is in its Apply entry, and its patches only take away.
        """
        return is_person_tool(self.manager) or (self.is_guard and not self.is_ours)

    @property
    def is_guard(self) -> bool:
        return self.manager in {FIELD_MANAGER, REPAIR_MANAGER}

    @property
    def identity(self) -> tuple[str, ...]:
        """The API server keeps one entry of each."""
        return self.manager, self.operation, self.subresource, self.api_version


class RawEntry(Manager, frozen=True, rename="camel", dict=True):
    """An entry as it came, its fields decoded when they are asked for."""

    fields_v1: msgspec.Raw = msgspec.field(name="fieldsV1", default=msgspec.Raw(b"{}"))

    @lazy
    def fields(self) -> FieldSet:
        """Raises DecodeError."""
        return FieldSet.parse_raw(bytes(self.fields_v1))

    @property
    def digest(self) -> bytes:
        """Of the fields. Raises DecodeError."""
        return _digest_of(bytes(self.fields_v1))


def _digest_of(raw: bytes) -> bytes:
    known = _digests.get(raw)
    if known is None:
        known = codec.digest(codec.at_any_depth(codec.decode, raw))
        _digests.put(raw, known)
    return known


def raw_entries(managed_fields: msgspec.Raw | None) -> tuple[RawEntry, ...]:
    """The entries in the order stored. Raises DecodeError."""
    if managed_fields is None:
        return ()
    try:
        return _decoded(managed_fields)
    except codec.TooDeepError:
        return codec.at_any_depth(_decoded, bytes(managed_fields))


def _decoded(managed_fields: bytes | msgspec.Raw) -> tuple[RawEntry, ...]:
    return codec.decode_optional(managed_fields, tuple[RawEntry, ...]) or ()


# An entry's identity, time and fields, as they came: enough to know it again.
Stamp: TypeAlias = tuple[tuple[str, ...], str | None, bytes]


def stamps(entries: Iterable[RawEntry]) -> tuple[Stamp, ...]:
    return tuple((entry.identity, entry.time, bytes(entry.fields_v1)) for entry in entries)


def are_alike(some: tuple[Stamp, ...], others: tuple[Stamp, ...]) -> bool:
    """Whether two lists of entries say the same. The API server writes one object in the same bytes almost always; the order of
    keys may differ. Raises DecodeError.
    """
    if some == others:
        return True
    pairs = zip(some, others, strict=False)
    return len(some) == len(others) and all(
        one[:2] == other[:2] and _digest_of(one[2]) == _digest_of(other[2]) for one, other in pairs
    )


class Entry(Manager, frozen=True, dict=True, kw_only=True):
    """An entry of a decoded object; `raw` is the JSON as the API server sent it."""

    raw: JsonObject

    @lazy
    def fields(self) -> FieldSet:
        return FieldSet.parse(child(self.raw, "fieldsV1"))

    @property
    def digest(self) -> bytes:
        """Of the fields."""
        return codec.digest(child(self.raw, "fieldsV1"))


def entries(body: JsonObject) -> Iterator[Entry]:
    """The entries of an object, in the order stored."""
    for raw in children(child(body, "metadata"), "managedFields"):
        yield Entry(
            manager=raw.get("manager", ""),
            operation=raw.get("operation", ""),
            subresource=raw.get("subresource", ""),
            api_version=raw.get("apiVersion", ""),
            time=raw.get("time"),
            raw=raw,
        )


def our_entry(body: JsonObject) -> Entry | None:
    return next((entry for entry in entries(body) if entry.is_ours), None)


def our_fields(body: JsonObject) -> FieldSet:
    return ours_of(entries(body))


def ours_of(found: Iterable[Entry | RawEntry]) -> FieldSet:
    """What our Apply entry holds; EMPTY where there is none."""
    return next((entry.fields for entry in found if entry.is_ours), EMPTY)


def held_by(found: Iterable[Entry | RawEntry]) -> FieldSet:
    """What these entries hold together."""
    held = EMPTY
    for entry in found:
        held = held.union(entry.fields)
    return held


def reaches(owned: FieldSet, path: Path) -> bool:
    """Whether a set holds `path` or fields below it."""
    return owned.below(path) is not None


def reaches_below(owned: FieldSet, path: Path) -> bool:
    """Whether a set holds fields below `path`: the API server then counts the value there field by field, and not as one."""
    return any(element != SELF for element in owned.below(path) or {})


def replacing(body: JsonObject, kept: list[JsonObject]) -> list[JsonObject]:
    """The JSON patch that leaves an object these entries, and goes for this very version of it."""
    # An empty list would leave them as they are.
    return [*held_to_version(body), {"op": "replace", "path": "/metadata/managedFields", "value": kept or [{}]}]


def held_to_version(body: JsonObject) -> list[JsonObject]:
    """The start of a JSON patch that goes for this very version of an object."""
    return [{"op": "test", "path": "/metadata/resourceVersion", "value": body["metadata"]["resourceVersion"]}]
