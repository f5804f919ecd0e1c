"""The parts of healing, for tests on a real API server without controllers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping

from guard.apply import Writer
from guard.audit import Record, References
from guard.base import codec
from guard.base.clock import SystemClock
from guard.base.codec import JsonObject
from guard.base.errors import ApiStatusError
from guard.cluster import Client, object_path
from guard.cluster.client import LIST_PAGE, Page
from guard.heal import Drift, Repairer, Report, Watching
from guard.state import Declared, View
from guard.state.metadata import Metadata, PartialObject
from guard.state.policy import Enforcement
from guard.state.vouched import Vouched


class SlowClient(Client):
    """One whose lists begin, and whose applies are answered or refused, when a test lets them."""

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
        try:
            return await super().apply(path, body, manager=manager, force=force, dry_run=dry_run)
        finally:
            self.stored.set()
            await self.answers.wait()


class Healing:
    """The parts of healing, put together as the runtime does."""

    def __init__(self, client: SlowClient, *, view: View, declared: Declared) -> None:
        self.clock = clock = SystemClock()
        self.client = client
        self.declared = declared
        self.path = object_path(declared.kind, namespace=declared.key.namespace, name=declared.key.name)
        self.view = view
        self.enforcement = Enforcement()
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
            view=view, writer=self.writer, enforcement=lambda _sync: self.enforcement, clock=clock, report=report
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

    async def drift_by(self, change: JsonObject) -> Drift:
        """What the watch shows of an edit by a person."""
        edited = await self.client.merge_patch(self.path, change, manager="kubectl-edit")
        metadata = codec.decode_as(codec.encode(edited), PartialObject).metadata
        return Drift(metadata=metadata, at=self.clock.monotonic())

    def is_repairing(self) -> bool:
        return any(task.get_name() == f"heal {self.declared.key}" for task in asyncio.all_tasks())
