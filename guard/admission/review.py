"""AdmissionReview on the wire (admission.k8s.io/v1), with the objects left undecoded until a rule needs them."""

from __future__ import annotations

from typing import Literal

import msgspec

from guard.base import codec
from guard.base.codec import DecodeError, JsonObject
from guard.base.lazy import lazy
from guard.state.drift import METADATA
from guard.state.managed import RawEntry, raw_entries

Operation = Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]

_NULL = b"null"


class GroupVersionKind(msgspec.Struct, frozen=True):
    kind: str
    version: str
    group: str = ""


class GroupVersionResource(msgspec.Struct, frozen=True):
    resource: str
    version: str
    group: str = ""


class UserInfo(msgspec.Struct, frozen=True):
    username: str = ""
    groups: tuple[str, ...] | None = None


class Options(msgspec.Struct, frozen=True, rename="camel"):
    field_manager: str | None = None


class _Metadata(msgspec.Struct, frozen=True):
    name: str = ""
    labels: dict[str, str | None] | None = None


class _Head(msgspec.Struct, frozen=True):
    """Of an object, the little that undeclared objects are judged by."""

    metadata: _Metadata = _Metadata()


def _is_written(before: RawEntry | None, after: RawEntry) -> bool:
    """An entry that only lost fields was written by somebody else, who took them."""
    return before is None or before.time != after.time or bool(after.fields.minus(before.fields))


# The metadata has sections of its own; nobody judges the status.
_APART = frozenset({"metadata", "status"})


class Sections:
    """An object of a review in its sections, each left undecoded: most changes leave most of them as they are, byte for byte."""

    def __init__(self, raw: msgspec.Raw) -> None:
        """Raises DecodeError for what is no object."""
        self.top = _sections(raw)
        self.metadata = _sections(self.top.get("metadata"))

    def without(self, other: Sections) -> JsonObject:
        """The object, decoded, without the sections that another object has byte for byte alike, and without what nobody judges.
        Raises DecodeError.
        """
        top, metadata = other.top, other.metadata
        found: JsonObject = {
            name: codec.decode(raw) for name, raw in self.top.items() if name not in _APART and not _alike(raw, top.get(name))
        }
        found["metadata"] = {
            name: codec.decode(raw)
            for name in METADATA
            if (raw := self.metadata.get(name)) is not None and not _alike(raw, metadata.get(name))
        }
        return found

    @lazy
    def managed(self) -> tuple[RawEntry, ...]:
        """The entries of managedFields. Raises DecodeError."""
        return raw_entries(self.metadata.get("managedFields"))

    @lazy
    def ours(self) -> RawEntry | None:
        """Our Apply entry."""
        return next((entry for entry in self.managed if entry.is_ours), None)

    def has_same_entries(self, other: Sections) -> bool:
        """Whether the managedFields are those of another object, byte for byte."""
        mine, theirs = self.metadata.get("managedFields"), other.metadata.get("managedFields")
        return mine is None if theirs is None else mine is not None and _alike(mine, theirs)

    @property
    def is_terminating(self) -> bool:
        raw = self.metadata.get("deletionTimestamp")
        return raw is not None and bytes(raw) not in (_NULL, b'""')


def _sections(raw: msgspec.Raw | None) -> dict[str, msgspec.Raw]:
    return {} if raw is None else codec.decode_optional(raw, dict[str, msgspec.Raw]) or {}


def _alike(one: msgspec.Raw, other: msgspec.Raw | None) -> bool:
    return other is not None and bytes(one) == bytes(other)


