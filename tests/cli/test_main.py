"""How the command line ends: one line that says what went wrong, and an exit code that CI can go by."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from guard import control
from guard.base import codec
from guard.cli import main
from guard.inspect import Comparison
from tools.guardrun import guard_command

# A Guard with a fault of its own; in a process of its own, since one that runs Guard gives up for good what it could show others.
BROKEN = """
from guard.cli import main, run


class Broken:
    def __init__(self, options):
        self._options = options

    async def run(self):
        raise RuntimeError(f"wrong with {self._options.context}")


run.Runtime = Broken
main()
"""


# One whose thread waits for somebody else.
WAITING = """
import asyncio, time
from guard import telemetry
from guard.cli import main, run
from guard.base.errors import ConfigError


class Waiting:
    def __init__(self, options):
        self._fails = options.context == "fails"

    async def run(self):
        asyncio.get_running_loop().run_in_executor(None, time.sleep, 300)
        telemetry.get("waiting").info("stopping")
        if self._fails:
            raise ConfigError("cannot go on")


run.Runtime = Waiting
main()
"""

# One that waits for something, and is stopped meanwhile; what it waits for loses the cancellation.
LOSING = """
import asyncio, contextlib, os, signal
from guard import runtime
from guard.base import concurrency
from guard.cli import main


async def _connect(self):
    os.kill(os.getpid(), signal.SIGTERM)
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    await asyncio.Event().wait()


concurrency.CANCEL_AGAIN_SECONDS, runtime.SLOW_STOP_SECONDS = 1.0, 0.1
runtime.Runtime._connect = _connect
main()
"""

# One of which a part was cancelled, and nobody has stopped it.
CANCELLED = """
import asyncio
from guard.cli import main
from guard.runtime import Runtime


async def _connect(self):
    raise asyncio.CancelledError


Runtime._connect = _connect
main()
"""


async def broken(*_: object, **__: object) -> Comparison:
    raise RuntimeError("first line\n\x1b[2Jsecond line")


def ended(*arguments: str) -> int | str | None:
    """The exit code."""
    sys.argv = ["guard", *arguments]
    with pytest.raises(SystemExit) as raised:
        main()
    return raised.value.code


def started(script: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    """A Guard in a process of its own, with its end."""
    command = [sys.executable, "-c", script, "run", f"--data-dir={folder}", "--listen=127.0.0.1:0", "--log-format=json"]
    return subprocess.run(command, stderr=subprocess.PIPE, check=False, timeout=60)


@pytest.fixture(autouse=True)
def _arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["guard"])
    monkeypatch.setattr(control, "diff", broken)


def test_an_error_that_nobody_foresaw_is_one_line_and_no_drift(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended("diff") == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(r"guard: RuntimeError: first line\n\x1b[2Jsecond line (")
    assert "GUARD_TRACEBACK=1" in err


def test_where_it_came_from_is_told_on_demand(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUARD_TRACEBACK", "1")
    assert ended("diff") == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Traceback")
    assert any("in broken" in line for line in lines)
    assert all(line.isprintable() for line in lines)
    assert lines[-1].startswith("guard: RuntimeError: ")


def test_a_run_that_breaks_leaves_the_place_in_the_log_and_no_text_that_may_hold_a_value() -> None:
    command = [sys.executable, "-c", BROKEN, "run", "--context", "hunter2", "--log-format", "json"]
    ended = subprocess.run(command, stderr=subprocess.PIPE, check=False)
    assert ended.returncode == 2
    logged, told = ended.stderr.splitlines()
    line = codec.decode(logged)
    assert (line["error"], line["level"], line["component"]) == ("RuntimeError", "error", "cli")
    assert "in run" in line["frames"][-1]
    assert told == b"guard: an error that nobody foresaw ended the run: RuntimeError (the log says where it came from)"
    assert b"hunter2" not in logged


@pytest.mark.parametrize(("how", "code", "told"), [("ends", 0, []), ("fails", 2, [b"guard: cannot go on"])])
def test_a_run_waits_for_no_thread_at_its_end(how: str, code: int, told: list[bytes]) -> None:
    command = [sys.executable, "-c", WAITING, "run", "--context", how]
    ended = subprocess.run(command, stderr=subprocess.PIPE, check=False, timeout=60)
    logged, *rest = ended.stderr.splitlines()
    assert (ended.returncode, codec.decode(logged)["event"], rest) == (code, "stopping", told)


def test_a_stop_that_takes_long_says_what_it_waits_for_also_while_guard_starts(tmp_path: Path) -> None:
    ended = started(LOSING, tmp_path)
    stopping, slow = map(codec.decode, ended.stderr.splitlines())
    assert (ended.returncode, stopping["event"], slow["event"]) == (0, "stopping", "stopping takes long")
    assert "guard" in slow["waits_for"]


def test_a_run_that_ends_although_nobody_has_stopped_it_says_so(tmp_path: Path) -> None:
    ended = started(CANCELLED, tmp_path)
    assert ended.returncode == 2
    assert b"guard: an error that nobody foresaw ended the run: CancelledError" in ended.stderr


@pytest.mark.parametrize("reader", ["gone", "full"])
@pytest.mark.parametrize(("how", "code"), [("ends", 0), ("fails", 2)])
def test_the_end_of_a_run_that_nobody_can_be_told_of_is_the_same(how: str, code: int, reader: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-c", WAITING, "run", "--context", how]
    # What could not be written then waits to be written, and fails once more at the end.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with os.fdopen(writing, "wb") as pipe, Path("/dev/full").open("wb") as full:
        told = pipe if reader == "gone" else full
        ended = subprocess.run(command, stderr=told, env=environment, check=False, timeout=60)
    assert ended.returncode == code


@pytest.mark.parametrize("arguments", [("diff", "--nonsense"), ("nonsense",), ("explain", "web"), ("audit", "--since=later")])
def test_a_wrong_use_is_2(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(*arguments) == 2
    assert capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("guard re", ["reconcile", "resume"]),
        ("guard br", ["break-glass"]),
        ("guard reconcile --w", ["--wait"]),
        ("guard diff --color ", ["always", "auto", "never"]),
    ],
)
def test_commands_and_options_are_completed(words: str, completed: list[str]) -> None:
    *_, last = words.split(" ")
    environment = {
        "PATH": os.environ["PATH"],
        "_GUARD_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    found = subprocess.run(guard_command(), env=environment, capture_output=True, text=True, check=True)
    assert sorted(line.partition(",")[2] for line in found.stdout.splitlines()) == completed
    assert all(name.startswith(last) for name in completed)


def test_the_list_of_commands_loads_none_of_them() -> None:
    code = "import sys; from guard.cli.main import guard; guard(['--help'], standalone_mode=False); print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Offline: whether a folder" in found.stdout
    loaded = found.stdout.splitlines()[-1].split()
    assert not {"aiohttp", "rich", "kubernetes_asyncio", "guard.cli.status"}.intersection(loaded)
