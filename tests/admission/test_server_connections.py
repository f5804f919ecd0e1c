"""Connections that are slow, silent, many, broken, or not what the port speaks; each test ends with a good review."""

from __future__ import annotations

import resource
import ssl
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from guard.admission import review as wire
from guard.admission.connections import KEEP_ALIVE_SECONDS, Limits
from tests.admission.listening import Client, Listening, head, health, listening, post, review

pytestmark = pytest.mark.case(37)

# Short enough to be waited for, long enough for a busy machine not to trip over them.
SHORT = Limits(handshake=1.0, exchange=1.0, sweep=0.1, linger=0.5)
UNHURRIED = 5.0  # by when a client that is not slow has its answer


def allow(data: bytes) -> bytes:
    return wire.encode(wire.Answer(uid=wire.parse(data).request.uid, allowed=True))


@contextmanager
def clients(server: Listening, number: int) -> Generator[list[Client]]:
    with ExitStack() as stack:
        yield [stack.enter_context(server.client()) for _ in range(number)]


class Trickle(threading.Thread):
    """Sends a byte now and then until the server has enough of it."""

    def __init__(self, client: Client, data: bytes) -> None:
        super().__init__(name="trickle")
        self._client = client
        self._data = data
        self._over = threading.Event()

    def run(self) -> None:
        for at in range(len(self._data)):
            if self._over.wait(0.05):
                return
            try:
                self._client.send(self._data[at : at + 1])
            except OSError:
                return

    def __enter__(self) -> None:
        self.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()


def test_a_head_that_trickles_is_given_up() -> None:
    with listening(allow, limits=SHORT) as server, server.client() as client:
        with Trickle(client, post(review())):
            status, headers, body = client.answer()
        assert (status, headers["Connection"], body) == (408, "close", b"The request did not arrive in time.\n")
        assert client.closed()
        assert server.meter.reasons == ["slow"]


@pytest.mark.parametrize("answered", [0, 1])
def test_the_first_byte_of_a_head_starts_the_clock(answered: int) -> None:
    with listening(allow, limits=SHORT) as server, server.client() as client:
        for _ in range(answered):
            client.review()
        client.send(b"P")
        assert client.answer()[0] == 408


def test_a_body_that_trickles_is_given_up() -> None:
    with listening(allow, limits=SHORT) as server, server.client() as client:
        client.send(head(length=1000))
        with Trickle(client, b"x" * 1000):
            assert client.answer()[0] == 408
        assert client.closed()
        assert server.meter.reasons == ["slow"]


def test_a_body_is_awaited_no_longer_than_the_api_server_waits() -> None:
    with listening(allow) as server, server.client() as client:
        began = time.monotonic()
        client.send(head(length=1000, query="?timeout=1s") + b"x")
        assert client.answer()[0] == 408
        assert time.monotonic() - began < server.pool.limits.exchange / 2


def test_a_client_that_does_not_take_its_answers_is_let_go() -> None:
    def verbose(data: bytes) -> bytes:
        return allow(data) + b" " * 4_000_000

    with listening(verbose, limits=SHORT) as server, server.client() as client:
        client.send(post(review()) * 4)
        server.meter.await_rejection("slow")


def test_an_idle_connection_is_kept_for_longer_than_the_api_server_keeps_it() -> None:
    assert KEEP_ALIVE_SECONDS > 90
    with listening(allow, limits=SHORT) as server, clients(server, 2) as (fresh, used):
        used.review()
        time.sleep(3 * SHORT.exchange)  # nothing is to happen, so there is nothing to wait for
        assert fresh.review()["allowed"] is True
        assert used.review()["allowed"] is True
        assert server.meter.reasons == []


def test_a_connection_that_stays_idle_is_ended() -> None:
    with listening(allow, limits=Limits(keep_alive=0.5)) as server, clients(server, 2) as (fresh, used):
        used.review()
        assert fresh.closed()
        assert used.closed()


@pytest.mark.parametrize("sent", [b"", b"x" * 500])
def test_a_client_that_goes_away_in_mid_body_is_counted(sent: bytes) -> None:
    with listening(allow) as server:
        with server.client() as client:
            client.send(head(length=1000) + sent)
        server.meter.await_rejection("disconnected")


