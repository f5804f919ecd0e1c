"""The Sync resource, `gitopsguard.dev/v1alpha1`: one source, one path in it, and how closely it is enforced."""

from __future__ import annotations

import hashlib
import posixpath
import re
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from guard.api import duration
from guard.api.conditions import Condition
from guard.api.problems import explained
from guard.base import codec
from guard.base.codec import JsonObject, child
from guard.base.errors import ConfigError
from guard.state import policy
from guard.state.ids import GUARD_NAMESPACE, LABEL_VALUE_LENGTH, Kind
from guard.state.pointers import parse_pointer

GROUP = "gitopsguard.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
SYNC = Kind(group=GROUP, version=VERSION, kind="Sync", resource="syncs", namespaced=True)

# `guard reconcile` sets it; the value, any text, is echoed as status.lastHandledReconcileAt once that has been done.
REQUESTED_AT = f"{GROUP}/requestedAt"

# RFC 1123, as the API server has it for names of namespaces.
DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DNS_LABEL_OR_NOTHING = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$"

# What git itself refuses in the name of a ref, and a leading dash, which it would take for an option.
REF_PATTERN = r"^[^-\s~^:?*\[\\][^\s~^:?*\[\\]*$"

Mode: TypeAlias = Literal["Deny", "Warn", "Audit"]
Additions: TypeAlias = Literal["Deny", "Allow"]
PushType: TypeAlias = Literal["GitHub", "GitLab", "Gitea", "Forgejo", "Bitbucket", "Generic"]
RendererName: TypeAlias = Literal["Auto", "YAML", "Kustomize", "Helm"]
RemoteBases: TypeAlias = Literal["Refuse", "Allow"]


# What parse_pointer takes, in a form that the API server knows as well.
_ITEM_KEY = r"[^\[\]/=,]+=[^\[\]/,]*"
POINTER_PATTERN = rf"^(/([^\[\]/~]|~[01])+(\[(\*|=[^\[\]/]*|{_ITEM_KEY}(,{_ITEM_KEY})*)\])*)+$"
LOGIN_PATTERN = "^[a-zA-Z][a-zA-Z0-9+.-]*://[^/@]*:[^/]*@"
HOLDS_LOGIN = "holds a password; move it to a Secret and name that in secretRef"


def _check_single_line(*texts: str | None) -> None:
    """In Python a pattern's `$` matches before a last newline as well, which YAML's `|` leaves behind."""
    if any(text.endswith("\n") for text in texts if text):
        raise ValueError("must not end in a newline")


class SecretReference(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    name: Annotated[
        str,
        Meta(
            description="A Secret in the Sync's namespace.",
            min_length=1,
            max_length=253,
            pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
        ),
    ]


class GitRef(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    """At most one of them; none means the branch that the remote's HEAD names."""

    branch: Annotated[str, Meta(min_length=1, max_length=255, pattern=REF_PATTERN)] | None = None
    tag: Annotated[str, Meta(min_length=1, max_length=255, pattern=REF_PATTERN)] | None = None
    semver: (
        Annotated[
            str,
            Meta(description="The newest tag that is a version in this range: `>=1.2.0 <2.0.0`.", min_length=1, max_length=255),
        ]
        | None
    ) = None
    commit: Annotated[str, Meta(description="A commit's full SHA-1 hash.", pattern="^[0-9a-f]{40}$")] | None = None

    def __post_init__(self) -> None:
        if sum(value is not None for value in (self.branch, self.tag, self.semver, self.commit)) > 1:
            raise ValueError("at most one of branch, tag, semver and commit may be set")
        _check_single_line(self.branch, self.tag, self.semver, self.commit)


AT_MOST_ONE = {
    "rule": "[has(self.branch), has(self.tag), has(self.semver), has(self.commit)].filter(given, given).size() <= 1",
    "message": "at most one of branch, tag, semver and commit may be set",
}


class GitSource(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    url: Annotated[
        str,
        Meta(
            description="What `git clone` takes: HTTPS, SSH or a path of Guard's machine. Credentials go into secretRef.",
            min_length=1,
            max_length=2048,
            pattern=r"^[^-\s]\S*$",
            extra_json_schema={
                "x-kubernetes-validations": [{"rule": f"!self.matches('{LOGIN_PATTERN}')", "message": HOLDS_LOGIN}]
            },
        ),
    ]
    ref: Annotated[GitRef, Meta(extra_json_schema={"x-kubernetes-validations": [AT_MOST_ONE]})] = GitRef()
    secret_ref: Annotated[
        SecretReference | None,
        Meta(
            description="Holds `username` and `password`, or `bearerToken`, and `ca.crt`; for SSH `identity`, `known_hosts` and "
            "the key's `password`."
        ),
    ] = None
    include: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=1024)], ...],
        Meta(description="What of the repository is read, as patterns of gitignore; everything if empty.", max_length=64),
    ] = ()

    def __post_init__(self) -> None:
        if re.match(LOGIN_PATTERN, self.url):
            raise ValueError(f"url {HOLDS_LOGIN}")
        _check_single_line(self.url)


