"""API server, etcd and Guard are killed at random under commits and changes by hand.

What has to hold shows in what the API server holds and in its audit log: in the end the cluster is as Git says; nothing was
deleted by Guard that Git declared; every denial that somebody was told of is in the journal.

`GUARD_CHAOS_SEED` repeats the choices of a run (not their timing), `GUARD_CHAOS_SECONDS` makes it longer.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import pytest

from guard.base import codec
from guard.base.codec import JsonObject, child
from guard.base.errors import GuardError
from guard.state.ids import SYNC_LABEL
from tests.chaos.declared import History, Object, differences
from tests.chaos.hands import RESOURCES, Answer, Hands
from tools.controlplane import ControlPlane
from tools.guardrun import GuardProcess, Repository, eventually, sync_document

SECONDS = float(os.environ.get("GUARD_CHAOS_SECONDS", "120"))
SEED = os.environ.get("GUARD_CHAOS_SEED") or secrets.token_hex(4)
# For a loaded machine: restarts of the API server, a watch's longest pause, a sync of everything.
SETTLED_SECONDS = 150.0
GUARD_USER = "system:serviceaccount:guard-system:guard"


class Chaos:
    def __init__(self, plane: ControlPlane, guard: GuardProcess, history: History, hands: Hands, chance: random.Random) -> None:
        self.plane = plane
        self.guard = guard
        self.history = history
        self.hands = hands
        self.chance = chance
        self.told: set[str] = set()  # references of denials
        self.let_through: list[str] = []
        self.done: Counter[str] = Counter()
        self.is_over = False

    async def run(self) -> None:
        """All at once, for so long; afterwards everything runs that was killed."""
        supervisor = asyncio.create_task(self._supervise())
        work = [asyncio.create_task(one) for one in (self._commit(), self._change(), self._change())]
        breaking = asyncio.create_task(self._break())
        try:
            ended, _ = await asyncio.wait([*work, breaking], timeout=SECONDS, return_when=asyncio.FIRST_EXCEPTION)
            for task in ended:
                await task  # none of them ends, but by a fault of the test
        finally:
            for task in work:
                task.cancel()
            # Not in the middle of a kill or a start: nobody would know what runs.
            self.is_over = True
            await asyncio.gather(*work, breaking, return_exceptions=True)
        await self._mend()
        try:
            await eventually(self._is_like_git, what="the cluster is as Git says", seconds=SETTLED_SECONDS, every=1.0)
        finally:
            supervisor.cancel()
            await asyncio.gather(supervisor, return_exceptions=True)

    async def _supervise(self) -> None:
        """Start Guard whenever it has ended, as a kubelet does."""
        while True:
            await self.guard.launch()
            await self.guard.wait()
            await asyncio.sleep(0.5)

    async def _commit(self) -> None:
        while True:
            await asyncio.sleep(self.chance.uniform(0.2, 2.5))
            await asyncio.to_thread(self.history.go_on)

    async def _change(self) -> None:
        while True:
            await asyncio.sleep(self.chance.uniform(0.05, 0.5))
            # Some objects nobody touches but through the webhook, which then lets nothing through.
            one = self.chance.choice(self.history.core)
            is_past = self.chance.random() < 0.4 and not one.name.endswith(("0", "1"))
            what, answer = await self._by_hand(one, is_past=is_past)
            way = "past" if is_past else "through"
            self.done[
                f"{what} {way} the webhook: {'refused' if answer.status >= 400 else 'done' if answer.status else 'unheard'}"
            ] += 1
            if answer.reference:
                self.told.add(answer.reference)
            if one.name.endswith(("0", "1")) and answer.status == 200:
                self.let_through.append(f"{what} of {one.kind} {one.name}")

    async def _by_hand(self, one: Object, *, is_past: bool) -> tuple[str, Answer]:
        what = self.chance.choice(("edit", "edit", "add", "delete", "unlabel"))
        match what:
            case "edit":
                return what, await self.hands.patch(one.kind, one.name, _edit(one, f"hand-{secrets.token_hex(3)}"), past=is_past)
            case "add":
                patch = {"metadata": {"labels": {f"by-hand-{secrets.token_hex(2)}": "1"}}}
                return what, await self.hands.patch(one.kind, one.name, patch, past=is_past)
            case "delete":
                return what, await self.hands.delete(one.kind, one.name, past=is_past)
            case _:
                patch = {"metadata": {"labels": {SYNC_LABEL: None}}}
                return what, await self.hands.patch(one.kind, one.name, patch, past=is_past)

    async def _break(self) -> None:
        faults: list[Callable[[], Awaitable[None]]] = [self._kill_guard, self._kill_apiserver, self._kill_etcd, self._kill_both]
        while not self.is_over:
            await asyncio.sleep(self.chance.uniform(1, 8))
            fault = self.chance.choice(faults)
            self.done[fault.__name__.strip("_")] += 1
            await fault()

    async def _kill_guard(self) -> None:
        with suppress(ProcessLookupError):
            self.guard.process.kill()

    async def _kill_apiserver(self) -> None:
        await self.plane.kill_apiserver()
        await asyncio.sleep(self.chance.uniform(0, 4))
        await self.plane.start_apiserver()

    async def _kill_etcd(self) -> None:
        await self.plane.kill_etcd()
        await asyncio.sleep(self.chance.uniform(0, 4))
        await self.plane.start_etcd()

    async def _kill_both(self) -> None:
        await self.plane.kill_apiserver()
        await self.plane.kill_etcd()
        await self._kill_guard()
        await asyncio.sleep(self.chance.uniform(0, 3))
        await self._mend()

    async def _mend(self) -> None:
        pids = self.plane.pids
        if "etcd" not in pids:
            await self.plane.start_etcd()
        if "kube-apiserver" not in pids:
            await self.plane.start_apiserver()

    async def _is_like_git(self) -> bool:
        try:
            status = child(await self.guard.sync("chaos"), "status")
            is_newest = str(status.get("lastAppliedRevision", "")).endswith(self.history.head)
            return is_newest and not await differences(self.history, self.hands)
        except (GuardError, OSError):
            return False

    def mistaken_deletes(self) -> list[str]:
        """By the API server's audit log: what Guard deleted before it was taken out of Git."""
        found: list[str] = []
        for event in _lines(self.plane.audit_log):
            reference = child(event, "objectRef")
            is_delete = str(event.get("verb", "")).startswith("delete")
            if not is_delete or child(event, "user").get("username") != GUARD_USER or reference.get("namespace") != "default":
                continue
            if child(event, "responseStatus").get("code") != 200:
                continue
            kind = next((kind for kind, path in RESOURCES.items() if path.endswith(f"/{reference.get('resource')}")), "")
            at = datetime.fromisoformat(str(event["requestReceivedTimestamp"])).timestamp()
            removed = self.history.removed.get((kind, str(reference.get("name"))))
            if removed is None or at < removed:
                found.append(f"{kind} {reference.get('name')} at {event['requestReceivedTimestamp']}")
        return found

    def unrecorded(self) -> set[str]:
        """References that people were told and that no record of the journal bears."""
        return self.told - {str(record.get("id")) for record in _lines(self.guard.data / "audit" / "journal.jsonl")}


