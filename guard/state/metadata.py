"""The metadata of a live object, as lists and watches of metadata alone show it."""

from __future__ import annotations

import msgspec

from guard.base.lazy import lazy
from guard.state.digest import Fingerprint, fingerprint_of
from guard.state.fields import FieldSet
from guard.state.ids import Kind, ObjectKey
from guard.state.managed import RawEntry, ours_of, raw_entries


class Owner(msgspec.Struct, frozen=True):
    controller: bool | None = None


class Metadata(msgspec.Struct, frozen=True, rename="camel", dict=True):
    """managedFields stay undecoded until somebody asks: they are most of the bytes, and most writes leave most of them alone."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    deletion_timestamp: str | None = None
    labels: dict[str, str | None] | None = None
    annotations: dict[str, str | None] | None = None
    owner_references: tuple[Owner, ...] | None = None
    finalizers: tuple[str, ...] | None = None
    managed_fields: msgspec.Raw = msgspec.Raw(b"null")

    @lazy
    def entries(self) -> tuple[RawEntry, ...]:
        """The entries of managedFields. Raises DecodeError."""
        return raw_entries(self.managed_fields)

    @property
    def our_fields(self) -> FieldSet:
        return ours_of(self.entries)

    @lazy
    def fingerprint(self) -> Fingerprint:
        return fingerprint_of(self.entries, generation=self.generation, version=int(self.resource_version or 0))

    @property
    def is_controlled(self) -> bool:
        return any(owner.controller for owner in self.owner_references or ())

    def key(self, kind: Kind) -> ObjectKey:
        return ObjectKey(group=kind.group, kind=kind.kind, namespace=self.namespace, name=self.name)


class PartialObject(msgspec.Struct, frozen=True):
    """PartialObjectMetadata, of meta.k8s.io/v1."""

    metadata: Metadata = Metadata()
