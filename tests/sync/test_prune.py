"""Pruning on a real API server; nothing there finishes what has a finalizer but the tests."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import pytest

from guard.base.codec import JsonObject
from guard.base.errors import ApiStatusError
from guard.cluster import Client, discover
from guard.state import Declared, Kind
from guard.state.ids import DEFINITION, SYNC_LABEL
from guard.state.managed import our_entry
from guard.sync.doubt import CONFIRM, NOTHING_HELD
from tests.e2e.conftest import widget_definition
from tests.state.samples import CONFIG_MAP, NAMESPACE, SECRET
from tests.sync.pruning import Workshop, path_of
from tools.guardrun import eventually

DISABLED: JsonObject = {"annotations": {"gitopsguard.dev/prune": "Disabled"}}


def in_wave(wave: int) -> JsonObject:
    return {"annotations": {"gitopsguard.dev/wave": str(wave)}}


@pytest.fixture
async def workshop(client: Client) -> Workshop:
    """Of a Sync that goes on declaring one config map."""
    found = Workshop(client, f"apps-{secrets.token_hex(4)}")
    await found.apply(found.object(CONFIG_MAP, found.sync.metadata.name, namespace="default"))
    return found


async def test_what_is_dropped_goes_and_what_stays_declared_stays(workshop: Workshop, namespace: str) -> None:
    kept, gone = (workshop.object(CONFIG_MAP, name, namespace=namespace) for name in ("kept", "gone"))
    await workshop.apply(kept, gone)
    assert (await workshop.prune()).deleted == 0
    workshop.drops(gone)
    pruned = await workshop.prune()
    assert (pruned.deleted, pruned.faults, pruned.notes, pruned.is_done) == (1, (), (), True)
    assert await workshop.there(kept, gone) == ["kept"]


async def test_what_a_killed_guard_left_is_found_by_its_kind(workshop: Workshop, namespace: str) -> None:
    gone = workshop.object(SECRET, "gone", namespace=namespace)
    await workshop.apply(gone)
    workshop.drops(gone)
    workshop.restart()
    assert (await workshop.prune()).deleted == 1
    assert SECRET not in workshop.kinds


async def test_later_waves_go_first_and_the_rest_waits_for_them(workshop: Workshop, namespace: str) -> None:
    last = workshop.object(CONFIG_MAP, "last", namespace=namespace, metadata=in_wave(5))
    first = workshop.object(CONFIG_MAP, "first", namespace=namespace, metadata=in_wave(-1))
    await workshop.apply(last, first)
    await workshop.hold(last)
    workshop.drops(last, first)
    pruned = await workshop.prune()
    assert await workshop.there(last, first) == ["first"]
    assert not pruned.is_done
    assert not pruned.faults
    assert any("last is being deleted" in note and "example.com/hold" in note for note in pruned.notes), pruned.notes
    again = await workshop.prune()
    assert again.deleted == 0
    assert any(" since 20" in note for note in again.notes), again.notes
    await workshop.let_go(last)
    done = await workshop.prune()
    assert (done.deleted, done.notes, done.is_done) == (1, (), True)
    assert await workshop.there(first) == []


async def test_nothing_waits_past_the_timeout_but_what_others_live_in(workshop: Workshop, namespace: str) -> None:
    home = workshop.object(NAMESPACE, namespace)
    stuck = workshop.object(CONFIG_MAP, "stuck", namespace=namespace, metadata=in_wave(5))
    first = workshop.object(CONFIG_MAP, "first", namespace=namespace)
    other = workshop.object(NAMESPACE, f"{namespace}-other")
    await workshop.apply(home, other, stuck, first)
    await workshop.hold(stuck)
    workshop.drops(home, stuck, first)
    workshop.spec(timeout="1s")
    await workshop.prune()
    pruned = await workshop.prune()
    assert await workshop.there(stuck, first, home) == [namespace]
    assert not pruned.is_done
    await workshop.let_go(stuck)
    await workshop.prune()
    assert await workshop.there(home) == []


@pytest.mark.case(29)
async def test_what_is_not_to_be_pruned_is_left_to_people(workshop: Workshop, namespace: str) -> None:
    left = workshop.object(CONFIG_MAP, "left", namespace=namespace, metadata=DISABLED, data={"color": "blue"})
    await workshop.apply(left)
    workshop.drops(left)
    pruned = await workshop.prune()
    assert (pruned.deleted, pruned.released, pruned.is_done) == (0, 1, True)
    body = await workshop.get(left)
    assert body is not None
    assert SYNC_LABEL not in body["metadata"].get("labels", {})
    assert our_entry(body) is None
    assert body["data"] == {"color": "blue"}
    theirs: JsonObject = {**left.body, "metadata": {"name": "left", "namespace": namespace}, "data": {"color": "red"}}
    taken = await workshop.client.apply(path_of(left), theirs, manager="kubectl", force=False)
    assert taken["data"] == {"color": "red"}


async def test_people_s_entries_survive_that_guard_gives_an_object_up(workshop: Workshop, namespace: str) -> None:
    left = workshop.object(CONFIG_MAP, "left", namespace=namespace, metadata=DISABLED, data={"color": "blue"})
    await workshop.apply(left)
    await workshop.client.merge_patch(path_of(left), {"data": {"size": "xl"}}, manager="operator")
    workshop.drops(left)
    await workshop.prune()
    body = await workshop.get(left)
    assert body is not None
    assert [entry["manager"] for entry in body["metadata"]["managedFields"]] == ["operator"]


async def test_what_it_stands_in_is_left_as_well(workshop: Workshop, namespace: str) -> None:
    home, other = workshop.object(NAMESPACE, namespace), workshop.object(NAMESPACE, f"{namespace}-other")
    left = workshop.object(CONFIG_MAP, "left", namespace=namespace, metadata=DISABLED)
    gone = workshop.object(CONFIG_MAP, "gone", namespace=namespace)
    await workshop.apply(home, other, left, gone)
    workshop.drops(home, left, gone)
    pruned = await workshop.prune()
    assert (pruned.deleted, pruned.released, pruned.is_done) == (1, 2, True)
    assert await workshop.there(home, left) == [namespace, "left"]


@pytest.mark.case(9)
async def test_copies_of_the_label_are_never_pruned(workshop: Workshop, namespace: str) -> None:
    ours = workshop.object(CONFIG_MAP, "ours", namespace=namespace)
    await workshop.apply(ours)
    copy = workshop.object(CONFIG_MAP, "copy", namespace=namespace)
    await workshop.client.post(path_of(copy).rpartition("/")[0], copy.body, manager="endpoints-controller")
    child = workshop.object(CONFIG_MAP, "child", namespace=namespace)
    await workshop.apply(child)
    owner: JsonObject = {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "y", "controller": True}
    await workshop.client.merge_patch(path_of(child), {"metadata": {"ownerReferences": [owner]}}, manager="operator")
    workshop.drops(ours, child)
    workshop.restart()
    assert (await workshop.prune()).deleted == 1
    assert await workshop.there(copy, child) == ["copy", "child"]


async def test_what_another_sync_has_taken_is_not_pruned(client: Client, workshop: Workshop, namespace: str) -> None:
    moved = workshop.object(CONFIG_MAP, "moved", namespace=namespace, data={"color": "blue"})
    await workshop.apply(moved)
    uid = (await workshop.get(moved) or {})["metadata"]["uid"]
    workshop.drops(moved)
    other = Workshop(client, f"{workshop.sync.metadata.name}-b", standing=workshop.standing)
    await other.apply(other.object(CONFIG_MAP, "moved", namespace=namespace, data={"color": "blue"}))
    assert (await workshop.prune()).deleted == 0
    assert (await workshop.get(moved) or {})["metadata"]["uid"] == uid


async def test_what_another_sync_waits_for_falls_to_it(client: Client, workshop: Workshop, namespace: str) -> None:
    moved = workshop.object(CONFIG_MAP, "moved", namespace=namespace)
    await workshop.apply(moved)
    other = Workshop(client, f"{workshop.sync.metadata.name}-b", standing=workshop.standing)
    workshop.standing.claims.claim(other.sync.key, [moved.key])
    workshop.drops(moved)
    pruned = await workshop.prune()
    assert (pruned.deleted, pruned.is_done) == (0, False)
    assert f"left to {other.sync.key}" in pruned.notes[0]
    await other.apply(other.object(CONFIG_MAP, "moved", namespace=namespace))
    workshop.standing.claims.claim(other.sync.key, [])
    assert (await workshop.prune()).is_done
    assert await workshop.there(moved) == ["moved"]


async def test_nothing_is_pruned_while_it_is_unknown_what_others_declare(workshop: Workshop, namespace: str) -> None:
    gone = workshop.object(CONFIG_MAP, "gone", namespace=namespace)
    await workshop.apply(gone)
    workshop.drops(gone)
    workshop.standing.unloaded = frozenset({"guard-system/other"})
    pruned = await workshop.prune()
    assert (pruned.deleted, pruned.is_done) == (0, False)
    assert "guard-system/other" in pruned.notes[0]
    workshop.standing.unloaded = frozenset()
    assert (await workshop.prune()).deleted == 1


async def test_a_namespace_in_which_others_declare_is_not_pruned(client: Client, workshop: Workshop, namespace: str) -> None:
    home, kept = workshop.object(NAMESPACE, namespace), workshop.object(NAMESPACE, f"{namespace}-kept")
    await workshop.apply(home, kept)
    other = Workshop(client, f"{workshop.sync.metadata.name}-b", standing=workshop.standing)
    await other.apply(other.object(CONFIG_MAP, "theirs", namespace=namespace))
    workshop.drops(home)
    pruned = await workshop.prune()
    assert pruned.faults == (f"Namespace {namespace} is not pruned: Git declares 1 object in it",)
    assert await workshop.there(home) == [namespace]


async def test_with_pruning_off_nothing_goes_and_nothing_is_forgotten(workshop: Workshop, namespace: str) -> None:
    gone, kept = workshop.object(SECRET, "gone", namespace=namespace), workshop.object(CONFIG_MAP, "k", namespace=namespace)
    await workshop.apply(gone, kept)
    await workshop.prune()
    workshop.spec(prune=False)
    workshop.drops(gone)
    assert (await workshop.prune()).deleted == 0
    workshop.restart()
    await workshop.prune()
    assert SECRET in workshop.kinds
    workshop.spec(prune=True)
    assert (await workshop.prune()).deleted == 1


@pytest.mark.case(26)
async def test_a_large_prune_waits_until_it_is_confirmed(workshop: Workshop, namespace: str) -> None:
    many = [workshop.object(CONFIG_MAP, f"m{number}", namespace=namespace) for number in range(12)]
    await workshop.apply(*many)
    workshop.drops(*many[1:])
    first = await workshop.prune(revision="main@sha1:aaa")
    assert "11 of 13 objects would go" in first.faults[0]
    assert f"{CONFIRM}=main@sha1:aaa" in first.faults[0]
    # Neither a restart nor a later commit, which declares more, forgets it.
    workshop.restart()
    more = [workshop.object(CONFIG_MAP, f"n{number}", namespace=namespace) for number in range(20)]
    await workshop.apply(*more)
    later = await workshop.prune(revision="main@sha1:bbb")
    assert later.deleted == 0
    assert f"{CONFIRM}=main@sha1:aaa" in later.faults[0]
    # What else is dropped makes it another prune, which the old confirmation does not meet.
    workshop.drops(more[0])
    workshop.spec(annotations={CONFIRM: "main@sha1:aaa"})
    other = await workshop.prune(revision="main@sha1:ccc")
    assert f"{CONFIRM}=main@sha1:ccc" in other.faults[0]
    workshop.spec(annotations={CONFIRM: "main@sha1:ccc"})
    confirmed = await workshop.prune(revision="main@sha1:ddd")
    assert (confirmed.deleted, confirmed.faults, confirmed.held.revision) == (12, (), "")
    assert len(await workshop.there(*many)) == 1


@pytest.mark.case(26)
async def test_what_was_confirmed_stays_so_until_all_of_it_is_gone(workshop: Workshop, namespace: str) -> None:
    first = workshop.object(CONFIG_MAP, "first", namespace=namespace, metadata=in_wave(1))
    rest = [workshop.object(CONFIG_MAP, f"cm-{number}", namespace=namespace) for number in range(12)]
    await workshop.apply(first, *rest)
    await workshop.hold(first)
    workshop.drops(first, *rest)
    assert (await workshop.prune(revision="main@sha1:a")).held.objects == 13
    workshop.spec(annotations={CONFIRM: "main@sha1:a"})
    # A later commit changes nothing about that.
    assert (await workshop.prune(revision="main@sha1:b")).held == NOTHING_HELD
    assert len(await workshop.there(*rest)) == 12
    await workshop.let_go(first)
    assert (await workshop.prune(revision="main@sha1:b")).deleted == 12


async def test_the_share_is_the_sync_s_to_set(workshop: Workshop, namespace: str) -> None:
    many = [workshop.object(CONFIG_MAP, f"m{number}", namespace=namespace) for number in range(20)]
    await workshop.apply(*many)
    workshop.drops(*many[9:])
    workshop.spec(pruneLimit=52)
    assert "11 of 21" in (await workshop.prune()).faults[0]
    workshop.spec(pruneLimit=53)
    workshop.held = type(workshop.held)()
    assert (await workshop.prune()).deleted == 11


async def test_one_object_that_cannot_be_deleted_stops_no_other(workshop: Workshop, namespace: str) -> None:
    gone = [workshop.object(CONFIG_MAP, name, namespace=namespace) for name in ("a", "b")]
    await workshop.apply(*gone)
    await workshop.hold(gone[0])
    workshop.drops(*gone)
    await workshop.prune()
    assert await workshop.there(*gone) == []
    assert await workshop.get(gone[1]) is None


async def test_what_an_earlier_sync_of_the_name_left_is_given_up(workshop: Workshop, namespace: str) -> None:
    stale, kept = (workshop.object(CONFIG_MAP, name, namespace=namespace) for name in ("stale", "kept"))
    await workshop.apply(stale, kept)
    workshop.drops(stale)
    workshop.restart()
    assert (await workshop.pruner.release_strangers([CONFIG_MAP])).released == 1
    assert (await workshop.prune()).deleted == 0
    body = await workshop.get(stale)
    assert body is not None
    assert SYNC_LABEL not in body["metadata"].get("labels", {})


@pytest.fixture
async def widgets(client: Client) -> AsyncIterator[str]:
    """The group of a Widget in two versions, whose definition is deleted at the end."""
    group = f"w{secrets.token_hex(4)}.example.com"
    body = widget_definition(group)
    await client.apply(definition_path(group), body, manager="tests", force=True)
    for version in ("v1", "v2"):
        await eventually(lambda version=version: is_served(client, group, version), what="the Widget is served")
    yield group
    if (await client.get(DEFINITIONS, params={"fieldSelector": f"metadata.name=widgets.{group}"}))["items"]:
        uid = (await client.get(definition_path(group)))["metadata"]["uid"]
        await client.delete(definition_path(group), uid=uid)


DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def definition_path(group: str) -> str:
    return f"{DEFINITIONS}/widgets.{group}"


async def is_served(client: Client, group: str, version: str) -> bool:
    try:
        await client.get(f"/apis/{group}/{version}/widgets")
    except ApiStatusError:
        return False
    return (await discover(client)).find(f"{group}/{version}", "Widget") is not None


def widget_kind(group: str, version: str = "v1") -> Kind:
    return Kind(group=group, version=version, kind="Widget", resource="widgets", namespaced=True)


async def test_what_is_served_in_another_version_by_now_is_pruned(
    workshop: Workshop, client: Client, widgets: str, namespace: str
) -> None:
    gone = workshop.object(widget_kind(widgets), "gone", namespace=namespace, spec={"size": 1})
    await workshop.apply(gone)
    await workshop.prune()
    body = widget_definition(widgets)
    body["spec"]["versions"][0] |= {"served": False}
    await client.apply(definition_path(widgets), body, manager="tests", force=True)

    async def is_unserved() -> bool:
        return not await is_served(client, widgets, "v1")

    await eventually(is_unserved, what="the version is served no more")
    workshop.drops(gone)

    async def is_pruned() -> bool:
        # What discovery said before names a version that answers with 404.
        return (await workshop.prune()).deleted == 1

    await eventually(is_pruned, what="the object is pruned", every=0.5)
    assert not (await client.get(f"/apis/{widgets}/v2/namespaces/{namespace}/widgets"))["items"]


async def test_kinds_that_went_with_their_definition_are_forgotten(workshop: Workshop, client: Client, widgets: str) -> None:
    workshop.kinds.add(widget_kind(widgets))
    uid = (await client.get(definition_path(widgets)))["metadata"]["uid"]
    await client.delete(definition_path(widgets), uid=uid)

    async def is_unserved() -> bool:
        return not await is_served(client, widgets, "v1")

    await eventually(is_unserved, what="the kind is served no more")
    pruned = await workshop.prune()
    assert (pruned.faults, pruned.is_done) == ((), True)
    assert widget_kind(widgets) not in workshop.kinds


async def test_a_definition_goes_after_its_instances(workshop: Workshop, widgets: str, namespace: str) -> None:
    body = workshop.object(DEFINITION, f"widgets.{widgets}", spec=widget_definition(widgets)["spec"])
    one = workshop.object(widget_kind(widgets), "one", namespace=namespace, spec={"size": 1})
    await workshop.apply(body, one)
    await workshop.hold(one)
    workshop.drops(body, one)
    pruned = await workshop.prune()
    assert not pruned.is_done
    assert await workshop.there(body) == [f"widgets.{widgets}"]
    await workshop.let_go(one)
    assert (await workshop.prune()).deleted == 1
    await eventually(lambda: is_gone(workshop, body), what="the definition is gone")


async def is_gone(workshop: Workshop, declared: Declared) -> bool:
    return await workshop.get(declared) is None