class Request(msgspec.Struct, frozen=True, rename="camel", dict=True):
    """`request` of a review. `namespace` is the object's own name for Namespace objects: use `object_namespace`."""

    uid: str
    kind: GroupVersionKind
    resource: GroupVersionResource
    operation: Operation
    user_info: UserInfo = UserInfo()
    name: str = ""
    namespace: str = ""
    sub_resource: str = ""
    dry_run: bool | None = None
    object: msgspec.Raw = msgspec.Raw(_NULL)
    old_object: msgspec.Raw = msgspec.Raw(_NULL)
    options: msgspec.Raw = msgspec.Raw(_NULL)

    @lazy
    def new(self) -> JsonObject:
        """The object as it would be stored; empty on DELETE. Raises DecodeError."""
        return _object(self.object)

    @lazy
    def old(self) -> JsonObject:
        """The object as it is stored; empty on CREATE. Raises DecodeError."""
        return _object(self.old_object)

    @lazy
    def new_sections(self) -> Sections:
        return Sections(self.object)

    @lazy
    def old_sections(self) -> Sections:
        return Sections(self.old_object)

    @lazy
    def difference(self) -> tuple[JsonObject, JsonObject]:
        """The old object and the new one without what they have in common, by sections. Raises DecodeError."""
        old, new = self.old_sections, self.new_sections
        return old.without(new), new.without(old)

    @property
    def writers(self) -> tuple[str, ...]:
        """The field managers whose entries came, gained fields or were written again. Raises DecodeError."""
        before = {entry.identity: entry for entry in self.old_sections.managed}
        return tuple(entry.manager for entry in self.new_sections.managed if _is_written(before.get(entry.identity), entry))

    @property
    def is_undecoded(self) -> bool:
        """Whether nobody has asked for more of the objects than their names and labels."""
        return not self.__dict__.keys() & {"old", "new", "old_sections", "new_sections"}

    @property
    def stored_as(self) -> tuple[bytes, int, str]:
        """How a watch will show the new object: its managedFields, undecoded, its generation, 0 for kinds without one, and the
        resourceVersion that it follows.
        """
        metadata = self.new_sections.metadata
        generation = codec.decode(metadata.get("generation", b"0"))
        before = codec.decode(self.old_sections.metadata.get("resourceVersion", b'""'))
        return bytes(metadata.get("managedFields", b"null")), generation if isinstance(generation, int) else 0, str(before)

    @lazy
    def new_head(self) -> _Head:
        return _head(self.object)

    @lazy
    def old_head(self) -> _Head:
        return _head(self.old_object)

    @property
    def object_name(self) -> str:
        """`deletecollection` sends an empty name, and CREATE with generateName may."""
        return self.name or self.old_head.metadata.name or self.new_head.metadata.name

    @property
    def object_namespace(self) -> str:
        return "" if self.resource.resource == "namespaces" and not self.resource.group else self.namespace

    @lazy
    def field_manager(self) -> str:
        options = codec.decode_optional(self.options, Options)
        return (options and options.field_manager) or ""


class Review(msgspec.Struct, frozen=True, rename="camel"):
    request: Request
    api_version: str = ""
    kind: str = ""


API_VERSION = "admission.k8s.io/v1"


def parse(data: bytes) -> Review:
    """Raises DecodeError, naming the field, for anything but a review of the one version that Guard registers for."""
    review = codec.decode_as(data, Review)
    if review.api_version != API_VERSION or review.kind != "AdmissionReview":
        raise DecodeError(f"expected an AdmissionReview of {API_VERSION}, got {review.kind!r} of {review.api_version!r}")
    return review


def _object(raw: msgspec.Raw) -> JsonObject:
    value = codec.decode(raw)
    if value is None:
        return {}
    if not codec.is_object(value):
        raise DecodeError("object and oldObject have to be JSON objects")
    return value


def _head(raw: msgspec.Raw) -> _Head:
    return codec.decode_optional(raw, _Head) or _Head()


class Answer(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """`response` of a review."""

    uid: str
    # No default: the API server takes a missing `allowed` for false, but people read these in traces.
    allowed: bool
    status: JsonObject | None = None
    warnings: tuple[str, ...] = ()
    audit_annotations: dict[str, str] = {}


class _AnswerReview(msgspec.Struct, frozen=True, rename="camel"):
    response: Answer
    api_version: str = API_VERSION
    kind: str = "AdmissionReview"


def encode(answer: Answer) -> bytes:
    return codec.encode(_AnswerReview(response=answer))
