"""A command as a person runs it: on a terminal, which obeys what it is sent."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from pathlib import Path

from tools.guardrun import guard_command

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


def obeyed(sent: str) -> list[str]:
    """The lines of an output that do more than show letters in some style, or that somebody forged."""
    lines = [_STYLE.sub("", line) for line in sent.split("\n")]
    return [line for line in lines if not line.isprintable() or line.startswith("forged")]
