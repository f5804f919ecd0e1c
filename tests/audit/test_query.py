from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from guard.audit import Filter, Journal, Record, follow, read, segments
from guard.base.clock import rfc3339

START = datetime(2026, 1, 2, tzinfo=UTC)
LINE = 160  # bytes, about what a record of these tests takes


def record(
    number: int, *, kind: str = "Deployment", name: str = "web", user: str = "ann", sync: str = "guard-system/apps"
) -> Record:
    return Record(
        time=rfc3339(START + timedelta(minutes=number)),
        id=f"{number:025}A",
        event="denied" if number % 2 else "healed",
        kind=kind,
        namespace="default",
        name=name,
        user=user,
        sync=sync,
    )


def fill(directory: Path, records: list[Record], *, per_file: int = 1_000_000) -> None:
    journal = Journal(directory, max_bytes=per_file * LINE, keep=100)
    for each in records:
        journal.write(each)
    journal.close()


@pytest.fixture
def rotated(tmp_path: Path) -> Path:
    fill(tmp_path, [record(number) for number in range(50)], per_file=7)
    assert len(list(tmp_path.iterdir())) > 3
    return tmp_path


def found(directory: Path, wanted: Filter) -> list[int]:
    return [int(each.id[:-1]) for each in read(directory, wanted)]


def test_a_folder_without_a_journal_holds_no_records(tmp_path: Path) -> None:
    assert found(tmp_path, Filter()) == []
    assert found(tmp_path / "missing", Filter(limit=3)) == []


def test_rotated_files_are_read_oldest_first(rotated: Path) -> None:
    assert found(rotated, Filter()) == list(range(50))


def test_a_limit_keeps_the_newest_still_oldest_first(rotated: Path) -> None:
    assert found(rotated, Filter(limit=20)) == list(range(30, 50))
    assert found(rotated, Filter(limit=500)) == list(range(50))


def test_a_limit_reads_no_more_than_it_needs(rotated: Path) -> None:
    oldest = min(rotated.glob("journal.*.jsonl"), key=lambda path: int(path.name.split(".")[1]))
    oldest.write_bytes(b"not read\n")
    reading = read(rotated, Filter(limit=5))
    assert len(list(reading)) == 5
    assert reading.broken == 0


def test_lines_longer_than_a_block_are_read_backwards_whole(tmp_path: Path) -> None:
    long = Record(time=rfc3339(START), id="1", event="denied", message="x" * 200_000)
    fill(tmp_path, [record(0), long, record(2)])
    assert [each.message for each in read(tmp_path, Filter(limit=2))] == [long.message, ""]
    assert len(list(read(tmp_path, Filter(limit=9)))) == 3


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Filter(events=("denied",)), [1, 3]),
        (Filter(events=("denied", "healed")), [0, 1, 2, 3]),
        (Filter(kind="configmap"), [2]),
        (Filter(name="db"), [2]),
        (Filter(namespace="kube-system"), []),
        (Filter(user="bob"), [3]),
        (Filter(sync="guard-system/infra"), [1]),
        (Filter(sync="infra"), [1]),
        (Filter(sync="system/infra"), []),
        (Filter(since=START + timedelta(minutes=2)), [2, 3]),
        (Filter(reference=f"{1:025}a"), [1]),
        (Filter(events=("denied",), limit=1), [3]),
    ],
)
def test_a_filter_admits_what_it_names(tmp_path: Path, wanted: Filter, expected: list[int]) -> None:
    fill(
        tmp_path,
        [record(0), record(1, sync="guard-system/infra"), record(2, kind="ConfigMap", name="db"), record(3, user="bob")],
    )
    assert found(tmp_path, wanted) == expected


@pytest.mark.parametrize("minutes", [0, 6, 7, 8, 30, 49, 50])
def test_since_skips_old_files_but_no_record(rotated: Path, minutes: int) -> None:
    assert found(rotated, Filter(since=START + timedelta(minutes=minutes))) == list(range(minutes, 50))


def test_broken_lines_are_counted_and_passed_over(tmp_path: Path) -> None:
    broken = [b"\xff\xfe", b"{}", b'{"time":"t","id":"1","event":"unheard-of"}', b"[" * 100_000]
    (tmp_path / "journal.jsonl").write_bytes(record(0).line() + b"\n".join(broken) + b"\n\n" + record(1).line())
    for wanted in (Filter(), Filter(limit=10)):
        reading = read(tmp_path, wanted)
        assert len(list(reading)) == 2
        assert reading.broken == len(broken)


