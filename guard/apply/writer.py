"""The one writer of declared objects. Sync and heal both write through it, one write at a time for each object, so that they
cannot fight each other.
"""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary

import msgspec

from guard.base.clock import Clock
from guard.base.codec import JsonObject, child
from guard.base.errors import ApiStatusError
from guard.cluster import Client, object_path
from guard.state import drift
from guard.state.additions import Removal, additions, shared_entries
from guard.state.desired import Declared, Learned, View
from guard.state.digest import Fingerprint, fingerprint
from guard.state.fields import FieldSet, Path
from guard.state.ids import FIELD_MANAGER, REPAIR_MANAGER, ObjectKey
from guard.state.managed import our_fields

CLEANING_TRIES = 3  # a patch that meets a newer object is made again from what the API server holds by then
CONFLICT, UNPROCESSABLE, NOT_FOUND = 409, 422, 404


class Known(msgspec.Struct, frozen=True):
    """What our last apply of `body` left behind. Monotonic seconds: `looked` is when that was, `wrote` when an apply last changed
    anything.
    """

    fingerprint: Fingerprint
    uid: str
    body: JsonObject
    fields: FieldSet
    looked: float
    wrote: float


class Applied(msgspec.Struct, frozen=True):
    """What an apply did: whether anything was written at all, and which additions it took away."""

    changed: bool
    created: bool
    removed: tuple[Path, ...] = ()


class Writer:
    def __init__(self, client: Client, *, view: View, clock: Clock) -> None:
        self._client = client
        self._view = view
        self._clock = clock
        self._locks: WeakValueDictionary[ObjectKey, asyncio.Lock] = WeakValueDictionary()
        self._known: dict[ObjectKey, Known] = {}
        self._seen: dict[ObjectKey, Fingerprint] = {}
        self._ours: set[ObjectKey] = set()

    def known(self, key: ObjectKey) -> Known | None:
        return self._known.get(key)

    def is_writing(self, key: ObjectKey) -> bool:
        lock = self._locks.get(key)
        return lock is not None and lock.locked()

    def saw(self, key: ObjectKey, *, seen: Fingerprint, ours: bool) -> None:
        """The watch has seen the object; `ours` when our Apply entry is on it."""
        self._seen[key] = seen
        if ours:
            self._ours.add(key)

    def lost(self, key: ObjectKey) -> None:
        """The watch has seen the object go."""
        self._seen.pop(key, None)

    def forget(self, key: ObjectKey) -> None:
        """The object is declared no more."""
        for memory in (self._known, self._seen):
            memory.pop(key, None)
        self._ours.discard(key)

    async def apply(self, declared: Declared, *, unless_newer_than: str = "", clean: bool = True) -> Applied | None:
        """Make the live object what Git says. Raises ClusterError.

        With `unless_newer_than`, a resourceVersion, nothing is done (None) when our last write already saw that version: the
        event that asked for this apply is then our own, or older. `clean` takes people's additions away as well.
        """
        key = declared.key
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            known = self._known.get(key)
            if unless_newer_than and known and _not_newer(unless_newer_than, known.fingerprint.resource_version):
                return None
            adopting = key not in self._ours
            before = self._seen.get(key)
            body = await self._client.apply(_path(declared), declared.body, manager=FIELD_MANAGER, force=True)
            wrote = _wrote(before, fingerprint(body))
            created = body["metadata"]["uid"] != known.uid if known else before is None and _only_ours(body)
            removed: tuple[Path, ...] = ()
            # Also what was created anew may be a person's, who was quicker than we were.
            if not _only_ours(body):
                body, removed = await self._clean(declared, body, adopting=adopting, clean=clean)
            changed = wrote or bool(removed)
            self._remember(declared, body, changed=changed)
            return Applied(changed=changed, created=created, removed=removed)

    async def _clean(
        self, declared: Declared, body: JsonObject, *, adopting: bool, clean: bool
    ) -> tuple[JsonObject, tuple[Path, ...]]:
        """Give up people's co-ownership of declared fields, and take their additions away, by JSON patches that test the version
        they were made for: moving other managers' fields into our entry instead would reset replicas and node ports.
        """
        removed: tuple[Path, ...] = ()
        for attempt in range(CLEANING_TRIES):
            ours = our_fields(body)
            removals = additions(body, ours) if clean and not adopting else ()
            entries = shared_entries(body, ours, adopting=adopting)
            if not removals and entries is None:
                break
            operations: list[JsonObject] = [
                {"op": "test", "path": "/metadata/resourceVersion", "value": body["metadata"]["resourceVersion"]}
            ]
            if entries is not None:
                operations.append({"op": "replace", "path": "/metadata/managedFields", "value": entries})
            for removal in removals:
                operations += _operations(removal)
            try:
                body = await self._client.json_patch(_path(declared), operations, manager=REPAIR_MANAGER)
                removed = tuple(removal.path for removal in removals)
                break
            except ApiStatusError as error:
                # A failed test is 422, as is an object that would become invalid.
                if error.code not in {CONFLICT, UNPROCESSABLE} or attempt == CLEANING_TRIES - 1:
                    raise
                body = await self._client.apply(_path(declared), declared.body, manager=FIELD_MANAGER, force=True)
        return body, removed

    def _remember(self, declared: Declared, body: JsonObject, *, changed: bool) -> None:
        key, ours, now = declared.key, our_fields(body), self._clock.monotonic()
        seen, known = fingerprint(body), self._known.get(key)
        self._known[key] = Known(
            fingerprint=seen,
            uid=body["metadata"]["uid"],
            body=declared.body,
            fields=ours,
            looked=now,
            wrote=known.wrote if known and not changed else now,
        )
        self._seen[key] = seen
        self._ours.add(key)
        if known and not changed and known.body is declared.body and known.fields is ours:
            return  # what was learned last time still holds
        stored = drift.project(body, ours.tree)
        same = _values(stored) == _values(declared.body)
        self._view.learn(key, Learned(body=declared.body, fields=ours, stored=None if same else stored))

    async def delete(self, declared_path: str, *, key: ObjectKey, uid: str, resource_version: str) -> bool:
        """Delete exactly the object that was looked at; False when it was gone. Raises ApiStatusError, a conflict among them when
        the object changed since.
        """
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            self.forget(key)
            try:
                await self._client.delete(declared_path, uid=uid, resource_version=resource_version)
            except ApiStatusError as error:
                if error.code == NOT_FOUND:
                    return False
                raise
            return True


