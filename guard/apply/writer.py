"""The one writer of declared objects. Sync and heal both write through it, one write at a time for each object, so that they
cannot fight each other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias
from weakref import WeakValueDictionary

import msgspec

from guard.apply import patches, recreate
from guard.apply.errors import is_anothers
from guard.apply.lesson import learned
from guard.apply.wanted import depends_on_live, handed_over, wanted
from guard.base.clock import Clock
from guard.base.codec import JsonObject, child
from guard.base.errors import ApiStatusError
from guard.cluster import Client, collection_path, object_path
from guard.state import drift
from guard.state.additions import additions, allowed_additions, shared_entries
from guard.state.desired import Declared, Learned, View
from guard.state.digest import Fingerprint, fingerprint
from guard.state.fields import EMPTY, FieldSet, Path
from guard.state.ids import FIELD_MANAGER, LABEL_PATH, REPAIR_MANAGER, SYNC_LABEL, UNREAD, ObjectKey
from guard.state.managed import entries, our_entry, our_fields, replacing
from guard.state.policy import NOTHING_LEFT, Left
from guard.state.taints import has_taints

CLEANING_TRIES = 3  # a patch that meets a newer object is made again from what the API server holds by then
CONFLICT, UNPROCESSABLE, NOT_FOUND = 409, 422, 404


# What became of an object that was to be deleted: gone, there until somebody is done with it, gone before, or declared after all.
Deleted: TypeAlias = Literal["gone", "going", "missing", "declared"]


class Known(msgspec.Struct, frozen=True, gc=False):
    """What our last apply of `body` left behind; `applied` is what of it was applied, `uid_hash` of the object's uid, in half
    the memory. Monotonic seconds: `looked` is when that was, `wrote` when an apply last changed anything.
    """

    fingerprint: Fingerprint
    uid_hash: int
    body: JsonObject
    applied: JsonObject
    fields: FieldSet
    looked: float
    wrote: float


class Applied(msgspec.Struct, frozen=True):
    """What an apply did: whether anything was written at all, and which additions it took away; or that the object is left to
    people by break-glass, so that nothing was done.
    """

    changed: bool
    created: bool
    removed: tuple[Path, ...] = ()
    is_open: bool = False


OPEN = Applied(changed=False, created=False, is_open=True)


class _Met(msgspec.Struct, frozen=True):
    """What an apply comes upon: the object, where somebody had to look (`live`), what was last seen of it, whether it is adopted,
    and whether it is held to be new by what was known alone (`unseen`).
    """

    live: JsonObject | None
    before: Fingerprint | None
    adopting: bool
    unseen: bool


class Writer:
    """`clients` gives the client in whose name a Sync's objects are read and written, `left` tells what the Sync of a declared
    object leaves to others of it.
    """

    def __init__(
        self,
        clients: Callable[[str], Client],
        *,
        view: View,
        clock: Clock,
        left: Callable[[Declared], Left] = lambda _declared: NOTHING_LEFT,
    ) -> None:
        self._clients = clients
        self._left = left
        self._view = view
        self._clock = clock
        self._locks: WeakValueDictionary[ObjectKey, asyncio.Lock] = WeakValueDictionary()
        self._known: dict[ObjectKey, Known] = {}
        # What was seen of an object last where that is not what our last apply left: None where it was seen to go.
        self._seen: dict[ObjectKey, Fingerprint | None] = {}
        # What carries our entry, beside what is known to.
        self._ours: set[ObjectKey] = set()
        # What a dry run made anew: there was no such object.
        self._absent: set[ObjectKey] = set()

    def known(self, key: ObjectKey) -> Known | None:
        return self._known.get(key)

    def is_open(self, key: ObjectKey, *, sync: str) -> bool:
        """Whether break-glass leaves the object to people."""
        return bool(self._view.opened.holder(key, sync=sync))

    def is_writing(self, key: ObjectKey) -> bool:
        lock = self._locks.get(key)
        return lock is not None and lock.locked()

    async def quiet(self, key: ObjectKey) -> None:
        """Wait for the write that is under way."""
        if (lock := self._locks.get(key)) is not None:
            async with lock:
                pass

    def last_seen(self, key: ObjectKey) -> Fingerprint | None:
        """The newest that the watch or our own apply has shown."""
        known = self._known.get(key)
        return self._seen.get(key, known.fingerprint if known else None)

    def saw(self, key: ObjectKey, *, seen: Fingerprint, ours: bool) -> None:
        """The watch has seen the object; `ours` when our Apply entry is on it."""
        known = self._known.get(key)
        if known and known.fingerprint == seen:
            self._seen.pop(key, None)
        else:
            self._seen[key] = seen
        if ours and not known:
            self._ours.add(key)

    def moved_on(self, key: ObjectKey, seen: Fingerprint) -> None:
        """A write of somebody else's that is known to leave what we declare alone. Our last look stays as old as it is: an object
        that was adrift before has not been put right by it.
        """
        known = self._known.get(key)
        if known is not None:
            fingerprint = msgspec.structs.replace(known.fingerprint, generation=seen.generation, status=seen.status)
            self._known[key] = msgspec.structs.replace(known, fingerprint=fingerprint)

    def lost(self, key: ObjectKey) -> None:
        """The watch has seen the object go. Of what is not declared nothing is remembered then: the next object of the name is
        somebody else's.
        """
        if self._view.state.get(key) is None:
            self.forget(key)
        elif key in self._known:
            self._seen[key] = None
        else:
            self._seen.pop(key, None)

    def ended(self, key: ObjectKey, manifest: str) -> bool:
        """A Job of this manifest (its digest) has ended and has a time to live: once gone it is not applied again. True when that
        is news.
        """
        news = self._view.ended.get(key) != manifest
        self._view.ended[key] = manifest
        return news

    def has_ended(self, declared: Declared) -> bool:
        """Whether this is a Job that ran as Git declares it and went, or goes, by its time to live."""
        return self._view.has_ended(declared)

    def all_ended(self) -> Mapping[ObjectKey, str]:
        return self._view.ended

    def forget(self, key: ObjectKey) -> None:
        """The object is declared no more."""
        for memory in (self._known, self._seen, self._view.ended):
            memory.pop(key, None)
        self._ours.discard(key)
        self._absent.discard(key)

    async def apply(
        self, declared: Declared, *, unless_newer_than: str | None = None, clean: bool = True, is_new: bool = False
    ) -> Applied | None:
        """Make the live object what Git says. Raises ClusterError.

        With `unless_newer_than`, a resourceVersion, nothing is done (None) when our last write already saw that version: the
        event that asked for this apply is then our own, or older; nor when the object is declared no more, and what is applied is
        what Git declares by now. `clean` takes people's additions away as well. Where the caller
        holds that there is no such object (`is_new`), and where a dry run said so, nobody looks for one first.
        """
        # What was read off the object itself lacks what others had taken over before, and that is no addition.
        clean = clean and declared.origin != UNREAD
        key = declared.key
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            if unless_newer_than is not None:
                # It had to wait, and the revision may be another.
                current = self._view.state.get(key)
                if current is None:
                    return None
                declared = current
            if self.is_open(key, sync=declared.sync):
                return OPEN
            known = self._known.get(key)
            if unless_newer_than and known and int(unless_newer_than) <= known.fingerprint.version:
                return None
            return await self._apply(declared, clean=clean, is_new=is_new)

    async def label(self, declared: Declared) -> bool:
        """Put our label back on a live object, and leave all else of it as it is, drifted or not; False where there is no such
        object. Raises ClusterError.
        """
        key = declared.key
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            live = await self._get(declared)
            if live is None:
                return False
            if LABEL_PATH in our_fields(live) or self.is_open(key, sync=declared.sync):
                return True
            # What we hold there with the values that stand there: an apply of less would give up the rest.
            ours = our_fields(live)
            body = drift.project(live, ours.tree, manifest={}) if ours else {}
            metadata = child(body, "metadata")
            labels = {**child(metadata, "labels"), SYNC_LABEL: declared.body["metadata"]["labels"][SYNC_LABEL]}
            names = {name: live["metadata"][name] for name in ("name", "namespace") if name in live["metadata"]}
            body |= {"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": {**metadata, **names, "labels": labels}}
            await self._client(declared).apply(_path(declared), body, manager=FIELD_MANAGER, force=True)
            return True

    async def _apply(self, declared: Declared, *, clean: bool, is_new: bool) -> Applied:
        key, left = declared.key, self._left(declared)
        met = await self._meet(declared, left=left, is_new=is_new)
        if met is None:
            return Applied(changed=False, created=False)
        before, known, anew = met.before, self._known.get(key), False
        try:
            applied = _pinned(wanted(declared.body, met.live, left), met.live)
            body = await self._client(declared).apply(_path(declared), applied, manager=FIELD_MANAGER, force=True)
        except ApiStatusError as error:
            if error.code != UNPROCESSABLE:
                raise
            if met.unseen:
                return await self._apply(declared, clean=clean, is_new=False)
            body, anew = await self._apply_otherwise(declared, error, left=left, clean=clean and not met.adopting)
        wrote = anew or _wrote(before, fingerprint(body))
        created = hash(body["metadata"]["uid"]) != known.uid_hash if known else anew or (before is None and _is_only_ours(body))
        adopting = met.adopting
        if met.unseen and not _is_only_ours(body):
            # Somebody was quicker, before the revision was in force: an object that existed before.
            body, adopting = await self._hand_over(declared, body, adopting=True, left=left), True
        removed: tuple[Path, ...] = ()
        # Also what was created anew may be a person's, who was quicker than we were.
        if not _is_only_ours(body) or left:
            body, removed = await self._clean(declared, body, left=left, clean=clean and not adopting)
        changed = wrote or bool(removed)
        self._remember(declared, body, applied=wanted(declared.body, body, left), changed=changed)
        return Applied(changed=changed, created=created, removed=removed)

    async def _meet(self, declared: Declared, *, left: Left, is_new: bool) -> _Met | None:
        """What there is of the object as far as the apply has to know; None for a Job that has ended and is gone."""
        key = declared.key
        met, ended = key in self._known or key in self._ours, self._view.has_ended(declared)
        depends = ended or depends_on_live(declared.body, left)
        unseen = not (met or depends) and (is_new or key in self._absent)
        self._absent.discard(key)
        if not depends and (met or unseen):
            return _Met(live=None, before=self.last_seen(key), adopting=False, unseen=unseen)
        live = await self._get(declared)
        if live is None:
            return None if ended else _Met(live=None, before=self.last_seen(key), adopting=False, unseen=False)
        # A name that we have applied before is never adopted again, nor what carries our entry.
        adopting = not met and our_entry(live) is None
        # Before the apply, so that a Guard that is killed in between has taken nothing for its own.
        live = await self._hand_over(declared, live, adopting=adopting, left=left)
        return _Met(live=live, before=fingerprint(live), adopting=adopting, unseen=False)

    async def _apply_otherwise(
        self, declared: Declared, refused: ApiStatusError, *, left: Left, clean: bool
    ) -> tuple[JsonObject, bool]:
        """What to do about an object that may not become what Git says as it stands: what a person added may be what Git's own
        cannot stand beside (two ports of one name); or the object has to be made anew, which the second value tells.
        """
        live = await self._get(declared)
        if live is None:
            raise refused
        if clean:
            try:
                cleaned, removed = await self._clean(declared, live, left=left, clean=True)
                if removed:
                    return await self._put(declared, wanted(declared.body, cleaned, left)), False
            except ApiStatusError as error:
                # What may not be changed may be part of what was added.
                if error.code != UNPROCESSABLE:
                    raise
                refused = error
            live = await self._get(declared) or live
        if is_anothers(refused) or not await self.could_be_new(declared):
            raise refused
        path = _path(declared)
        if recreate.asks_for_it(declared) and not recreate.objection(declared, live):
            # The watch is about to see it go, and come, which is no drift.
            if (known := self._known.pop(declared.key, None)) is not None:
                # Should it stay, it is what was seen, and ours.
                self._seen.setdefault(declared.key, known.fingerprint)
                self._ours.add(declared.key)
            await recreate.remove(self._client(declared), path, declared, live)
        elif live["metadata"].get("deletionTimestamp"):
            await recreate.gone(self._client(declared), path, live)
        else:
            raise recreate.immutable(declared, live, refused) from refused
        return await self._put(declared, wanted(declared.body, None, left)), True

    async def _put(self, declared: Declared, body: JsonObject) -> JsonObject:
        return await self._client(declared).apply(_path(declared), body, manager=FIELD_MANAGER, force=True)

    def _client(self, declared: Declared) -> Client:
        return self._clients(declared.sync)

    async def _get(self, declared: Declared) -> JsonObject | None:
        try:
            return await self._client(declared).get(_path(declared))
        except ApiStatusError as error:
            if error.code == NOT_FOUND:
                return None
            raise

    async def _hand_over(self, declared: Declared, live: JsonObject, *, adopting: bool, left: Left) -> JsonObject:
        """Rename what people own on an object that we adopt, and give up what is left to others; values stay as they are."""
        for attempt in range(CLEANING_TRIES):
            kept = shared_entries(live, EMPTY, adopting=adopting, handed=handed_over(live, left))
            if kept is None:
                break
            try:
                return await self._client(declared).json_patch(_path(declared), replacing(live, kept), manager=REPAIR_MANAGER)
            except ApiStatusError as error:
                if error.code not in {CONFLICT, UNPROCESSABLE} or attempt == CLEANING_TRIES - 1:
                    raise
                live = await self._client(declared).get(_path(declared))
        return live

    async def _clean(
        self, declared: Declared, body: JsonObject, *, left: Left, clean: bool
    ) -> tuple[JsonObject, tuple[Path, ...]]:
        """Give up people's co-ownership of declared fields, and take their additions away, by JSON patches that test the version
        they were made for: moving other managers' fields into our entry instead would reset replicas and node ports. Of what was
        taken with its value as it was, ownership alone goes, and so it does of what the API server puts there again: defaults,
        and what it allocated.
        """
        removed: dict[Path, None] = {}
        completed = EMPTY
        taken = self._view.takings.of(declared.key, at=self._clock.monotonic())
        is_stored = taken and any(entry.identity in taken.entries for entry in entries(body))
        allowed = allowed_additions(declared.key, scale=declared.scale)
        for attempt in range(CLEANING_TRIES):
            ours = our_fields(body).union(taken.fields).union(completed)
            removals = additions(body, ours, allowed=allowed, left=left, taken=taken) if clean else ()
            kept = shared_entries(body, ours, adopting=False, handed=handed_over(body, left), taken=taken)
            if not removals and kept is None:
                break
            operations = patches.of(body, removals=removals, kept=kept)
            try:
                before, body = body, await self._client(declared).json_patch(_path(declared), operations, manager=REPAIR_MANAGER)
                again = {removal.path for removal in removals if patches.stands(before, body, removal.path)}
                completed = completed.union(patches.owned_at(again, body))
                removed |= {removal.path: None for removal in removals if removal.path not in again}
            except ApiStatusError as error:
                # A failed test is 422, as is an object that would become invalid.
                if error.code not in {CONFLICT, UNPROCESSABLE}:
                    raise
                if attempt == CLEANING_TRIES - 1:
                    if removed and not removals:
                        break  # ownership alone is left, and the next apply looks again
                    raise
                completed = EMPTY
                applied = wanted(declared.body, body, left)
                body = await self._client(declared).apply(_path(declared), applied, manager=FIELD_MANAGER, force=True)
        if is_stored:
            self._view.takings.settled(declared.key)
        return body, tuple(removed)

    def _remember(self, declared: Declared, body: JsonObject, *, applied: JsonObject, changed: bool) -> None:
        key, ours, now = declared.key, our_fields(body), self._clock.monotonic()
        seen, known = fingerprint(body), self._known.get(key)
        self._known[key] = Known(
            fingerprint=seen,
            uid_hash=hash(body["metadata"]["uid"]),
            body=declared.body,
            applied=applied,
            fields=ours,
            looked=now,
            wrote=known.wrote if known and not changed else now,
        )
        self._seen.pop(key, None)
        self._ours.discard(key)
        if known and not changed and known.body is declared.body and known.fields is ours:
            return  # what was learned last time still holds
        self._view.learn(key, learned(declared, body))

    async def learn(self, declared: Declared) -> None:
        """Ask the API server, by a dry run, in which form it stores what Git declares; writes nothing. Raises ClusterError."""
        self.believe({declared.key: await self.ask(declared)})

    def believe(self, lessons: Mapping[ObjectKey, Learned]) -> None:
        """Go by what `ask` answered for objects that are in force, as far as no apply has told of them."""
        for key, lesson in lessons.items():
            declared = self._view.state.get(key)
            if declared is not None and not self._view.is_learned(declared):
                self._view.learn(key, lesson)

    async def ask(self, declared: Declared) -> Learned:
        """What a dry run of a manifest, in force or not, teaches. Raises ClusterError."""
        left = self._left(declared)
        live = await self._get(declared) if depends_on_live(declared.body, left) else None
        applied = wanted(declared.body, live, left)
        body = await self._client(declared).apply(_path(declared), applied, manager=FIELD_MANAGER, force=True, dry_run=True)
        if body["metadata"].get("resourceVersion"):
            self._absent.discard(declared.key)
        else:
            self._absent.add(declared.key)  # only what is stored has a version
        return learned(declared, body)

    async def could_be_new(self, declared: Declared) -> bool:
        """Whether the API server would take a manifest but for the object that is there: then what it has against the manifest is
        that this object may not become so. Writes nothing. Raises Unreachable.
        """
        path = collection_path(declared.kind, namespace=declared.key.namespace)
        try:
            await self._client(declared).create(path, wanted(declared.body, None, self._left(declared)), dry_run=True)
        except ApiStatusError as error:
            # It looks at the whole manifest before it looks whether the name is taken.
            return error.reason == "AlreadyExists"
        return False

    async def delete(self, path: str, *, key: ObjectKey, sync: str, uid: str, resource_version: str) -> Deleted:
        """Delete exactly the object that was looked at, for the Sync that declared it, unless somebody declares it by now. Raises
        ClusterError, a conflict among them when the object changed since.
        """
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            if self._view.state.get(key) is not None:
                return "declared"
            self.forget(key)
            try:
                is_gone = await self._clients(sync).delete(path, uid=uid, resource_version=resource_version)
            except ApiStatusError as error:
                if error.code == NOT_FOUND:
                    return "missing"
                raise
            return "gone" if is_gone else "going"


def _path(declared: Declared) -> str:
    return object_path(declared.kind, namespace=declared.key.namespace, name=declared.key.name)


def _wrote(before: Fingerprint | None, after: Fingerprint) -> bool:
    """Whether our apply wrote anything: then it moved the time of our entry, or gave back what the entry had lost. A newer
    version or generation alone proves nothing, since others write meanwhile. (What is put right within the second of our last
    write, and had left no trace in our entry, passes for unchanged.)
    """
    return before is None or (before.version != after.version and before.ours != after.ours)


def _pinned(applied: JsonObject, live: JsonObject | None) -> JsonObject:
    """A node's taints are made from the version that was read, and go for no other: the node controller may be quicker. After a
    conflict whoever asked for the apply tries again.
    """
    if live is None or not has_taints(applied):
        return applied
    metadata = {**applied["metadata"], "resourceVersion": live["metadata"]["resourceVersion"]}
    return {**applied, "metadata": metadata}


def _is_only_ours(body: JsonObject) -> bool:
    return all(entry.is_ours for entry in entries(body))
