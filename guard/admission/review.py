"""AdmissionReview on the wire (admission.k8s.io/v1), with the objects left undecoded until a rule needs them."""

from __future__ import annotations

from typing import Literal, TypeVar

import msgspec

from guard.base import codec
from guard.base.codec import DecodeError, JsonObject
from guard.base.lazy import lazy
from guard.state.drift import METADATA
from guard.state.fields import EMPTY, FieldSet
from guard.state.managed import RawEntry, Stamp, stamps

T = TypeVar("T")

Operation = Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]


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
    extra: dict[str, tuple[str, ...] | None] | None = None


class Options(msgspec.Struct, frozen=True, rename="camel"):
    field_manager: str | None = None


class Metadata(msgspec.Struct, frozen=True, rename="camel"):
    """What a rule asks of an object's metadata, its values as they came."""

    name: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    deletion_timestamp: str | None = None
    labels: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    annotations: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    finalizers: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    owner_references: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    managed_fields: tuple[RawEntry, ...] | None = None


# The parts of the metadata that somebody can declare, and where they stand in the struct.
_PARTS = tuple((name, "owner_references" if name == "ownerReferences" else name) for name in METADATA)

# The metadata has parts of its own; nobody judges the status.
_APART = frozenset({"metadata", "status"})


class Sections:
    """An object of a review in its sections, each left undecoded: most changes leave most of them as they are, byte for byte.
    `top` are its fields, none of an object that is not there.
    """

    def __init__(self, top: dict[str, msgspec.Raw]) -> None:
        self.top = top

    @lazy
    def metadata(self) -> Metadata:
        """Raises DecodeError."""
        return _part(self.top.get("metadata"), Metadata, where="metadata") or Metadata()

    @lazy
    def labels(self) -> dict[str, str | None]:
        """Raises DecodeError."""
        raw = self.metadata.labels
        return _part(None if raw is msgspec.UNSET else raw, dict[str, str | None], where="metadata.labels") or {}

    def whole(self) -> JsonObject:
        """The object, decoded. Raises DecodeError."""
        return {name: codec.decode(raw) for name, raw in self.top.items()}

    def without(self, other: Sections) -> JsonObject:
        """The object, decoded, without the sections that another object has byte for byte alike, and without what nobody judges.
        Raises DecodeError.
        """
        top = other.top
        found: JsonObject = {
            name: codec.decode(raw) for name, raw in self.top.items() if name not in _APART and raw != top.get(name)
        }
        mine, theirs = self.metadata, other.metadata
        parts: JsonObject = {}
        for name, place in _PARTS:
            raw = getattr(mine, place)
            if raw is not msgspec.UNSET and raw != getattr(theirs, place):
                parts[name] = codec.decode(raw)
        found["metadata"] = parts
        return found

    @property
    def managed(self) -> tuple[RawEntry, ...]:
        """The entries of managedFields. Raises DecodeError."""
        return self.metadata.managed_fields or ()

    @lazy
    def ours(self) -> RawEntry | None:
        """Our Apply entry."""
        for entry in self.managed:
            if entry.is_ours:
                return entry
        return None

    @property
    def is_terminating(self) -> bool:
        return bool(self.metadata.deletion_timestamp)


def _part(raw: msgspec.Raw | None, kind: type[T], *, where: str) -> T | None:
    if raw is None:
        return None
    try:
        return codec.decode_optional(raw, kind)
    except DecodeError as error:
        raise DecodeError(f"{where}: {error}") from error


def _is_written(before: RawEntry | None, after: RawEntry) -> bool:
    """An entry that only lost fields was written by somebody else, who took them."""
    return before is None or before.time != after.time or bool(after.fields.minus(before.fields))


class _Asked(msgspec.Struct, frozen=True, rename="camel", dict=True):
    """`request` of a review but for its objects."""

    uid: str
    kind: GroupVersionKind
    resource: GroupVersionResource
    operation: Operation
    user_info: UserInfo = UserInfo()
    name: str = ""
    namespace: str = ""
    sub_resource: str = ""
    dry_run: bool | None = None
    options: msgspec.Raw = msgspec.Raw(b"null")


