"""What git may do is bounded. Aliases of git run what tests need of it."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from guard.base.errors import SourceError
from guard.source.command import MOST_COMPLAINT, MOST_MEMORY, GitCommand, TooMuch


@pytest.fixture
def git(tmp_path: Path) -> GitCommand:
    return command(tmp_path)


def command(tmp_path: Path, *, timeout: float = 30, most: int = 1024**2) -> GitCommand:
    made = GitCommand(directory=tmp_path / "data", repository=tmp_path / "data" / "a.git", timeout=timeout, most=most)
    made.prepare()
    return made


def shell(text: str) -> tuple[str, ...]:
    return ("-c", f"alias.run=!{text}", "run")


def test_output_and_status_come_back(git: GitCommand) -> None:
    output = git.run(*shell("cat; echo complaint >&2; exit 3"), stdin=b"given")

    assert (output.status, output.out, output.err) == (3, b"given", "complaint\n")


def test_files_and_memory_have_limits(git: GitCommand) -> None:
    limits = git.run(*shell("ulimit -f; ulimit -v")).out.split()

    assert limits == [str(1024**2 // 512).encode(), str(MOST_MEMORY // 1024).encode()]


def test_a_tighter_limit_of_the_machine_stays(tmp_path: Path) -> None:
    import resource

    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512 * 100, old[1]))
    try:
        assert command(tmp_path, most=512 * 50).run(*shell("ulimit -f")).out.split() == [b"50"]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_a_file_past_the_limit_is_not_written(git: GitCommand, tmp_path: Path) -> None:
    output = git.run(*shell(f"head -c 3000000 /dev/zero > {tmp_path}/large"))

    assert output.status
    assert (tmp_path / "large").stat().st_size == 1024**2


def test_output_without_end_is_cut_off(git: GitCommand) -> None:
    with pytest.raises(TooMuch, match=r"more than 0\.5 MiB"):
        git.run(*shell("yes"), most=512 * 1024)
    assert git.run("--version").status == 0


def test_complaints_without_end_are_read_and_dropped(git: GitCommand) -> None:
    output = git.run(*shell("echo first >&2; yes | head -c 10000000 >&2; exit 1"))

    assert output.err.startswith("first\n")
    assert len(output.err) <= MOST_COMPLAINT


def test_what_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    git = command(tmp_path, timeout=0.5)
    started = time.monotonic()
    with pytest.raises(SourceError, match=r"took longer than 0\.5 s"):
        git.run(*shell(f"sh -c 'sleep 30; touch {tmp_path}/alive' & sleep 30"))

    assert time.monotonic() - started < 10


def test_a_git_that_closes_its_output_and_stays_is_ended(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="took longer than"):
        command(tmp_path, timeout=0.5).run(*shell("exec >&- 2>&-; sleep 30"))


def test_stopping_ends_what_runs_and_starts_nothing_more(git: GitCommand) -> None:
    stopping = threading.Timer(0.3, git.stop)
    stopping.start()
    started = time.monotonic()
    with pytest.raises(SourceError, match="stopped"):
        git.run(*shell("sleep 30"))
    stopping.join()

    assert time.monotonic() - started < 10
    with pytest.raises(SourceError, match="stopped"):
        git.run("--version")


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(SourceError, match="the folder of Git repositories cannot be used"):
        command(tmp_path)
