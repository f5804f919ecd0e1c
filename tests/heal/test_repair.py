"""Putting right what people do again and again, or while something is in the way, on a real API server without controllers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from guard.base.codec import JsonObject
from guard.heal import repair
from guard.state.breakglass import NOTHING_OPEN, Opened, Opening
from tests.heal.healing import Healing
from tests.state.samples import CONFIG_MAP
from tools.guardrun import eventually

RETRY_SECONDS = 60.0
IN_THE_WAY: JsonObject = {"immutable": True, "data": {"color": "red"}}


async def applied(healing: Healing) -> None:
    healing.client.lists.set()
    healing.client.answers.set()
    await healing.watching.follow({CONFIG_MAP})
    await healing.writer.apply(healing.declared)


@pytest.mark.case(19)
async def test_what_could_not_be_put_right_is_made_again_at_once_when_it_is_deleted(
    healing: Healing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repair, "FIRST_RETRY_SECONDS", RETRY_SECONDS)
    await applied(healing)
    await healing.client.merge_patch(healing.path, IN_THE_WAY, manager="kubectl-edit")
    await eventually(lambda: "heal-failed" in {record.event for record in healing.records}, what="it cannot be put right")
    await healing.client.delete(healing.path, uid=await healing.uid())
    await eventually(healing.is_there, what="the config map is back", seconds=RETRY_SECONDS / 3)


@pytest.mark.case(19)
async def test_what_is_deleted_while_it_cannot_be_put_right_is_made_again_at_once(
    healing: Healing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repair, "FIRST_RETRY_SECONDS", RETRY_SECONDS)
    await applied(healing)
    healing.client.stored.clear()
    healing.client.answers.clear()
    await healing.client.merge_patch(healing.path, IN_THE_WAY, manager="kubectl-edit")
    await healing.client.stored.wait()
    await healing.client.delete(healing.path, uid=await healing.uid())
    await eventually(lambda: not healing.writer.last_seen(healing.declared.key), what="the watch has seen it go")
    healing.client.answers.set()
    await eventually(healing.is_there, what="the config map is back", seconds=RETRY_SECONDS / 3)


async def test_what_people_did_last_under_break_glass_is_undone_after_it(healing: Healing) -> None:
    key = healing.declared.key
    healing.client.answers.set()
    await healing.writer.apply(healing.declared)
    before = await healing.drift_by({"data": {"color": "red"}})
    # A commit's apply puts it right while the repair still waits for its turn.
    healing.client.stored.clear()
    healing.client.answers.clear()
    applying = asyncio.create_task(healing.writer.apply(healing.declared))
    await healing.client.stored.wait()
    healing.repairer.look(key, before)
    await asyncio.sleep(0)
    healing.view.opened = Opened([Opening(name="guard-system/x", target=key, until=datetime.max.replace(tzinfo=UTC))])
    healing.repairer.look(key, await healing.drift_by({"data": {"color": "green"}}))
    healing.client.answers.set()
    await applying
    await eventually(lambda: not healing.is_repairing(), what="the repair has had its turn")
    healing.view.opened = NOTHING_OPEN
    healing.repairer.closed([healing.declared])

    async def blue() -> bool:
        return bool((await healing.client.get(healing.path))["data"] == {"color": "blue"})

    await eventually(blue, what="it is as in Git")
