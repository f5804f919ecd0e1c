"""A watch whose connection, API server and etcd are taken away in every way: no change is lost."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from guard.base.codec import JsonObject
from guard.base.errors import ApiStatusError
from guard.cluster import Client, Event, collection_path, watch, watch_metadata
from guard.cluster.watch import Pace
from guard.state.ids import Kind
from guard.state.metadata import Metadata
from tests.cluster.proxies import Proxy
from tests.state.samples import CONFIG_MAP
from tools.controlplane import ControlPlane

PATIENCE = 60.0  # for a loaded machine
QUICK = Pace(first=0.05, most=0.5, silence=30.0, page=2)
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


class Watched:
    """What one watch of config maps with a label of its own has shown: the events in their order, and what is there by them."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane
        self.label = f"l{secrets.token_hex(4)}"
        self.events: list[tuple[str, str]] = []
        self.values: dict[str, str] = {}
        self.lists = 0
        self.failures: list[str] = []
        self._listed: dict[str, str] = {}
        self._changed = asyncio.Condition()

    async def follow(self, events: AsyncGenerator[Event[Metadata]]) -> None:
        async with aclosing(events):
            async for event in events:
                self._take(event)
                async with self._changed:
                    self._changed.notify_all()

    def _take(self, event: Event[Metadata]) -> None:
        if event.type == "FAILED":
            self.failures.append(event.error)
        elif event.type == "LISTED":
            if event.starts:
                self._listed = {}
            self._listed |= {found.name: found.resource_version for found in event.objects}
            if event.ends:
                self.values, self.lists = self._listed, self.lists + 1
        elif event.type == "DELETED":
            self.events.append((event.type, event.object.name))
            self.values.pop(event.object.name, None)
        else:
            self.events.append((event.type, event.object.name))
            self.values[event.object.name] = event.object.resource_version

    async def until(self, condition: object) -> None:
        """`condition` is a callable without arguments."""
        assert callable(condition)
        async with asyncio.timeout(PATIENCE), self._changed:
            await self._changed.wait_for(lambda: bool(condition()))

    async def caught_up(self) -> None:
        """Wait until the watch shows what there is."""
        there = await self.there()
        await self.until(lambda: self.values == there)

    async def there(self) -> dict[str, str]:
        path = f"/api/v1/namespaces/default/configmaps?labelSelector=of={self.label}"
        found = (await self.plane.call("GET", path))["items"]
        return {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in found}

    async def put(self, name: str, value: str = "1") -> None:
        path = "/api/v1/namespaces/default/configmaps"
        body: JsonObject = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"{self.label}-{name}", "labels": {"of": self.label}},
            "data": {"v": value},
        }
        if f"{self.label}-{name}" in await self.there():
            await self.plane.call("PUT", f"{path}/{self.label}-{name}", body=body)
        else:
            await self.plane.call("POST", path, body=body)

    async def delete(self, name: str) -> None:
        await self.plane.call("DELETE", f"/api/v1/namespaces/default/configmaps/{self.label}-{name}")


@asynccontextmanager
async def watching(plane: ControlPlane, client: Client, *, pace: Pace = QUICK) -> AsyncGenerator[Watched]:
    watched = Watched(plane)
    for name in "abc":
        await watched.put(name)
    events = watch_metadata(client, collection_path(CONFIG_MAP), labels=f"of={watched.label}", pace=pace)
    task = asyncio.create_task(watched.follow(events))
    try:
        await watched.until(lambda: watched.lists)
        await watched.caught_up()
        yield watched
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def change_all(watched: Watched) -> None:
    await watched.put("a", "2")
    await watched.delete("b")
    await watched.put("d")


@pytest.mark.case(33)
async def test_a_connection_that_is_reset_is_made_again_and_goes_on_where_it_was(
    mortal: ControlPlane, proxy: Proxy, proxied: Client
) -> None:
    async with watching(mortal, proxied) as watched:
        proxy.refuse()
        await change_all(watched)
        proxy.accept()
        await watched.caught_up()
        assert watched.failures
        # From the version that it had seen, without a list: each change once, in order.
        assert watched.lists == 1
        label = watched.label
        assert watched.events == [("MODIFIED", f"{label}-a"), ("DELETED", f"{label}-b"), ("ADDED", f"{label}-d")]


