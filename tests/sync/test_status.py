from __future__ import annotations

from datetime import UTC, datetime

from guard.api import ObjectCounts, Sync, SyncStatus, parse_sync
from guard.sync.status import Outcome, advanced
from tests.state.samples import CONFIG_MAP

EARLY, LATE = datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 3, tzinfo=UTC)


def sync(*, generation: int) -> Sync:
    body = {
        "apiVersion": "gitopsguard.dev/v1alpha1",
        "kind": "Sync",
        "metadata": {"name": "apps", "generation": generation},
        "spec": {"source": {"git": {"url": "https://git.example.com/deploy"}}},
    }
    return parse_sync(body, where="test")


GOOD = Outcome(
    ready=True,
    reason="Applied",
    message="fine",
    attempted="main@sha1:a",
    applied_revision="main@sha1:a",
    objects=ObjectCounts(declared=3, applied=3),
    kinds=(CONFIG_MAP,),
    handled="click",
)
BAD = Outcome(ready=False, reason="RenderFailed", message="a.yaml:3: no", attempted="main@sha1:b")


def test_a_failed_attempt_says_why_and_keeps_the_last_good_state() -> None:
    good = advanced(sync(generation=1), SyncStatus(), GOOD, now=EARLY)
    bad = advanced(sync(generation=2), good, BAD, now=LATE)
    assert (bad.last_applied_revision, bad.last_attempted_revision) == ("main@sha1:a", "main@sha1:b")
    assert (bad.objects, bad.kinds, bad.last_handled_reconcile_at) == (good.objects, good.kinds, "click")
    (ready,) = bad.conditions
    assert (ready.status, ready.reason, ready.message) == ("False", "RenderFailed", "a.yaml:3: no")
    assert (bad.observed_generation, ready.observed_generation) == (2, 2)
    assert ready.last_transition_time == "2026-01-03T00:00:00Z"


def test_the_same_outcome_again_is_the_same_status() -> None:
    good = advanced(sync(generation=1), SyncStatus(), GOOD, now=EARLY)
    assert advanced(sync(generation=1), good, GOOD, now=LATE) == good


def test_a_revision_that_declares_nothing_forgets_its_kinds() -> None:
    good = advanced(sync(generation=1), SyncStatus(), GOOD, now=EARLY)
    empty = Outcome(ready=True, reason="Applied", message="", objects=ObjectCounts(), kinds=())
    assert advanced(sync(generation=1), good, empty, now=LATE).kinds == ()
    assert advanced(sync(generation=1), good, empty, now=LATE).objects == ObjectCounts()
