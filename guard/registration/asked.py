"""What the API server asks Guard about, as values: which kinds, whose scaling, the deletion of which namespaces and definitions.

Read from the index, or from a live configuration, which remembers what Git declared while a Sync is not loaded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from types import MappingProxyType
from typing import TypeAlias

import msgspec

from guard.base.codec import JsonObject, children
from guard.registration.expressions import names_in, size
from guard.state.desired import DesiredState
from guard.state.ids import DEFINITION, NAMESPACE, Kind

SUFFIX = "gitopsguard.dev"
# The names of objects that the whole configuration may hold. etcd takes 1.5 MiB for an object, and half a MiB is left to what
# else stands in it: five rules of some 100 bytes for each kind, and 25 lines around each list of names.
NAMES_BYTES = 1024 * 1024
# `/scale` is asked about in two entries: people's requests fail when Guard is down, the control plane's do not.
SCALE_ENTRIES = 2
# What holds declared objects is asked about in two as well: when it is deleted, and when it is given another owner.
HOLDING_ENTRIES = 2

DECLARED, HOLDING = "declared", "holds-declared"

# None: whatever its name is.
Names: TypeAlias = frozenset[str] | None
_NONE: frozenset[str] = frozenset()


class Resource(msgspec.Struct, frozen=True, order=True):
    """A kind, as admission rules name it."""

    group: str
    version: str
    resource: str
    namespaced: bool

    @classmethod
    def of(cls, kind: Kind) -> Resource:
        return cls(group=kind.group, version=kind.version, resource=kind.resource, namespaced=kind.namespaced)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """`scaled` maps resources to the objects whose scaling is asked about: `namespace/name`, `name` of a cluster-scoped one, or a
    namespace with all that is in it.
    """

    resources: frozenset[Resource] = frozenset()
    scaled: Mapping[Resource, Names] = MappingProxyType({})
    namespaces: Names = _NONE
    definitions: Names = _NONE

    def joined(self, other: Asked) -> Asked:
        """What either of them asks about."""
        scaled = {name: _joined(self.scaled.get(name, _NONE), names) for name, names in other.scaled.items()}
        return Asked(
            resources=self.resources | other.resources,
            scaled={**self.scaled, **scaled},
            namespaces=_joined(self.namespaces, other.namespaces),
            definitions=_joined(self.definitions, other.definitions),
        )


def asked_of(state: DesiredState, *, kinds: Iterable[Kind]) -> Asked:
    """What the index calls for. `kinds` may go past what it declares: a kind is registered before its first object is applied,
    and until its last one is gone.
    """
    scaled: dict[Resource, set[str]] = {}
    for declared in state.scaled():
        key = declared.key
        name = f"{key.namespace}/{key.name}" if key.namespace else key.name
        scaled.setdefault(Resource.of(declared.kind), set()).add(name)
    return Asked(
        resources=frozenset(map(Resource.of, kinds)),
        scaled={resource: frozenset(names) for resource, names in scaled.items()},
        namespaces=state.namespaces(),
        definitions=state.definitions(),
    )


def asked_by(live: JsonObject) -> Asked:
    """What a configuration asks about: the inverse of making one."""
    asked = Asked()
    for entry in children(live, "webhooks"):
        rules = children(entry, "rules")
        name = re.sub(rf"(-\d+)?\.{re.escape(SUFFIX)}$", "", str(entry.get("name")))
        if name == "changes":
            asked = asked.joined(Asked(resources=frozenset(_resources(rules))))
        elif name == "scale":
            names = _named(entry, DECLARED)
            asked = asked.joined(Asked(scaled=dict.fromkeys(_resources(rules, below="/scale"), names)))
        elif name == NAMESPACE.resource:
            asked = asked.joined(Asked(namespaces=_named(entry, HOLDING)))
        elif name == DEFINITION.resource:
            asked = asked.joined(Asked(definitions=_named(entry, HOLDING)))
    return asked


def within(asked: Asked, *, budget: int = NAMES_BYTES) -> Asked:
    """The same, or more, in fewer bytes: where the names do not fit, namespaces stand for what is in them, of the longest list
    first, and then everything for all of its names. It changes no answer: more requests come to Guard to be let through, and
    while it is down, the scaling, deleting and owning of what Git does not declare fails as well.
    """
    while sum((costs := _costs(asked)).values()) > budget:
        longest = max(costs, key=costs.__getitem__)
        if isinstance(longest, Resource):
            wider = _widened(asked.scaled[longest], namespaced=longest.namespaced)
            asked = msgspec.structs.replace(asked, scaled={**asked.scaled, longest: wider})
        else:
            asked = msgspec.structs.replace(asked, **{longest: None})
    return asked


def by_namespace(names: frozenset[str]) -> frozenset[str]:
    """The namespaces of what is scaled."""
    return frozenset(name.partition("/")[0] for name in names)


def _widened(names: Names, *, namespaced: bool) -> Names:
    if names is None or not namespaced or not any("/" in name for name in names):
        return None
    return by_namespace(names)


def _costs(asked: Asked) -> dict[Resource | str, int]:
    """The characters of each list of names."""
    costs: dict[Resource | str, int] = {of: SCALE_ENTRIES * _length(names) for of, names in asked.scaled.items()}
    holding = {"namespaces": asked.namespaces, "definitions": asked.definitions}
    return {**costs, **{what: HOLDING_ENTRIES * _length(names) for what, names in holding.items()}}


def _length(names: Names) -> int:
    return sum(map(size, names or ()))


def _joined(one: Names, other: Names) -> Names:
    return None if one is None or other is None else one | other


def _named(entry: JsonObject, name: str) -> Names:
    found = [str(match["expression"]) for match in children(entry, "matchConditions") if match.get("name") == name]
    return names_in(found[0]) if found else None


def _resources(rules: Iterable[JsonObject], *, below: str = "") -> Iterator[Resource]:
    """A rule of ours names one resource, or the same subresource `below` each. One with `*`, or with anything else below a
    resource, is not ours: taken over, it would be asked about for as long as a Sync is not loaded.
    """
    for rule in rules:
        for group, version, written in product(rule["apiGroups"], rule["apiVersions"], rule["resources"]):
            resource = written.removesuffix(below)
            if "*" not in (group, version, resource) and "/" not in resource:
                namespaced = rule.get("scope") == "Namespaced"
                yield Resource(group=group, version=version, resource=resource, namespaced=namespaced)
