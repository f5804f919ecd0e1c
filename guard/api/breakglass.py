"""The BreakGlass resource, `gitopsguard.dev/v1alpha1`: enforcement and healing suspended by a person, for a while and a reason.

It counts from its creation, by the API server's clock, and cannot be changed: deleting it ends it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from msgspec import Meta, Struct

from guard.api import duration
from guard.api.conditions import Condition
from guard.api.names import API_VERSION, DNS_LABEL_OR_NOTHING, DNS_SUBDOMAIN, DNS_SUBDOMAIN_OR_NOTHING, GROUP, VERSION
from guard.api.problems import explained
from guard.api.sync import AT_LEAST_A_SECOND, Metadata
from guard.base import codec, naming
from guard.base.codec import JsonObject
from guard.base.errors import ConfigError
from guard.state.breakglass import Target, WholeNamespace, WholeSync
from guard.state.ids import GUARD_NAMESPACE, Kind, ObjectKey

BREAK_GLASS = Kind(group=GROUP, version=VERSION, kind="BreakGlass", resource="breakglasses", namespaced=True)

_DATED_SECONDS = 366 * 24 * 3600.0
_OWN = "The BreakGlass' own if empty; in guard-system none, for what has no namespace."


class OneObject(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    """A single object, whether it is there or not."""

    kind: Annotated[str, Meta(min_length=1, max_length=63)]
    name: Annotated[str, Meta(min_length=1, max_length=253)]
    group: Annotated[
        str,
        Meta(
            description="API group, empty for the core group.",
            max_length=253,
            extra_json_schema={"pattern": DNS_SUBDOMAIN_OR_NOTHING},
        ),
    ] = ""
    namespace: Annotated[str, Meta(description=_OWN, max_length=63, extra_json_schema={"pattern": DNS_LABEL_OR_NOTHING})] = ""


class OneSync(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    """All that a Sync declares."""

    name: Annotated[str, Meta(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN)]
    namespace: Annotated[
        str,
        Meta(description="The BreakGlass' own if empty.", max_length=63, extra_json_schema={"pattern": DNS_LABEL_OR_NOTHING}),
    ] = ""


class BreakGlassTarget(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    """What is opened: exactly one of these. In guard-system it may be anything, elsewhere only what is in the same namespace."""

    object: OneObject | None = None
    namespace: Annotated[
        str,
        Meta(
            description="A namespace, with everything in it.",
            max_length=63,
            extra_json_schema={"pattern": DNS_LABEL_OR_NOTHING},
        ),
    ] = ""
    sync: OneSync | None = None

    def __post_init__(self) -> None:
        if sum((self.object is not None, bool(self.namespace), self.sync is not None)) != 1:
            raise ValueError("exactly one of object, namespace and sync has to be set")

    @classmethod
    def of(cls, target: Target) -> BreakGlassTarget:
        """As it is written down, with every namespace named."""
        match target:
            case ObjectKey(group=group, kind=kind, namespace=namespace, name=name):
                return cls(object=OneObject(group=group, kind=kind, namespace=namespace, name=name))
            case WholeNamespace(name=name):
                return cls(namespace=name)
            case WholeSync(name=sync):
                namespace, _, name = sync.partition("/")
                return cls(sync=OneSync(name=name, namespace=namespace))


EXACTLY_ONE = {
    "rule": "[has(self.object), has(self.__namespace__) && self.__namespace__ != '', has(self.sync)].filter(given, given).size() "
    "== 1",
    "message": "exactly one of object, namespace and sync has to be set",
}
NOT_BLANK = {"rule": "self.matches('\\\\S')", "message": "must say why"}


class BreakGlassSpec(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    """What is opened, for how long, and why."""

    target: Annotated[BreakGlassTarget, Meta(extra_json_schema={"x-kubernetes-validations": [EXACTLY_ONE]})]
    duration: Annotated[
        str,
        Meta(
            description="How long, from its creation on; at least 1s.",
            max_length=64,
            pattern=duration.PATTERN,
            extra_json_schema={"x-kubernetes-validations": [AT_LEAST_A_SECOND]},
        ),
    ]
    reason: Annotated[
        str,
        Meta(
            description="Why, for whoever reads the journal later.",
            min_length=1,
            max_length=1024,
            extra_json_schema={"x-kubernetes-validations": [NOT_BLANK]},
        ),
    ]
    by: Annotated[
        str, Meta(description="Who opens it: your own user name, as the API server knows it; it takes no other.", max_length=1024)
    ] = ""

    def __post_init__(self) -> None:
        if duration.seconds(self.duration) < 1:
            raise ValueError(f"duration must be at least 1s, not {self.duration}")
        if not self.reason.strip():
            raise ValueError("reason must say why")

    @property
    def seconds(self) -> float:
        return duration.seconds(self.duration)


class BreakGlassStatus(Struct, frozen=True, kw_only=True, rename="camel"):
    """What came of it."""

    # Written whole, as that of a Sync is.

    conditions: Annotated[
        tuple[Condition, ...],
        Meta(
            description="Active while it is in force; then Expired, or from the start Rejected.",
            extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ] = ()
    observed_generation: int = 0
    opens: Annotated[str, Meta(description="What it opens, in words.")] = ""
    by: Annotated[str, Meta(description="Who opened it.")] = ""
    starts_at: str = ""
    expires_at: str = ""


class BreakGlassMetadata(Metadata, frozen=True, kw_only=True, rename="camel"):
    """With the server's time of its making."""

    creation_timestamp: datetime


