"""The Sync resource, `gitopsguard.dev/v1alpha1`: one source, one path in it, and how closely it is enforced."""

from __future__ import annotations

import hashlib
import posixpath
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from guard.api import duration
from guard.api.enforcement import Enforcement
from guard.api.names import API_VERSION, DNS_LABEL, DNS_LABEL_OR_NOTHING, DNS_SUBDOMAIN, DNS_SUBDOMAIN_OR_NOTHING, GROUP, VERSION
from guard.api.problems import explained
from guard.api.source import ONE_OF, PUSH_FITS, SecretReference, Source
from guard.api.status import SyncStatus
from guard.base import codec
from guard.base.codec import JsonObject, child
from guard.base.errors import ConfigError
from guard.state.ids import GUARD_NAMESPACE, LABEL_VALUE_LENGTH, Kind

SYNC = Kind(group=GROUP, version=VERSION, kind="Sync", resource="syncs", namespaced=True)

# `guard reconcile` sets it; the value, any text, is echoed as status.lastHandledReconcileAt once that has been done.
REQUESTED_AT = f"{GROUP}/requestedAt"
# Takes a revision that would be refused as older than the last one, where signatures are asked for; the value is the revision.
ACCEPT_REVISION = f"{GROUP}/accept-revision"
# `guard suspend --reason` says here why.
SUSPEND_REASON = f"{GROUP}/suspendReason"

RendererName: TypeAlias = Literal["Auto", "YAML", "Kustomize", "Helm"]
RemoteBases: TypeAlias = Literal["Refuse", "Allow"]
DeletionPolicy: TypeAlias = Literal["Orphan", "Prune"]


class Kustomize(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    remote_bases: Annotated[RemoteBases, Meta(description="Whether bases may come from other repositories.")] = "Refuse"


class Decryption(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    """What opens files that are encrypted with SOPS."""

    secret_ref: Annotated[
        SecretReference,
        Meta(
            description="Holds the private keys: age identities in files `*.agekey`, OpenPGP keys in files `*.asc` and `*.gpg`."
        ),
    ]


class Helm(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    release_name: Annotated[
        str,
        Meta(
            description="The Sync's name if empty.",
            max_length=53,
            extra_json_schema={"pattern": DNS_LABEL_OR_NOTHING},
        ),
    ] = ""
    values_files: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=1024)], ...],
        Meta(description="Files from the source's root, read after the chart's own; a later one wins.", max_length=64),
    ] = ()
    values: Annotated[
        JsonObject,
        Meta(
            description="Win over all files; null takes a default away.",
            extra_json_schema={"x-kubernetes-preserve-unknown-fields": True},
        ),
    ] = {}


