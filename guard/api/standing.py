"""How a Sync stands, read from what it says about itself, and what a person can do about it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct, structs

from guard.api.conditions import Condition, ConditionStatus, find_condition
from guard.api.names import key_of
from guard.api.source import BucketRef, GitRef
from guard.api.status import HealthCounts, HeldBack, ObjectCounts, Progress
from guard.api.sync import REQUESTED_AT, SUSPEND_REASON, Sync, parse_sync
from guard.base.codec import JsonObject
from guard.base.errors import ConfigError
from guard.base.naming import source_of
from guard.state.ids import GUARD_NAMESPACE


class Waiting(Struct, frozen=True, rename="camel"):
    """A Sync that has to be ready first, and how it stands."""

    sync: str
    ready: ConditionStatus
    message: str


class Standing(Struct, frozen=True, kw_only=True, rename="camel"):
    """One Sync at a glance. `ready`, `reason` and `message` are those of the condition Ready, but where nobody has looked at the
    Sync as it is now. `requested` is a request to reconcile that has not been answered yet.
    """

    sync: str
    ready: ConditionStatus = "Unknown"
    reason: str = ""
    message: str = ""
    since: str = ""
    suspended: bool = False
    suspend_reason: str = ""
    revision: str = ""
    attempted_revision: str = ""
    objects: ObjectCounts = ObjectCounts()
    health: HealthCounts = HealthCounts()
    progress: Progress = Progress()
    held_back: HeldBack = HeldBack()
    source: str = ""
    path: str = ""
    interval: str = ""
    mode: str = ""
    heal: bool = False
    additions: str = ""
    requested: str = ""
    depends_on: tuple[Waiting, ...] = ()
    conditions: tuple[Condition, ...] = ()
    next_steps: tuple[str, ...] = ()

    @property
    def is_fine(self) -> bool:
        return self.ready == "True" and not (self.objects.drifted or self.objects.failed or self.health.unhealthy)

    @property
    def word(self) -> str:
        """The one word that says most."""
        if self.suspended:
            return "Suspended"
        if self.progress.total:
            return "Applying"
        if self.ready != "True":
            return self.reason or self.ready
        if self.objects.drifted:
            return "Drifted"
        return "Unhealthy" if self.health.unhealthy else "Ready"


def standings(bodies: Iterable[JsonObject]) -> tuple[Standing, ...]:
    """Of Syncs as the API server holds them, by their names. One that cannot be read is said to be so."""
    known: dict[str, Sync | None] = {}
    unread: dict[str, str] = {}
    for body in bodies:
        key = key_of(body)
        try:
            known[key] = parse_sync(body, where=f"Sync {key}")
        except ConfigError as error:
            unread[key] = str(error)
    found = [standing(sync, others=known) for sync in known.values() if sync is not None]
    found += [Standing(sync=key, reason="Unreadable", message=why) for key, why in unread.items()]
    return tuple(sorted(found, key=lambda one: one.sync))


def standing(sync: Sync, *, others: Mapping[str, Sync | None]) -> Standing:
    """`others` are the Syncs on which it may depend, None for one that is not there."""
    spec, status = sync.spec, sync.status
    condition = ready_of(sync)
    requested = sync.metadata.annotations.get(REQUESTED_AT, "")
    found = Standing(
        sync=sync.key,
        ready=condition.status,
        reason=condition.reason,
        message=condition.message,
        since=condition.last_transition_time,
        suspended=spec.suspend,
        suspend_reason=sync.metadata.annotations.get(SUSPEND_REASON, "") if spec.suspend else "",
        revision=status.last_applied_revision,
        attempted_revision=status.last_attempted_revision,
        objects=status.objects,
        health=status.health,
        progress=status.progress,
        held_back=status.held_back,
        source=f"{spec.source.named.address} {_ref(spec.source.named.ref)}",
        path=spec.path,
        interval=spec.source.interval,
        mode=spec.enforcement.mode,
        heal=spec.enforcement.heals,
        additions=spec.enforcement.additions,
        requested=requested if requested != status.last_handled_reconcile_at else "",
        depends_on=tuple(_waiting(key, others) for key in sync.dependencies),
        conditions=status.conditions,
    )
    return structs.replace(found, next_steps=tuple(_next_steps(found)))


def ready_of(sync: Sync) -> Condition:
    """The condition Ready, but Unknown where it was found for an older Sync, or not at all. A suspended Sync is not looked at, so
    that what was found last stands.
    """
    status = sync.status
    found = find_condition(status.conditions, "Ready")
    if found is None:
        return _unknown("NotLookedAt", "Guard has not looked at it yet")
    if status.observed_generation < sync.metadata.generation and not sync.spec.suspend:
        return _unknown("Changed", "it has changed, and Guard has not looked at it since")
    return found


def _unknown(reason: str, message: str) -> Condition:
    return Condition(type="Ready", status="Unknown", reason=reason, message=message, last_transition_time="")


def _waiting(key: str, others: Mapping[str, Sync | None]) -> Waiting:
    if key not in others:
        return Waiting(sync=key, ready="Unknown", message="not among the Syncs that were read")
    other = others[key]
    if other is None:
        return Waiting(sync=key, ready="False", message="there is no such Sync")
    condition = ready_of(other)
    return Waiting(sync=key, ready=condition.status, message=condition.message)


def _ref(ref: GitRef | BucketRef) -> str:
    if isinstance(ref, BucketRef):
        return f"revision {ref.revision}" if ref.revision else "as it is now"
    named = {"branch": ref.branch, "tag": ref.tag, "semver": ref.semver, "commit": ref.commit}
    return next((f"{what} {name}" for what, name in named.items() if name), "its default branch")


_STEPS = {
    "NotLookedAt": "is Guard running? kubectl -n guard-system get pods, or guard run",
    "Changed": "is Guard running? kubectl -n guard-system get pods, or guard run",
    "Unreadable": "the Sync was written for another version of Guard: mend it, or run the Guard that fits",
    "SourceFailed": "check what source says in the Sync, and the Secrets that it names; Guard tries again by itself",
    "SignatureRefused": "do what the message says, or have something newer signed by a key of the Secret that verify names",
    "RevisionRejected": "mend it in Git, or as the message says: the next good revision goes through, the last stays in force",
    "InvalidSpec": "mend the Sync, or the rights of its service account; Guard looks again when that changes",
    "DependencyCycle": "take one of the Syncs out of the others' dependsOn",
    "HealthCheckFailed": "the condition Healthy names what is not well; kubectl describe says why",
    "ClusterFailed": "Guard tries again by itself; its log says more",
}


def _next_steps(found: Standing) -> Iterator[str]:
    name = found.sync.removeprefix(f"{GUARD_NAMESPACE}/")
    if found.suspended:
        yield f"guard resume {name}"
    elif found.ready != "True" and found.reason in _STEPS:
        yield _STEPS[found.reason].replace("Git", source_of(found.attempted_revision))
    yield from (
        f"guard status {one.sync.removeprefix(f'{GUARD_NAMESPACE}/')}" for one in found.depends_on if one.ready == "False"
    )
    if found.objects.drifted:
        yield f"guard diff {name}" + ("" if found.heal else "  (healing is off, so it stays until a commit or guard reconcile)")
    if found.held_back.objects:
        yield f"guard diff {name}  (what is to be pruned; the message says how to confirm it)"
    if found.objects.failed:
        yield f"guard audit --sync {name} --event sync-failed"
