from __future__ import annotations

import resource
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from guard.audit import Filter, Journal, Record, read
from guard.base.errors import JournalError


def denial(number: int, *, message: str = "") -> Record:
    return Record(time="2026-01-02T03:04:05.678Z", id=f"{number:026}", event="denied", message=message)


def numbers(directory: Path) -> list[int]:
    return [int(record.id) for record in read(directory, Filter())]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path)
    yield journal
    journal.close()


@contextmanager
def files_no_larger_than(size: int) -> Generator[None]:
    """As a full disk: what is past `size` is not written."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def test_records_come_back_in_order(journal: Journal, tmp_path: Path) -> None:
    for number in range(3):
        journal.write(denial(number))
    assert list(read(tmp_path, Filter())) == [denial(0), denial(1), denial(2)]


def test_only_the_owner_may_read_the_journal(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").touch(mode=0o644)
    Journal(tmp_path).close()
    assert (tmp_path / "journal.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_record_is_in_the_file_when_write_returns(tmp_path: Path) -> None:
    """A process that is killed right after loses nothing, and wrote with one call."""
    script = (
        "import os, pathlib, sys\n"
        "from guard.audit import Journal, Record\n"
        "journal = Journal(pathlib.Path(sys.argv[1]))\n"
        "calls, write = [], os.write\n"
        "os.write = lambda fd, data: calls.append(data) or write(fd, data)\n"
        "journal.write(Record(time='t', id='7', event='denied'))\n"
        "assert len(calls) == 1\n"
        "os.kill(os.getpid(), 9)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    assert numbers(tmp_path) == [7]


def test_a_line_cut_off_by_a_crash_does_not_spoil_the_next_record(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_bytes(denial(1).line() + b'{"time":"2026')
    journal = Journal(tmp_path)
    journal.write(denial(2))
    journal.close()
    reading = read(tmp_path, Filter())
    assert [int(record.id) for record in reading] == [1, 2]
    assert reading.broken == 1


def test_a_full_journal_is_renamed_and_the_oldest_dropped(tmp_path: Path) -> None:
    journal = Journal(tmp_path, max_bytes=3 * len(denial(0).line()), keep=2)
    for number in range(10):
        journal.write(denial(number))
    journal.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["journal.2.jsonl", "journal.3.jsonl", "journal.jsonl"]
    assert numbers(tmp_path) == [3, 4, 5, 6, 7, 8, 9]


def test_a_record_larger_than_a_file_is_written_all_the_same(tmp_path: Path) -> None:
    journal = Journal(tmp_path, max_bytes=100)
    for number in range(2):
        journal.write(denial(number, message="x" * 200))
    journal.close()
    assert numbers(tmp_path) == [0, 1]


def test_a_journal_that_cannot_be_renamed_grows_on(tmp_path: Path) -> None:
    (tmp_path / "journal.1.jsonl").mkdir()  # nothing can be renamed to the name of a folder that holds something
    (tmp_path / "journal.1.jsonl" / "kept").touch()
    journal = Journal(tmp_path, max_bytes=200, keep=1)
    for number in range(10):
        journal.write(denial(number))
    journal.close()
    assert (tmp_path / "journal.jsonl").read_bytes().count(b"\n") == 10


def test_a_write_that_fails_says_so_and_the_next_record_stands_alone(journal: Journal, tmp_path: Path) -> None:
    journal.write(denial(0))
    size = len(denial(0).line())
    with files_no_larger_than(size + 10), pytest.raises(JournalError, match="10 of"):
        journal.write(denial(1))
    with files_no_larger_than(size + 10), pytest.raises(JournalError, match="not written"):
        journal.write(denial(2))
    journal.write(denial(3))
    reading = read(tmp_path, Filter())
    assert [int(record.id) for record in reading] == [0, 3]
    assert reading.broken == 1


def test_a_folder_that_cannot_be_made_is_a_journal_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match="cannot be opened"):
        Journal(tmp_path / "file")


def test_a_closed_journal_takes_no_record(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.close()
    journal.close()
    with pytest.raises(JournalError, match="closed"):
        journal.write(denial(0))


def test_the_journal_is_not_inherited_by_child_processes(journal: Journal, tmp_path: Path) -> None:
    journal.write(denial(0))
    script = (
        "import os, sys; print(any(os.path.samefile(fd.path, sys.argv[1]) for fd in os.scandir('/proc/self/fd') if fd.is_file()))"
    )
    for close_fds in (True, False):
        command = [sys.executable, "-c", script, str(tmp_path / "journal.jsonl")]
        child = subprocess.run(command, check=True, close_fds=close_fds, capture_output=True, text=True, timeout=60)
        assert child.stdout == "False\n"
