"""What a Sync says about itself: `.status`, written only when it changes. Pure, but for `publish`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

from guard.api import (
    SYNC,
    Condition,
    ConditionStatus,
    EndedJob,
    HealthCounts,
    HeldBack,
    ObjectCounts,
    Progress,
    Sync,
    SyncStatus,
    find_condition,
    set_condition,
    without_condition,
)
from guard.base import codec
from guard.base.errors import ApiStatusError
from guard.cluster import Client, object_path
from guard.source import Signed, Trust
from guard.state.ids import FIELD_MANAGER, Kind
from guard.sync import trust as trusting
from guard.sync.goal import manifests_from
from guard.sync.trust import Wanted

NOT_FOUND = 404
FIGHTS_NAMED = 10

HealthReason: TypeAlias = Literal["Healthy", "Progressing", "Unhealthy", "TimedOut"]


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How well what a Sync applied is; `message` names the first faults."""

    reason: HealthReason
    message: str
    counts: HealthCounts


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt ended. What is None, or empty, stays as it was. `stalled` when no further attempt will do better until
    somebody changes something; `pruning` says what is on its way out.
    """

    ready: bool
    reason: str
    message: str
    stalled: bool = False
    pruning: str = ""
    attempted: str = ""
    applied_revision: str = ""
    objects: ObjectCounts | None = None
    kinds: tuple[Kind, ...] | None = None
    held_back: HeldBack | None = None
    handled: str = ""
    ended_jobs: tuple[EndedJob, ...] | None = None
    # Why the signature of what was fetched does not count.
    refused: str = ""


def advanced(
    sync: Sync,
    status: SyncStatus,
    outcome: Outcome,
    *,
    health: Health | None = None,
    fights: tuple[str, ...] = (),
    unwatched: tuple[str, ...] = (),
    trust: Trust = Trust(),  # noqa: B008 (a frozen value)
    now: datetime,
) -> SyncStatus:
    """The status after an attempt for this Sync. A failed attempt keeps the last good revision, its counts and kinds. The
    conditions are those of kstatus: Reconciling and Stalled are there only while they are true, and so are Fighting, with a line
    for each object that somebody keeps changing back, and Unwatched, with one for each kind that cannot be watched.
    """
    ready = _ready(outcome, health if sync.spec.wait else None, waits=sync.spec.wait)
    if ready[0] == "Unknown" and _was_ready(sync, status, outcome):
        ready = "True", outcome.reason, outcome.message
    wanted: dict[str, Wanted] = {
        "Ready": ready,
        "Reconciling": _reconciling(outcome, ready),
        "Stalled": ("True", outcome.reason, outcome.message) if outcome.stalled else None,
        "Fighting": fighting(fights),
        "Unwatched": blind(unwatched),
        **trusting.conditions(sync, trust, refused=outcome.refused),
    }
    if outcome.applied_revision:
        status = in_force(sync, status, outcome.applied_revision, signed=trust.signed)
    if health is not None:
        wanted["Healthy"] = (_HEALTHY[health.reason], health.reason, health.message)
    return msgspec.structs.replace(
        status,
        conditions=_with(status.conditions, wanted, generation=sync.metadata.generation, now=now),
        observed_generation=sync.metadata.generation,
        last_applied_revision=outcome.applied_revision or status.last_applied_revision,
        last_attempted_revision=outcome.attempted or status.last_attempted_revision,
        last_handled_reconcile_at=outcome.handled or status.last_handled_reconcile_at,
        objects=outcome.objects or status.objects,
        health=health.counts if health else status.health,
        progress=Progress(),
        kinds=status.kinds if outcome.kinds is None else outcome.kinds,
        held_back=outcome.held_back or status.held_back,
        ended_jobs=status.ended_jobs if outcome.ended_jobs is None else outcome.ended_jobs,
    )


def in_force(sync: Sync, status: SyncStatus, revision: str, *, signed: Signed | None = None) -> SyncStatus:
    """The status with a revision in force, of this Sync's manifests."""
    return msgspec.structs.replace(
        status,
        revision_in_force=revision,
        manifests_from=manifests_from(sync.spec),
        signature=trusting.signature(signed, revision=revision, known=status.signature),
    )


def blind(unwatched: tuple[str, ...]) -> Wanted:
    """The condition that names the kinds of which nothing is healed, since they cannot be watched."""
    return ("True", "WatchFailing", "; ".join(unwatched)) if unwatched else None


