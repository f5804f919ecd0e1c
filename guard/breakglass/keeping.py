"""Knows the BreakGlass objects, and keeps what is open in step with them and with the time.

An object is open as soon as the watch shows its BreakGlass, and closed again by the clock or the object's deletion, whatever
becomes of status and journal meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import timedelta

import msgspec

from guard import telemetry
from guard.api import BREAK_GLASS, BreakGlass, key_of, parse_break_glass
from guard.audit import Record, References
from guard.audit.record import Event as RecordedEvent
from guard.base import codec
from guard.base.backoff import Backoff
from guard.base.clock import Clock, rfc3339, rfc3339_seconds
from guard.base.codec import JsonObject, child, children
from guard.base.concurrency import within
from guard.base.errors import ApiStatusError, ClusterError, ConfigError
from guard.breakglass.standing import Phase, Standing, opening, said, standing, status
from guard.cluster import Client, Event, ServerClock, collection_path, object_path, watch
from guard.state.breakglass import NOTHING_OPEN, Opened, Opening, Target, WholeNamespace, WholeSync
from guard.state.desired import Declared, DesiredState, View
from guard.state.ids import FIELD_MANAGER, NAMESPACE, ObjectKey

# How long one that is over can still be looked at; the journal keeps more.
KEPT = timedelta(hours=24)
# Server and Guard drift apart by less than a second a day; what this finds is a clock that was set, or a machine that slept.
ASK_SECONDS = 60.0
SOONEST_SECONDS = 0.01
MOST_WITNESSED = 1024  # between review and watch event lie milliseconds
NOT_FOUND = 404

_EVENTS: dict[Phase, RecordedEvent] = {
    Phase.ACTIVE: "break-glass-opened",
    Phase.EXPIRED: "break-glass-expired",
    Phase.REJECTED: "break-glass-rejected",
}

_log = telemetry.get("breakglass")


class _Known(msgspec.Struct):
    """One BreakGlass: what was found of it last, and what of that the journal has."""

    glass: BreakGlass
    found: Standing | None = None
    told: Phase | None = None
    by: str = ""
    groups: tuple[str, ...] = ()

    @property
    def is_over(self) -> bool:
        return self.found is not None and self.found.phase is not Phase.ACTIVE


class BreakGlasses:
    """`start` returns when what is open is known; `run` keeps it so until cancelled.

    `view` is told what is open, `closed` what Git declares of that which no longer is, `active` how many are in force. `witness`
    has to be told who makes and deletes them, since the objects themselves do not say. `longest` is in seconds.
    """

    def __init__(
        self,
        client: Client,
        *,
        view: View,
        clock: Clock,
        time: ServerClock,
        longest: float,
        references: References,
        write: Callable[[Record], None],
        closed: Callable[[tuple[Declared, ...]], None],
        active: Callable[[int], None],
    ) -> None:
        self._client = client
        self._view = view
        self._clock = clock
        self._time = time
        self._longest = longest
        self._references = references
        self._write = write
        self._closed = closed
        self._active = active
        self._known: dict[str, _Known] = {}
        self._witnessed: dict[tuple[str, str], tuple[str, tuple[str, ...]]] = {}
        self._moved = asyncio.Event()
        self._news = asyncio.Event()

    def witness(self, uid: str, operation: str, user: str, groups: tuple[str, ...]) -> None:
        """Somebody is about to make or delete one."""
        while len(self._witnessed) >= MOST_WITNESSED:
            self._witnessed.pop(next(iter(self._witnessed)))
        self._witnessed[uid, operation] = (user, groups)

    async def start(self) -> None:
        """Raises ClusterError."""
        await self._time.ask()
        answer = await self._client.get(collection_path(BREAK_GLASS))
        self._listed(children(answer, "items"))
        self._settle()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch(), name="watch break-glass")
            group.create_task(self._keep_time(), name="end break-glass")
            group.create_task(self._report(), name="report break-glass")

    # ---- what there is

    async def _watch(self) -> None:
        async for event in watch(self._client, collection_path(BREAK_GLASS)):
            if event.type == "FAILED":
                _log.info("watch interrupted", kind=BREAK_GLASS.kind, error=event.error)
                continue
            if event.type != "DELETED":
                await self._ask()
            self._take(event)
            self._settle()

    def _take(self, event: Event[JsonObject]) -> None:
        if event.type == "LISTED":
            self._listed(event.objects)
        elif event.type == "DELETED":
            self._gone(str(child(event.object, "metadata").get("uid")))
        else:
            self._put(event.object)

    def _listed(self, bodies: Iterable[JsonObject]) -> None:
        bodies = tuple(bodies)
        for uid in self._known.keys() - {child(body, "metadata").get("uid") for body in bodies}:
            self._gone(uid)
        for body in bodies:
            self._put(body)

    def _put(self, body: JsonObject) -> None:
        try:
            glass = parse_break_glass(body, where=f"BreakGlass {key_of(body)}")
        except ConfigError as error:
            # It opens nothing: what Guard does not understand lets nobody pass.
            _log.error("a BreakGlass cannot be used", error=str(error))
            return
        uid = glass.metadata.uid
        known = self._known.get(uid)
        if glass.metadata.deletion_timestamp:
            # A finalizer may keep the object, but not what it opens.
            self._gone(uid)
        elif known is not None:
            known.glass = glass
        else:
            user, groups = self._witnessed.pop((uid, "CREATE"), (glass.status.by or glass.spec.by, ()))
            self._known[uid] = _Known(glass=glass, told=said(glass), by=user, groups=groups)

    def _gone(self, uid: str) -> None:
        """Deleted, or being deleted: it is over. Heard twice, it is told once."""
        known = self._known.pop(uid, None)
        user, groups = self._witnessed.pop((uid, "DELETE"), ("", ()))
        if known is not None and known.told is Phase.ACTIVE:
            self._record("break-glass-ended", known, reason="Deleted", message=known.glass.spec.reason, user=user, groups=groups)

    # ---- what that opens

    def _settle(self) -> None:
        """Open and close what is due by now."""
        now = self._time.now()
        openings: list[Opening] = []
        for known in self._known.values():
            # What is over stays so, also when the clock is set back.
            if known.found is None or not known.is_over:
                known.found = standing(known.glass, now=now, longest=self._longest)
            if known.found.phase is Phase.ACTIVE:
                openings.append(opening(known.glass))
            if known.told is not known.found.phase:
                self._tell(known, known.found)
        before, self._view.opened = self._view.opened, Opened(openings) if openings else NOTHING_OPEN
        self._active(len(openings))
        self._moved.set()
        self._news.set()
        closed = {one.target for one in before} - {one.target for one in self._view.opened}
        if closed:
            self._closed(affected(self._view.state, closed))

    def _tell(self, known: _Known, found: Standing) -> None:
        known.told = found.phase
        what = f"until {rfc3339_seconds(known.glass.ends)}" if found.phase is Phase.ACTIVE else found.message
        message = f"{what}: {known.glass.spec.reason}"
        self._record(_EVENTS[found.phase], known, reason=found.reason, message=message, user=known.by, groups=known.groups)

    async def _keep_time(self) -> None:
        """Settle when the next one is over. Objects of which nobody needs to see any more go."""
        while True:
            self._moved.clear()
            if await within(self._moved, self._pause()):
                continue
            # Not when the API server has answered: what is over is over.
            self._settle()
            await self._ask()
            await self._collect()
            self._settle()

    def _pause(self) -> float | None:
        """Seconds until there is something to look at; None while there is nothing at all."""
        if not self._known:
            return None
        now = self._time.now()
        left = [(known.glass.ends - now).total_seconds() for known in self._known.values() if not known.is_over]
        return max(min([*left, ASK_SECONDS]), SOONEST_SECONDS)

    async def _ask(self) -> None:
        try:
            await self._time.ask()
        except ClusterError as error:
            _log.info("the API server's time is not known, Guard's own count goes on", error=str(error))

    async def _collect(self) -> None:
        now = self._time.now()
        for uid, known in list(self._known.items()):
            since = known.glass.ends if known.told is Phase.EXPIRED else known.glass.metadata.creation_timestamp
            if known.is_over and now >= since + KEPT:
                try:
                    await self._client.delete(_path(known.glass), uid=uid)
                except ClusterError as error:
                    _log.info("a BreakGlass that is over could not be deleted", name=known.glass.key, error=str(error))

    # ---- what is said of it

    async def _report(self) -> None:
        backoff = Backoff(first=0.2, most=30.0)
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                for known in list(self._known.values()):
                    await self._publish(known)
                backoff.reset()
            except ClusterError as error:
                _log.warning("the status of a BreakGlass could not be written", error=str(error))
                self._news.set()
                await asyncio.sleep(backoff.next())

    async def _publish(self, known: _Known) -> None:
        glass = known.glass
        wanted = status(glass, known.found, by=known.by, now=self._time.now()) if known.found else glass.status
        if wanted == glass.status:
            return
        try:
            await self._client.merge_patch(f"{_path(glass)}/status", {"status": codec.plain(wanted)}, manager=FIELD_MANAGER)
        except ApiStatusError as error:
            if error.code != NOT_FOUND:
                raise
        # The watch brings it as well; until then it is not written again.
        known.glass = msgspec.structs.replace(glass, status=wanted)

    def _record(
        self, event: RecordedEvent, known: _Known, *, reason: str, message: str, user: str, groups: tuple[str, ...]
    ) -> None:
        glass, target = known.glass, known.glass.target
        match target:
            case ObjectKey():
                key = target
            case WholeNamespace(name=name):
                key = ObjectKey(group="", kind=NAMESPACE.kind, namespace="", name=name)
            case WholeSync():
                key = ObjectKey(group="", kind="", namespace="", name="")
        _log.info(event, name=glass.key, reason=reason, by=user)
        self._write(
            Record(
                time=rfc3339(self._clock.now()),
                id=self._references.new(),
                event=event,
                reason=reason,
                sync=target.name if isinstance(target, WholeSync) else "",
                group=key.group,
                kind=key.kind,
                namespace=key.namespace,
                name=key.name,
                user=user,
                groups=groups,
                message=message,
                break_glass=glass.key,
            )
        )


def affected(state: DesiredState, targets: Iterable[Target]) -> tuple[Declared, ...]:
    """What Git declares of all that."""
    found: dict[ObjectKey, Declared] = {}
    namespaces: set[str] = set()
    for target in targets:
        match target:
            case ObjectKey():
                one = state.get(target)
                found |= {target: one} if one is not None else {}
            case WholeSync(name=name):
                found |= state.of_sync(name)
            case WholeNamespace(name=name):
                namespaces.add(name)
    if namespaces:
        found |= {one.key: one for one in state if _namespace(one.key) in namespaces}
    return tuple(found.values())


def _namespace(key: ObjectKey) -> str:
    """The one that the object is in, or is."""
    return key.name if (key.group, key.kind) == (NAMESPACE.group, NAMESPACE.kind) else key.namespace


def _path(glass: BreakGlass) -> str:
    return object_path(BREAK_GLASS, namespace=glass.metadata.namespace, name=glass.metadata.name)
