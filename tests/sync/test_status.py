from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from guard.api import Condition, HealthCounts, ObjectCounts, Progress, Sync, SyncStatus, find_condition, parse_sync
from guard.sync.status import Health, HealthReason, Outcome, advanced, progressing, suspended
from tests.state.samples import CONFIG_MAP

EARLY, LATE = datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 3, tzinfo=UTC)


def sync(*, generation: int, wait: bool = False) -> Sync:
    body = {
        "apiVersion": "gitopsguard.dev/v1alpha1",
        "kind": "Sync",
        "metadata": {"name": "apps", "generation": generation},
        "spec": {"source": {"git": {"url": "https://git.example.com/deploy"}}, "wait": wait},
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
    ready = condition(bad, "Ready")
    assert (ready.status, ready.reason, ready.message) == ("False", "RenderFailed", "a.yaml:3: no")
    assert (bad.observed_generation, ready.observed_generation) == (2, 2)
    assert ready.last_transition_time == "2026-01-03T00:00:00Z"


def condition(status: SyncStatus, type_: str) -> Condition:
    found = find_condition(status.conditions, type_)
    assert found is not None, f"no {type_} among {[one.type for one in status.conditions]}"
    return found


def types(status: SyncStatus) -> set[str]:
    return {found.type for found in status.conditions}


def test_what_may_mend_itself_is_reconciling_and_what_cannot_is_stalled() -> None:
    retried = advanced(sync(generation=1), SyncStatus(), BAD, now=EARLY)
    assert types(retried) == {"Ready", "Reconciling"}
    assert condition(retried, "Reconciling").reason == "Retrying"
    stalled = advanced(sync(generation=1), retried, msgspec.structs.replace(BAD, stalled=True), now=EARLY)
    assert types(stalled) == {"Ready", "Stalled"}
    assert condition(stalled, "Stalled").message == "a.yaml:3: no"
    assert types(advanced(sync(generation=1), stalled, GOOD, now=EARLY)) == {"Ready"}


def test_while_an_attempt_runs_the_last_result_stays_and_the_first_is_unknown() -> None:
    running = progressing(sync(generation=1), SyncStatus(), Progress(done=3, total=9), message="3 of 9", now=EARLY)
    assert (condition(running, "Ready").status, condition(running, "Reconciling").message) == ("Unknown", "3 of 9")
    good = advanced(sync(generation=1), running, GOOD, now=EARLY)
    assert (types(good), good.progress) == ({"Ready"}, Progress())
    again = progressing(sync(generation=1), good, Progress(done=1, total=2), message="1 of 2", now=LATE)
    assert (condition(again, "Ready").status, again.progress) == ("True", Progress(done=1, total=2))


def test_a_sync_that_is_suspended_stays_as_it_was_found_with_nothing_going_on() -> None:
    retried = advanced(sync(generation=1), SyncStatus(), BAD, now=EARLY)
    still = suspended(sync(generation=2), retried, now=LATE)
    assert (types(still), still.observed_generation) == ({"Ready"}, 2)
    assert condition(still, "Ready") == condition(retried, "Ready")


def test_without_wait_health_is_told_beside_ready() -> None:
    status = advanced(sync(generation=1), SyncStatus(), GOOD, health=health("Unhealthy"), now=EARLY)
    assert (condition(status, "Ready").status, condition(status, "Healthy").status) == ("True", "False")
    assert status.health == HealthCounts(healthy=2, unhealthy=1)


@pytest.mark.parametrize(
    ("found", "ready", "reason"),
    [
        (None, "Unknown", "Progressing"),
        ("Progressing", "Unknown", "Progressing"),
        ("Healthy", "True", "Applied"),
        ("Unhealthy", "False", "HealthCheckFailed"),
        ("TimedOut", "False", "HealthCheckFailed"),
    ],
)
def test_with_wait_ready_asks_for_health(found: HealthReason | None, ready: str, reason: str) -> None:
    waiting = sync(generation=1, wait=True)
    status = advanced(waiting, SyncStatus(), GOOD, health=health(found) if found else None, now=EARLY)
    assert (condition(status, "Ready").status, condition(status, "Ready").reason) == (ready, reason)
    assert ("Reconciling" in types(status)) == (ready == "Unknown")
    failed = advanced(waiting, status, BAD, health=health("Healthy"), now=EARLY)
    assert condition(failed, "Ready").reason == "RenderFailed"


def test_with_wait_what_was_healthy_stays_ready_while_it_changes_until_it_is_late_or_another_revision_comes() -> None:
    waiting, good = sync(generation=1, wait=True), msgspec.structs.replace(GOOD, applied_revision="main@sha1:1")
    well = advanced(waiting, SyncStatus(), good, health=health("Healthy"), now=EARLY)
    moving = advanced(waiting, well, good, health=health("Progressing"), now=LATE)
    assert (condition(moving, "Ready").status, condition(moving, "Healthy").status) == ("True", "Unknown")
    late = advanced(waiting, moving, good, health=health("TimedOut"), now=LATE)
    assert condition(late, "Ready").reason == "HealthCheckFailed"
    assert condition(advanced(waiting, late, good, health=health("Progressing"), now=LATE), "Ready").status == "Unknown"
    other = msgspec.structs.replace(good, applied_revision="main@sha1:2")
    assert condition(advanced(waiting, well, other, health=health("Progressing"), now=LATE), "Ready").status == "Unknown"
    edited = sync(generation=2, wait=True)
    assert condition(advanced(edited, well, good, health=health("Progressing"), now=LATE), "Ready").status == "Unknown"


def health(reason: HealthReason) -> Health:
    return Health(reason=reason, message="Deployment shop/web is not there yet", counts=HealthCounts(healthy=2, unhealthy=1))


def test_the_same_outcome_again_is_the_same_status() -> None:
    good = advanced(sync(generation=1), SyncStatus(), GOOD, now=EARLY)
    assert advanced(sync(generation=1), good, GOOD, now=LATE) == good


def test_a_revision_that_declares_nothing_forgets_its_kinds() -> None:
    good = advanced(sync(generation=1), SyncStatus(), GOOD, now=EARLY)
    empty = Outcome(ready=True, reason="Applied", message="", objects=ObjectCounts(), kinds=())
    assert advanced(sync(generation=1), good, empty, now=LATE).kinds == ()
    assert advanced(sync(generation=1), good, empty, now=LATE).objects == ObjectCounts()