def fighting(fights: tuple[str, ...]) -> Wanted:
    """The condition that names what is fought about."""
    if not fights:
        return None
    more = f"; and {len(fights) - FIGHTS_NAMED} more" if len(fights) > FIGHTS_NAMED else ""
    return "True", "FieldsKeepComingBack", "; ".join(fights[:FIGHTS_NAMED]) + more


_HEALTHY: dict[HealthReason, ConditionStatus] = {
    "Healthy": "True",
    "Progressing": "Unknown",
    "Unhealthy": "False",
    "TimedOut": "False",
}


def _ready(outcome: Outcome, health: Health | None, *, waits: bool) -> tuple[ConditionStatus, str, str]:
    if not outcome.ready:
        return "False", outcome.reason, outcome.message
    if outcome.pruning:
        outcome = msgspec.structs.replace(outcome, message=f"{outcome.message}; {outcome.pruning}")
    if not waits or (health is not None and health.reason == "Healthy"):
        return "True", outcome.reason, outcome.message
    if health is None or health.reason == "Progressing":
        return "Unknown", "Progressing", f"{outcome.message}, not all healthy yet" + (f": {health.message}" if health else "")
    return "False", "HealthCheckFailed", f"{outcome.message}, but {health.message}"


def _was_ready(sync: Sync, status: SyncStatus, outcome: Outcome) -> bool:
    """Whether this very revision was healthy before: a replica that is replaced later makes nobody wait who depends on it, unless
    it is not back in time.
    """
    ready = find_condition(status.conditions, "Ready")
    is_same = outcome.applied_revision in ("", status.last_applied_revision)
    return is_same and ready is not None and ready.status == "True" and ready.observed_generation == sync.metadata.generation


def _reconciling(outcome: Outcome, ready: tuple[ConditionStatus, str, str]) -> Wanted:
    status, _, message = ready
    if status == "Unknown":
        return "True", "Progressing", message
    if outcome.pruning:
        return "True", "Pruning", outcome.pruning
    return ("True", "Retrying", message) if not outcome.ready and not outcome.stalled else None


def progressing(sync: Sync, status: SyncStatus, progress: Progress, *, message: str, now: datetime) -> SyncStatus:
    """The status while an attempt runs. What was found for the last revision stays, until this one is done."""
    wanted: dict[str, Wanted] = {"Reconciling": ("True", "Progressing", message)}
    if find_condition(status.conditions, "Ready") is None:
        wanted["Ready"] = ("Unknown", "Progressing", message)
    found = _with(status.conditions, wanted, generation=sync.metadata.generation, now=now)
    return msgspec.structs.replace(status, conditions=found, progress=progress)


def suspended(sync: Sync, status: SyncStatus, *, now: datetime) -> SyncStatus:
    """The status of a Sync that is suspended: how it was found last, with nothing going on."""
    wanted: dict[str, Wanted] = {"Reconciling": None, "Stalled": None, "Fighting": None}
    found = _with(status.conditions, wanted, generation=sync.metadata.generation, now=now)
    return msgspec.structs.replace(status, conditions=found, observed_generation=sync.metadata.generation, progress=Progress())


def _with(
    conditions: tuple[Condition, ...], wanted: Mapping[str, Wanted], *, generation: int, now: datetime
) -> tuple[Condition, ...]:
    for type_, what in wanted.items():
        if what is None:
            conditions = without_condition(conditions, type_)
        else:
            status, reason, message = what
            conditions = set_condition(
                conditions, type=type_, status=status, reason=reason, message=message, generation=generation, now=now
            )
    return conditions


async def publish(client: Client, sync: Sync, status: SyncStatus) -> None:
    """Write `.status`, of this very Sync and none that has its name by now: by its kinds the other one would prune what this one
    left. A Sync that is gone needs none.
    """
    path = object_path(SYNC, namespace=sync.metadata.namespace, name=sync.metadata.name) + "/status"
    try:
        await client.json_patch(
            path,
            [
                {"op": "test", "path": "/metadata/uid", "value": sync.metadata.uid},
                {"op": "add", "path": "/status", "value": codec.plain(status)},
            ],
            manager=FIELD_MANAGER,
        )
    except ApiStatusError as error:
        if error.code != NOT_FOUND:
            raise
