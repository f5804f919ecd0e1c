"""Who may push, what a push does, and what everyone else is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from guard.base.errors import SourceError, Unreachable
from guard.source import Hook
from guard.source.listening import MIB, Limits
from guard.source.receiver import REREAD_SECONDS, SMALL_BYTES, STRANGERS, WAKES
from guard.source.signatures import Host
from tests.source.receiving import (
    ACCEPTED,
    BODY,
    PATH,
    REFUSED,
    SECRET,
    SYNC,
    Receiving,
    hexadecimal,
    post,
    receiving,
    signed,
)
from tools.guardrun import eventually


@pytest.fixture
async def received() -> AsyncIterator[Receiving]:
    async with receiving() as found:
        yield found


async def test_a_signed_push_wakes_its_sync_and_is_told_nothing_more(received: Receiving) -> None:
    answer = await received.send(post(headers=signed()))
    assert (answer.status, answer.body) == (ACCEPTED, b"")
    assert received.pushed == [SYNC]
    assert received.counted == ["accepted"]
    assert "server" not in answer.headers
    assert answer.headers["connection"] == "close"


HEADERS: list[tuple[Host, dict[str, str]]] = [
    ("GitHub", signed()),
    ("GitLab", {"X-Gitlab-Token": SECRET}),
    ("Gitea", {"X-Gitea-Signature": hexadecimal(BODY)}),
    ("Forgejo", {"X-Forgejo-Signature": hexadecimal(BODY)}),
    ("Bitbucket", {"X-Hub-Signature": f"sha256={hexadecimal(BODY)}"}),
    ("Generic", {"X-Signature": f"sha256={hexadecimal(BODY)}"}),
]


@pytest.mark.parametrize(("host", "headers"), HEADERS)
async def test_each_host_is_heard_in_its_own_way_only(received: Receiving, host: Host, headers: dict[str, str]) -> None:
    received.hook(host)
    assert (await received.send(post(headers=headers))).status == ACCEPTED
    for other, theirs in HEADERS:
        if other != host and (host, other) != ("Forgejo", "Gitea"):  # Forgejo was Gitea
            assert (await received.send(post(headers=theirs))).status == REFUSED, other
    assert received.pushed == [SYNC]


async def test_a_ping_is_a_push_like_any_other(received: Receiving) -> None:
    ping = b'{"zen": "Keep it logically awesome.", "hook_id": 1}'
    assert (await received.send(post(ping, headers={"X-GitHub-Event": "ping"} | signed(ping)))).status == ACCEPTED
    assert received.pushed == [SYNC]


@pytest.mark.parametrize("body", [b"", b"\0\xff not JSON", b"payload=%7B%7D"], ids=["empty", "bytes", "form"])
async def test_what_the_body_says_does_not_matter(received: Receiving, body: bytes) -> None:
    assert await received.push(body) == ACCEPTED


async def test_a_repeated_push_does_no_more_than_a_first_one(received: Receiving) -> None:
    request = post(headers=signed())
    assert [(await received.send(request)).status for _ in range(3)] == [ACCEPTED] * 3
    assert received.pushed == [SYNC] * 3


# ---- what everyone else is told


UNKNOWN = "/push/guard-system/unknown"


def refusals() -> dict[str, bytes]:
    right = signed()
    wrong = signed(secret="wrong")
    digits = hexadecimal(BODY)
    return {
        "no signature": post(),
        "wrong secret": post(headers=wrong),
        "another body": post(headers=signed(BODY + b" ")),
        "sha1": post(headers={"X-Hub-Signature-256": f"sha1={digits}"}),
        "twice": post(headers=right, more=f"X-Hub-Signature-256: {right['X-Hub-Signature-256']}\r\n".encode()),
        "unknown sync": post(path=UNKNOWN, headers=right),
        "unknown namespace": post(path="/push/elsewhere/apps", headers=right),
        "sync without push": post(path="/push/guard-system/closed", headers=right),
        "root": post(path="/", headers=right),
        "healthz": post(path="/healthz", headers=right),
        "metrics": b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET": post(b"", method="GET", headers=signed(b"")),
        "PUT": post(method="PUT", headers=right),
        "OPTIONS *": post(method="OPTIONS", path="*", headers=right),
        "DELETE": post(method="DELETE", headers=right),
        "slash": post(path=f"{PATH}/", headers=right),
        "query": post(path=f"{PATH}?a=b", headers=right),
        "fragment": post(path=f"{PATH}#a", headers=right),
        "dots": post(path="/push/guard-system/x/../apps", headers=right),
        "doubled slash": post(path="//push/guard-system/apps", headers=right),
        "dot": post(path="/push/./guard-system/apps", headers=right),
        "encoded slash": post(path="/push/guard-system%2Fapps", headers=right),
        "encoded letter": post(path="/push/guard-system/%61pps", headers=right),
        "encoded dots": post(path="/push/guard-system/x/%2e%2e/apps", headers=right),
        "upper case": post(path="/push/guard-system/Apps", headers=right),
        "absolute": post(path=f"http://push.example.com{PATH}", headers=right),
        "backslash": post(path="/push/guard-system\\apps", headers=right),
        "gzip": post(headers={"Content-Encoding": "gzip"} | right),
        "identity": post(headers={"Content-Encoding": "identity"} | right),
        "too large": post(b"", headers=right).replace(b"Content-Length: 0", b"Content-Length: %d" % (26 * MIB)),
    }


@pytest.mark.parametrize("what", refusals())
async def test_whoever_is_not_known_is_told_the_same(received: Receiving, what: str) -> None:
    known = await received.send(post(headers=signed(secret="wrong")))
    answer = await received.send(refusals()[what])
    assert answer.told == known.told
    assert (answer.status, answer.body) == (REFUSED, b"")
    assert answer.headers.keys() == {"content-length", "connection", "date"}
    assert not received.pushed
    assert received.counted == ["refused"] * 2


# HEAD names no length, and what is no HTTP is answered as HTTP/1.0.
OTHERS = {
    "HEAD": post(b"", method="HEAD", headers=signed(b"")),
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 64 + b"\r\n\r\n",
    "no version": b"POST /push/guard-system/apps\r\n\r\n",
    "two lengths": post(headers={"Content-Length": "5"} | signed()),
    "length and chunks": post(headers={"Transfer-Encoding": "chunked"} | signed()),
    "long path": post(path="/" + "a" * 5000, headers=signed()),
    "many headers": post(headers={f"X-{number}": "a" for number in range(100)} | signed()),
    "long header": post(headers={"X-Long": "a" * 20_000} | signed()),
}


@pytest.mark.parametrize("what", OTHERS)
async def test_what_hosts_never_send_is_told_no_more(received: Receiving, what: str) -> None:
    answer = await received.send(OTHERS[what])
    assert (answer.status, answer.body) == (REFUSED, b"")
    assert answer.headers.keys() <= {"content-length", "connection", "date"}
    assert not received.pushed
    assert received.counted == ["refused"]


async def test_a_refusal_takes_the_same_time_however_long_it_took_to_find_out() -> None:
    """Reading the Secret of a Sync that is there takes time that one that is not there does not need."""
    limits = Limits(refusal=0.5)
    async with receiving(limits) as received:
        received.api_server.clear()
        loop = asyncio.get_running_loop()
        took: dict[str, float] = {}
        for path in (PATH, UNKNOWN, "/elsewhere"):
            began = loop.time()
            assert (await received.send(post(path=path, headers=signed(secret="wrong")))).status == REFUSED
            took[path] = loop.time() - began
        received.api_server.set()
    assert all(seconds >= limits.refusal for seconds in took.values())
    assert max(took.values()) < 10 * limits.refusal


# ---- the secret


async def test_the_secret_is_read_once_for_many_pushes(received: Receiving) -> None:
    assert [await received.push() for _ in range(5)] == [ACCEPTED] * 5
    assert received.reads == ["guard-system/hook"]


async def test_a_thousand_unknown_requests_cause_one_read_and_a_push_gets_through() -> None:
    stranger = post(headers=signed(secret="wrong"))
    elsewhere = post(path=UNKNOWN, headers=signed())
    async with receiving(Limits(arrivals=10_000, refusal=0.02)) as received:
        statuses: list[int] = []
        for _ in range(20):
            answers = await asyncio.gather(*(received.send(request) for request in (stranger, elsewhere) * 25))
            statuses += [answer.status for answer in answers]
        assert statuses == [REFUSED] * 1000
        assert await received.push() == ACCEPTED
        assert received.reads == ["guard-system/hook"]
        assert received.pushed == [SYNC]


async def test_a_new_secret_works_ten_seconds_later_and_the_old_one_does_no_more(received: Receiving) -> None:
    assert await received.push() == ACCEPTED
    received.secrets["guard-system/hook"] = {"token": "new"}
    received.clock.ahead += REREAD_SECONDS
    assert await received.push(secret="new") == ACCEPTED
    assert await received.push() == REFUSED
    assert len(received.reads) == 2


async def test_before_that_failures_read_nothing_again(received: Receiving) -> None:
    assert await received.push(secret="wrong") == REFUSED
    received.secrets["guard-system/hook"] = {"token": "new"}
    received.clock.ahead += REREAD_SECONDS / 2
    assert await received.push(secret="new") == REFUSED
    assert len(received.reads) == 1


async def test_a_sync_that_names_another_secret_goes_by_it_at_once(received: Receiving) -> None:
    assert await received.push() == ACCEPTED
    received.secrets["guard-system/other"] = {"token": "other"}
    received.hooks[SYNC] = Hook(host="GitHub", namespace="guard-system", secret="other")
    assert await received.push(secret="other") == ACCEPTED
    assert await received.push() == REFUSED


async def test_a_sync_that_is_gone_takes_no_push(received: Receiving) -> None:
    assert await received.push() == ACCEPTED
    hook = received.hooks.pop(SYNC)
    assert await received.push() == REFUSED
    received.hooks[SYNC] = hook
    assert await received.push() == ACCEPTED


async def test_a_secret_that_is_deleted_is_good_no_more(received: Receiving) -> None:
    assert await received.push() == ACCEPTED
    received.secrets["guard-system/hook"] = SourceError("there is no Secret guard-system/hook")
    received.clock.ahead += REREAD_SECONDS
    assert await received.push() == REFUSED
    assert await received.push(secret="") == REFUSED


async def test_while_the_api_server_is_away_the_secret_known_last_is_good(received: Receiving) -> None:
    assert await received.push() == ACCEPTED
    received.secrets["guard-system/hook"] = Unreachable("no answer")
    received.clock.ahead += REREAD_SECONDS
    assert await received.push() == ACCEPTED


@pytest.mark.parametrize("held", [{}, {"token": ""}, {"token": "\n"}, {"password": SECRET}], ids=str)
async def test_a_secret_without_a_token_lets_nobody_in(received: Receiving, held: dict[str, str]) -> None:
    received.secrets["guard-system/hook"] = held
    for secret in ("", "\n", SECRET):
        assert await received.push(secret=secret) == REFUSED
    received.secrets["guard-system/hook"] = {"token": SECRET}
    received.clock.ahead += REREAD_SECONDS
    assert await received.push() == ACCEPTED


async def test_a_line_break_at_the_end_of_the_secret_does_not_count(received: Receiving) -> None:
    received.secrets["guard-system/hook"] = {"token": SECRET + "\r\n"}
    assert await received.push() == ACCEPTED


# ---- limits


async def test_many_pushes_to_one_sync_are_put_off_and_the_last_one_is_not_lost(received: Receiving) -> None:
    received.hooks["guard-system/calm"] = received.hooks[SYNC]
    assert [await received.push() for _ in range(WAKES + 10)] == [ACCEPTED] * (WAKES + 10)
    assert "limited" in received.counted
    assert await received.push(path="/push/guard-system/calm") == ACCEPTED
    assert received.counted[-1] == "accepted"

    def last_is_done() -> bool:
        last = max(at for at, what in enumerate(received.log) if what == "limited")
        return SYNC in received.log[last:]

    await eventually(last_is_done, what="a wake after the last push that was put off")
    assert len(received.pushed) < WAKES + 10


async def test_pushes_that_are_put_off_do_not_hold_up_the_end() -> None:
    async with receiving() as received:
        # One is allowed again every other second.
        for _ in range(WAKES + 10):
            await received.push()
        assert "limited" in received.counted
        before = len(received.pushed)
    await asyncio.sleep(2.1)
    assert received.pushed[before:] == ["guard-system/last"]


async def test_after_many_strangers_large_bodies_are_not_read_and_small_ones_are(received: Receiving) -> None:
    large = b"x" * (SMALL_BYTES + 1)
    # One is allowed again every three seconds.
    for _ in range(2 * STRANGERS):
        assert await received.push(large, secret="wrong") == REFUSED
    assert await received.push(large) == REFUSED
    assert await received.push(large[1:]) == ACCEPTED