@pytest.mark.case(33)
async def test_a_stream_that_says_nothing_any_more_is_left_for_another(
    mortal: ControlPlane, proxy: Proxy, proxied: Client
) -> None:
    async with watching(mortal, proxied, pace=Pace(first=0.05, most=0.5, silence=2.0, page=2)) as watched:
        proxy.silence()
        await change_all(watched)
        await watched.caught_up()
        assert watched.lists == 1


@pytest.mark.case(33)
async def test_a_black_hole_is_left_as_soon_as_there_is_a_way_around_it(
    mortal: ControlPlane, proxy: Proxy, proxied: Client
) -> None:
    """What is sent arrives nowhere, and new connections stay silent as well: only time tells."""
    async with watching(mortal, proxied, pace=Pace(first=0.05, most=0.5, silence=1.0, page=2)) as watched:
        proxy.hold()
        await change_all(watched)
        await watched.until(lambda: len(watched.failures) > 1)
        proxy.release()
        await watched.caught_up()


@pytest.mark.case(33)
@pytest.mark.parametrize("how", ["stopped", "killed"])
async def test_changes_while_the_api_server_forgets_what_was_are_found_by_a_list(
    mortal: ControlPlane, proxy: Proxy, proxied: Client, how: str
) -> None:
    """The watch is cut, etcd compacted and the API server restarted: the version that was seen is gone (410)."""
    async with watching(mortal, proxied) as watched:
        proxy.refuse()
        await change_all(watched)
        await mortal.compact()
        await (mortal.stop_apiserver() if how == "stopped" else mortal.kill_apiserver())
        await mortal.start_apiserver()
        proxy.accept()
        await watched.until(lambda: watched.lists > 1)
        await watched.caught_up()


@pytest.mark.case(33)
async def test_an_etcd_that_is_killed_is_waited_for(mortal: ControlPlane, proxied: Client) -> None:
    async with watching(mortal, proxied) as watched:
        await mortal.kill_etcd()
        await asyncio.sleep(1)
        await mortal.start_etcd()
        await change_all(watched)
        await watched.caught_up()


@pytest.mark.case(33)
async def test_a_list_whose_rest_was_compacted_away_begins_anew(mortal: ControlPlane, proxied: Client) -> None:
    label = f"l{secrets.token_hex(4)}"
    watched = Watched(mortal)
    watched.label = label
    for name in "abcde":
        await watched.put(name)
    pages = proxied.metadata_pages(collection_path(CONFIG_MAP), params={"labelSelector": f"of={label}"}, limit=2)
    async with aclosing(pages):
        first = await anext(pages)
        assert (first.starts, first.ends, len(first.objects)) == (True, False, 2)
        await watched.delete("a")
        await mortal.compact()
        # It would go on from a snapshot in its memory.
        await mortal.kill_apiserver()
        await mortal.start_apiserver()
        rest = [page async for page in pages]
    assert [page.starts for page in rest] == [True] + [False] * (len(rest) - 1)
    assert [found.name for page in rest for found in page.objects] == [f"{label}-{name}" for name in "bcde"]


async def test_a_server_that_hangs_up_at_once_is_not_stormed(mortal: ControlPlane, proxy: Proxy, proxied: Client) -> None:
    async with watching(mortal, proxied, pace=Pace(first=0.2, most=5.0, page=2)) as watched:
        before = len(proxy.accepted)
        proxy.refuse()
        await asyncio.sleep(3)
        # 0.2, 0.4, 0.8, 1.6, each cut by a third at most: at least 2 s for the first four.
        assert len(proxy.accepted) - before <= 6
        proxy.accept()
        await change_all(watched)
        await watched.caught_up()