def _path(declared: Declared) -> str:
    return object_path(declared.kind, namespace=declared.key.namespace, name=declared.key.name)


def _not_newer(version: str, known: str) -> bool:
    """Resource versions are decimal numbers that grow (guaranteed since Kubernetes 1.35)."""
    return int(version) <= int(known)


def _wrote(before: Fingerprint | None, after: Fingerprint) -> bool:
    """Whether our apply wrote anything: then it moved the time of our entry, or gave back what the entry had lost. A newer
    version or generation alone proves nothing, since others write meanwhile. (What is put right within the second of our last
    write, and had left no trace in our entry, passes for unchanged.)
    """
    return before is None or before.ours != after.ours


def _only_ours(body: JsonObject) -> bool:
    return all(entry.get("manager") == FIELD_MANAGER for entry in body["metadata"].get("managedFields", ()))


def _values(body: JsonObject) -> JsonObject:
    """The object without its name, which no set of fields holds."""
    metadata = {name: value for name, value in child(body, "metadata").items() if name not in {"name", "namespace"}}
    return {**{name: value for name, value in body.items() if name not in {"apiVersion", "kind"}}, "metadata": metadata}


def _operations(removal: Removal) -> list[JsonObject]:
    tests: list[JsonObject] = [{"op": "test", "path": _pointer(pointer), "value": value} for pointer, value in removal.tests]
    return [*tests, {"op": "remove", "path": _pointer(removal.pointer)}]


def _pointer(steps: tuple[str | int, ...]) -> str:
    """RFC 6901."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)
