"""What a real API server asked of Guard, decided again. `python -m tools.record_reviews` records the reviews anew."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from guard import telemetry
from guard.admission import Judge, decide
from guard.admission.review import parse
from guard.audit import Record, References
from guard.base import codec
from guard.base.clock import SystemClock
from guard.state import written
from tests.admission.recorded import Expected, Recorded, recorded

NOW = datetime(2026, 1, 2, tzinfo=UTC)
# The values of the recorder's Secret, Git's and those that people asked for, as they are and in base64.
SECRETS = ("correct-horse", "battery-staple", "Y29ycmVjdC1ob3JzZQ", "YmF0dGVyeS1zdGFwbGU")
LONGEST_MESSAGE = 4096  # characters: what the API server takes of all warnings together, and more than a terminal shows

every_review = pytest.mark.parametrize("review", recorded(), ids=lambda review: review.name)


@every_review
def test_a_recorded_review_is_decided_as_it_should_be(review: Recorded) -> None:
    decision = decide(review=parse(review.data), view=review.world.view, policy=review.world.policy, now=NOW)
    changes = tuple(written(change.path) for change in decision.changes)
    assert Expected(verdict=decision.verdict, reason=decision.reason, changes=changes) == review.expected


@every_review
@pytest.mark.case(39)
def test_a_recorded_review_is_answered_in_words_that_show_no_secret(review: Recorded) -> None:
    records: list[Record] = []
    clock = SystemClock()
    judge = Judge(
        view=review.world.view,
        policy=lambda: review.world.policy,
        write=records.append,
        references=References(clock),
        clock=clock,
        meter=telemetry.Metrics(),
    )
    answer = judge.respond(review.data)
    response = codec.decode(answer)["response"]
    assert response["allowed"] is (review.expected.verdict != "deny")
    assert response.get("status", {}).get("code", 403) == 403
    assert len(records) == (review.expected.verdict != "allow")
    shown = answer.decode() + "".join(record.line().decode() for record in records)
    assert not [secret for secret in SECRETS if secret in shown]
    if review.expected.verdict == "deny":
        message = response["status"]["message"]
        assert len(message) < LONGEST_MESSAGE
        # Whoever is refused has to be told which fields it is about.
        assert all(path in message for path in review.expected.changes[:10])


def test_the_corpus_holds_every_verdict_and_operation() -> None:
    found = recorded()
    assert {review.expected.verdict for review in found} == {"allow", "deny", "warn", "audit", "exempt"}
    assert {parse(review.data).request.operation for review in found} == {"CREATE", "UPDATE", "DELETE"}
    assert len({review.server for review in found}) == 1
