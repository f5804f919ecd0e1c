"""What happens to objects while nobody has seen them yet, on a real API server without controllers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping

import pytest

from guard.apply import Writer
from guard.audit import Record, References
from guard.base.clock import SystemClock
from guard.base.codec import JsonObject
from guard.base.errors import ApiStatusError
from guard.cluster import Client, connect, object_path
from guard.cluster.client import LIST_PAGE, Page
from guard.heal import Repairer, Report, Watching
from guard.state import Declared, View
from guard.state.metadata import Metadata
from guard.state.policy import Enforcement
from guard.state.vouched import Vouched
from tests.state.samples import CONFIG_MAP, declared_as, object_of, view_of
from tools.controlplane import ControlPlane
from tools.guardrun import eventually


class SlowClient(Client):
    """One whose lists begin, and whose applies are answered, when a test lets them."""

    lists: asyncio.Event
    stored: asyncio.Event
    answers: asyncio.Event

    async def metadata_pages(
        self, path: str, *, params: Mapping[str, str], limit: int = LIST_PAGE
    ) -> AsyncGenerator[Page[Metadata]]:
        await self.lists.wait()
        async for page in super().metadata_pages(path, params=params, limit=limit):
            yield page

    async def apply(self, path: str, body: JsonObject, *, manager: str, force: bool, dry_run: bool = False) -> JsonObject:
        answer = await super().apply(path, body, manager=manager, force=force, dry_run=dry_run)
        self.stored.set()
        await self.answers.wait()
        return answer


class Healing:
    """The parts of healing, put together as the runtime does."""

    def __init__(self, client: SlowClient, *, view: View, declared: Declared) -> None:
        clock = SystemClock()
        self.client = client
        self.declared = declared
        self.path = object_path(declared.kind, namespace=declared.key.namespace, name=declared.key.name)
        self.records: list[Record] = []
        self.writer = Writer(lambda _sync: client, view=view, clock=clock)
        report = Report(
            view=view,
            clock=clock,
            references=References(clock),
            write=self.records.append,
            healed=lambda _cause, _result, _seconds: None,
            news=lambda _sync: None,
        )
        self.repairer = Repairer(
            view=view, writer=self.writer, enforcement=lambda _sync: Enforcement(), clock=clock, report=report
        )
        self.watching = Watching(
            client,
            view=view,
            writer=self.writer,
            repairer=self.repairer,
            clock=clock,
            vouched=Vouched(),
            ended=lambda _sync: None,
        )

    async def uid(self) -> str:
        """Of the object as it stands; empty where there is none."""
        try:
            return str((await self.client.get(self.path))["metadata"]["uid"])
        except ApiStatusError as error:
            if error.code != 404:
                raise
            return ""

    async def is_there(self) -> bool:
        return bool(await self.uid())

    async def is_deleted(self) -> None:
        await self.client.delete(self.path, uid=await self.uid())
        assert not await self.is_there()


@pytest.fixture
async def healing(control_plane: ControlPlane, namespace: str) -> AsyncIterator[Healing]:
    client = SlowClient(await connect(kubeconfig=control_plane.kubeconfig("admin")))
    client.lists, client.stored, client.answers = asyncio.Event(), asyncio.Event(), asyncio.Event()
    declared = declared_as(CONFIG_MAP, object_of(CONFIG_MAP, namespace=namespace, data={"color": "blue"}))
    found = Healing(client, view=view_of(declared), declared=declared)
    yield found
    await found.watching.close()
    await client.close()


@pytest.mark.case(33)
async def test_what_was_applied_and_deleted_before_a_list_is_made_again(healing: Healing) -> None:
    healing.client.answers.set()
    await healing.watching.follow({CONFIG_MAP}, seconds=0.1)
    await healing.writer.apply(healing.declared)
    await healing.is_deleted()
    healing.client.lists.set()
    await eventually(healing.is_there, what="the config map is back")


@pytest.mark.case(33)
async def test_what_is_deleted_before_its_first_apply_is_answered_is_made_again(healing: Healing) -> None:
    healing.client.lists.set()
    await healing.watching.follow({CONFIG_MAP}, seconds=10.0)
    applying = asyncio.create_task(healing.writer.apply(healing.declared))
    await healing.client.stored.wait()
    await eventually(lambda: healing.writer.last_seen(healing.declared.key), what="the watch has seen it come")
    await healing.is_deleted()
    await eventually(lambda: not healing.writer.last_seen(healing.declared.key), what="the watch has seen it go")
    healing.client.answers.set()
    await applying
    await eventually(healing.is_there, what="the config map is back")
