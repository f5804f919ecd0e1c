"""Runs git, and nothing of the machine's or the user's own Git set-up with it; no output, file or process grows without bound."""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from operator import attrgetter
from pathlib import Path
from typing import IO, cast

from msgspec import Struct

from guard.base.errors import ConfigError, SourceError
from guard.source import files

# Stands in for the user's configuration. A file, since git clears GIT_CONFIG_COUNT and -c settings before it starts
# `upload-pack` on a repository path, and that is where safe.directory has to hold for a repository of another owner, and
# where files that are too large are left out. Threads and windows are bounded so that git stays within MOST_MEMORY.
_CONFIG = """\
[core]
	hooksPath = /dev/null
	packedGitLimit = 256m
	packedGitWindowSize = 32m
[credential]
	helper =
[fetch]
	recurseSubmodules = false
	unpackLimit = 1
	writeCommitGraph = false
[gc]
	auto = 0
[init]
	defaultBranch = main
[maintenance]
	auto = false
[pack]
	threads = 4
[protocol]
	allow = never
	version = 2
[protocol "ext"]
	allow = never
[safe]
	directory = *
[uploadpack]
	allowFilter = true
"""

# What of the operator's GIT_* variables is kept: which authorities HTTPS trusts where no certificate is given.
_KEPT = frozenset({"GIT_SSL_CAINFO", "GIT_SSL_CAPATH"})

# A file may grow to, and a process hold, so much. Where the machine sets tighter limits those hold, so failures are ignored, and
# so is the signal of the first, for git to say what is wrong.
_LIMITED = """\
trap '' XFSZ
ulimit -f "$1" 2>/dev/null || :
ulimit -v "$2" 2>/dev/null || :
shift 2
exec "$@"
"""
_BLOCK = 512  # of `ulimit -f`, by POSIX
# A forged object can ask git for as much as it likes. A repository of 1 GiB takes a quarter of this.
MOST_MEMORY = 4 * 1024**3
# For a list of refs, which git holds as a whole before it says anything: twice what MOST_OUTPUT takes it.
MOST_MEMORY_OF_LIST = 512 * 1024**2
# More than git says of 100,000 files or of all refs of a large host.
MOST_OUTPUT = 64 * 1024 * 1024
# Enough for the reason; a server may add lines of its own without end.
MOST_COMPLAINT = 64 * 1024

# Time for git to take its lock files away before it is killed.
_GRACE = 2.0
_CHUNK = 64 * 1024  # what a pipe of Linux holds


class TooMuch(SourceError):
    """git said more than it was to; how much that is at most is the caller's, and so is what it means."""


class Output(Struct, frozen=True):
    status: int
    out: bytes
    err: str


