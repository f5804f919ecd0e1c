"""The API server's clock: what it said last, and how much time has passed since by a clock that nobody sets.

Objects carry the server's times, so what is counted from them is counted by its clock. Guard's own may be wrong, or be set while
Guard runs.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from guard.base.clock import Clock
from guard.cluster.client import Client


class ServerClock:
    """Guard's own time until `ask` was answered once. The answer has seconds only."""

    def __init__(self, client: Client, *, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._said: tuple[datetime, float] | None = None

    async def ask(self) -> None:
        """Raises ClusterError."""
        asked = self._clock.monotonic()
        async with self._client.request("GET", "/version") as response:
            text = response.headers.get("Date", "")
        try:
            said = parsedate_to_datetime(text)
        except ValueError:
            return  # a proxy on the way that leaves the date out
        self._said = (said.astimezone(UTC), asked)

    def now(self) -> datetime:
        if self._said is None:
            return self._clock.now()
        said, at = self._said
        return said + timedelta(seconds=self._clock.monotonic() - at)
