"""Runs gpg and ssh-keygen in a folder of their own, with nothing of the user's set-up, and bounds on what they take."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from guard.base.errors import SourceError

# A signature of an RSA key of 16384 bits takes 3 ms, and an import of a Secret of a megabyte a second.
_SECONDS = 30.0
# gpg takes 10 MiB; what it maps besides are libraries.
_MEMORY = 512 * 1024**2
_FILE = 64 * 1024**2
_BLOCK = 512  # of `ulimit -f`, by POSIX
_LIMITED = f'ulimit -f {_FILE // _BLOCK}; ulimit -v {_MEMORY // 1024}; exec "$@"'

_PREFIX = "verify-"
# Far longer than any run takes.
_LEFT_BEHIND_SECONDS = 3600.0


class Finished(Struct, frozen=True):
    status: int
    out: bytes
    err: bytes


@contextmanager
def folder(directory: Path) -> Generator[Path]:
    """A private folder that is there for one check. What a killed process left is taken away. Raises SourceError."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for old in directory.glob(f"{_PREFIX}*"):
            # That of another check, which Syncs do side by side, may be gone by now.
            with suppress(FileNotFoundError):
                if time.time() - old.stat().st_mtime > _LEFT_BEHIND_SECONDS:
                    shutil.rmtree(old, ignore_errors=True)
        made = tempfile.TemporaryDirectory(prefix=_PREFIX, dir=directory, ignore_cleanup_errors=True)
    except OSError as error:
        raise SourceError(f"no folder can be made to check signatures in: {error}", where=str(directory)) from error
    with made as path:
        yield Path(path)


class Run(Protocol):
    """Run a program to its end in `folder`, which is also its home. Raises SourceError where it is missing or takes too long."""

    def __call__(self, name: str, arguments: Sequence[str], *, folder: Path, stdin: bytes) -> Finished: ...


class Programs:
    """Those that look at the signatures of one source, one at a time; `stop` may come from any thread."""

    def __init__(self, *, seconds: float = _SECONDS) -> None:
        self._seconds = seconds
        self._running: subprocess.Popen[bytes] | None = None
        self._stopped = False
        self._guarding = threading.Lock()

    def run(self, name: str, arguments: Sequence[str], *, folder: Path, stdin: bytes) -> Finished:
        """A `Run`."""
        path = shutil.which(name)
        if path is None:
            raise SourceError(
                f"{name} is not installed where Guard runs",
                hint=f"Guard looks for {name} on its PATH; Guard's image brings it along",
            )
        process = self._start(name, [path, *arguments], folder)
        with process:
            try:
                out, err = process.communicate(stdin, timeout=self._seconds)
            except BaseException as error:
                _kill(process)
                if isinstance(error, subprocess.TimeoutExpired):
                    raise SourceError(f"{name} took longer than {self._seconds:g} s over a signature") from error
                raise
            finally:
                with self._guarding:
                    self._running = None
        if self._stopped:
            raise SourceError("stopped")
        return Finished(status=process.returncode, out=out, err=err)

    def stop(self) -> None:
        """Stop what runs, and start nothing any more."""
        with self._guarding:
            self._stopped = True
            if self._running is not None:
                _kill(self._running)

    def _start(self, name: str, command: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(folder),
            "LC_ALL": "C",
            # ssh-keygen takes times without a zone for those of the machine.
            "TZ": "UTC",
        }
        with self._guarding:
            if self._stopped:
                raise SourceError("stopped")
            try:
                self._running = subprocess.Popen(
                    ["sh", "-c", _LIMITED, "sh", *command],
                    cwd=folder,
                    env=environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    start_new_session=True,
                )
            except OSError as error:
                raise SourceError(f"{name} cannot be started: {error}") from error
            return self._running


def _kill(process: subprocess.Popen[bytes]) -> None:
    """With all that it started, or reading its output would not end."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
