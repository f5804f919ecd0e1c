from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from guard.base.errors import Unreachable
from guard.cluster import Client, ServerClock
from tests.breakglass.clocks import SetClock

WRONG = datetime(2001, 1, 1, tzinfo=UTC)


async def test_it_is_the_api_servers_time_whatever_guards_own_clock_says(client: Client) -> None:
    own = SetClock(WRONG)
    found = ServerClock(client, clock=own)
    assert found.now() == WRONG
    await found.ask()
    assert abs(found.now() - datetime.now(UTC)) < timedelta(seconds=30)


async def test_it_goes_on_by_a_clock_that_nobody_sets(client: Client) -> None:
    own = SetClock(WRONG)
    found = ServerClock(client, clock=own)
    await found.ask()
    before = found.now()
    own.passes(90)
    own.is_set(WRONG + timedelta(days=400))
    assert found.now() - before == timedelta(seconds=90)


async def test_where_nobody_answers_it_goes_on_as_it_was(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    found = ServerClock(client, clock=SetClock(WRONG))
    await found.ask()
    before = found.now()
    monkeypatch.setattr(Client, "server", "https://127.0.0.1:9")
    with pytest.raises(Unreachable):
        await found.ask()
    assert found.now() == before
