"""What happens to objects while nobody has seen them yet, on a real API server without controllers."""

from __future__ import annotations

import asyncio

import pytest

from guard.apply import Writer
from guard.base import codec
from guard.base.codec import JsonObject, child
from guard.heal.watching import DOUBT_SECONDS, DOUBTS_AT_ONCE
from guard.state.ids import SYNC_LABEL
from guard.state.policy import Enforcement
from tests.heal.healing import Healing
from tests.state.samples import CONFIG_MAP, SYNC
from tools.guardrun import eventually


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


async def test_a_look_that_had_to_wait_tells_nothing_of_what_was_seen_since(healing: Healing) -> None:
    healing.enforcement = Enforcement(heal=False)
    healing.client.lists.set()
    healing.client.answers.set()
    await healing.watching.follow({CONFIG_MAP})
    await healing.writer.apply(healing.declared)
    # So many writes beside what Git declares that the last of them are looked at together, later.
    for number in range(DOUBTS_AT_ONCE + 2):
        change: JsonObject = {"metadata": {"annotations": {"example.com/seen": str(number)}}}
        await healing.client.merge_patch(healing.path, change, manager="operator")
    await healing.client.merge_patch(healing.path, {"data": {"color": "red"}}, manager="kubectl-edit")
    await eventually(lambda: healing.repairer.drifted(SYNC) == 1, what="it is known to have drifted")
    await asyncio.sleep(2 * DOUBT_SECONDS)
    assert healing.repairer.drifted(SYNC) == 1


async def test_a_label_that_came_back_before_the_first_apply_is_no_drift(healing: Healing) -> None:
    async def labelled() -> bool:
        return SYNC_LABEL in child((await healing.client.get(healing.path))["metadata"], "labels")

    healing.enforcement = Enforcement(heal=False)
    healing.client.lists.set()
    healing.client.answers.set()
    # A Guard that ran before had applied it.
    await Writer(lambda _sync: healing.client, view=healing.view, clock=healing.clock).apply(healing.declared)
    await healing.watching.follow({CONFIG_MAP})
    await healing.client.merge_patch(healing.path, {"metadata": {"labels": {SYNC_LABEL: None}}}, manager="kubectl-label")
    await eventually(labelled, what="the label is back")
    await eventually(lambda: not healing.is_repairing(), what="the repair is done")
    applied = await healing.writer.apply(healing.declared)
    assert applied is not None
    assert healing.repairer.drifted(SYNC) == 0


@pytest.mark.case(33, 37)
async def test_a_set_of_fields_without_end_stops_neither_the_watch_of_its_kind_nor_the_repair(healing: Healing) -> None:
    healing.client.lists.set()
    healing.client.answers.set()
    await healing.watching.follow({CONFIG_MAP})
    await healing.writer.apply(healing.declared)
    live = await healing.client.get(healing.path)
    (ours,) = live["metadata"]["managedFields"]
    live["metadata"]["managedFields"] = [ours, {**ours, "manager": "a", "operation": "Update", "fieldsV1": "DEEP"}]
    body = codec.encode(live).replace(b'"DEEP"', b'{"f:a":' * 3000 + b"{}" + b"}" * 3000)
    async with healing.client.request("PUT", healing.path, params={"fieldManager": "a"}, body=body):
        pass
    await healing.client.merge_patch(healing.path, {"data": {"color": "red"}}, manager="kubectl-edit")

    async def blue() -> bool:
        return bool((await healing.client.get(healing.path))["data"] == {"color": "blue"})

    await eventually(blue, what="it is as in Git")
    # A list shows it, too.
    assert [page async for page in healing.client.metadata_pages(healing.path.rpartition("/")[0], params={})]
