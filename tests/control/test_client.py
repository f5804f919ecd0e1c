"""What a command says when the running Guard does not answer: each time what is the matter, and what to do."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from guard import control
from guard.base.errors import ControlError
from guard.control.client import LARGEST_LINE

NOBODY = 65534


@asynccontextmanager
async def answering(directory: Path, answer: bytes) -> AsyncGenerator[None]:
    """A Guard whose socket answers whatever is asked with these bytes, and ends."""

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_unix_server(reply, directory / control.SOCKET):
        yield


def answer(body: bytes, *, length: int | None = None) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body) if length is None else length}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


async def failed(directory: Path) -> str:
    """What `guard diff` says."""
    with pytest.raises(ControlError) as raised:
        await control.diff(directory, sync="")
    return str(raised.value)


async def failed_audit(directory: Path) -> str:
    with pytest.raises(ControlError) as raised:
        _ = [record async for record in control.audit(directory, {})]
    return str(raised.value)


@pytest.mark.parametrize("name", ["", "nowhere"])
async def test_without_a_socket_no_guard_is_running(tmp_path: Path, name: str) -> None:
    told = f"{tmp_path / name}: no Guard is running on this data folder (start it with guard run, or give --data-dir)"
    assert await failed(tmp_path / name) == told


async def test_a_socket_that_a_killed_guard_left_behind_is_no_guard(tmp_path: Path) -> None:
    async with answering(tmp_path, b""):
        left = (tmp_path / control.SOCKET).rename(tmp_path / "left")
    left.rename(tmp_path / control.SOCKET)
    assert "no Guard is running" in await failed(tmp_path)


@contextmanager
def shut(directory: Path) -> Generator[None]:
    """The folder closed to whoever runs the test; root enters everything, so it becomes somebody else meanwhile."""
    user = os.geteuid()
    directory.chmod(0)
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)
        directory.chmod(0o700)


async def test_a_socket_of_another_user_is_said_to_be_his(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    directory.mkdir()
    async with answering(directory, b""):
        with shut(directory):
            told = await failed(directory)
    assert told.startswith(f"{directory / control.SOCKET}: the control socket is for ")
    assert told.endswith(f"{directory.owner()} alone (ask as that user, or give another --data-dir)")


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\n", answer(b'{"objects":', length=100), b"gibberish\r\n\r\n"])
async def test_a_guard_that_ends_while_it_answers_broke_off(tmp_path: Path, sent: bytes) -> None:
    async with answering(tmp_path, sent):
        told = await failed(tmp_path)
    assert f"{tmp_path / control.SOCKET}: the running Guard broke off: " in told
    assert "no Guard is running" not in told


async def test_records_that_end_too_soon_broke_off(tmp_path: Path) -> None:
    async with answering(tmp_path, answer(b'{"time":"","id":"1","event":"denied"}\n{"time', length=100)):
        assert "the running Guard broke off" in await failed_audit(tmp_path)


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"objects":"many"}', b"[]"])
async def test_an_answer_that_is_none_is_said_to_be_unreadable(tmp_path: Path, body: bytes) -> None:
    async with answering(tmp_path, answer(body)):
        assert "the running Guard's answer cannot be read: " in await failed(tmp_path)


@pytest.mark.parametrize("line", [b"<html>", b"x" * (3 * LARGEST_LINE)], ids=["no record", "too long"])
async def test_a_record_that_is_none_is_said_to_be_unreadable(tmp_path: Path, line: bytes) -> None:
    async with answering(tmp_path, answer(line)):
        assert "the running Guard's answer cannot be read: " in await failed_audit(tmp_path)


async def test_a_path_that_no_socket_can_have_is_said(tmp_path: Path) -> None:
    assert "the running Guard cannot be asked: AF_UNIX path too long" in await failed(tmp_path / ("long" * 40))
