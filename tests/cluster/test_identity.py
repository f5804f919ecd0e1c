from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest

from guard.base.clock import SystemClock
from guard.cluster import Identity, connect
from guard.cluster.identity import RENEW_AT, TOKEN_SECONDS
from tools.controlplane import ControlPlane


class Jumped(SystemClock):
    """A wall clock that was set to another day."""

    def __init__(self, days: float) -> None:
        self._by = timedelta(days=days)

    def now(self) -> datetime:
        return datetime.now(UTC) + self._by


@pytest.mark.parametrize("days", [-400, 0, 400])
async def test_a_token_is_renewed_by_its_age_whatever_the_wall_clock_says(
    control_plane: ControlPlane, days: Literal[-400, 0, 400]
) -> None:
    clock = Jumped(days)
    identity = Identity(await connect(kubeconfig=control_plane.kubeconfig("admin")), clock=clock)
    try:
        before = clock.monotonic()
        await identity.establish()
        assert before <= identity.renew_at - TOKEN_SECONDS * RENEW_AT <= clock.monotonic()
    finally:
        await identity.close()