@pytest.mark.parametrize(
    "garbage",
    [b"\x00" * 1000, b"\x16\x03\x01\x7f\xff" + b"\xff" * 3000, post(review()), b"GET / HTTP/1.0\r\n\r\n"],
    ids=["zeros", "hello", "plain-post", "plain-get"],
)
def test_what_is_no_tls_is_counted_and_closed(garbage: bytes) -> None:
    with listening(allow) as server:
        client = server.plain()
        client.send(garbage)
        data = client.socket.makefile("rb").read()
        client.close()
        assert b"HTTP" not in data
        server.meter.await_rejection("tls")


def test_a_client_that_distrusts_the_certificate_is_counted() -> None:
    with listening(allow) as server:
        with closing(server.plain()) as client, pytest.raises(ssl.SSLCertVerificationError):
            ssl.create_default_context().wrap_socket(client.socket, server_hostname="127.0.0.1")
        server.meter.await_rejection("tls")


def test_a_client_that_says_nothing_before_tls_is_let_go() -> None:
    with listening(allow, limits=SHORT) as server, closing(server.plain()) as client:
        assert client.closed()
        server.meter.await_rejection("tls")


def test_those_that_say_nothing_before_tls_make_room_for_each_other() -> None:
    with listening(allow, limits=Limits(handshakes=3)) as server, ExitStack() as stack:
        silent = [stack.enter_context(closing(server.plain())) for _ in range(5)]
        assert [client.closed() for client in silent[:2]] == [True, True]
        with server.client() as client:
            client.review()
            assert silent[2].closed()
        server.meter.await_rejection("tls", times=3)


def test_500_idle_connections_are_in_nobodys_way() -> None:
    with listening(allow) as server, server.client() as client:
        client.review()
        before = _resident()
        with clients(server, 500):
            began = time.monotonic()
            for _ in range(20):
                client.review()
            assert time.monotonic() - began < UNHURRIED
            with server.client() as newcomer:
                newcomer.review()
            # Both ends of each are in this process.
            assert _resident() - before < 500 * 300_000
            assert len(server.pool.connections) >= 501
        assert server.meter.reasons == []