class GitCommand:
    """Runs git on one bare repository, one command at a time; `stop` may come from any thread.

    `directory` is where git is run, and holds its configuration. `most` is how large a file may become that git writes.
    """

    def __init__(self, *, directory: Path, repository: Path, timeout: float, most: int) -> None:
        self._directory = directory
        self._repository = repository
        self._timeout = timeout
        self._most = str(-(-most // _BLOCK))
        self._running: subprocess.Popen[bytes] | None = None
        self._handle: object = None
        self._stopped = False
        self._guarding = threading.Lock()

    def prepare(self) -> None:
        """Write the configuration and make the repository where they are missing. Raises SourceError."""
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            files.put(self._directory / "gitconfig", _CONFIG, mode=0o600)
        except OSError as error:
            raise SourceError(f"the folder of Git repositories cannot be used: {error}", where=str(self._directory)) from error
        if not (self._repository / "HEAD").exists():
            self._make()

    def run(
        self,
        *arguments: str,
        stdin: bytes = b"",
        most: int = MOST_OUTPUT,
        memory: int = MOST_MEMORY,
        environment: Mapping[str, str] | None = None,
    ) -> Output:
        """Run `git *arguments`, with so much memory, and take up to `most` bytes from it. Raises SourceError when it cannot be
        started, takes too long or `stop` was called, and TooMuch; a failure of git itself is the caller's to read.
        """
        try:
            with tempfile.TemporaryFile() as given:
                given.write(stdin)
                given.seek(0)
                process = self._start(arguments, given.fileno(), environment or {}, memory=memory)
        except OSError as error:
            raise SourceError(f"git cannot be started: {error}") from error
        try:
            out, err = _collected(process, most=most, timeout=self._timeout)
        except TimeoutError as error:
            _kill(process)
            raise SourceError(f"git {arguments[0]} took longer than {self._timeout:g} s") from error
        except TooMuch:
            _kill(process)
            raise
        finally:
            with self._guarding:
                self._running = self._handle = None
        if self._stopped:
            raise SourceError("stopped")
        return Output(status=process.returncode, out=out, err=err.decode(errors="replace"))

    def stop(self) -> None:
        """Stop what runs, and start nothing any more."""
        with self._guarding:
            self._stopped = True
            if self._running is not None:
                _signal(self._running, signal.SIGTERM)

    def _make(self) -> None:
        # Under another name until it is whole.
        new = self._repository.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        made = self.run("init", "--bare", "--quiet", "--template=", "--", str(new))
        if made.status:
            raise SourceError(f"no repository can be made: {made.err.strip()}", where=str(self._repository))
        new.rename(self._repository)

    def _start(self, arguments: tuple[str, ...], stdin: int, more: Mapping[str, str], *, memory: int) -> subprocess.Popen[bytes]:
        # Imported here since GitPython looks for the git binary while it is imported.
        try:
            from git import Git
        except ImportError as error:
            raise ConfigError("git is not installed", hint="Guard needs the git command on its PATH") from error
        ours = {**self._environment(), **more}
        # GitPython hands the whole environment on; `env -u` takes away what would steer git.
        unset = [f"--unset={name}" for name in os.environ if name.startswith("GIT_") and name not in _KEPT | ours.keys()]
        limits = (self._most, str(memory // 1024))
        command = ["sh", "-c", _LIMITED, "sh", *limits, *(("env", *unset) if unset else ()), "git", *arguments]
        with self._guarding:
            if self._stopped:
                raise SourceError("stopped")
            # Not GitPython's kill_after_timeout: that finds children through ps or pgrep, which slim images lack, and then
            # waits for the remote helper that still holds the pipe. A session of its own can be killed as a whole.
            started = Git(str(self._directory)).execute(command, istream=stdin, as_process=True, env=ours, start_new_session=True)
            # GitPython ends the process when its handle is collected.
            self._handle = started
            # Its own annotation leaves open whether the pipes carry bytes or text.
            self._running = cast("subprocess.Popen[bytes]", attrgetter("proc")(started))
            return self._running

    def _environment(self) -> dict[str, str]:
        return {
            "HOME": str(self._directory),  # no ~/.netrc
            "GIT_ALLOW_PROTOCOL": "",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": str(self._directory / "gitconfig"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_DIR": str(self._repository),
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_TERMINAL_PROMPT": "0",
        }


def _collected(process: subprocess.Popen[bytes], *, most: int, timeout: float) -> tuple[bytes, bytes]:
    """Read both pipes to their ends, and wait. Raises TimeoutError and TooMuch, with the process still running."""
    deadline = time.monotonic() + timeout
    out, err = bytearray(), bytearray()
    # Both are pipes: GitPython starts every process so.
    said, complained = cast("IO[bytes]", process.stdout), cast("IO[bytes]", process.stderr)
    with said, complained, selectors.DefaultSelector() as pipes:
        pipes.register(said, selectors.EVENT_READ, out)
        pipes.register(complained, selectors.EVENT_READ, err)
        while pipes.get_map():
            ready = pipes.select(max(0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError
            for key, _ in ready:
                data = os.read(key.fd, _CHUNK)
                if not data:
                    pipes.unregister(key.fileobj)
                key.data.extend(data)
            if len(out) > most:
                raise TooMuch(f"git said more than {most / 2**20:g} MiB")
            del err[MOST_COMPLAINT:]
    try:
        process.wait(timeout=max(0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired as error:
        raise TimeoutError from error
    return bytes(out), bytes(err)


def _kill(process: subprocess.Popen[bytes]) -> None:
    _signal(process, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=_GRACE)
    _signal(process, signal.SIGKILL)
    process.wait()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signal git and every helper that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
