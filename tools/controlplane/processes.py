"""Daemons on a leash: started with a log of their own, stopped by id, killed by the kernel when this process dies."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Sequence
from pathlib import Path

from guard.base.errors import GuardError

LEASH = Path(__file__).with_name("leash.py")
LOOPBACK = "127.0.0.1"
GRACE_SECONDS = 3  # kube-apiserver needs 1 s when nobody watches, and never ends while someone does
TAIL_LINES = 15


class ControlPlaneError(GuardError):
    """The control plane of a test, bench or demo run failed."""


def reserve_port() -> socket.socket:
    """A free loopback port that stays ours as long as the socket is open.

    The socket is bound and never listens; the daemon binds the same port beside it by SO_REUSEPORT, so that nobody can take the
    port in between, nor while the daemon is stopped. Clients are refused as if nothing were there.
    """
    reserved = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    reserved.bind((LOOPBACK, 0))
    return reserved


def port_of(reserved: socket.socket) -> int:
    return reserved.getsockname()[1]


def clean_environment(home: Path, **more: str) -> dict[str, str]:
    """Nothing of the user's configuration reaches a process of the run."""
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home), "LC_ALL": "C.UTF-8", **more}


class Daemon:
    """One process; may be started again after a stop, with the same arguments."""

    def __init__(self, arguments: Sequence[str | Path], *, log: Path, home: Path) -> None:
        self.name = Path(arguments[0]).name
        self.log = log
        self._arguments = [str(argument) for argument in arguments]
        self._home = home
        self._process: Process | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> None:
        if self.pid is not None:
            raise ControlPlaneError(f"{self.name} runs already", hint="stop it first")
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", LEASH, str(os.getpid()), *self._arguments,
                stdin=DEVNULL, stdout=log, stderr=log, cwd=self._home, env=clean_environment(self._home),
            )  # fmt: skip

    def check(self) -> None:
        """Raise ControlPlaneError, with the end of the log, when the process has died."""
        process = self._process
        if process is not None and process.returncode is not None:
            raise ControlPlaneError(
                f"{self.name} ended with exit code {process.returncode}:\n{self.tail()}", hint=f"all of it: {self.log}"
            )

    def tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(f"    {line}" for line in lines[-TAIL_LINES:])

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL when the grace is over. No error when it does not run."""
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(GRACE_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
        await process.wait()
        self._process = None

    async def kill(self) -> None:
        """SIGKILL. No error when it does not run."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        self._process = None
