"""The desired state: an immutable index of everything that the Syncs declare, and what the API server taught us about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, KeysView, Mapping, ValuesView
from types import MappingProxyType
from typing import TypeVar

import msgspec

from guard.base.codec import Json, JsonObject, is_object
from guard.state.breakglass import NOTHING_OPEN
from guard.state.definition import UNKNOWN, Definition
from guard.state.difference import Difference
from guard.state.fields import EMPTY, FieldSet, Path
from guard.state.ids import GUARD_NAMESPACE, Kind, ObjectKey, Origin
from guard.state.jobs import manifest_digest
from guard.state.secrecy import Secrecy, secrecy_of
from guard.state.stored import predicted
from guard.state.taken import Takings


class Declared(msgspec.Struct, frozen=True, gc=False):
    """An object that Git declares. `body` is the manifest as Guard applies it, our label included; `definition` says more of its
    kind. None of its values is shown anywhere where it is `confidential` (encrypted in the source).
    """

    key: ObjectKey
    kind: Kind
    body: JsonObject
    origin: Origin
    sync: str
    definition: Definition = UNKNOWN
    confidential: bool = False

    @property
    def secrecy(self) -> Secrecy:
        """How much of it may be shown."""
        return secrecy_of(self.key, confidential=self.confidential)

    @property
    def scale(self) -> Path | None:
        """The path of the replicas that its /scale sets; None for kinds that have none."""
        return self.definition.scale

    @property
    def replicas(self) -> Json:
        """How many replicas Git declares; None where it leaves them to others."""
        value: Json = self.body
        for element in self.scale or ("f:",):
            value = value.get(element[2:]) if is_object(value) else None
        return value


class Learned(msgspec.Struct, frozen=True, gc=False):
    """What the API server returned for an apply of `body`: the fields it holds for us, and Git's values in the form it stores
    them, where that differs from the manifest: whole (`stored`), or in what they differ (`beside`). `filled` are fields that the
    manifest leaves empty and defaults completed.
    """

    body: JsonObject
    fields: FieldSet
    stored: JsonObject | None
    beside: Difference | None = None
    filled: frozenset[Path] = frozenset()


class Conflict(msgspec.Struct, frozen=True):
    """An object that two Syncs declare; `holder` keeps it."""

    loser: Declared
    holder: Declared


_NONE: Mapping[str, int] = MappingProxyType({})
_EMPTY: Mapping[ObjectKey, Declared] = MappingProxyType({})
_NO_KINDS: Mapping[Kind, int] = MappingProxyType({})

K = TypeVar("K")


def is_tenants(sync: str) -> bool:
    """Whether a Sync (`namespace/name`) is of another namespace than Guard's own, which is the platform's."""
    return not sync.startswith(f"{GUARD_NAMESPACE}/")


class DesiredState:
    """Immutable; a new revision makes a new index that shares what did not change, and costs what did (past copies of a few
    dicts, 0.1 ms each for 10,000 objects).

    Lookups are by (group, kind, namespace, name), since a cluster serves one object in several versions.
    """

    __slots__ = ("_contested", "_index", "_revisions", "_syncs")

    def __init__(
        self,
        syncs: Mapping[str, Mapping[ObjectKey, Declared]] = MappingProxyType({}),
        revisions: Mapping[str, str] = MappingProxyType({}),
        *,
        index: _Index | None = None,
    ) -> None:
        """`index` is that of all their objects, where it is known already."""
        self._syncs = syncs
        self._revisions = revisions
        self._index = index or _Index.of(syncs[name] for name in sorted(syncs, key=is_tenants))
        # Whether two Syncs declare the same object: then what one of them takes back may fall to the other.
        self._contested = sum(map(len, syncs.values())) != len(self._index.objects)

    def get(self, key: ObjectKey) -> Declared | None:
        return self._index.objects.get(key)

    def keys(self) -> KeysView[ObjectKey]:
        return self._index.objects.keys()

    def kind_of_resource(self, *, group: str, resource: str) -> Kind | None:
        """The declared kind behind a resource name: reviews of subresources carry no kind of their own."""
        return self._index.resources.get((group, resource))

    def in_namespace(self, namespace: str) -> Mapping[str, int]:
        """How many declared objects a namespace holds, by Sync."""
        return self._index.counts.namespaces.get(namespace, _NONE)

    def of_definition(self, name: str) -> Mapping[str, int]:
        """How many declared objects are instances of a CustomResourceDefinition (`<resource>.<group>`), by Sync."""
        return self._index.counts.definitions.get(name, _NONE)

    def namespaces(self) -> frozenset[str]:
        """The namespaces that hold declared objects."""
        return frozenset(self._index.counts.namespaces)

    def definitions(self) -> frozenset[str]:
        """The names that CustomResourceDefinitions of declared kinds have; built-in kinds are among them, and have none."""
        return frozenset(self._index.counts.definitions)

    def kinds(self) -> frozenset[Kind]:
        return frozenset[Kind]().union(*self._index.counts.kinds.values())

    def kinds_of(self, sync: str) -> frozenset[Kind]:
        """The kinds of what the Sync declares and holds."""
        return frozenset(self._index.counts.kinds.get(sync, ()))

    def count_of(self, sync: str) -> int:
        """How many objects the Sync declares and holds."""
        return sum(self._index.counts.kinds.get(sync, _NO_KINDS).values())

    def scaled(self) -> ValuesView[Declared]:
        """The objects of which Git declares how many replicas they have."""
        return self._index.scaled.values()

    def of_sync(self, sync: str) -> Mapping[ObjectKey, Declared]:
        """What the Sync declares and holds."""
        found = self._syncs.get(sync, _EMPTY)
        if not self._contested:
            return found
        return {key: declared for key, declared in found.items() if self._index.objects[key].sync == sync}

    def syncs(self) -> tuple[str, ...]:
        return tuple(self._syncs)

    def revision(self, sync: str) -> str:
        """The revision that the Sync's objects are of; empty for a Sync of which nothing is held."""
        return self._revisions.get(sync, "")

    def conflicts(self, sync: str, objects: Iterable[Declared]) -> tuple[Conflict, ...]:
        """Those of the objects that another Sync already holds, and keeps."""
        return tuple(
            Conflict(loser=declared, holder=holder)
            for declared, holder in self._held_elsewhere(sync, objects)
            if is_tenants(sync) or not is_tenants(holder.sync)
        )

    def giving_way(self, sync: str, objects: Iterable[Declared]) -> frozenset[str]:
        """The Syncs that lose one of the objects to this one. What the platform declares is not a tenant's to hold, whoever
        declared it first.
        """
        return frozenset(
            holder.sync for _, holder in self._held_elsewhere(sync, objects) if is_tenants(holder.sync) and not is_tenants(sync)
        )

    def _held_elsewhere(self, sync: str, objects: Iterable[Declared]) -> Iterator[tuple[Declared, Declared]]:
        for declared in objects:
            holder = self._index.objects.get(declared.key)
            if holder is not None and holder.sync != sync:
                yield declared, holder

    def with_sync(self, sync: str, objects: Iterable[Declared], *, revision: str = "") -> DesiredState:
        """The Sync declares these, and nothing else."""
        old, new = self._syncs.get(sync, _EMPTY), {declared.key: declared for declared in objects}
        put = [declared for key, declared in new.items() if old.get(key) is not declared]
        return self.with_changes(sync, put, [key for key in old if key not in new], revision=revision)

    def with_changes(self, sync: str, put: Iterable[Declared], gone: Iterable[ObjectKey], *, revision: str = "") -> DesiredState:
        """The Sync declares `put` instead of, or beside, what it declared before, and no longer what is `gone`."""
        put, gone = tuple(put), tuple(gone)
        held = {**self._syncs.get(sync, _EMPTY)}
        for key in gone:
            held.pop(key, None)
        held |= {declared.key: declared for declared in put}
        syncs, revisions = {**self._syncs, sync: held}, {**self._revisions, sync: revision}
        if self._contested or any(self._held_elsewhere(sync, put)):
            return DesiredState(syncs, revisions)
        return DesiredState(syncs, revisions, index=self._index.changed(gone, put))

    def without_sync(self, sync: str) -> DesiredState:
        return DesiredState(
            {name: objects for name, objects in self._syncs.items() if name != sync},
            {name: revision for name, revision in self._revisions.items() if name != sync},
        )

    def __iter__(self) -> Iterator[Declared]:
        return iter(self._index.objects.values())

    def __len__(self) -> int:
        return len(self._index.objects)


