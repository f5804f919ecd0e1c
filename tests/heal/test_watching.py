"""What happens to objects while nobody has seen them yet, on a real API server without controllers."""

from __future__ import annotations

import asyncio

import pytest

from tests.heal.healing import Healing
from tests.state.samples import CONFIG_MAP
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