class Push(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    """Who may say, by a webhook, that there is something new; all that it does is to make Guard look."""

    type: Annotated[PushType, Meta(description="How the sender signs.")]
    secret_ref: Annotated[SecretReference, Meta(description="Holds `token`, the secret that the sender was given.")]


class Source(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    git: GitSource
    push: Annotated[Push | None, Meta(description="The webhook of the repository's host.")] = None
    interval: Annotated[
        str,
        Meta(
            description="How often to look for a new revision; at least 1s.",
            max_length=64,
            pattern=duration.PATTERN,
            extra_json_schema={
                "x-kubernetes-validations": [{"rule": "duration(self) >= duration('1s')", "message": "must be at least 1s"}]
            },
        ),
    ] = "1m"

    def __post_init__(self) -> None:
        if self.interval_seconds < 1:
            raise ValueError(f"interval must be at least 1s, not {self.interval}")

    @property
    def interval_seconds(self) -> float:
        return duration.seconds(self.interval)


Glob: TypeAlias = Annotated[str, Meta(max_length=253)]
Text: TypeAlias = Annotated[str, Meta(min_length=1, max_length=253)]
Operation: TypeAlias = Literal["CREATE", "UPDATE", "DELETE"]


class Ignore(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    """Fields left to others: neither applied once the object exists, nor refused, nor healed."""

    group: Annotated[Glob, Meta(description="API group, empty for the core group; `*` stands for any characters.")] = "*"
    kind: Glob = "*"
    namespace: Glob = "*"
    name: Glob = "*"
    paths: Annotated[
        # The pattern is for the API server alone: parse_pointer says more about what is wrong.
        tuple[Annotated[str, Meta(max_length=1024, extra_json_schema={"pattern": POINTER_PATTERN})], ...],
        Meta(description="JSON pointers; items of lists as in /spec/template/spec/containers[name=web]/image.", max_length=64),
    ] = ()
    managers: Annotated[
        tuple[Text, ...], Meta(description="Field managers to whom the fields are left; to everyone if empty.", max_length=64)
    ] = ()

    def __post_init__(self) -> None:
        if not self.paths and not self.managers:
            raise ValueError("ignore needs paths or managers; to leave a whole object alone, take it out of Git")
        for path in self.paths:
            parse_pointer(path)

    @property
    def compiled(self) -> policy.Ignore:
        return policy.Ignore(
            group=self.group,
            kind=self.kind,
            namespace=self.namespace,
            name=self.name,
            paths=tuple(parse_pointer(path) for path in self.paths),
            managers=frozenset(self.managers),
        )


PATHS_OR_MANAGERS = {
    "rule": "has(self.paths) && size(self.paths) > 0 || has(self.managers) && size(self.managers) > 0",
    "message": "needs paths or managers",
}


class Exemption(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    """Requests that are not refused, but recorded, and healed. `*` stands for any characters."""

    users: Annotated[tuple[Text, ...], Meta(max_length=64)] = ()
    groups: Annotated[tuple[Text, ...], Meta(max_length=64)] = ()
    service_accounts: Annotated[tuple[Text, ...], Meta(description="As namespace/name.", max_length=64)] = ()
    kinds: Annotated[tuple[Text, ...], Meta(description="As Deployment or Deployment.apps; all if empty.", max_length=64)] = ()
    namespaces: Annotated[tuple[Text, ...], Meta(description="All if empty.", max_length=64)] = ()
    operations: Annotated[tuple[Operation, ...], Meta(description="All if empty.", max_length=3)] = ()

    def __post_init__(self) -> None:
        if not (self.users or self.groups or self.service_accounts):
            raise ValueError("exempt has to name users, groups or serviceAccounts")

    @property
    def compiled(self) -> policy.Exemption:
        return policy.Exemption(
            users=self.users,
            groups=self.groups,
            service_accounts=self.service_accounts,
            kinds=self.kinds,
            namespaces=self.namespaces,
            operations=self.operations,
        )


SOMEBODY = {
    "rule": "[has(self.users) && size(self.users) > 0, has(self.groups) && size(self.groups) > 0, "
    "has(self.serviceAccounts) && size(self.serviceAccounts) > 0].exists(given, given)",
    "message": "has to name users, groups or serviceAccounts",
}
MOST_RULES = 64


class Enforcement(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    mode: Annotated[Mode, Meta(description="What a manual change meets at admission.")] = "Deny"
    heal: Annotated[bool, Meta(description="Put drift right; when not set, as mode is Deny or not.")] | None = None
    additions: Annotated[Additions, Meta(description="Fields that Git does not declare, put on a declared object.")] = "Deny"
    strict_namespaces: Annotated[
        tuple[Annotated[str, Meta(max_length=63, pattern=DNS_LABEL)], ...],
        Meta(description="In these, people may create only what Git declares.", max_length=256),
    ] = ()
    ignore: Annotated[
        tuple[Annotated[Ignore, Meta(extra_json_schema={"x-kubernetes-validations": [PATHS_OR_MANAGERS]})], ...],
        Meta(description="Fields that are left to others.", max_length=MOST_RULES),
    ] = ()
    exempt: Annotated[
        tuple[Annotated[Exemption, Meta(extra_json_schema={"x-kubernetes-validations": [SOMEBODY]})], ...],
        Meta(description="Who is not refused.", max_length=MOST_RULES),
    ] = ()

    @property
    def heals(self) -> bool:
        return self.mode == "Deny" if self.heal is None else self.heal

    @property
    def compiled(self) -> policy.Enforcement:
        """As decisions and repairs go by it."""
        return policy.Enforcement(
            mode=self.mode,
            heal=self.heals,
            additions=self.additions,
            ignore=tuple(rule.compiled for rule in self.ignore),
            exempt=tuple(rule.compiled for rule in self.exempt),
        )


class Kustomize(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    remote_bases: Annotated[RemoteBases, Meta(description="Whether bases may come from other repositories.")] = "Refuse"


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


class SyncSpec(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    """What the cluster is kept equal to, and how closely."""

    source: Source
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
    prune: Annotated[bool, Meta(description="Delete what Git no longer declares.")] = True
    enforcement: Enforcement = Enforcement()

    def __post_init__(self) -> None:
        if self.path.startswith("/") or ".." in self.path.split("/") or "\0" in self.path:
            raise ValueError("path must be relative to the source, without ..")
        # The one way msgspec offers to normalise a field of a frozen Struct, meant for this place.
        msgspec.structs.force_setattr(self, "path", posixpath.normpath(self.path))


class ObjectCounts(Struct, frozen=True, rename="camel"):
    """How many objects are in which state."""

    declared: int = 0
    applied: int = 0
    drifted: int = 0
    failed: int = 0


class EndedJob(Struct, frozen=True, rename="camel"):
    """A Job that ended and was deleted by its time to live; `digest` is of the manifest that it ran."""

    namespace: str
    name: str
    digest: str


class SyncStatus(Struct, frozen=True, kw_only=True, rename="camel"):
    """What Guard last found and did."""

    # Written whole, empty values too, so that nothing of an older status stays.

    conditions: Annotated[
        tuple[Condition, ...], Meta(extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]})
    ] = ()
    observed_generation: int = 0
    last_applied_revision: str = ""
    last_attempted_revision: str = ""
    last_handled_reconcile_at: str = ""
    objects: ObjectCounts = ObjectCounts()
    kinds: Annotated[tuple[Kind, ...], Meta(description="Kinds applied so far, which pruning looks through.")] = ()
    ended_jobs: Annotated[tuple[EndedJob, ...], Meta(description="Jobs that stay away until their manifest changes.")] = ()


class Metadata(Struct, frozen=True, kw_only=True, rename="camel"):
    """The part of an object's metadata that Guard reads."""

    name: Annotated[str, Meta(max_length=253, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")]
    namespace: Annotated[str, Meta(max_length=63, pattern=DNS_LABEL)] = GUARD_NAMESPACE
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    deletion_timestamp: str = ""
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
