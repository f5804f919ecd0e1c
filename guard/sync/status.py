"""What a Sync says about itself: `.status`, written only when it changes."""

from __future__ import annotations

from datetime import datetime

import msgspec

from guard.api import SYNC, EndedJob, ObjectCounts, Sync, SyncStatus, set_condition
from guard.base import codec
from guard.base.errors import ApiStatusError
from guard.cluster import Client, object_path
from guard.state.ids import FIELD_MANAGER, Kind

NOT_FOUND = 404


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt ended. `failed` maps objects to one line each."""

    ready: bool
    reason: str
    message: str
    attempted: str = ""
    applied_revision: str = ""
    objects: ObjectCounts | None = None
    kinds: tuple[Kind, ...] | None = None
    handled: str = ""
    ended_jobs: tuple[EndedJob, ...] | None = None


def advanced(sync: Sync, status: SyncStatus, outcome: Outcome, *, now: datetime) -> SyncStatus:
    """The status after an attempt. A failed attempt keeps the last good revision, its counts and kinds."""
    conditions = set_condition(
        status.conditions,
        type="Ready",
        status="True" if outcome.ready else "False",
        reason=outcome.reason,
        message=outcome.message,
        generation=sync.metadata.generation,
        now=now,
    )
    return SyncStatus(
        conditions=conditions,
        observed_generation=sync.metadata.generation,
        last_applied_revision=outcome.applied_revision or status.last_applied_revision,
        last_attempted_revision=outcome.attempted or status.last_attempted_revision,
        last_handled_reconcile_at=outcome.handled or status.last_handled_reconcile_at,
        objects=outcome.objects or status.objects,
        kinds=status.kinds if outcome.kinds is None else outcome.kinds,
        ended_jobs=status.ended_jobs if outcome.ended_jobs is None else outcome.ended_jobs,
    )


async def publish(client: Client, sync: Sync, status: SyncStatus) -> None:
    """Write `.status`. A Sync that is gone needs none."""
    path = object_path(SYNC, namespace=sync.metadata.namespace, name=sync.metadata.name) + "/status"
    try:
        await client.merge_patch(path, {"status": codec.plain(status)}, manager=FIELD_MANAGER)
    except ApiStatusError as error:
        if error.code != NOT_FOUND:
            raise