def test_a_line_still_being_written_is_left_for_later(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_bytes(record(0).line() + record(1).line()[:-1])
    for wanted in (Filter(), Filter(limit=10)):
        reading = read(tmp_path, wanted)
        assert len(list(reading)) == 1
        assert reading.broken == 0


def test_a_rotation_while_reading_changes_nothing(tmp_path: Path) -> None:
    fill(tmp_path, [record(number) for number in range(14)], per_file=7)
    reading = read(tmp_path, Filter())
    first = next(reading)
    fill(tmp_path, [record(number) for number in range(14, 40)], per_file=2)
    assert [int(each.id[:-1]) for each in [first, *reading]] == list(range(14))


@pytest.mark.parametrize("before", [True, False], ids=["before the files are listed", "after"])
def test_a_rotation_while_the_files_are_opened_hides_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, before: bool
) -> None:
    fill(tmp_path, [record(number) for number in range(14)], per_file=7)
    listed = segments.rotated

    def meanwhile(directory: Path) -> list[int]:
        numbers = [] if before else listed(directory)
        fill(directory, [record(number) for number in range(14, 23)], per_file=2)
        return listed(directory) if before else numbers

    monkeypatch.setattr(segments, "rotated", meanwhile)
    read_first = found(tmp_path, Filter())
    monkeypatch.undo()
    assert read_first == list(range(len(read_first)))
    assert len(read_first) >= 14
    assert found(tmp_path, Filter()) == list(range(23))


async def take(following: AsyncIterator[Record], count: int) -> list[int]:
    async with asyncio.timeout(60):
        return [int((await anext(following)).id[:-1]) for _ in range(count)]


async def test_follow_gives_history_then_what_comes(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for number in range(3):
        journal.write(record(number))
    async with aclosing(follow(tmp_path, Filter(limit=2))) as following:
        assert await take(following, 2) == [1, 2]
        journal.write(record(3))
        assert await take(following, 1) == [3]
    journal.close()


async def test_follow_waits_for_a_journal_that_is_not_there_yet(tmp_path: Path) -> None:
    directory = tmp_path / "later"
    async with aclosing(follow(directory, Filter())) as following:
        waiting = asyncio.ensure_future(take(following, 2))
        await asyncio.sleep(0.05)
        fill(directory, [record(0), record(1)])
        assert await waiting == [0, 1]


async def test_a_first_line_that_comes_while_the_file_is_opened_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path)
    known = os.fstat

    def write_meanwhile(descriptor: int) -> os.stat_result:
        if not read_lines(tmp_path):
            journal.write(record(0))
        return known(descriptor)

    monkeypatch.setattr(segments.os, "fstat", write_meanwhile)
    async with aclosing(follow(tmp_path, Filter())) as following:
        waiting = asyncio.ensure_future(take(following, 2))
        await asyncio.sleep(0.05)
        journal.write(record(1))
        assert await waiting == [0, 1]
    journal.close()


def read_lines(directory: Path) -> list[bytes]:
    return [line for file in directory.iterdir() for line in file.read_bytes().splitlines()]


async def test_follow_gives_what_the_filter_admits(tmp_path: Path) -> None:
    async with aclosing(follow(tmp_path, Filter(events=("denied",)))) as following:
        waiting = asyncio.ensure_future(take(following, 3))
        fill(tmp_path, [record(number) for number in range(6)])
        assert await waiting == [1, 3, 5]


async def test_follow_loses_and_doubles_nothing_over_many_rotations(tmp_path: Path) -> None:
    journal = Journal(tmp_path, max_bytes=5 * LINE, keep=1000)

    def write() -> None:
        """In a thread, so that rotations fall between any two steps of the reader."""
        for number in range(2000):
            journal.write(record(number))
            time.sleep(0.0002)

    writing = asyncio.ensure_future(asyncio.to_thread(write))
    async with aclosing(follow(tmp_path, Filter())) as following:
        assert await take(following, 2000) == list(range(2000))
    await writing
    journal.close()
    assert len(await asyncio.to_thread(os.listdir, tmp_path)) > 20


async def test_follow_goes_on_where_the_file_it_read_is_gone(tmp_path: Path) -> None:
    journal = Journal(tmp_path, max_bytes=2 * LINE, keep=1)
    journal.write(record(0))
    async with aclosing(follow(tmp_path, Filter())) as following:
        assert await take(following, 1) == [0]
        for number in range(1, 20):
            journal.write(record(number))
        remaining = found(tmp_path, Filter())
        assert await take(following, len(remaining)) == remaining
    journal.close()