class Request(_Asked, frozen=True, rename="camel", dict=True):
    """`request` of a review. `namespace` is the object's own name for Namespace objects: use `object_namespace`."""

    object: dict[str, msgspec.Raw] | None = None
    old_object: dict[str, msgspec.Raw] | None = None

    @lazy
    def new_sections(self) -> Sections:
        """Of the object as it would be stored; there is none on DELETE."""
        return Sections(self.object or {})

    @lazy
    def old_sections(self) -> Sections:
        """Of the object as it is stored; there is none on CREATE."""
        return Sections(self.old_object or {})

    @lazy
    def new(self) -> JsonObject:
        """The object as it would be stored, whole; empty on DELETE. Raises DecodeError."""
        return self.new_sections.whole()

    @lazy
    def old(self) -> JsonObject:
        """The object as it is stored, whole; empty on CREATE. Raises DecodeError."""
        return self.old_sections.whole()

    @lazy
    def difference(self) -> tuple[JsonObject, JsonObject]:
        """The old object and the new one without what they have in common, by sections. Raises DecodeError."""
        old, new = self.old_sections, self.new_sections
        return old.without(new), new.without(old)

    @lazy
    def rewritten(self) -> tuple[tuple[RawEntry | None, RawEntry | None], ...]:
        """The entries of managedFields that do not hold what they held, each before and after; most writes change one or none.
        Raises DecodeError.
        """
        old = {entry.identity: entry for entry in self.old_sections.managed}
        new = {entry.identity: entry for entry in self.new_sections.managed}
        found: list[tuple[RawEntry | None, RawEntry | None]] = [(entry, None) for name, entry in old.items() if name not in new]
        for name, entry in new.items():
            before = old.get(name)
            if before is None or before.fields is not entry.fields:  # equal sets are one, as a rule
                found.append((before, entry))
        return tuple(found)

    @lazy
    def gained(self) -> tuple[tuple[RawEntry, FieldSet], ...]:
        """The entries of managedFields that hold more than before, each with that. Raises DecodeError."""
        return tuple(
            (after, more)
            for before, after in self.rewritten
            if after is not None and (more := after.fields.minus(before.fields if before else EMPTY))
        )

    @property
    def writers(self) -> tuple[str, ...]:
        """The field managers whose entries came, gained fields or were written again. Raises DecodeError."""
        before = {entry.identity: entry for entry in self.old_sections.managed}
        return tuple(entry.manager for entry in self.new_sections.managed if _is_written(before.get(entry.identity), entry))

    @property
    def is_undecoded(self) -> bool:
        """Whether nobody has asked for more of the objects than their metadata."""
        return not self.__dict__.keys() & {"old", "new", "difference"}

    @property
    def stored_as(self) -> tuple[tuple[Stamp, ...], int, str]:
        """How a watch will show the new object: its managedFields, its generation, 0 for kinds without one, and the
        resourceVersion that it follows.
        """
        new = self.new_sections
        return stamps(new.managed), new.metadata.generation, self.old_sections.metadata.resource_version

    @property
    def object_name(self) -> str:
        """`deletecollection` sends an empty name, and CREATE with generateName may."""
        return self.name or self.old_sections.metadata.name or self.new_sections.metadata.name

    @property
    def object_namespace(self) -> str:
        return "" if self.resource.resource == "namespaces" and not self.resource.group else self.namespace

    @lazy
    def field_manager(self) -> str:
        options = codec.decode_optional(self.options, Options)
        return (options and options.field_manager) or ""


class _Unreadable(Request, frozen=True):
    """A request whose objects are none. Who asks is known, so it gets an answer all the same."""

    @lazy
    def new_sections(self) -> Sections:
        raise DecodeError("object and oldObject have to be JSON objects")

    old_sections = new_sections


class Review(msgspec.Struct, frozen=True, rename="camel"):
    request: Request
    api_version: str = ""
    kind: str = ""


class _Envelope(msgspec.Struct, frozen=True, rename="camel"):
    """A review without the objects."""

    request: _Asked
    api_version: str = ""
    kind: str = ""


API_VERSION = "admission.k8s.io/v1"


def parse(data: bytes) -> Review:
    """Raises DecodeError, naming the field, for anything but a review of the one version that Guard registers for."""
    try:
        review = codec.decode_as(data, Review)
    except DecodeError:
        review = _without_objects(data)
    if review.api_version != API_VERSION or review.kind != "AdmissionReview":
        raise DecodeError(f"expected an AdmissionReview of {API_VERSION}, got {review.kind!r} of {review.api_version!r}")
    return review


def _without_objects(data: bytes) -> Review:
    envelope = codec.decode_as(data, _Envelope)
    asked = _Unreadable(**{name: getattr(envelope.request, name) for name in _Asked.__struct_fields__})
    return Review(request=asked, api_version=envelope.api_version, kind=envelope.kind)


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