class BreakGlass(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Suspends enforcement and healing of an object, a namespace or a Sync until it expires or is deleted."""

    api_version: str = API_VERSION
    kind: str = "BreakGlass"
    metadata: BreakGlassMetadata
    spec: BreakGlassSpec
    status: BreakGlassStatus = BreakGlassStatus()

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.metadata.namespace}/{self.metadata.name}"

    @property
    def ends(self) -> datetime:
        # What is longer is rejected by its seconds; a date has to exist all the same.
        return self.metadata.creation_timestamp + timedelta(seconds=min(self.spec.seconds, _DATED_SECONDS))

    @property
    def target(self) -> Target:
        """What it opens, with the namespaces that it leaves out."""
        home, spec = self.metadata.namespace, self.spec.target
        if spec.object is not None:
            found = spec.object
            namespace = found.namespace or ("" if self._is_anywhere else home)
            return ObjectKey(group=found.group, kind=found.kind, namespace=namespace, name=found.name)
        if spec.sync is not None:
            return WholeSync(f"{spec.sync.namespace or home}/{spec.sync.name}")
        return WholeNamespace(spec.namespace)

    @property
    def is_in_scope(self) -> bool:
        """Outside guard-system it may open only what is in its own namespace."""
        match self.target:
            case ObjectKey(namespace=namespace) | WholeNamespace(name=namespace):
                reached = namespace
            case WholeSync(name=name):
                reached = name.partition("/")[0]
        return self._is_anywhere or reached == self.metadata.namespace

    @property
    def _is_anywhere(self) -> bool:
        return self.metadata.namespace == GUARD_NAMESPACE


def written_target(target: Target) -> str:
    """`Deployment default/web`, `namespace default`, `Sync guard-system/apps`."""
    match target:
        case ObjectKey():
            return str(target)
        case WholeNamespace(name=name):
            return naming.printable(f"namespace {name}")
        case WholeSync(name=name):
            return naming.printable(f"Sync {name}")


def parse_break_glass(body: JsonObject, *, where: str) -> BreakGlass:
    """A BreakGlass as the API server writes it. Raises ConfigError that names `where` and the field."""
    try:
        return codec.convert(body, BreakGlass)
    except codec.DecodeError as error:
        raise ConfigError(explained(str(error), BreakGlass), where=where) from error
