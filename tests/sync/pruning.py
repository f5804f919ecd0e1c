"""A Sync's objects on a real API server, and what prunes them, without the loop around it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from guard.api import HeldBack, Sync, parse_sync
from guard.apply import Writer
from guard.audit import Record, References
from guard.base.clock import SystemClock
from guard.base.codec import Json, JsonObject
from guard.base.errors import ApiStatusError
from guard.cluster import Client, Served, discover, object_path
from guard.source import poll
from guard.state import Declared, DesiredState, Kind, View
from guard.state.ids import FIELD_MANAGER, SYNC_LABEL
from guard.sync.claims import Claims
from guard.sync.deletion import Deletion
from guard.sync.plan import Plan
from guard.sync.prune import Pruned, Pruner
from tests.state.samples import REVISION, declared_as, object_of


class Standing:
    """The index of several Syncs, as Runtime keeps it."""

    def __init__(self, client: Client, view: View) -> None:
        self.view = view
        self.claims = Claims()
        self.unloaded: frozenset[str] = frozenset()
        self.known: Served | None = None
        self._client = client

    @property
    def state(self) -> DesiredState:
        return self.view.state

    async def served(self, *, fresh: bool) -> Served:
        if self.known is None or fresh:
            self.known = await discover(self._client)
        return self.known

    async def take(self, sync: str, found: Plan, *, revision: str, also: Iterable[Kind]) -> None:
        raise NotImplementedError

    async def settle(self, sync: str) -> None:
        raise NotImplementedError


def sync_of(name: str, *, namespace: str = "guard-system", annotations: Mapping[str, str] | None = None, **spec: Json) -> Sync:
    source = {"git": {"url": "https://git.example.com/deploy", "ref": {"branch": "main"}}}
    metadata = {"name": name, "namespace": namespace, "annotations": dict(annotations or {})}
    body: JsonObject = {
        "apiVersion": "gitopsguard.dev/v1alpha1",
        "kind": "Sync",
        "metadata": metadata,
        "spec": {"source": source, **spec},
    }
    return parse_sync(body, where="a test")


class Workshop:
    """Of one Sync. What it has applied it declares, until `drops` says otherwise."""

    def __init__(self, client: Client, name: str, *, view: View | None = None, standing: Standing | None = None) -> None:
        self.client = client
        self.sync = sync_of(name)
        self.standing = standing or Standing(client, view or View())
        self.view = self.standing.view
        self.writer = Writer(clients=lambda _sync: client, view=self.view, clock=SystemClock())
        self.kinds: set[Kind] = set()
        self.held = HeldBack()
        self.records: list[Record] = []
        self.pruner = self._pruner()

    def _pruner(self) -> Pruner:
        sync, clock = self.sync, SystemClock()
        return Pruner(sync.key, label=sync.label, index=self.standing, client=self.client, writer=self.writer, clock=clock)

    def object(self, kind: Kind, name: str, *, namespace: str = "", **more: Json) -> Declared:
        body = object_of(kind, name=name, namespace=namespace, label=self.sync.label, **more)
        return declared_as(kind, body, sync=self.sync.key)

    async def apply(self, *objects: Declared) -> None:
        declared = {**self.view.state.of_sync(self.sync.key), **{one.key: one for one in objects}}
        self.view.replace(self.view.state.with_sync(self.sync.key, declared.values(), revision=REVISION))
        for one in objects:
            self.kinds.add(one.kind)
            await self.writer.apply(one)

    def drops(self, *objects: Declared) -> None:
        """Git declares these no more."""
        kept = {key: one for key, one in self.view.state.of_sync(self.sync.key).items() if one not in objects}
        self.view.replace(self.view.state.with_sync(self.sync.key, kept.values(), revision=REVISION))
        self.pruner.dropped(objects)

    def restart(self) -> None:
        """What is known from the status alone is left."""
        self.pruner = self._pruner()

    def spec(self, *, annotations: Mapping[str, str] | None = None, **spec: Json) -> None:
        self.sync = sync_of(self.sync.metadata.name, annotations=annotations, **spec)

    async def prune(self, *, revision: str = REVISION) -> Pruned:
        pruned = await self.pruner.prune(
            self.sync,
            revision=revision,
            declared=self.view.state.of_sync(self.sync.key),
            kinds=self.kinds,
            before=self.held,
        )
        self.held = pruned.held
        self.kinds = {*pruned.kinds, *self.view.state.kinds_of(self.sync.key)}
        return pruned

    def deletion(self) -> Deletion:
        clock = SystemClock()
        return Deletion(
            self.sync,
            kinds=self.kinds,
            index=self.standing,
            client=self.client,
            writer=self.writer,
            clock=clock,
            references=References(clock),
            write=self.records.append,
            wait=lambda wake, seconds: poll(interval=seconds, wake=wake),
        )

    async def get(self, declared: Declared) -> JsonObject | None:
        try:
            return await self.client.get(path_of(declared))
        except ApiStatusError as error:
            if error.code != 404:
                raise
            return None

    async def there(self, *objects: Declared) -> list[str]:
        """The names of those that are there, and not on their way out."""
        found = await asyncio.gather(*map(self.get, objects))
        return [body["metadata"]["name"] for body in found if body is not None and "deletionTimestamp" not in body["metadata"]]

    async def hold(self, declared: Declared) -> None:
        """Somebody's finalizer, as a controller would put it there."""
        await self.client.merge_patch(path_of(declared), {"metadata": {"finalizers": ["example.com/hold"]}}, manager="operator")

    async def let_go(self, declared: Declared) -> None:
        await self.client.merge_patch(path_of(declared), {"metadata": {"finalizers": []}}, manager="operator")

    async def relabel(self, declared: Declared, label: str) -> None:
        """As another Sync's apply does."""
        body: JsonObject = {**declared.body, "metadata": {**declared.body["metadata"], "labels": {SYNC_LABEL: label}}}
        await self.client.apply(path_of(declared), body, manager=FIELD_MANAGER, force=True)


def path_of(declared: Declared) -> str:
    return object_path(declared.kind, namespace=declared.key.namespace, name=declared.key.name)