async def test_many_watches_come_back_one_by_one(mortal: ControlPlane, proxy: Proxy, proxied: Client) -> None:
    some = [Watched(mortal) for _ in range(20)]
    tasks = [
        asyncio.create_task(
            watched.follow(watch_metadata(proxied, collection_path(CONFIG_MAP), labels=f"of={watched.label}", pace=QUICK))
        )
        for watched in some
    ]
    try:
        for watched in some:
            await watched.until(lambda watched=watched: watched.lists)
        before = len(proxy.accepted)
        proxy.cut()
        for watched in some:
            await watched.put("a")
        for watched in some:
            await watched.caught_up()
        again = proxy.accepted[before:]
        # One connection each, as far as the jitter of their pauses goes.
        assert len(again) <= 2 * len(some)
        assert len(set(again)) == len(again)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _definition(group: str, *, conversion: JsonObject | None = None) -> JsonObject:
    versions: list[JsonObject] = [
        {
            "name": name,
            "served": True,
            "storage": name == "v1",
            "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
        }
        for name in ("v1", "v2")
    ]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"things.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"},
            "versions": versions,
            **({"conversion": conversion} if conversion else {}),
        },
    }


class Things:
    """A kind of its own, that comes, goes, and fails to be converted."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane
        self.group = f"g{secrets.token_hex(4)}.example.com"
        self.kind = Kind(group=self.group, version="v2", kind="Thing", resource="things", namespaced=True)

    async def define(self, *, conversion: JsonObject | None = None) -> None:
        await self.plane.call("POST", DEFINITIONS, body=_definition(self.group, conversion=conversion))

    async def undefine(self) -> None:
        await self.plane.call("DELETE", f"{DEFINITIONS}/things.{self.group}")

    async def put(self, name: str) -> None:
        body = {
            "apiVersion": f"{self.group}/v1",
            "kind": "Thing",
            "metadata": {"name": name, "namespace": "default", "labels": {"of": "things"}},
        }
        path = f"/apis/{self.group}/v1/namespaces/default/things"
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    await self.plane.call("POST", path, body=body)
                except ApiStatusError:  # a kind is served some time after its definition
                    await asyncio.sleep(0.1)
                else:
                    return


@pytest.fixture
async def things(mortal: ControlPlane) -> AsyncIterator[Things]:
    found = Things(mortal)
    yield found
    with contextlib.suppress(ApiStatusError):
        await found.undefine()


@pytest.mark.case(33)
async def test_a_kind_that_goes_and_comes_back_is_watched_again(mortal: ControlPlane, proxied: Client, things: Things) -> None:
    watched = Watched(mortal)
    await things.define()
    await things.put("one")
    events = watch_metadata(proxied, collection_path(things.kind), labels="of=things", pace=QUICK)
    task = asyncio.create_task(watched.follow(events))
    try:
        await watched.until(lambda: "one" in watched.values)
        await things.undefine()
        await watched.until(lambda: not watched.values)
        await watched.until(lambda: any("404 page not found" in failure for failure in watched.failures))
        await things.define()
        await things.put("two")
        await watched.until(lambda: set(watched.values) == {"two"})
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.case(33)
async def test_a_kind_whose_conversion_fails_is_watched_when_that_is_over(
    mortal: ControlPlane, proxied: Client, things: Things
) -> None:
    watched = Watched(mortal)
    nobody = {"clientConfig": {"url": "https://127.0.0.1:1/convert"}, "conversionReviewVersions": ["v1"]}
    await things.define(conversion={"strategy": "Webhook", "webhook": nobody})
    await things.put("one")
    events = watch_metadata(proxied, collection_path(things.kind), labels="of=things", pace=QUICK)
    task = asyncio.create_task(watched.follow(events))
    try:
        await watched.until(lambda: len([failure for failure in watched.failures if "conversion webhook" in failure]) > 2)
        patch = '{"spec":{"conversion":{"strategy":"None","webhook":null}}}'
        await mortal.kubectl("patch", "crd", f"things.{things.group}", "--type=merge", "-p", patch, identity="admin")
        await watched.until(lambda: set(watched.values) == {"one"})
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_whole_objects_are_watched_alike(mortal: ControlPlane, proxy: Proxy, proxied: Client) -> None:
    watched = Watched(mortal)
    await watched.put("a")
    events = watch(proxied, collection_path(CONFIG_MAP), labels=f"of={watched.label}", pace=QUICK)
    async with aclosing(events), asyncio.timeout(PATIENCE):
        assert [found["data"]["v"] for found in (await anext(events)).objects] == ["1"]
        proxy.cut()
        await watched.put("a", "2")
        while (event := await anext(events)).type != "MODIFIED":
            assert event.type == "FAILED"
        assert event.object["data"]["v"] == "2"
