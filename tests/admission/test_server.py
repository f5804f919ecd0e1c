"""What the listener answers to requests that are no good reviews; each test ends with a good one, see `listening`."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from io import BytesIO
from typing import BinaryIO

import pytest

from guard import telemetry
from guard.admission import review as wire
from guard.admission.complaints import Complaints
from guard.admission.connections import HEADERS, MIB, SHOWN
from guard.admission.server import PATH
from guard.base import codec
from tests.admission.listening import HOST, Counted, Listening, chunked, head, health, listening, post, review

pytestmark = pytest.mark.case(37)

LARGEST = 7 * MIB


def allow(data: bytes) -> bytes:
    return wire.encode(wire.Answer(uid=wire.parse(data).request.uid, allowed=True))


@pytest.fixture(scope="module")
def server() -> Iterator[Listening]:
    with listening(allow) as found:
        yield found


@pytest.fixture(autouse=True)
def _forget(server: Listening) -> Iterator[None]:
    server.meter.reasons.clear()
    yield
    with server.client() as client:
        assert client.review()["allowed"] is True


@pytest.fixture
def log() -> Iterator[BytesIO]:
    stream = BytesIO()
    telemetry.configure(form="json", stream=stream)
    yield stream
    telemetry.configure(form="json", stream=BytesIO())


def refused(server: Listening, request: bytes, *, status: int, reason: str) -> str:
    """The text of the answer."""
    with server.client() as client:
        client.send(request)
        code, headers, body = client.answer()
    assert (code, headers["Content-Type"]) == (status, "text/plain; charset=utf-8"), body
    assert server.meter.reasons == [reason]
    return body.decode()


def filled(size: int) -> bytes:
    """A review of so many bytes."""
    data = review(object={"data": "FILL"})
    return data.replace(b"FILL", b"x" * (size - len(data) + len("FILL")))


def test_a_review_of_7_mib_is_answered(server: Listening) -> None:
    with server.client() as client:
        assert client.review(filled(LARGEST))["allowed"] is True
    assert server.meter.reasons == []


@pytest.mark.parametrize(
    "request_bytes",
    [head(length=LARGEST + 1), post(filled(LARGEST + 1)), chunked(filled(LARGEST + 1))],
    ids=["announced", "sent", "chunked"],
)
def test_a_larger_one_is_refused(server: Listening, request_bytes: bytes) -> None:
    assert "7340032 bytes" in refused(server, request_bytes, status=413, reason="size")


def test_a_client_that_sends_much_more_still_reads_why_it_is_refused(server: Listening) -> None:
    refused(server, post(b"x" * (3 * LARGEST)), status=413, reason="size")


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/yaml", "application/json-patch+json", "application"])
def test_another_content_type_is_refused(server: Listening, content_type: str) -> None:
    text = refused(server, post(review(), Content_Type=content_type), status=415, reason="media-type")
    assert "application/json" in text


def test_a_charset_beside_the_content_type_is_taken(server: Listening) -> None:
    with server.client() as client:
        client.send(post(review(), Content_Type="application/json; charset=utf-8"))
        assert client.answer()[0] == 200


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "identity", "?"])
def test_a_content_encoding_is_refused(server: Listening, encoding: str) -> None:
    assert "Content-Encoding" in refused(server, post(review(), Content_Encoding=encoding), status=415, reason="media-type")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not json",
        b"null",
        b"[]",
        b"{}",
        review()[:-1],
        review().replace(b'"7"', b'"\xff"'),
        review() + b"{}",
        b'{"request":' + b"[" * 1_000_000,
        b'{"x":' * 200_000 + b"1" + b"}" * 200_000,
        b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}',
        b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":null}',
        b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{}}',
        b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"7","allowed":true}}',
        review(uid=None),
        review(uid=7),
        review(uid=["7"]),
        review(operation="PATCH"),
        review(kind="ConfigMap"),
        review(resource=None),
        review(userInfo=[]),
        review().replace(b"admission.k8s.io/v1", b"admission.k8s.io/v1beta1"),
        review().replace(b"AdmissionReview", b"TokenReview"),
    ],
    ids=lambda data: data[:40].decode(errors="replace") or "empty",
)
def test_what_is_no_review_is_refused_in_a_way_that_leaves_the_rest_to_the_failure_policy(server: Listening, data: bytes) -> None:
    text = refused(server, post(data), status=400, reason="review")
    assert text.startswith("Not an AdmissionReview that can be answered: ")


def test_the_text_of_an_answer_stays_short_whatever_it_quotes(server: Listening) -> None:
    text = refused(server, post(review().replace(b"AdmissionReview", b"x" * MIB)), status=400, reason="review")
    assert len(text) <= SHOWN + 1


def test_fields_that_nobody_knows_yet_are_no_fault(server: Listening) -> None:
    with server.client() as client:
        assert client.review(review(tomorrow={"a": [1]}, userInfo={"username": "ada", "more": 1}))["uid"] == "7"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "BREW"])
def test_another_method_is_refused(server: Listening, method: str) -> None:
    with server.client() as client:
        client.send(f"{method} {PATH} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
        data = client.socket.makefile("rb").read()
    assert data.split(b" ", 2)[1] in {b"405", b"400"}
    assert server.meter.reasons in (["method"], ["http"])


@pytest.mark.parametrize("path", ["/", "/admission/", "/admission/../healthz/x", "/.env", "//admission", "/%00"])
def test_another_path_is_refused(server: Listening, path: str) -> None:
    refused(server, post(review()).replace(PATH.encode(), path.encode(), 1), status=404, reason="path")


def test_health_is_no_secret_and_counts_as_nothing(server: Listening) -> None:
    with server.client() as client:
        client.send(health())
        assert client.answer()[0] == 200
    assert server.meter.reasons == []


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
        b"hello\r\n\r\n",
        b"POST /admission HTTP/9.9\r\n\r\n",
        head(length=1, X_Long="x" * 20_000),
        post(review(), **dict.fromkeys((f"X-{number}" for number in range(HEADERS - 2)), "y")),
        head(length=3, Transfer_Encoding="chunked"),
        head(length=None, Content_Length="-1"),
        head(length=None, Content_Length="1e3"),
        head(length=None, Transfer_Encoding="chunked") + b"zz\r\n",
    ],
    ids=["binary", "words", "version", "long-header", "many-headers", "two-lengths", "negative", "exponent", "bad-chunk"],
)
def test_what_is_no_http_is_refused(server: Listening, garbage: bytes) -> None:
    refused(server, garbage, status=400, reason="http")


def test_a_head_may_hold_twice_what_the_api_server_sends(server: Listening) -> None:
    more = {f"X-{number}": "y" * 8_000 for number in range(HEADERS - 3)}
    with server.client() as client:
        client.send(post(review(), **more))
        assert client.answer()[0] == 200


def test_an_expectation_that_means_nothing_is_refused(server: Listening) -> None:
    refused(server, post(review(), Expect="a-miracle"), status=417, reason="http")


def test_a_client_that_asks_first_is_told_to_go_on(server: Listening) -> None:
    with server.client() as client:
        client.send(head(length=len(review()), Expect="100-continue"))
        assert client.socket.recv(1000).startswith(b"HTTP/1.1 100")
        client.send(review())
        assert client.answer()[0] == 200


def test_http_1_0_and_chunks_are_answered(server: Listening) -> None:
    with server.client() as client:
        client.send(post(review()).replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert client.answer()[0] == 200
        assert client.closed()
    with server.client() as client:
        client.send(chunked(review()[:10], review()[10:]))
        assert client.answer()[0] == 200


def test_requests_sent_before_the_first_is_answered_are_answered_in_order(server: Listening) -> None:
    numbers = [str(number) for number in range(100)]
    with server.client() as client:
        client.send(b"".join(post(review(uid=number)) for number in numbers))
        reader = client.socket.makefile("rb")
        found = [codec.decode(_next(reader))["response"]["uid"] for _ in numbers]
    assert found == numbers


def _next(reader: BinaryIO) -> bytes:
    """The body of the next of several answers; http.client reads too far ahead for that."""
    length = 0
    while (line := reader.readline().lower()) != b"\r\n":
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    return reader.read(length)


def test_a_fault_of_guards_own_is_told_to_the_log_and_not_to_the_caller(log: BytesIO) -> None:
    def fail_once(data: bytes) -> bytes:
        if b"kaboom" in data:
            raise ValueError("a detail")
        return allow(data)

    with listening(fail_once) as server:
        text = refused(server, post(review(name="kaboom")), status=500, reason="failure")
    assert "detail" not in text
    assert b"a detail" in log.getvalue()


def test_bad_requests_without_end_leave_one_line_a_minute_that_quotes_nothing(log: BytesIO) -> None:
    with listening(allow) as server:
        for _ in range(30):
            with server.client() as client:
                client.send(b"POST /admission HTTP/1.1\r\nAuthorization: Bearer swordfish\x00\r\n\r\n")
                assert client.answer()[0] == 400
        assert server.meter.reasons == ["http"] * 30
    (line,) = log.getvalue().splitlines()
    said = json.loads(line)
    assert (said["event"], said["reason"], said["peer"]) == ("a request was refused", "http", HOST)
    assert b"swordfish" not in line


def test_the_next_line_tells_how_many_went_unsaid(log: BytesIO) -> None:
    moments = iter([0.0, 10.0, 20.0, 61.0])
    complaints = Complaints(Counted(), interval=60, monotonic=lambda: next(moments))
    for _ in range(4):
        complaints.add("slow")
    assert [json.loads(line)["unsaid"] for line in log.getvalue().splitlines()] == [0, 2]


class Queue:
    """A responder that holds the loop while a test prepares what comes next, and another that takes its time."""

    def __init__(self) -> None:
        self.held, self.release = threading.Event(), threading.Event()
        self.judged: list[str] = []

    def respond(self, data: bytes) -> bytes:
        name = wire.parse(data).request.name
        self.judged.append(name)
        if name == "hold":
            self.held.set()
            self.release.wait(20)
        if name == "slow":
            time.sleep(1)  # the work that the others are queued behind
        return allow(data)


def test_a_request_that_nobody_waits_for_any_more_is_not_judged() -> None:
    queue = Queue()
    with listening(queue.respond) as server:
        clients = [server.connect() for _ in range(4)]
        holder, slow, *waiting = clients
        for client in clients:
            client.review()
        queue.judged.clear()
        holder.send(post(review(name="hold")))
        assert queue.held.wait(20)
        slow.send(post(review(name="slow"), query="?timeout=20s"))
        waiting[0].send(post(review(name="late"), query="?timeout=500ms"))
        waiting[1].send(post(review(name="patient"), query="?timeout=20s"))
        queue.release.set()
        answers = [client.answer() for client in clients]
        assert [status for status, _, _ in answers] == [200, 200, 504, 200]
        assert queue.judged == ["hold", "slow", "patient"]
        assert server.meter.reasons == ["late"]
        for client in clients:
            client.close()


@pytest.mark.parametrize("query", ["?timeout=", "?timeout=soon", "?timeout=0s", "?timeout=-1s", "?timeout", "?a=b&a=c", "?%ff"])
def test_a_timeout_that_says_nothing_is_no_fault(server: Listening, query: str) -> None:
    with server.client() as client:
        assert client.review(query=query)["allowed"] is True
