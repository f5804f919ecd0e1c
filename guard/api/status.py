"""What Guard says about a Sync."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from guard.api.conditions import Condition
from guard.state.ids import Kind


class ObjectCounts(Struct, frozen=True, rename="camel"):
    """How many objects are in which state."""

    declared: int = 0
    applied: int = 0
    drifted: int = 0
    failed: int = 0


class HealthCounts(Struct, frozen=True, rename="camel"):
    """How well the objects are of which that can be told."""

    healthy: int = 0
    progressing: int = 0
    unhealthy: int = 0


class Progress(Struct, frozen=True, rename="camel"):
    """How many of the objects that an attempt applies are done, while it runs; nothing of nothing in between."""

    done: int = 0
    total: int = 0


class HeldBack(Struct, frozen=True, rename="camel"):
    """A prune that waits for somebody to confirm it: which objects (`digest` names the set), and since which revision."""

    revision: str = ""
    objects: int = 0
    digest: str = ""


class EndedJob(Struct, frozen=True, rename="camel"):
    """A Job that ended and was deleted by its time to live; `digest` is of the manifest that it ran."""

    namespace: str
    name: str
    digest: str


class Signature(Struct, frozen=True, rename="camel"):
    """Who signed a revision, and with which key (its fingerprint). `at` is RFC 3339, empty where the signature does not say."""

    revision: str = ""
    by: str = ""
    key: str = ""
    at: str = ""


class SyncStatus(Struct, frozen=True, kw_only=True, rename="camel"):
    """What Guard last found and did."""

    # Written whole, empty values too, so that nothing of an older status stays.

    conditions: Annotated[
        tuple[Condition, ...], Meta(extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]})
    ] = ()
    observed_generation: int = 0
    last_applied_revision: str = ""
    last_attempted_revision: str = ""
    revision_in_force: Annotated[
        str, Meta(description="What is enforced; other than lastAppliedRevision while it is being applied.")
    ] = ""
    manifests_from: Annotated[
        str, Meta(description="A digest of what of the spec the manifests of revisionInForce were made by.")
    ] = ""
    signature: Annotated[Signature, Meta(description="Who signed the revision in force, where the source is verified.")] = (
        Signature()
    )
    last_handled_reconcile_at: str = ""
    objects: ObjectCounts = ObjectCounts()
    health: HealthCounts = HealthCounts()
    progress: Progress = Progress()
    kinds: Annotated[tuple[Kind, ...], Meta(description="Kinds applied so far, which pruning looks through.")] = ()
    held_back: Annotated[HeldBack, Meta(description="What is not pruned until the Sync is annotated with the revision.")] = (
        HeldBack()
    )
    ended_jobs: Annotated[tuple[EndedJob, ...], Meta(description="Jobs that stay away until their manifest changes.")] = ()