class Dependency(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    """Another Sync that has to be ready first."""

    name: Annotated[str, Meta(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN)]
    namespace: Annotated[
        str, Meta(description="The Sync's own if empty.", max_length=63, extra_json_schema={"pattern": DNS_LABEL_OR_NOTHING})
    ] = ""


AT_LEAST_A_SECOND = {"rule": "duration(self) >= duration('1s')", "message": "must be at least 1s"}
AT_LEAST_A_SECOND_OR_NOTHING = {"rule": f"self == '' || {AT_LEAST_A_SECOND['rule']}", "message": "must be at least 1s"}


class SyncSpec(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    """What the cluster is kept equal to, and how closely."""

    source: Annotated[Source, Meta(extra_json_schema={"x-kubernetes-validations": [ONE_OF, PUSH_FITS]})]
    # Normalised, whatever way it was written: `.` or `clusters/prod`.
    path: Annotated[
        str,
        Meta(
            description="A folder of the source.",
            min_length=1,
            max_length=1024,
            extra_json_schema={
                "x-kubernetes-validations": [
                    {
                        "rule": "!self.startsWith('/') && !self.split('/').exists(part, part == '..') "
                        "&& !self.contains('\\u0000')",
                        "message": "must be relative to the source, without ..",
                    }
                ]
            },
        ),
    ] = "./"
    target_namespace: Annotated[
        str,
        Meta(
            description="The namespace of objects that name none, and of a Helm release.",
            max_length=63,
            extra_json_schema={"pattern": DNS_LABEL_OR_NOTHING},
        ),
    ] = ""
    renderer: Annotated[RendererName, Meta(description="What makes manifests of the folder; Auto goes by what it holds.")] = (
        "Auto"
    )
    kustomize: Kustomize = Kustomize()
    helm: Helm = Helm()
    decryption: Annotated[
        Decryption | None, Meta(description="Decrypt manifests, and what Kustomize makes Secrets of, that SOPS has encrypted.")
    ] = None
    prune: Annotated[bool, Meta(description="Delete what Git no longer declares.")] = True
    prune_limit: Annotated[
        int,
        Meta(description="Which share of its objects a revision may prune without being confirmed, in percent.", ge=0, le=100),
    ] = 50
    deletion_policy: Annotated[
        DeletionPolicy, Meta(description="What becomes of the objects when the Sync is deleted: they stay, or go with it.")
    ] = "Orphan"
    suspend: Annotated[
        bool, Meta(description="Neither fetch nor apply, heal or prune; manual changes are refused as before.")
    ] = False
    depends_on: Annotated[
        tuple[Dependency, ...], Meta(description="Syncs that have to be ready before a revision is applied.", max_length=64)
    ] = ()
    service_account_name: Annotated[
        str,
        Meta(
            description="A service account of the Sync's namespace, with whose rights everything is done for it. None: Guard's "
            "own in guard-system, elsewhere those of the namespace's `default`.",
            max_length=253,
            extra_json_schema={"pattern": DNS_SUBDOMAIN_OR_NOTHING},
        ),
    ] = ""
    wait: Annotated[bool, Meta(description="Ready only once everything that was applied is healthy.")] = False
    timeout: Annotated[
        str,
        Meta(
            description="How long to wait for what was applied to be established, healthy or gone.",
            max_length=64,
            pattern=duration.PATTERN,
            extra_json_schema={"x-kubernetes-validations": [AT_LEAST_A_SECOND]},
        ),
    ] = "5m"
    retry_interval: Annotated[
        str,
        Meta(
            description="How long to wait after an attempt that failed; if empty, from two seconds on twice as long each time, "
            "up to a minute.",
            max_length=64,
            extra_json_schema={
                "pattern": duration.PATTERN_OR_NOTHING,
                "x-kubernetes-validations": [AT_LEAST_A_SECOND_OR_NOTHING],
            },
        ),
    ] = ""
    enforcement: Enforcement = Enforcement()

    def __post_init__(self) -> None:
        if duration.seconds(self.timeout) < 1:
            raise ValueError(f"timeout must be at least 1s, not {self.timeout}")
        if self.retry_interval and duration.seconds(self.retry_interval) < 1:
            raise ValueError(f"retryInterval must be at least 1s, not {self.retry_interval}")
        if self.path.startswith("/") or ".." in self.path.split("/") or "\0" in self.path:
            raise ValueError("path must be relative to the source, without ..")
        # The one way msgspec offers to normalise a field of a frozen Struct, meant for this place.
        msgspec.structs.force_setattr(self, "path", posixpath.normpath(self.path))

    @property
    def timeout_seconds(self) -> float:
        return duration.seconds(self.timeout)

    @property
    def retry_seconds(self) -> float | None:
        """None where attempts that fail are tried again ever more slowly."""
        return duration.seconds(self.retry_interval) if self.retry_interval else None


class Metadata(Struct, frozen=True, kw_only=True, rename="camel"):
    """The part of an object's metadata that Guard reads."""

    name: Annotated[str, Meta(max_length=253, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")]
    namespace: Annotated[str, Meta(max_length=63, pattern=DNS_LABEL)] = GUARD_NAMESPACE
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    deletion_timestamp: str = ""
    finalizers: tuple[str, ...] = ()
    annotations: dict[str, str] = {}


class Sync(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Keeps part of the cluster equal to a path of a source."""

    api_version: str = API_VERSION
    kind: str = "Sync"
    metadata: Metadata
    spec: SyncSpec
    status: SyncStatus = SyncStatus()

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.metadata.namespace}/{self.metadata.name}"

    @property
    def dependencies(self) -> tuple[str, ...]:
        """The Syncs that come first, as `namespace/name`."""
        return tuple(f"{found.namespace or self.metadata.namespace}/{found.name}" for found in self.spec.depends_on)

    @property
    def heals(self) -> bool:
        """Whether drift is put right: not while it is suspended."""
        return self.spec.enforcement.heals and not self.spec.suspend

    @property
    def decrypts(self) -> bool:
        """Whether any of its objects may be encrypted in the source."""
        return self.spec.decryption is not None

    @property
    def label(self) -> str:
        """The value of the label that its objects carry."""
        return label_value(self.metadata.namespace, self.metadata.name)


def parse_sync(body: JsonObject, *, where: str) -> Sync:
    """A Sync as a file or the API server writes it; null counts as not set, and the namespace is guard-system when missing.

    Raises ConfigError that names `where`, the field, and what is allowed there.
    """
    api_version, kind = body.get("apiVersion"), body.get("kind")
    if (api_version, kind) != (API_VERSION, "Sync"):
        raise ConfigError(f"expected kind Sync of {API_VERSION}, got kind {kind} of {api_version}", where=where)
    try:
        return codec.convert(_with_values(_without_nulls(body), body), Sync)
    except codec.DecodeError as error:
        raise ConfigError(explained(str(error), Sync), where=where) from error
    except RecursionError as error:
        raise ConfigError("is nested too deeply to be read", where=where) from error


def label_value(namespace: str, name: str) -> str:
    """`<namespace>.<name>`: no two Syncs share one, since a namespace has no dot. What is too long for a label is cut, and its
    hash put behind an underscore, which no name can hold.
    """
    text = f"{namespace}.{name}"
    if len(text) <= LABEL_VALUE_LENGTH:
        return text
    ending = "_" + hashlib.sha256(text.encode()).hexdigest()[:16]
    return text[: LABEL_VALUE_LENGTH - len(ending)] + ending


def _with_values(cleaned: JsonObject, body: JsonObject) -> JsonObject:
    """Helm's values as they stand: null means something there."""
    values = child(child(child(body, "spec"), "helm"), "values")
    if values:
        cleaned["spec"]["helm"]["values"] = values
    return cleaned


def _without_nulls(value: codec.Json) -> codec.Json:
    if codec.is_object(value):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return value
