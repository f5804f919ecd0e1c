"""What is read out of a Sync for people."""

from __future__ import annotations

import pytest

from guard.api import (
    REQUESTED_AT,
    SUSPEND_REASON,
    HealthCounts,
    ObjectCounts,
    Progress,
    Standing,
    Sync,
    Waiting,
    awaited,
    parse_sync,
    standing,
    standings,
)
from guard.base.codec import Json, JsonObject
from tools.guardrun import sync_document


def condition(status: str, reason: str = "Applied", message: str = "as declared") -> JsonObject:
    found = {"type": "Ready", "status": status, "reason": reason, "message": message}
    return {**found, "lastTransitionTime": "2026-01-02T03:04:05Z", "observedGeneration": 2}


def body(*conditions: JsonObject, name: str = "apps", annotations: JsonObject | None = None, **more: Json) -> JsonObject:
    """Of generation 2, looked at; `spec` and `status` are added to."""
    found = sync_document(name, "https://git.example.com/apps", **more.get("spec", {}))
    found["metadata"] |= {"generation": 2, "annotations": annotations or {}}
    found["status"] = {"conditions": [*conditions], "observedGeneration": 2, **more.get("status", {})}
    return found


def sync(*conditions: JsonObject, **more: Json) -> Sync:
    return parse_sync(body(*conditions, **more), where="test")


def stands(*conditions: JsonObject, **more: Json) -> Standing:
    return standing(sync(*conditions, **more), others={})


WELL = condition("True")


@pytest.mark.parametrize(
    ("found", "word", "is_fine"),
    [
        (stands(WELL), "Ready", True),
        (stands(WELL, status={"objects": {"drifted": 1}}), "Drifted", False),
        (stands(WELL, status={"objects": {"failed": 1}}), "Ready", False),
        (stands(WELL, status={"health": {"unhealthy": 1}}), "Unhealthy", False),
        (stands(WELL, status={"health": {"progressing": 1}}), "Ready", True),
        (stands(WELL, status={"progress": {"done": 1, "total": 2}}), "Applying", True),
        (stands(WELL, status={"observedGeneration": 1}), "Changed", False),
        (stands(WELL, spec={"suspend": True}, status={"observedGeneration": 1}), "Suspended", True),
        (stands(condition("False", "SourceFailed")), "SourceFailed", False),
        (stands(condition("Unknown", "Progressing")), "Progressing", False),
        (stands(), "NotLookedAt", False),
    ],
)
def test_one_word_and_whether_all_is_well(*, found: Standing, word: str, is_fine: bool) -> None:
    assert (found.word, found.is_fine) == (word, is_fine)


def test_everything_that_is_counted_is_handed_on() -> None:
    status: JsonObject = {
        "objects": {"declared": 9, "applied": 8, "drifted": 7, "failed": 6},
        "health": {"healthy": 5, "progressing": 4, "unhealthy": 3},
        "progress": {"done": 2, "total": 10},
    }
    found = stands(WELL, status=status)
    assert (found.objects, found.health, found.progress) == (
        ObjectCounts(9, 8, 7, 6),
        HealthCounts(5, 4, 3),
        Progress(2, 10),
    )


def test_a_request_is_told_until_it_is_answered() -> None:
    asked = {REQUESTED_AT: "now"}
    assert stands(WELL, annotations=asked).requested == "now"
    assert stands(WELL, annotations=asked, status={"lastHandledReconcileAt": "now"}).requested == ""


def test_the_reason_of_a_suspension_ends_with_it() -> None:
    reason = {SUSPEND_REASON: "moving house"}
    assert stands(WELL, annotations=reason, spec={"suspend": True}).suspend_reason == "moving house"
    assert stands(WELL, annotations=reason).suspend_reason == ""


def test_what_it_waits_for_is_told_as_far_as_it_is_known() -> None:
    waiting = sync(WELL, spec={"dependsOn": [{"name": "a"}, {"name": "b", "namespace": "team"}, {"name": "c"}]})
    others = {"guard-system/a": sync(condition("False", "SourceFailed", "no such host"), name="a"), "team/b": None}
    found = standing(waiting, others=others)
    assert found.depends_on == (
        Waiting("guard-system/a", "False", "no such host"),
        Waiting("team/b", "False", "there is no such Sync"),
        Waiting("guard-system/c", "Unknown", "not among the Syncs that were read"),
    )
    assert found.next_steps == ("guard status a", "guard status team/b")


@pytest.mark.parametrize(
    ("revision", "source"), [("main@sha1:3f2c1ab", "Git"), ("deploy@sha256:3f2c1ab", "the bucket"), ("", "Git")]
)
def test_what_to_mend_is_told_by_the_name_of_its_source(*, revision: str, source: str) -> None:
    found = stands(condition("False", "RevisionRejected"), status={"lastAttemptedRevision": revision})
    (step,) = found.next_steps
    assert step.startswith(f"mend it in {source}, ")


def test_what_is_signed_and_refused_all_the_same_is_not_to_be_signed_again() -> None:
    (step,) = stands(condition("False", "SignatureRefused")).next_steps
    assert step.startswith("do what the message says, or have something newer signed")


def test_a_sync_that_cannot_be_read_stands_among_the_others() -> None:
    found = standings([body(WELL, name="b"), body(WELL, name="a") | {"spec": {"sauce": {}}}, body(name="c")])
    assert [(one.sync, one.word) for one in found] == [
        ("guard-system/a", "Unreadable"),
        ("guard-system/b", "Ready"),
        ("guard-system/c", "NotLookedAt"),
    ]
    assert "sauce" in found[0].message


@pytest.mark.parametrize(
    ("found", "answer"),
    [
        (sync(WELL), "waiting"),
        (sync(WELL, status={"lastHandledReconcileAt": "before"}), "waiting"),
        (sync(WELL, status={"lastHandledReconcileAt": "now"}), "done"),
        (sync(WELL, status={"lastHandledReconcileAt": "later"}, annotations={REQUESTED_AT: "later"}), "done"),
        (sync(WELL, status={"lastHandledReconcileAt": "now"}, annotations={REQUESTED_AT: "later"}), "done"),
        (sync(WELL, status={"lastHandledReconcileAt": "now", "observedGeneration": 1}), "waiting"),
        (sync(condition("Unknown", "Progressing"), status={"lastHandledReconcileAt": "now"}), "waiting"),
        (sync(condition("False", "DependencyNotReady"), status={"lastHandledReconcileAt": "now"}), "waiting"),
        (sync(condition("False", "DependencyCycle"), status={"lastHandledReconcileAt": "now"}), "failed"),
        (sync(condition("False", "SourceFailed"), status={"lastHandledReconcileAt": "now"}), "failed"),
        (sync(condition("False", "SourceFailed"), status={"lastHandledReconcileAt": "before"}), "waiting"),
        (sync(WELL, spec={"suspend": True}, status={"lastHandledReconcileAt": "now"}), "failed"),
    ],
)
def test_a_request_is_answered_by_the_attempt_that_was_made_for_it(found: Sync, answer: str) -> None:
    assert awaited(found, requested="now").answer == answer
