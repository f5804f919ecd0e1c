"""Seeing drift in metadata alone: one watch for each declared kind, on objects that carry our label.

Most changes to a declared field leave a trace in our managedFields entry. What leaves none (reordered lists, a spoofed apply
within the second of ours, mutating webhooks) moves the generation, or on kinds without one the resourceVersion, and is looked
at by an apply that writes nothing when nothing is wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from functools import partial

from guard import telemetry
from guard.apply import Known, Writer
from guard.base.clock import Clock
from guard.base.codec import JsonObject, child
from guard.base.concurrency import end
from guard.cluster import Client, Event, collection_path, watch_metadata
from guard.heal.repair import Repairer
from guard.heal.report import Drift
from guard.state.desired import Declared, View
from guard.state.digest import Fingerprint
from guard.state.ids import SYNC_LABEL, Kind, ObjectKey
from guard.state.jobs import goes_by_itself, manifest_digest
from guard.state.metadata import Metadata
from guard.state.vouched import Vouched

# managedFields times have seconds: an apply under our name within two seconds of ours may leave the very same entry.
SPOOF_SECONDS = 2.0
# A controller that writes an annotation on a declared object ten times a second costs one verifying apply a second, after the
# first few, which are made at once.
DOUBT_SECONDS = 1.0
DOUBTS_AT_ONCE = 5
MOST_DOUBTED = 4096
# A restart of the API server is over by then.
UNWATCHED_SECONDS = 30.0

_log = telemetry.get("heal")


class Watching:
    """`follow` sets the kinds to watch and returns once each of them is listed; `close` ends all. `ended` is told the Sync of a
    Job that ended and has a time to live, `noticed` each event of a declared object: its metadata, None where it is gone.
    """

    def __init__(
        self,
        client: Client,
        *,
        view: View,
        writer: Writer,
        repairer: Repairer,
        clock: Clock,
        vouched: Vouched,
        ended: Callable[[str], None],
        noticed: Callable[[Declared, Metadata | None], None] = lambda _declared, _metadata: None,
    ) -> None:
        self._vouched = vouched
        self._ended = ended
        self._noticed = noticed
        self._client = client
        self._view = view
        self._writer = writer
        self._repairer = repairer
        self._clock = clock
        self._tasks: dict[Kind, asyncio.Task[None]] = {}
        self._listed: dict[Kind, asyncio.Event] = {}
        self._present: dict[Kind, set[ObjectKey]] = {}
        # What a list that has not ended has shown so far, and when its first page came.
        self._listing: dict[Kind, tuple[set[ObjectKey], float]] = {}
        # Since when a kind cannot be watched, and why.
        self._failing: dict[Kind, tuple[float, str]] = {}
        self._doubts: dict[ObjectKey, Drift] = {}
        # When the verifying applies of an object would have been made, had each of them taken its second.
        self._verified: dict[ObjectKey, float] = {}

    async def follow(self, kinds: Collection[Kind], *, seconds: float = 10.0) -> None:
        """Watch these kinds and no others. A kind that is not served yet is tried until it is; nobody waits longer than
        `seconds` for it.
        """
        for kind in [kind for kind in self._tasks if kind not in kinds]:
            self._tasks.pop(kind).cancel()
            self._listed.pop(kind, None)
            self._listing.pop(kind, None)
            self._failing.pop(kind, None)
            for key in self._present.pop(kind, ()):
                # Declared no more: nobody would see it go.
                if self._view.state.get(key) is None:
                    self._writer.forget(key)
        for kind in kinds:
            if kind not in self._tasks:
                self._listed[kind] = asyncio.Event()
                self._tasks[kind] = asyncio.create_task(self._watch(kind), name=f"watch {kind.group_kind}")
        waiting = [asyncio.ensure_future(self._listed[kind].wait()) for kind in kinds if not self._listed[kind].is_set()]
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=seconds)
            for task in late:
                task.cancel()

    def unwatched(self, sync: str) -> tuple[str, ...]:
        """A line for each kind of a Sync that cannot be watched, as one whose conversion fails: nothing of it is healed."""
        kinds, now = self._view.state.kinds_of(sync), self._clock.monotonic()
        lost = ((kind, why) for kind, (since, why) in self._failing.items() if now - since > UNWATCHED_SECONDS and kind in kinds)
        return tuple(sorted(f"{kind.group_kind}: {why}" for kind, why in lost))

    async def close(self) -> None:
        await end(self._tasks.values())
        # What waits to be verified finds nothing when its turn comes.
        self._doubts.clear()
        await self._repairer.close()

    async def _watch(self, kind: Kind) -> None:
        path = collection_path(kind)
        opened = partial(self._failing.pop, kind, None)
        async for event in watch_metadata(self._client, path, labels=SYNC_LABEL, opened=opened):
            self._take(kind, event)
            # A page of a list holds hundreds of objects, and the next event may be hours away.
            del event

    def _take(self, kind: Kind, event: Event[Metadata]) -> None:
        if event.type == "FAILED":
            _log.info("watch interrupted", kind=kind.group_kind, error=event.error)
            since, _ = self._failing.get(kind, (self._clock.monotonic(), ""))
            self._failing[kind] = since, event.error
            self._listed[kind].set()
        elif event.type == "LISTED":
            self._relisted(kind, event)
            if event.ends:
                self._listed[kind].set()
        else:
            self._look_at(kind, event.object, gone=event.type == "DELETED")

    def _relisted(self, kind: Kind, page: Event[Metadata]) -> None:
        """A page of a (re)list: each object may have changed. At its end, those of ours that are missing have gone, unseen."""
        if page.starts:
            self._listing[kind] = set(), self._clock.monotonic()
        (found, began), present = self._listing[kind], self._present.setdefault(kind, set())
        for metadata in page.objects:
            found.add(self._key(kind, metadata))
            self._look_at(kind, metadata, gone=False, listed=True)
        if not page.ends:
            return
        # Only objects that Guard applied before can be missing: a first sync is about to create the rest. What it applied while
        # nobody watched was never seen.
        unseen = {one.key for one in self._view.state if one.kind == kind and self._was_applied(one.key, before=began)}
        for key in (present | unseen) - found:
            known = self._writer.known(key)
            if known and known.fingerprint.version:
                self._gone(key, Metadata(resource_version=str(known.fingerprint.version + 1)), listed=True)
            else:
                self._writer.lost(key)
        self._present[kind] = found
        del self._listing[kind]

    def _was_applied(self, key: ObjectKey, *, before: float) -> bool:
        known = self._writer.known(key)
        return known is not None and known.looked < before

    def _look_at(self, kind: Kind, metadata: Metadata, *, gone: bool, listed: bool = False) -> None:
        try:
            self._changed(kind, metadata, gone=gone, listed=listed)
        except Exception:  # noqa: BLE001 (one object that Guard trips over must not end the watch of all)
            _log.exception("an event could not be taken", object=str(metadata.key(kind)))

    def _changed(self, kind: Kind, metadata: Metadata, *, gone: bool, listed: bool) -> None:
        """`listed` when a list shows it, after which more than one write may lie since it was seen last."""
        key = self._key(kind, metadata)
        if gone:
            self._present[kind].discard(key)
            self._gone(key, metadata)
            return
        declared = self._view.state.get(key)
        self._present[kind].add(key)
        seen, before = metadata.fingerprint, self._writer.last_seen(key)
        self._writer.saw(key, seen=seen, ours=bool(seen.ours))
        known = self._writer.known(key)
        if declared is None:
            return
        self._noticed(declared, metadata)
        if goes_by_itself(declared.body, metadata) and self._writer.ended(key, manifest_digest(declared.body)):
            self._ended(declared.sync)
        if metadata.deletion_timestamp:
            return
        if known is None:
            if not self._is_to_come(key):
                self._repairer.look(key, Drift(metadata=metadata, at=self._clock.monotonic()))
        else:
            self._weigh(declared, known, metadata, before=None if listed else before, listed=listed)

    def _key(self, kind: Kind, metadata: Metadata) -> ObjectKey:
        """The index's own key, so that there is one in memory for each object."""
        key = metadata.key(kind)
        declared = self._view.state.get(key)
        return key if declared is None else declared.key

    def _gone(self, key: ObjectKey, metadata: Metadata, *, listed: bool = False) -> None:
        self._writer.lost(key)
        declared = self._view.state.get(key)
        if declared is not None:
            self._noticed(declared, None)
        if declared is None or (self._is_to_come(key) and self._repairer.heals(declared)):
            return
        if not self._view.has_ended(declared):
            self._look(key, Drift(metadata=metadata, at=self._clock.monotonic(), gone=True), listed=listed)

    def _is_to_come(self, key: ObjectKey) -> bool:
        """Whether the first apply is still to come, and will put the object right. Of one that is under way nobody knows yet
        whether it came before what is seen here.
        """
        return self._writer.known(key) is None and not self._writer.is_writing(key)

    def _weigh(self, declared: Declared, known: Known, metadata: Metadata, *, before: Fingerprint | None, listed: bool) -> None:
        """Look at once at what is drift by its metadata; at what may be, at once too, but not again and again while others
        keep writing beside what Git declares.
        """
        key = declared.key
        left, seen = known.fingerprint, metadata.fingerprint
        if seen.version == left.version:
            self._repairer.right(key)
            return
        now = self._clock.monotonic()
        vouched = self._vouched.vouches(key, metadata, after=str(before.version) if before else "", at=now)
        if seen.digest != left.digest or not _holds(metadata, known.applied) or self._view.takings.of(key, at=now):
            self._look(key, Drift(metadata=metadata, at=now), listed=listed)
        elif self._is_doubtful(known, seen, before=before) and not (vouched and self._moves_on(key, known, seen)):
            self._verify(key, Drift(metadata=metadata, at=now))
        else:
            self._repairer.right(key)

    def _look(self, key: ObjectKey, drift: Drift, *, listed: bool) -> None:
        # What waits to be verified is older, and would be taken for the newest once its turn comes.
        self._doubts.pop(key, None)
        self._repairer.look(key, drift, again=listed)

    def _verify(self, key: ObjectKey, drift: Drift) -> None:
        """Look at an object that may have drifted: at once, or with what else comes until it is its turn."""
        waiting = key in self._doubts
        self._doubts[key] = drift
        if waiting:
            return
        if len(self._verified) >= MOST_DOUBTED:
            self._verified = {key: due for key, due in self._verified.items() if due > drift.at}
        due = self._verified[key] = max(self._verified.get(key, 0.0), drift.at) + DOUBT_SECONDS
        pause = due - drift.at - DOUBTS_AT_ONCE * DOUBT_SECONDS
        if pause > 0:
            asyncio.get_running_loop().call_later(pause, self._settle, key)
        else:
            self._settle(key)

    def _settle(self, key: ObjectKey) -> None:
        if (drift := self._doubts.pop(key, None)) is not None:
            self._repairer.look(key, drift)

    def _moves_on(self, key: ObjectKey, known: Known, seen: Fingerprint) -> bool:
        """Take a write that admission judged as harmless. Not within the seconds after our own, in which one that nobody judged
        may look just like it.
        """
        if self._clock.monotonic() - known.wrote < SPOOF_SECONDS:
            return False
        self._writer.moved_on(key, seen)
        return True

    def _is_doubtful(self, known: Known, seen: Fingerprint, *, before: Fingerprint | None) -> bool:
        """Whether this write, which left our entry as it was, may have changed what we declare all the same. `before` is what was
        seen before this one write, where it is one.
        """
        left = known.fingerprint
        if seen.generation != left.generation or self._clock.monotonic() - known.wrote < SPOOF_SECONDS:
            return True
        # Without a generation any write may be drift, except a heartbeat: one that moved a status entry and nothing else.
        return seen.generation == 0 and (before is None or seen.status == before.status or seen.others != before.others)


def _holds(live: Metadata, declared: JsonObject) -> bool:
    """Whether the declared labels and annotations are there, which metadata shows without asking."""
    wanted = child(declared, "metadata")
    found = ((live.labels, "labels"), (live.annotations, "annotations"))
    return all(child(wanted, name).items() <= (texts or {}).items() for texts, name in found)