def _edit(one: Object, value: str) -> JsonObject:
    match one.kind:
        case "ConfigMap":
            return {"data": {"v": value}}
        case "Secret":
            return {"data": {"v": codec.plain(value.encode())}}
        case "Service":
            return {"spec": {"selector": {"v": value}}}
        case _:
            return {"spec": {"replicas": 7}}


def _lines(file: Path) -> list[JsonObject]:
    """The lines that are whole: a writer that is killed may leave one that is not."""
    found: list[JsonObject] = []
    for line in file.read_bytes().splitlines():
        with suppress(codec.DecodeError):
            found.append(codec.decode(line))
    return found


@pytest.mark.case(33, 34, 35)
@pytest.mark.timeout(SECONDS + SETTLED_SECONDS + 180)
async def test_whatever_is_killed_the_cluster_ends_as_git_says_and_nothing_is_lost(tmp_path: Path) -> None:
    print(f"GUARD_CHAOS_SEED={SEED}")  # noqa: T201 (shown by pytest when the test fails)
    chance = random.Random(SEED)  # noqa: S311 (choices of a test)
    history = History(Repository(tmp_path / "repository"), chance)
    history.begin()
    async with ControlPlane.start(tmp_path / "plane") as plane, Hands.of(plane) as hands:
        guard = GuardProcess(
            plane, tmp_path / "guard", syncs=[sync_document("chaos", history.repository.directory, path="chaos")]
        )
        try:
            await guard.start()
            await guard.applied(history.head, sync="chaos")
            await guard.kill()
            chaos = Chaos(plane, guard, history, hands, chance)
            try:
                await chaos.run()
            except AssertionError as error:
                wrong = "\n".join((await differences(history, hands))[:20])
                raise AssertionError(f"{error}\n{wrong}\n{dict(chaos.done)}\n{guard.tail(40)}") from error
        finally:
            await guard.kill()
        print(f"{history.commits} commits, {len(chaos.told)} denials told, {dict(sorted(chaos.done.items()))}")  # noqa: T201
        assert chaos.mistaken_deletes() == []
        assert chaos.unrecorded() == set()
        assert chaos.let_through == []
        assert chaos.told
