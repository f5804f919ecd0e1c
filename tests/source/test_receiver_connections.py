"""Clients that are slow, many, or speak HTTP in ways that hosts of repositories do not."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest
from structlog.testing import capture_logs

from guard.source import listening
from guard.source.listening import MIB, Limits
from tests.source.receiving import (
    ACCEPTED,
    BODY,
    REFUSED,
    SECONDS,
    SECRET,
    SYNC,
    Answer,
    chunked,
    post,
    receiving,
    signed,
)
from tools.guardrun import eventually

HASTY = Limits(exchange=0.3, refusal=0.02)


async def rest(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(SECONDS):
        return await reader.read()


async def answered(reader: asyncio.StreamReader) -> Answer:
    """The answer, while the connection may still be open for what the client has to send."""
    async with asyncio.timeout(SECONDS):
        return Answer(await reader.readuntil(b"\r\n\r\n"))


async def is_cut_off(reader: asyncio.StreamReader) -> bool:
    """Whether the connection ends without an answer."""
    try:
        return await rest(reader) == b""
    except ConnectionResetError:
        return True


async def test_a_body_in_chunks_is_taken() -> None:
    async with receiving() as received:
        assert (await received.send(chunked(BODY[:5], BODY[5:], headers=signed()))).status == ACCEPTED
        assert (await received.send(chunked(BODY[:5], BODY[5:-1], headers=signed()))).status == REFUSED


@pytest.mark.parametrize("size", [b"-1", b"g", b"ffffffffffffffffff", b""], ids=repr)
async def test_malformed_chunks_are_refused(size: bytes) -> None:
    async with receiving() as received:
        request = chunked(BODY, headers=signed()).replace(b"%x\r\n" % len(BODY), size + b"\r\n")
        assert (await received.send(request)).status == REFUSED
        assert not received.pushed


async def test_a_body_that_comes_byte_by_byte_is_taken() -> None:
    async with receiving() as received:
        reader, writer = await received.connect()
        for byte in post(headers=signed()):
            writer.write(bytes([byte]))
            await writer.drain()
        assert Answer(await rest(reader)).status == ACCEPTED
        writer.close()


async def test_a_body_that_stalls_is_refused_in_time() -> None:
    async with receiving(HASTY) as received:
        reader, writer = await received.connect()
        writer.write(post(headers=signed())[:-1])
        assert (await answered(reader)).status == REFUSED
        writer.close()
        assert received.counted == ["refused"]


async def test_a_body_that_trickles_is_refused_in_time() -> None:
    async with receiving(HASTY) as received:
        reader, writer = await received.connect()
        body = b"x" * 10_000
        writer.write(post(body, headers=signed(body))[:-9_999])
        answer = asyncio.create_task(answered(reader))
        while not answer.done():
            writer.write(b"x")
            await asyncio.sleep(0.02)
        assert answer.result().status == REFUSED
        writer.close()


@pytest.mark.parametrize("sent", [b"", b"POST /push/", post(headers=signed())[: -len(BODY) - 2]], ids=["nothing", "line", "head"])
async def test_a_head_that_never_ends_is_cut_off(sent: bytes) -> None:
    async with receiving(HASTY) as received:
        reader, writer = await received.connect()
        writer.write(sent)
        assert await is_cut_off(reader)
        writer.close()


async def test_a_client_that_goes_away_does_no_harm() -> None:
    async with receiving() as received:
        for sent in (post(headers=signed())[:-3], post(headers=signed())[:20], chunked(BODY, headers=signed())[:-5]):
            _, writer = await received.connect()
            writer.write(sent)
            await writer.drain()
            writer.transport.abort()
        assert not received.pushed


async def test_of_many_idle_clients_the_oldest_makes_room() -> None:
    async with receiving(Limits(connections=5, refusal=0.02)) as received:
        clients = [await received.connect() for _ in range(20)]
        assert await received.push() == ACCEPTED
        for reader, _ in clients[:15]:
            assert await is_cut_off(reader)
        for _, writer in clients:
            writer.close()


async def test_more_connections_than_a_second_may_bring_wait_their_turn() -> None:
    async with receiving(Limits(arrivals=20, refusal=0.0)) as received:
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await asyncio.gather(*(received.push(secret="wrong") for _ in range(60))) == [REFUSED] * 60
        assert loop.time() - began >= 1.5


async def test_a_connection_carries_one_request() -> None:
    async with receiving() as received:
        request = post(headers=signed())
        answer = await received.send(request * 3)
        assert answer.data.count(b"HTTP/1.1") == 1
        assert received.pushed == [SYNC]


async def test_what_follows_a_request_is_no_request() -> None:
    """A body longer than it was said to be, so that its end would be read as a push of its own."""
    async with receiving() as received:
        smuggled = post(headers=signed())
        request = post(b"", headers=signed(b"wrong")) + smuggled
        assert (await received.send(request)).status == REFUSED
        assert not received.pushed


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
async def test_both_versions_of_http_are_understood(version: str) -> None:
    async with receiving() as received:
        answer = await received.send(post(headers=signed()).replace(b"HTTP/1.1", version.encode(), 1))
        assert answer.status == ACCEPTED


async def test_an_upgrade_is_not_followed() -> None:
    async with receiving() as received:
        headers = {"Connection": "Upgrade", "Upgrade": "websocket"}
        assert (await received.send(post(b"", method="GET", headers=headers))).status == REFUSED
        assert (await received.send(post(headers=headers | signed()))).status == ACCEPTED


@pytest.mark.parametrize("framed", ["length", "chunks"])
@pytest.mark.parametrize(("size", "status"), [(25, ACCEPTED), (26, REFUSED)])
async def test_25_mib_are_taken_and_26_are_not_and_neither_is_held(framed: str, size: int, status: int) -> None:
    piece = b"x" * MIB
    headers = signed(piece * size)
    head = post(b"", headers=headers).replace(b"Content-Length: 0", b"Content-Length: %d" % (size * MIB))
    end = b""
    if framed == "chunks":
        head, end = chunked(headers=headers).removesuffix(b"0\r\n\r\n"), b"0\r\n\r\n"
        piece = b"%x\r\n%b\r\n" % (len(piece), piece)
    async with receiving(Limits(refusal=0.02, linger=2.0)) as received:
        tracemalloc.start()
        try:
            reader, writer = await received.connect()
            writer.write(head)
            for _ in range(size):
                writer.write(piece)
                await writer.drain()
            writer.write(end)
            assert Answer(await rest(reader)).status == status
            writer.close()
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        # The client here holds two pieces at a time.
        assert most < 6 * MIB
        assert len(received.pushed) == (status == ACCEPTED)


async def test_the_end_waits_for_what_is_being_answered_and_for_nobody_else() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with receiving(Limits(refusal=0.2)) as received:
        idle = await received.connect()
        stalled = await received.connect()
        stalled[1].write(post(headers=signed())[:-1])
        refused = asyncio.create_task(received.send(post(headers=signed(secret="wrong"))))
        await eventually(lambda: received.reads, what="the push has come", every=0.01)
    assert (await refused).status == REFUSED
    assert loop.time() - began < 2 * listening.GOODBYE_SECONDS + 1
    for _, writer in (idle, stalled):
        writer.close()
    with pytest.raises(ConnectionRefusedError):
        await received.connect()


async def test_a_fault_of_guards_own_is_told_like_any_refusal() -> None:
    async with receiving() as received:
        received.fault = RuntimeError(SECRET)
        with capture_logs() as lines:
            answer = await received.send(post(headers=signed()))
        assert (answer.status, answer.body) == (REFUSED, b"")
        assert received.counted == ["refused"]
        received.fault = None
    assert [line["error"] for line in lines] == ["RuntimeError"]
    assert SECRET not in str(lines)
