"""Reviews whose envelope is fine and whose objects are not, through the listener and the judge behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from structlog.testing import capture_logs

from guard.admission import Judge
from guard.audit import Record, References
from guard.base import codec
from guard.base.clock import SystemClock
from guard.base.codec import JsonObject
from guard.state import Policy
from tests.admission.listening import Counted, Listening, listening, post, review
from tests.state.samples import CONFIG_MAP, LABEL_FIELD, declared_as, object_of, ours, owned, view_of

pytestmark = pytest.mark.case(37)

DECLARED = object_of(CONFIG_MAP, data={"color": "FILL"})
FIELDS = owned("f:data f:color") | LABEL_FIELD
STORED: JsonObject = {**DECLARED, "metadata": {**DECLARED["metadata"], "managedFields": [ours(FIELDS)]}}


@pytest.fixture(scope="module")
def server() -> Iterator[Listening]:
    meter, clock = Counted(), SystemClock()
    records: list[Record] = []
    judge = Judge(
        view=view_of(declared_as(CONFIG_MAP, DECLARED)),
        policy=Policy,
        write=records.append,
        references=References(clock),
        clock=clock,
        meter=meter,
    )
    with listening(judge.respond, meter=meter) as found:
        yield found


@pytest.mark.parametrize("side", ["object", "oldObject"])
@pytest.mark.parametrize("broken", [b'"\xff\xfe"', b'"\xed\xa0\x80"'], ids=["not-utf8", "surrogate"])
def test_text_in_an_object_that_cannot_be_read_is_refused_in_the_form_of_a_review(
    server: Listening, side: str, broken: bytes
) -> None:
    data = review(**{"object": STORED, "oldObject": STORED, side: {**STORED, "data": {"color": "BROKEN"}}})
    with server.client() as client:
        answer = client.review(data.replace(b'"BROKEN"', broken))
        assert answer["allowed"] is False
        assert (answer["uid"], answer["status"]["code"]) == ("7", 400)
        # The same connection goes on, and what can be read is judged.
        assert client.review(review(object=STORED, oldObject=STORED))["allowed"] is True


@pytest.mark.parametrize("depth", [*range(100, 1_200, 50), 100_000])
def test_an_object_too_deep_to_be_read_is_never_let_through(server: Listening, depth: int) -> None:
    """The envelope, the objects in it, and the rules that walk them give up at depths of their own."""
    data = review(object={**STORED, "data": {"color": "DEEP"}}, oldObject=STORED)
    with server.client() as client:
        client.send(post(data.replace(b'"DEEP"', b"[" * depth + b"]" * depth)))
        status, _, body = client.answer()
        assert status == 400 or codec.decode(body)["response"]["allowed"] is False
        assert client.review(review(object=STORED, oldObject=STORED))["allowed"] is True


def test_a_review_of_an_object_that_nobody_declared_is_not_read_at_all(server: Listening) -> None:
    data = review(name="other", object={"metadata": {"name": "other"}, "data": "BROKEN"}, oldObject=None)
    with server.client() as client:
        assert client.review(data.replace(b'"BROKEN"', b'"\xff"'))["allowed"] is True


VALUE = "hunter2"


class Failing(Counted):
    """Trips over what it is to count, with a value in its words."""

    def admission(self, *, path: str, decision: str, seconds: float) -> None:
        raise ValueError(f"{VALUE} {path} {decision} {seconds}")


def test_what_cannot_be_noted_after_an_answer_is_said_without_any_value() -> None:
    clock, later = SystemClock(), list[Callable[[], None]]()
    judge = Judge(
        view=view_of(declared_as(CONFIG_MAP, object_of(CONFIG_MAP, data={"color": VALUE}))),
        policy=Policy,
        write=lambda _record: None,
        references=References(clock),
        clock=clock,
        meter=Failing(),
        later=later.append,
    )
    answer = codec.decode(judge.respond(review(object=STORED, oldObject=STORED)))
    assert answer["response"]["allowed"] is True
    assert later
    # Whatever other tests have set up for the log.
    with capture_logs() as said:
        for work in later:
            work()
    assert "what comes of it could not be noted" in said[0]["event"]
    assert VALUE not in str(said)
