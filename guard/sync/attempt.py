"""One attempt to make the cluster what a Sync says."""

from __future__ import annotations

from msgspec import Struct

from guard.api import Sync


class Attempt(Struct, frozen=True, kw_only=True):
    """`sync` is the Sync as it was when the attempt began: what changes meanwhile is another attempt's. `requested` is what
    `guard reconcile` asked last by then, `started` is in monotonic seconds.
    """

    sync: Sync
    requested: str
    started: float
