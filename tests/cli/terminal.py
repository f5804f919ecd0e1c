"""A command as a person runs it: on a terminal, which obeys what it is sent."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from tools.guardrun import PATIENCE, eventually, guard_command

# What no output may do to a terminal, or look like: clear it, set its title, end the line and forge another, colour by an 8-bit
# control, turn the direction of writing. And what rich would make of data: an emoji, a style.
HOSTILE = "\x1b[2J\x1b]0;pwn\x07a:100:b [red]c[/]\nforged\x9b31m\u202e"
HARMLESS = r"\x1b[2J\x1b]0;pwn\x07a:100:b [red]c[/]\nforged\x9b31m\u202e"
HARMLESS_JSON = r"\u001b[2J\u001b]0;pwn\u0007a:100:b [red]c[/]\nforged\u009b31m\u202e"

_STYLE = re.compile(r"\x1b\[[0-9;]*m")


def environment(**more: str) -> Mapping[str, str]:
    """Wide enough that no line is folded."""
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "TERM": "xterm-256color", "COLUMNS": "500", **more}


async def on_terminal(*arguments: str | Path, **more: str) -> tuple[int, str]:
    """The exit code of a guard command, and what it sent to the terminal."""
    terminal, end = os.openpty()
    try:
        command = [*guard_command(), *map(str, arguments)]
        process = await asyncio.create_subprocess_exec(*command, stdin=end, stdout=end, stderr=end, env=environment(**more))
    finally:
        os.close(end)
    try:
        sent = await asyncio.to_thread(_all_of, terminal)
    finally:
        os.close(terminal)
    return await process.wait(), sent.decode().replace("\r\n", "\n")


def _all_of(terminal: int) -> bytes:
    sent = b""
    while True:
        try:
            sent += os.read(terminal, 65536)
        except OSError:  # the other end is closed
            return sent


def unstyled(sent: str) -> str:
    return _STYLE.sub("", sent)


def obeyed(sent: str) -> list[str]:
    """The lines of an output that do more than show letters in some style, or that somebody forged."""
    lines = [unstyled(line) for line in sent.split("\n")]
    return [line for line in lines if not line.isprintable() or line.startswith("forged")]


def _interruptible() -> None:
    """As in a shell's foreground: where the tests themselves run in the background of a script, Ctrl-C would be ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Session:
    """A guard command that goes on until it is told to end: on a terminal, or with its output piped."""

    def __init__(self, process: asyncio.subprocess.Process, output: int) -> None:
        self._process = process
        self._output = output
        self.sent = ""

    @classmethod
    @asynccontextmanager
    async def of(cls, *arguments: str | Path, terminal: bool, **more: str) -> AsyncGenerator[Self]:
        """Gone at the end, whatever happened."""
        output, end = os.openpty() if terminal else os.pipe()
        os.set_blocking(output, False)
        command = [*guard_command(), *map(str, arguments)]
        environ = environment(**more)
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=end, stderr=end, env=environ, preexec_fn=_interruptible
        )
        os.close(end)
        found = cls(process, output)
        try:
            yield found
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            found.hang_up()

    async def until(self, text: str, *, seconds: float = PATIENCE) -> None:
        """Read until it has sent this text; what it has sent is in `sent`."""

        def is_there() -> bool:
            self._read()
            return text in self.sent

        await eventually(is_there, what=f"{text!r} in:\n{self.sent}", seconds=seconds)

    async def interrupt(self) -> int:
        """As Ctrl-C does. The exit code."""
        self._process.send_signal(signal.SIGINT)
        return await self.ended()

    async def ended(self) -> int:
        """The exit code, once it has ended by itself."""
        async with asyncio.timeout(60):
            code = await self._process.wait()
        self._read()
        return code

    def hang_up(self) -> None:
        """Read no more: what it sends from now on meets a closed pipe."""
        if self._output >= 0:
            os.close(self._output)
            self._output = -1

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._output, 65536)
            except OSError:  # nothing for now, or the other end is closed
                return
            if not data:
                return
            self.sent += data.decode(errors="replace").replace("\r\n", "\n")
