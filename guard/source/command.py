"""Runs git, and nothing of the machine's or the user's own Git set-up with it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import tempfile
import threading
from operator import attrgetter
from pathlib import Path
from typing import cast

from msgspec import Struct

from guard.base.errors import ConfigError, SourceError

# Stands in for the user's configuration. A file, since git clears GIT_CONFIG_COUNT and -c settings before it starts
# `upload-pack` on a repository path, and that is where safe.directory has to hold for a repository of another owner.
_CONFIG = """\
[core]
	hooksPath = /dev/null
[credential]
	helper =
[fetch]
	recurseSubmodules = false
	writeCommitGraph = false
[gc]
	auto = 0
[init]
	defaultBranch = main
[maintenance]
	auto = false
[protocol]
	allow = never
	version = 2
[protocol "ext"]
	allow = never
[safe]
	directory = *
"""

# git asks with `Username for '...': ` and `Password for '...': `.
_ASKPASS = """\
#!/bin/sh
case "$1" in
Username*) printf '%s\\n' "$GUARD_GIT_USERNAME" ;;
*) printf '%s\\n' "$GUARD_GIT_PASSWORD" ;;
esac
"""

# What of the operator's GIT_* variables is kept: which authorities HTTPS trusts where no certificate is given.
_KEPT = frozenset({"GIT_SSL_CAINFO", "GIT_SSL_CAPATH"})

# Time for git to take its lock files away before it is killed.
_GRACE = 2.0


class GitCredentials(Struct, frozen=True):
    """For HTTPS. `ca_certificate` is PEM text and stands in for the machine's authorities."""

    username: str = ""
    password: str = ""
    ca_certificate: str = ""

    def __repr__(self) -> str:
        return f"GitCredentials(username={self.username!r}, password={'***' if self.password else ''!r})"


class Output(Struct, frozen=True):
    status: int
    out: bytes
    err: str


class GitCommand:
    """Runs git on one bare repository, one command at a time; `stop` may come from any thread.

    `directory` holds the files that git is pointed at: its configuration, the script that answers for a password, the CA.
    """

    def __init__(self, *, directory: Path, repository: Path, credentials: GitCredentials, timeout: float) -> None:
        self._directory = directory
        self._repository = repository
        self._credentials = credentials
        self._timeout = timeout
        self._running: subprocess.Popen[bytes] | None = None
        self._handle: object = None
        self._stopped = False
        self._guarding = threading.Lock()

    def prepare(self) -> None:
        """Write the files and make the repository where they are missing. Raises SourceError."""
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _put(self._directory / "gitconfig", _CONFIG, mode=0o600)
            _put(self._directory / "askpass", _ASKPASS, mode=0o700)
            if self._credentials.ca_certificate:
                _put(self._ca, self._credentials.ca_certificate, mode=0o600)
        except OSError as error:
            raise SourceError(f"the folder of Git repositories cannot be used: {error}", where=str(self._directory)) from error
        if not (self._repository / "HEAD").exists():
            made = self.run("init", "--bare", "--quiet", "--", str(self._repository))
            if made.status:
                raise SourceError(f"no repository can be made: {made.err.strip()}", where=str(self._repository))

    def run(self, *arguments: str, stdin: bytes = b"") -> Output:
        """Run `git *arguments`. Raises SourceError when it takes too long or `stop` was called; a failure of git itself is
        the caller's to read.
        """
        with tempfile.TemporaryFile() as given:
            given.write(stdin)
            given.seek(0)
            process = self._start(("git", *self._settings(), *arguments), given.fileno())
        try:
            out, err = process.communicate(timeout=self._timeout)
        except subprocess.TimeoutExpired as error:
            _kill(process)
            raise SourceError(f"git {arguments[0]} took longer than {self._timeout:g} s") from error
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

    def _start(self, command: tuple[str, ...], stdin: int) -> subprocess.Popen[bytes]:
        # Imported here since GitPython looks for the git binary while it is imported.
        try:
            from git import Git
        except ImportError as error:
            raise ConfigError("git is not installed", hint="Guard needs the git command on its PATH") from error
        # GitPython hands the whole environment on; `env -u` takes away what would steer git.
        ours = self._environment()
        unset = [f"--unset={name}" for name in os.environ if name.startswith("GIT_") and name not in _KEPT | ours.keys()]
        with self._guarding:
            if self._stopped:
                raise SourceError("stopped")
            # Not GitPython's kill_after_timeout: that finds children through ps or pgrep, which slim images lack, and then
            # waits for the remote helper that still holds the pipe. A session of its own can be killed as a whole.
            started = Git(str(self._directory)).execute(
                ["env", *unset, *command], istream=stdin, as_process=True, env=ours, start_new_session=True
            )
            # GitPython ends the process when its handle is collected.
            self._handle = started
            # Its own annotation leaves open whether the pipes carry bytes or text.
            self._running = cast("subprocess.Popen[bytes]", attrgetter("proc")(started))
            return self._running

    def _settings(self) -> tuple[str, ...]:
        # A redirect would make git ask for the password again, for another host, and be told it.
        return ("-c", "http.followRedirects=false") if self._credentials.password else ()

    def _environment(self) -> dict[str, str]:
        environment = {
            "HOME": str(self._directory),  # no ~/.netrc
            "GIT_ALLOW_PROTOCOL": "file:http:https",
            "GIT_ASKPASS": str(self._directory / "askpass"),
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": str(self._directory / "gitconfig"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_DIR": str(self._repository),
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_TERMINAL_PROMPT": "0",
            # Hosts that take a token alone do not care for the name, but git sends none without one.
            "GUARD_GIT_USERNAME": self._credentials.username or "git",
            "GUARD_GIT_PASSWORD": self._credentials.password,
        }
        if self._credentials.ca_certificate:
            environment["GIT_SSL_CAINFO"] = str(self._ca)
        return environment

    @property
    def _ca(self) -> Path:
        return self._directory / f"ca-{hashlib.sha256(self._credentials.ca_certificate.encode()).hexdigest()[:16]}.pem"


def _put(path: Path, text: str, *, mode: int) -> None:
    """Write a file whole or not at all; one that says so already stays."""
    if path.exists() and path.read_text() == text:
        return
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as new:
        new.write(text)
    Path(new.name).chmod(mode)
    Path(new.name).replace(path)


def _kill(process: subprocess.Popen[bytes]) -> None:
    _signal(process, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=_GRACE)
    _signal(process, signal.SIGKILL)
    process.communicate()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signal git and every helper that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