class _Index(msgspec.Struct, frozen=True):
    """All objects by key, those of which Git declares replicas, and what is counted of them."""

    objects: dict[ObjectKey, Declared]
    scaled: dict[ObjectKey, Declared]
    counts: _Counts
    resources: dict[tuple[str, str], Kind]

    @classmethod
    def of(cls, syncs: Iterable[Mapping[ObjectKey, Declared]]) -> _Index:
        objects: dict[ObjectKey, Declared] = {}
        # The first one that declared an object keeps it.
        for each in reversed([*syncs]):
            objects |= each
        return cls(objects={}, scaled={}, counts=_Counts(), resources={}).changed((), objects.values())

    def changed(self, gone: Iterable[ObjectKey], put: Iterable[Declared]) -> _Index:
        objects, scaled, counts = dict(self.objects), dict(self.scaled), self.counts.copied()
        put = tuple(put)
        for key in (*gone, *(declared.key for declared in put)):
            if key in objects:
                counts.add(objects.pop(key), -1)
                scaled.pop(key, None)
        for declared in put:
            objects[declared.key] = declared
            counts.add(declared, 1)
            if declared.replicas is not None:
                scaled[declared.key] = declared
        return _Index(objects=objects, scaled=scaled, counts=counts, resources=counts.resources())


