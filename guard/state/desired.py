"""The desired state: an immutable index of everything that the Syncs declare, and what the API server taught us about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, KeysView, Mapping
from types import MappingProxyType

import msgspec

from guard.base.codec import Json, JsonObject, is_object
from guard.state.definition import UNKNOWN, Definition
from guard.state.fields import EMPTY, FieldSet, Path
from guard.state.ids import Kind, ObjectKey, Origin
from guard.state.jobs import manifest_digest
from guard.state.stored import predicted
from guard.state.taken import Takings


class Declared(msgspec.Struct, frozen=True):
    """An object that Git declares. `body` is the manifest as Guard applies it, our label included; `definition` says more of its
    kind.
    """

    key: ObjectKey
    kind: Kind
    body: JsonObject
    origin: Origin
    sync: str
    revision: str
    definition: Definition = UNKNOWN

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


class Learned(msgspec.Struct, frozen=True):
    """What the API server returned for an apply of `body`: the fields it holds for us, and Git's values in the form it stores
    them, where that differs from the manifest. `filled` are fields that the manifest leaves empty and defaults completed.
    """

    body: JsonObject
    fields: FieldSet
    stored: JsonObject | None
    filled: frozenset[Path] = frozenset()


class Conflict(msgspec.Struct, frozen=True):
    """An object that two Syncs declare; `holder` keeps it."""

    loser: Declared
    holder: Declared


_NONE: Mapping[str, int] = MappingProxyType({})


class DesiredState:
    """Immutable; a new revision makes a new index that shares what did not change.

    Lookups are by (group, kind, namespace, name), since a cluster serves one object in several versions.
    """

    __slots__ = ("_instances", "_namespaces", "_objects", "_resources", "_syncs")

    def __init__(self, syncs: Mapping[str, Mapping[ObjectKey, Declared]] = MappingProxyType({})) -> None:
        self._syncs = syncs
        self._objects: dict[ObjectKey, Declared] = {}
        for objects in syncs.values():
            # The first Sync that declared an object keeps it.
            self._objects = {**objects, **self._objects}
        self._resources: dict[tuple[str, str], Kind] = {
            (declared.kind.group, declared.kind.resource): declared.kind for declared in self._objects.values()
        }
        self._namespaces: dict[str, Counter[str]] = {}
        self._instances: dict[str, Counter[str]] = {}
        for declared in self._objects.values():
            if declared.key.namespace:
                self._namespaces.setdefault(declared.key.namespace, Counter())[declared.sync] += 1
            if declared.kind.group:
                definition = f"{declared.kind.resource}.{declared.kind.group}"
                self._instances.setdefault(definition, Counter())[declared.sync] += 1

    def get(self, key: ObjectKey) -> Declared | None:
        return self._objects.get(key)

    def keys(self) -> KeysView[ObjectKey]:
        return self._objects.keys()

    def kind_of_resource(self, *, group: str, resource: str) -> Kind | None:
        """The declared kind behind a resource name: reviews of subresources carry no kind of their own."""
        return self._resources.get((group, resource))

    def in_namespace(self, namespace: str) -> Mapping[str, int]:
        """How many declared objects a namespace holds, by Sync."""
        return self._namespaces.get(namespace, _NONE)

    def of_definition(self, name: str) -> Mapping[str, int]:
        """How many declared objects are instances of a CustomResourceDefinition (`<resource>.<group>`), by Sync."""
        return self._instances.get(name, _NONE)

    def namespaces(self) -> frozenset[str]:
        """The namespaces that hold declared objects."""
        return frozenset(self._namespaces)

    def definitions(self) -> frozenset[str]:
        """The names that CustomResourceDefinitions of declared kinds have; built-in kinds are among them, and have none."""
        return frozenset(self._instances)

    def kinds(self) -> frozenset[Kind]:
        return frozenset(declared.kind for declared in self._objects.values())

    def of_sync(self, sync: str) -> Mapping[ObjectKey, Declared]:
        """What the Sync declares and holds."""
        return {key: declared for key, declared in self._syncs.get(sync, {}).items() if self._objects[key].sync == sync}

    def syncs(self) -> tuple[str, ...]:
        return tuple(self._syncs)

    def conflicts(self, sync: str, objects: Iterable[Declared]) -> tuple[Conflict, ...]:
        """Those of the objects that another Sync already holds."""
        found: list[Conflict] = []
        for declared in objects:
            holder = self._objects.get(declared.key)
            if holder is not None and holder.sync != sync:
                found.append(Conflict(loser=declared, holder=holder))
        return tuple(found)

    def with_sync(self, sync: str, objects: Iterable[Declared]) -> DesiredState:
        return DesiredState({**self._syncs, sync: {declared.key: declared for declared in objects}})

    def without_sync(self, sync: str) -> DesiredState:
        return DesiredState({name: objects for name, objects in self._syncs.items() if name != sync})

    def __iter__(self) -> Iterator[Declared]:
        return iter(self._objects.values())

    def __len__(self) -> int:
        return len(self._objects)


MOST_PREDICTIONS = 1024


class View:
    """What a decision sees: the index of the moment, and what was learned of its objects.

    The one writer of declared objects calls `learn` after each apply; a lesson about another manifest than the index holds is
    not believed.
    """

    __slots__ = ("_learned", "_predictions", "ended", "state", "takings")

    def __init__(self) -> None:
        self.state = DesiredState()
        # Jobs that have ended and have a time to live: what their manifests' digests were.
        self.ended: dict[ObjectKey, str] = {}
        # What people's writes took without changing a value, until healing has taken it back.
        self.takings = Takings()
        self._learned: dict[ObjectKey, Learned] = {}
        self._predictions: dict[ObjectKey, tuple[JsonObject, JsonObject]] = {}

    def replace(self, state: DesiredState) -> None:
        self.state = state
        for key in self._learned.keys() - state.keys():
            del self._learned[key]

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
        return declared.body if learned.stored is None else learned.stored

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
