"""How closely a Sync is enforced, and who and what is left out."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from guard.api.names import DNS_LABEL
from guard.state import policy
from guard.state.pointers import parse_pointer

Mode: TypeAlias = Literal["Deny", "Warn", "Audit"]
Additions: TypeAlias = Literal["Deny", "Allow"]

# What parse_pointer takes, in a form that the API server knows as well.
_ITEM_KEY = r"[^\[\]/=,]+=[^\[\]/,]*"
POINTER_PATTERN = rf"^(/([^\[\]/~]|~[01])+(\[(\*|=[^\[\]/]*|{_ITEM_KEY}(,{_ITEM_KEY})*)\])*)+$"

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