def _resident() -> int:
    """Bytes of memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_a_connection_too_many_takes_the_place_of_one_that_never_asked() -> None:
    with listening(allow, limits=Limits(connections=6)) as server, clients(server, 6) as found:
        used, idle = found[:3], found[3:]
        for client in used:
            client.review()
        with clients(server, 2) as newcomers:
            for client in [*used, *newcomers]:
                assert client.review()["allowed"] is True
            assert [idle[0].closed(), idle[1].closed()] == [True, True]
            assert idle[2].review()["allowed"] is True
        assert server.meter.reasons == ["connections", "connections"]


def test_where_all_have_asked_the_one_idle_for_longest_makes_room() -> None:
    with listening(allow, limits=Limits(connections=3)) as server, clients(server, 3) as (first, second, third):
        for client in (second, first, third):
            client.review()
        with server.client() as newcomer:
            newcomer.review()
            assert second.closed()
            for client in (first, third):
                client.review()


def test_where_all_are_in_use_a_newcomer_is_answered_and_none_is_ended_for_him() -> None:
    with listening(allow, limits=Limits(connections=2)) as server, clients(server, 2) as busy:
        for client in busy:
            client.review()
            client.send(head(length=len(review())))
        server.await_phase("body", times=2)
        for _ in range(3):
            with server.client() as newcomer:
                newcomer.send(post(review()))
                status, headers, _ = newcomer.answer()
                assert (status, headers["Connection"]) == (200, "close")
                assert newcomer.closed()
        for client in busy:
            client.send(review())
            assert client.answer()[0] == 200
        assert server.meter.reasons == []


@pytest.mark.parametrize("asked", [b"", health(), health("/readyz"), health("/none")], ids=["nothing", "live", "ready", "none"])
@pytest.mark.parametrize("begun", [b"G", head(length=1000)], ids=["head", "body"])
def test_strangers_make_room_whatever_they_are_at(asked: bytes, begun: bytes) -> None:
    with listening(allow, limits=Limits(connections=4)) as server, clients(server, 4) as strangers:
        for client in strangers:
            if asked:
                client.send(asked)
                client.answer()
            client.send(begun)
        server.await_phase("body" if len(begun) > 1 else "head", times=4)
        server.meter.reasons.clear()
        with server.client() as newcomer:
            newcomer.review()
            assert strangers[0].closed()
        assert server.meter.reasons.count("connections") == 1


def test_a_stranger_that_keeps_asking_goes_before_one_that_came_later() -> None:
    with listening(allow, limits=Limits(connections=2)) as server, clients(server, 2) as (busybody, waiting):
        busybody.send(health())
        assert busybody.answer()[0] == 200
        with server.client() as newcomer:
            newcomer.review()
            assert busybody.closed()
            assert waiting.review()["allowed"] is True


def test_no_number_of_strangers_ends_a_connection_that_was_served() -> None:
    with listening(allow, limits=Limits(connections=3)) as server, clients(server, 3) as (idle, other, busy):
        for client in (idle, other, busy):
            client.review()
        busy.send(head(length=len(review())))
        server.await_phase("body", times=1)
        with clients(server, 5) as strangers:
            assert [client.closed() for client in strangers[:4]] == [True] * 4
            busy.send(review())
            assert busy.answer()[0] == 200
            for client in (idle, other):
                client.review()
        assert server.meter.reasons == ["connections"] * 4


@pytest.mark.parametrize(
    ("begun", "reason"),
    [
        (head(length=2_000, Content_Type="text/plain"), "media-type"),
        (head(length=2_000, Content_Encoding="gzip"), "media-type"),
        (head(length=2_000).replace(b"/admission", b"/"), "path"),
        (head(length=8_000_000), "size"),
        (head(length=2_000), "memory"),
    ],
    ids=["media-type", "encoding", "path", "size", "memory"],
)
def test_the_rest_of_a_refused_body_does_not_pass_for_a_slow_request(begun: bytes, reason: str) -> None:
    with listening(allow, limits=replace(SHORT, bodies=900)) as server, server.client() as client:
        client.review()
        client.send(begun + b"x" * 1_000)
        _, headers, _ = client.answer()
        client.send(b"x" * 1_000)
        assert headers["Connection"] == "close"
        assert client.closed()
        assert server.meter.reasons == [reason]


def test_a_refusal_of_a_whole_request_leaves_the_connection_open() -> None:
    with listening(allow, limits=SHORT) as server, server.client() as client:
        client.send(post(review(), Content_Type="text/plain"))
        assert client.answer()[0] == 415
        time.sleep(2 * SHORT.exchange)  # nothing is to happen, so there is nothing to wait for
        client.review()
        assert server.meter.reasons == ["media-type"]


def test_who_asks_on_without_taking_the_answers_is_let_go_at_once() -> None:
    def verbose(data: bytes) -> bytes:
        return allow(data) + b" " * 4_000_000

    with listening(verbose) as server, server.client() as client:
        began = time.monotonic()
        client.send(post(review()) * 4)
        with Trickle(client, b"P" * 1000):
            server.meter.await_rejection("slow")
        assert time.monotonic() - began < server.pool.limits.exchange / 2


def test_when_bodies_hold_too_much_the_oldest_goes_and_may_ask_again() -> None:
    half = b"x" * 600_000
    with listening(allow, limits=Limits(bodies=1_000_000)) as server, clients(server, 2) as (first, second):
        first.send(head(length=1_000_000) + half)
        server.await_held(len(half))
        second.send(head(length=1_000_000) + half)
        status, headers, _ = first.answer()
        assert (status, headers["Retry-After"]) == (503, "1")
        second.send(b"x" * 400_000)
        assert second.answer()[0] == 400  # whole, though no review
        assert server.meter.reasons == ["memory", "review"]
        assert server.pool.bodies.held == 0


def test_what_bodies_held_is_free_again_however_they_ended() -> None:
    limits = Limits(review=100_000, exchange=1.0, sweep=0.1, linger=0.2)
    with listening(allow, limits=limits) as server:
        with clients(server, 3) as (slow, gone, large):
            slow.send(head(length=90_000) + b"x" * 50_000)
            gone.send(head(length=90_000) + b"x" * 50_000)
            gone.close()
            large.send(head(length=None, Transfer_Encoding="chunked") + b"%x\r\n" % 200_000 + b"x" * 150_000)
            assert large.answer()[0] == 413
            assert slow.answer()[0] == 408
            server.meter.await_rejection("disconnected")
        assert server.pool.bodies.held == 0
