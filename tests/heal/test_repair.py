"""Putting right what people do again and again, or while something is in the way, on a real API server without controllers."""

from __future__ import annotations

import pytest

from guard.base.codec import JsonObject
from guard.heal import repair
from tests.heal.healing import Healing
from tests.state.samples import CONFIG_MAP
from tools.guardrun import eventually

IN_THE_WAY: JsonObject = {"immutable": True, "data": {"color": "red"}}


@pytest.mark.case(19)
async def test_what_could_not_be_put_right_is_made_again_at_once_when_it_is_deleted(
    healing: Healing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repair, "FIRST_RETRY_SECONDS", 60.0)
    healing.client.lists.set()
    healing.client.answers.set()
    await healing.watching.follow({CONFIG_MAP})
    await healing.writer.apply(healing.declared)
    await healing.client.merge_patch(healing.path, IN_THE_WAY, manager="kubectl-edit")
    await eventually(lambda: "heal-failed" in {record.event for record in healing.records}, what="it cannot be put right")
    await healing.client.delete(healing.path, uid=await healing.uid())
    await eventually(healing.is_there, what="the config map is back", seconds=5.0)


@pytest.mark.case(19)
async def test_what_is_deleted_while_it_cannot_be_put_right_is_made_again_at_once(
    healing: Healing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repair, "FIRST_RETRY_SECONDS", 60.0)
    healing.client.lists.set()
    healing.client.answers.set()
    await healing.watching.follow({CONFIG_MAP})
    await healing.writer.apply(healing.declared)
    healing.client.stored.clear()
    healing.client.answers.clear()
    await healing.client.merge_patch(healing.path, IN_THE_WAY, manager="kubectl-edit")
    await healing.client.stored.wait()
    await healing.client.delete(healing.path, uid=await healing.uid())
    await eventually(lambda: not healing.writer.last_seen(healing.declared.key), what="the watch has seen it go")
    healing.client.answers.set()
    await eventually(healing.is_there, what="the config map is back", seconds=5.0)