class _Counts:
    """How many objects are of a kind (by Sync), in a namespace, or instances of a definition; nothing is there with none."""

    __slots__ = ("definitions", "kinds", "namespaces")

    def __init__(self) -> None:
        self.kinds: dict[str, Counter[Kind]] = {}
        self.namespaces: dict[str, Counter[str]] = {}
        self.definitions: dict[str, Counter[str]] = {}

    def add(self, declared: Declared, number: int) -> None:
        _count(self.kinds, declared.sync, declared.kind, number)
        if declared.key.namespace:
            _count(self.namespaces, declared.key.namespace, declared.sync, number)
        if declared.kind.group:
            _count(self.definitions, f"{declared.kind.resource}.{declared.kind.group}", declared.sync, number)

    def copied(self) -> _Counts:
        copied = _Counts()
        copied.kinds = {name: counter.copy() for name, counter in self.kinds.items()}
        copied.namespaces = {name: counter.copy() for name, counter in self.namespaces.items()}
        copied.definitions = {name: counter.copy() for name, counter in self.definitions.items()}
        return copied

    def resources(self) -> dict[tuple[str, str], Kind]:
        return {(kind.group, kind.resource): kind for kinds in self.kinds.values() for kind in kinds}


def _count(counters: dict[str, Counter[K]], name: str, what: K, number: int) -> None:
    counter = counters.setdefault(name, Counter())
    counter[what] += number
    if not counter[what]:
        del counter[what]
    if not counter:
        del counters[name]


MOST_PREDICTIONS = 1024


class View:
    """What a decision sees: the index of the moment, and what was learned of its objects.

    The one writer of declared objects calls `learn` after each apply; a lesson about another manifest than the index holds is
    not believed.
    """

    __slots__ = ("_learned", "_predictions", "ended", "opened", "state", "takings")

    def __init__(self) -> None:
        self.state = DesiredState()
        # What break-glass leaves to people for now.
        self.opened = NOTHING_OPEN
        # Jobs that have ended and have a time to live: what their manifests' digests were.
        self.ended: dict[ObjectKey, str] = {}
        # What people's writes took without changing a value, until healing has taken it back.
        self.takings = Takings()
        self._learned: dict[ObjectKey, Learned] = {}
        self._predictions: dict[ObjectKey, tuple[JsonObject, JsonObject]] = {}

    def replace(self, state: DesiredState, *, gone: Iterable[ObjectKey] | None = None) -> None:
        """Put an index in force. `gone` are the keys that it does not hold and the one before did, where the caller knows."""
        self.state = state
        for key in self._learned.keys() - state.keys() if gone is None else gone:
            self._learned.pop(key, None)

    def learn(self, key: ObjectKey, learned: Learned) -> None:
        self._learned[key] = learned
        self._predictions.pop(key, None)

    def fields(self, declared: Declared) -> FieldSet:
        """The fields that our last apply of this manifest was given; EMPTY while that is unknown."""
        learned = self._lesson(declared)
        return learned.fields if learned else EMPTY

    def git(self, declared: Declared) -> JsonObject:
        """Git's values, as the API server stores them as far as it has said so."""
        learned = self._lesson(declared)
        if learned is None:
            return self._predicted(declared)
        if learned.stored is not None:
            return learned.stored
        return declared.body if learned.beside is None else learned.beside.on(declared.body)

    def _predicted(self, declared: Declared) -> JsonObject:
        """Kept, since a decision cannot wait for it each time: 70 us for each KB."""
        known = self._predictions.get(declared.key)
        if known is None or known[0] is not declared.body:
            if len(self._predictions) >= MOST_PREDICTIONS:
                self._predictions.clear()
            known = self._predictions[declared.key] = (declared.body, predicted(declared.body, declared.definition.schema))
        return known[1]

    def has_ended(self, declared: Declared) -> bool:
        """Whether this is a Job that has run as Git declares it and goes by its time to live: it returns when Git changes it."""
        return declared.key in self.ended and self.ended[declared.key] == manifest_digest(declared.body)

    def filled(self, declared: Declared) -> frozenset[Path]:
        """The fields that Git declares empty and that the API server completes by defaults."""
        learned = self._lesson(declared)
        return learned.filled if learned else frozenset()

    def is_learned(self, declared: Declared) -> bool:
        return self._lesson(declared) is not None

    def _lesson(self, declared: Declared) -> Learned | None:
        learned = self._learned.get(declared.key)
        return learned if learned and (learned.body is declared.body or learned.body == declared.body) else None
