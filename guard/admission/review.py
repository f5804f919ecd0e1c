"""AdmissionReview on the wire (admission.k8s.io/v1), with the objects left undecoded until a rule needs them."""

from __future__ import annotations

from functools import cached_property
from typing import Literal

import msgspec

from guard.base import codec
from guard.base.codec import DecodeError, JsonObject

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
    labels: dict[str, str] | None = None


class _Head(msgspec.Struct, frozen=True):
    """Of an object, the little that undeclared objects are judged by."""

    metadata: _Metadata = _Metadata()


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

    @cached_property
    def new(self) -> JsonObject:
        """The object as it would be stored; empty on DELETE. Raises DecodeError."""
        return _object(self.object)

    @cached_property
    def old(self) -> JsonObject:
        """The object as it is stored; empty on CREATE. Raises DecodeError."""
        return _object(self.old_object)

    @cached_property
    def new_head(self) -> _Head:
        return _head(self.object)

    @cached_property
    def old_head(self) -> _Head:
        return _head(self.old_object)

    @property
    def object_name(self) -> str:
        """`deletecollection` sends an empty name, and CREATE with generateName may."""
        return self.name or self.old_head.metadata.name or self.new_head.metadata.name

    @property
    def object_namespace(self) -> str:
        return "" if self.resource.resource == "namespaces" and not self.resource.group else self.namespace

    @property
    def field_manager(self) -> str:
        if bytes(self.options) == _NULL:
            return ""
        return codec.decode_as(self.options, Options).field_manager or ""


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
    return _Head() if bytes(raw) == _NULL else codec.decode_as(raw, _Head)


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
