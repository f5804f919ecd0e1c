"""Looking after the health of one Sync's objects, beside all else: neither a commit nor healing waits for it.

An object is looked at when it was applied, and again when the watch that heals shows a write of its status or another generation.
What is not healthy is looked at from time to time as well, should the watch be behind. Looking is bounded: some objects a second,
one by one, or a listing of a kind of which much is due, which takes a small share of the time. So 200 events a second cost what
20 reads do, and an event that touches no status costs a comparison.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeAlias

from msgspec import structs

from guard import telemetry
from guard.base.backoff import Backoff
from guard.base.clock import Clock
from guard.base.codec import JsonObject, child, children
from guard.base.concurrency import for_each, within
from guard.base.errors import ApiStatusError, ClusterError
from guard.cluster import Client, collection_path, object_path
from guard.state.desired import Declared
from guard.state.digest import Fingerprint, fingerprint
from guard.state.health import HEALTHY, Health, assess, waits_for_consumer
from guard.state.ids import SYNC_LABEL, Kind, ObjectKey
from guard.state.metadata import Metadata
from guard.sync.findings import Findings
from guard.sync.status import Health as Report

ROUND_SECONDS = 0.5
LOOKS_A_ROUND = 10  # one by one: 20 a second, 1 % of a core
LOOKS_AT_ONCE = 4  # the seats are for those who write
# A listing costs about as much an object as a fifth of a look: worth it where a fifth of the kind is due.
LISTED_SHARE = 5
LIST_PAGE = 100  # whole objects, decoded in the loop: some 6 ms
# A kind is listed again only after 20 times as long as that took: a listing takes 5 % of the time at most.
LIST_REST = 20
POLL_FIRST_SECONDS, POLL_MOST_SECONDS = 1.0, 30.0
# How often the report is told at most: of other counts at once, of other words for the same less often.
TELL_SECONDS, RETELL_SECONDS = 1.0, 5.0
FORBIDDEN, NOT_FOUND = 403, 404
MISSING = Health("progressing", "it is not there")
UNREADABLE = Health("progressing", "Guard may not read it")
STORAGE_CLASS = Kind(group="storage.k8s.io", version="v1", kind="StorageClass", resource="storageclasses", namespaced=False)

# By what of an object its health may have changed: generation, entries of its status, and whether it is being deleted.
_Mark: TypeAlias = tuple[int, bytes, bool]

_log = telemetry.get("sync")


class HealthChecker:
    """`run` looks until cancelled. `has_ended` knows the Jobs that went by their time to live; `timeout` is the Sync's, in
    seconds; `told` is awaited with each new report.
    """

    def __init__(
        self,
        client: Client,
        *,
        label: str,
        clock: Clock,
        timeout: Callable[[], float],
        has_ended: Callable[[Declared], bool],
        told: Callable[[Report], Awaitable[None]],
    ) -> None:
        self._client = client
        self._label = label
        self._clock = clock
        self._timeout = timeout
        self._has_ended = has_ended
        self._tell = told
        self._findings = Findings()
        self._goal: object = None
        # In the order in which they are looked at.
        self._due: dict[ObjectKey, None] = {}
        self._marks: dict[ObjectKey, _Mark | None] = {}
        self._rests: dict[Kind, float] = {}
        self._poll = Backoff(first=POLL_FIRST_SECONDS, most=POLL_MOST_SECONDS)
        self._poll_at = 0.0
        self._wake = asyncio.Event()
        self._looked = asyncio.Event()
        self._told: Report | None = None
        self._told_at = -RETELL_SECONDS

    # ---- what there is to look at

    def declare(self, put: Iterable[Declared], gone: Iterable[ObjectKey], *, goal: object) -> None:
        """What is in force from now on, and about to be applied. With another goal the time to become healthy starts over."""
        gone = tuple(gone)
        for key in gone:
            self._due.pop(key, None)
            self._marks.pop(key, None)
        self._findings.declare(put, gone)
        if goal != self._goal:
            self._goal = goal
            self._findings.begin(self._clock.monotonic())

    def applied(self) -> None:
        """All that was declared has been applied, as far as it can be."""
        self._ask(self._findings.release())
        self._hurry()

    def notice(self, key: ObjectKey, metadata: Metadata | None) -> None:
        """What a watch shows of an object; None where it is gone, or lost our label."""
        if key not in self._findings.objects or self._findings.is_held(key):
            return
        if self._marks.get(key, ...) != (None if metadata is None else _shown(metadata)):
            self._ask((key,))

    def report(self, *, whole: bool) -> Report | None:
        """None while nothing is declared, and where the `whole` is wanted while not everything was looked at once."""
        if self._goal is None or (whole and not self._findings.is_known):
            return None
        return self._findings.report(now=self._clock.monotonic(), timeout=self._timeout())

    async def settled(self, objects: Sequence[Declared]) -> tuple[str, ...]:
        """Wait until these, which were just applied, are healthy. Returns nothing then, or one line for each that is not when
        one of them failed for good or the timeout is over.
        """
        findings, began = self._findings, self._clock.monotonic()
        keys = [declared.key for declared in objects if declared.key in findings.objects]
        self._ask(findings.release(keys))
        self._hurry()
        while True:
            waiting = [key for key in keys if not findings.is_healthy(key)]
            left = began + self._timeout() - self._clock.monotonic()
            if not waiting or left <= 0 or any(map(findings.has_failed, waiting)):
                return findings.lines(waiting)
            await within(self._looked, left)

    def _ask(self, keys: Iterable[ObjectKey]) -> None:
        for key in keys:
            if key in self._findings.objects:
                self._due[key] = None
                self._wake.set()

    def _hurry(self) -> None:
        self._poll.reset()
        self._poll_at = self._clock.monotonic()
        self._wake.set()

    # ---- looking

    async def run(self) -> None:
        trouble = Backoff(first=ROUND_SECONDS, most=POLL_MOST_SECONDS)
        while True:
            await within(self._wake, self._pause())
            self._wake.clear()
            try:
                await self._round()
                await self._tell_news()
                trouble.reset()
            except ClusterError as error:
                _log.info("health could not be looked at", label=self._label, error=str(error))
                await asyncio.sleep(trouble.next())
            except Exception:  # noqa: BLE001 (an object that Guard trips over must not end the looking after all others)
                _log.exception("health could not be looked at for a reason that Guard does not know", label=self._label)
                await asyncio.sleep(trouble.next())
            await asyncio.sleep(ROUND_SECONDS)

    def _pause(self) -> float | None:
        """Until there is something to do without being asked."""
        if self._due or self.report(whole=False) != self._told:
            return 0.0
        now = self._clock.monotonic()
        late = self._findings.next_late(now=now, timeout=self._timeout())
        return min((late or POLL_MOST_SECONDS, self._poll_at - now)) if self._findings.ill else None

    async def _round(self) -> None:
        now = self._clock.monotonic()
        if self._findings.ill and now >= self._poll_at:
            self._poll_at = now + self._poll.next()
            for key in self._findings.ill:
                self._due.setdefault(key)
        for kind, keys in self._due_by_kind().items():
            is_worth_it = len(keys) > LOOKS_A_ROUND and len(keys) * LISTED_SHARE > self._findings.of_kind[kind]
            if is_worth_it and now >= self._rests.get(kind, 0.0):
                await self._list(kind, keys)
        chosen = [self._findings.objects[key] for key in self._due if key in self._findings.objects]
        await for_each(chosen[:LOOKS_A_ROUND], self._look_at, at_once=LOOKS_AT_ONCE)
        self._looked.set()
        self._looked = asyncio.Event()

    def _due_by_kind(self) -> dict[Kind, list[ObjectKey]]:
        found: defaultdict[Kind, list[ObjectKey]] = defaultdict(list)
        for key in list(self._due):
            declared = self._findings.objects.get(key)
            if declared is None:
                del self._due[key]
            else:
                found[declared.kind].append(key)
        return found

    async def _list(self, kind: Kind, keys: Sequence[ObjectKey]) -> None:
        """What a listing does not show stays due: it may have lost its label."""
        missing = dict.fromkeys(keys)
        for key in keys:
            del self._due[key]
        namespaces = {key.namespace for key in keys}
        path = collection_path(kind, namespace=namespaces.pop() if len(namespaces) == 1 else "")
        look, started = self._findings.look(), self._clock.monotonic()
        page = {"labelSelector": f"{SYNC_LABEL}={self._label}", "limit": str(LIST_PAGE)}
        try:
            while True:
                answer = await self._client.get(path, params=page)
                for item in children(answer, "items"):
                    # Listings of built-in kinds do not repeat these.
                    body = {**item, "apiVersion": kind.api_version, "kind": kind.kind}
                    missing.pop(await self._saw(kind, body, look=look), None)
                page["continue"] = child(answer, "metadata").get("continue") or ""
                if not page["continue"]:
                    break
            self._rests[kind] = self._clock.monotonic() + LIST_REST * (self._clock.monotonic() - started)
        except ApiStatusError as error:
            # Not allowed, or the listing took longer than the API server keeps its pages: one by one, then.
            _log.info("a kind could not be listed for its health", kind=kind.group_kind, error=str(error))
            self._rests[kind] = self._clock.monotonic() + POLL_MOST_SECONDS
        finally:
            self._ask(missing)

    async def _saw(self, kind: Kind, body: JsonObject, *, look: int) -> ObjectKey:
        metadata = body["metadata"]
        key = ObjectKey(group=kind.group, kind=kind.kind, namespace=metadata.get("namespace", ""), name=metadata["name"])
        if key in self._findings.objects:
            health, mark = await self._assessed(self._findings.objects[key], body)
            self._found(key, health, mark, look=look)
        return key

    async def _look_at(self, declared: Declared) -> None:
        key, look = declared.key, self._findings.look()
        # Whatever is asked from now on is another look.
        self._due.pop(key, None)
        try:
            health, mark = await self._state_of(declared)
        except BaseException:  # one that is cancelled since another failed, too
            self._ask((key,))
            raise
        self._found(key, health, mark, look=look)

    async def _state_of(self, declared: Declared) -> tuple[Health, _Mark | None]:
        key = declared.key
        try:
            body = await self._client.get(object_path(declared.kind, namespace=key.namespace, name=key.name))
        except ApiStatusError as error:
            if error.code == NOT_FOUND:
                return self._absent(declared), None
            if error.code == FORBIDDEN:
                return UNREADABLE, None
            raise
        return await self._assessed(declared, body)

    async def _assessed(self, declared: Declared, body: JsonObject) -> tuple[Health, _Mark]:
        health = assess(body)
        if health.message and not declared.secrecy.is_open:
            # Controllers quote what they trip over.
            health = structs.replace(health, message=declared.secrecy.excuse)
        if health.state == "progressing" and (name := waits_for_consumer(body)) and await self._binds_late(name):
            health = HEALTHY
        return health, _mark(fingerprint(body), is_leaving=bool(body["metadata"].get("deletionTimestamp")))

    def _found(self, key: ObjectKey, health: Health, mark: _Mark | None, *, look: int) -> None:
        if key in self._findings.objects:
            self._marks[key] = mark
            self._findings.found(key, health, look=look, now=self._clock.monotonic(), at=self._clock.now())

    def _absent(self, declared: Declared) -> Health:
        """A Job that has run and went by its time to live is as well as it was."""
        is_well = self._has_ended(declared) and not self._findings.has_failed(declared.key)
        return HEALTHY if is_well else MISSING

    async def _binds_late(self, name: str) -> bool:
        """Whether a claim of this class waits for the first pod that mounts it: then nobody waits for the claim, and whoever
        brings that pod is waited for. So it is, too, where the class may not be read.
        """
        try:
            found = await self._client.get(object_path(STORAGE_CLASS, namespace="", name=name))
        except ApiStatusError as error:
            return error.code == FORBIDDEN
        return found.get("volumeBindingMode") == "WaitForFirstConsumer"

    async def _tell_news(self) -> None:
        report, now, told = self.report(whole=False), self._clock.monotonic(), self._told
        if report is None or report == told:
            return
        is_same = told is not None and (told.counts, told.reason) == (report.counts, report.reason)
        if now - self._told_at >= (RETELL_SECONDS if is_same else TELL_SECONDS):
            if told is None or told.reason != report.reason:
                _log.info("health", label=self._label, reason=report.reason, message=report.message)
            self._told, self._told_at = report, now
            await self._tell(report)


def _shown(metadata: Metadata) -> _Mark:
    return _mark(metadata.fingerprint, is_leaving=bool(metadata.deletion_timestamp))


def _mark(seen: Fingerprint, *, is_leaving: bool) -> _Mark:
    return seen.generation, seen.status, is_leaving
