"""What is open, in step with the objects of a real API server and with a time that tests set."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

import pytest

from guard.api import BREAK_GLASS, break_glass_crd
from guard.audit import Record, References
from guard.base.clock import SystemClock
from guard.base.codec import Json, JsonObject, children
from guard.base.errors import ApiStatusError
from guard.breakglass import BreakGlasses
from guard.breakglass.keeping import KEPT, affected
from guard.cluster import Client, ServerClock, collection_path, object_path
from guard.state import DesiredState, ObjectKey, View
from guard.state.breakglass import WholeNamespace, WholeSync
from guard.state.desired import Declared
from guard.sync import install_definition
from tests.breakglass.clocks import SetClock
from tests.state.samples import CONFIG_MAP, NAMESPACE, SYNC, declared_as, object_of
from tools.guardrun import eventually

WEB = declared_as(CONFIG_MAP, object_of(CONFIG_MAP, name="web", namespace="default"))


class Told(ServerClock):
    """What the API server's clock shows, said by a test; its own until then."""

    ahead = timedelta()

    async def ask(self) -> None:
        """Known already."""

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead


class Kept:
    """BreakGlasses at work, and what they said."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.view = View()
        self.view.replace(DesiredState().with_sync(SYNC, [WEB]))
        # The day of Guard's own machine is wrong, and changes nothing.
        own = SetClock(datetime(2001, 1, 1, tzinfo=UTC))
        self.time = Told(client, clock=own)
        self.records: list[Record] = []
        self.closed: list[Declared] = []
        self.active = 0
        self.glasses = BreakGlasses(
            client,
            view=self.view,
            clock=own,
            time=self.time,
            longest=3600.0,
            references=References(SystemClock()),
            write=self.records.append,
            closed=self.closed.extend,
            active=self.count,
        )

    def count(self, active: int) -> None:
        self.active = active

    @property
    def is_open(self) -> bool:
        return bool(self.view.opened.holder(WEB.key, sync=SYNC))

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        await self.glasses.start()
        task = asyncio.create_task(self.glasses.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def make(self, *, duration: str = "30m", **metadata: Json) -> JsonObject:
        body: JsonObject = {
            "apiVersion": BREAK_GLASS.api_version,
            "kind": BREAK_GLASS.kind,
            "metadata": {"name": f"glass-{secrets.token_hex(4)}", **metadata},
            "spec": {
                "target": {"object": {"kind": "ConfigMap", "name": "web"}},
                "duration": duration,
                "reason": "why",
                "by": "ada",
            },
        }
        return await self.client.post(collection_path(BREAK_GLASS, namespace="default"), body)

    async def touch(self, made: JsonObject) -> None:
        """Have the watch show it again."""
        await self.client.merge_patch(path_of(made), {"metadata": {"labels": {"a": secrets.token_hex(2)}}}, manager="test")

    async def events(self, *names: str) -> None:
        await eventually(lambda: [record.event for record in self.records] == [*names], what=f"{names}, not {self.records}")


def path_of(made: JsonObject) -> str:
    return object_path(BREAK_GLASS, namespace="default", name=made["metadata"]["name"])


async def end(client: Client, made: JsonObject) -> None:
    await client.delete(path_of(made), uid=made["metadata"]["uid"])


@pytest.fixture
async def kept(client: Client) -> AsyncIterator[Kept]:
    await install_definition(client, break_glass_crd(), kind=BREAK_GLASS)
    yield Kept(client)
    for body in children(await client.get(collection_path(BREAK_GLASS)), "items"):
        await client.merge_patch(path_of(body), {"metadata": {"finalizers": None}}, manager="test")
        with suppress(ApiStatusError):  # gone already
            await end(client, body)


async def test_one_that_is_there_is_open_from_the_start(kept: Kept) -> None:
    await kept.make()
    await kept.glasses.start()
    assert kept.is_open
    assert kept.active == 1
    assert [record.event for record in kept.records] == ["break-glass-opened"]


async def test_it_is_open_when_it_is_made_and_closed_when_it_is_deleted(kept: Kept) -> None:
    async with kept.running():
        made = await kept.make()
        await eventually(lambda: kept.is_open, what="it is open")
        kept.glasses.witness(made["metadata"]["uid"], "DELETE", "bob", ("oncall",))
        await end(kept.client, made)
        await eventually(lambda: not kept.is_open, what="it is closed")
        assert kept.closed == [WEB]
        await kept.events("break-glass-opened", "break-glass-ended")
        assert [(record.user, record.groups) for record in kept.records] == [("ada", ()), ("bob", ("oncall",))]


async def test_who_made_it_counts_for_more_than_what_it_says(kept: Kept) -> None:
    """As where nobody checked what it says."""
    made = await kept.make()
    kept.glasses.witness(made["metadata"]["uid"], "CREATE", "eve", ("guests",))
    async with kept.running():
        await kept.events("break-glass-opened")
        assert (kept.records[0].user, kept.records[0].groups) == ("eve", ("guests",))

        async def said() -> bool:
            return (await kept.client.get(path_of(made))).get("status", {}).get("by") == "eve"

        await eventually(said, what="the status names her")


async def test_it_ends_by_the_servers_time_and_stays_over(kept: Kept) -> None:
    async with kept.running():
        made = await kept.make(duration="30m")
        await eventually(lambda: kept.is_open, what="it is open")
        kept.time.ahead = timedelta(minutes=31)
        await kept.touch(made)
        await eventually(lambda: not kept.is_open, what="it is over")
        assert kept.closed == [WEB]
        kept.time.ahead = timedelta()
        await kept.touch(made)
        await asyncio.sleep(0.3)
        assert not kept.is_open
        await kept.events("break-glass-opened", "break-glass-expired")


async def test_it_ends_without_any_event(kept: Kept) -> None:
    async with kept.running():
        # More than the second that a creationTimestamp may be behind.
        await kept.make(duration="4s")
        await eventually(lambda: kept.is_open, what="it is open")
        await eventually(lambda: not kept.is_open, what="it is over")
        await kept.events("break-glass-opened", "break-glass-expired")


async def test_a_finalizer_keeps_the_object_and_not_what_it_opens(kept: Kept) -> None:
    async with kept.running():
        made = await kept.make(finalizers=["example.com/stay"])
        await eventually(lambda: kept.is_open, what="it is open")
        await end(kept.client, made)
        await eventually(lambda: not kept.is_open, what="it is closed")
        await kept.touch(made)
        await asyncio.sleep(0.3)
        assert not kept.is_open
        await kept.events("break-glass-opened", "break-glass-ended")


async def test_after_a_restart_nothing_is_told_twice(kept: Kept, client: Client) -> None:
    made = await kept.make()
    async with kept.running():

        async def said() -> bool:
            return bool((await client.get(path_of(made))).get("status", {}).get("conditions"))

        await eventually(said, what="the status says that it is active")
    again = Kept(client)
    async with again.running():
        assert again.is_open
        await asyncio.sleep(0.3)
        assert again.records == []
        await end(client, made)
        await again.events("break-glass-ended")


async def test_one_that_is_over_is_deleted_a_day_later(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guard.breakglass.keeping.ASK_SECONDS", 0.1)
    async with kept.running():
        made = await kept.make(duration="30m")
        await kept.events("break-glass-opened")
        kept.time.ahead = timedelta(minutes=31)
        await kept.events("break-glass-opened", "break-glass-expired")
        kept.time.ahead = KEPT + timedelta(minutes=29)
        await asyncio.sleep(0.5)
        await kept.client.get(path_of(made))
        kept.time.ahead = KEPT + timedelta(minutes=31)

        async def is_gone() -> bool:
            found = await kept.client.get(collection_path(BREAK_GLASS))
            return not children(found, "items")

        await eventually(is_gone, what="it is deleted")
        assert [record.event for record in kept.records] == ["break-glass-opened", "break-glass-expired"]


async def test_one_that_lasts_too_long_opens_nothing(kept: Kept) -> None:
    async with kept.running():
        await kept.make(duration="61m")
        await kept.events("break-glass-rejected")
        assert not kept.is_open


def test_what_is_affected_is_what_git_declares_of_it() -> None:
    space = declared_as(NAMESPACE, object_of(NAMESPACE, name="default"))
    other = declared_as(CONFIG_MAP, object_of(CONFIG_MAP, name="web", namespace="till"), sync="guard-system/more")
    state = DesiredState().with_sync(SYNC, [WEB, space]).with_sync(other.sync, [other])
    nobody = ObjectKey(group="", kind="ConfigMap", namespace="default", name="nobody")
    assert affected(state, [WEB.key, nobody]) == (WEB,)
    assert set(map(str, (one.key for one in affected(state, [WholeNamespace("default")])))) == {str(WEB.key), str(space.key)}
    assert affected(state, [WholeSync(other.sync), WholeSync("gone/gone")]) == (other,)
