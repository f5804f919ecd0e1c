"""The parent's side of parsing: has children parse files, remembers what they found, and takes no harm from their ends."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence

from msgspec import structs

from guard.base import codec
from guard.base.concurrency import for_each
from guard.base.errors import RenderError
from guard.render.cache import Cache, parsed_key
from guard.render.frames import LENGTH, Part, Request, packed
from guard.render.ignoring import Question
from guard.render.manifests import FaultsError, Found, Parsed
from guard.render.opened import Opened
from guard.state.snapshot import File

# What an interpreter needs to find its modules; nothing of the parent's secrets goes to the child.
_ENVIRONMENT = ("LD_LIBRARY_PATH", "PATH", "PYTHONHOME", "PYTHONPATH")

# With fewer files a second child is not worth its start of 0.1 s.
FILES_FOR_ANOTHER = 200
MOST_CHILDREN = 4
# A child is kept for the next commit, since its start takes longer than most parsing, but not for long: it holds 25 MB.
IDLE_SECONDS = 60.0
# One that has parsed so much goes at once: its memory may never come back to the system.
MOST_IN_ONE = 64 * 1024 * 1024


# Tools that run at once, for all Syncs.
TURNS = 2


class Parser:
    """Shared by all Syncs. `timeout` is in seconds, for one file."""

    def __init__(self, *, cache: Cache | None = None, timeout: float = 60) -> None:
        self._cache = cache
        self._timeout = timeout
        self._idle: list[_Child] = []
        self._ending: set[_Child] = set()
        # For those who have a tool make something, of which a run may take a gigabyte and each core.
        self.turns = asyncio.Semaphore(TURNS)
        # For runs of sops, among them those of whoever holds a turn.
        self.openings = asyncio.Semaphore(TURNS)

    async def close(self) -> None:
        """No child is left."""
        for child in (*self._idle, *self._ending):
            await child.close()
        self._idle.clear()
        self._ending.clear()

    async def made(self, key: str) -> bytes | None:
        """What a tool made of the inputs that `key` names, where that is kept."""
        return await self._cache.output(key) if self._cache else None

    async def keep_made(self, key: str, output: bytes) -> None:
        if self._cache:
            await self._cache.keep_output(key, output)

    async def parse(self, files: Sequence[File]) -> list[Parsed]:
        """What each file holds, in their order. Raises RenderError when parsing takes longer or more memory than it may, or ends
        unexpectedly.
        """
        keys = [parsed_key(file) for file in files]
        known = await self._cache.parsed(keys) if self._cache else {}
        todo = {key: file for key, file in zip(keys, files, strict=True) if key not in known}
        found = dict(zip(todo, await self._parsed(list(todo.values())), strict=True)) if todo else {}
        if self._cache and found:
            # Faults name the file, so they are found anew.
            await self._cache.keep_parsed({key: parsed.manifests for key, parsed in found.items() if not parsed.faults})
        return [
            _as_of(file.path, found[key], read_as=todo[key].path) if key in found else Parsed(manifests=known[key], faults=[])
            for key, file in zip(keys, files, strict=True)
        ]

    async def parse_opened(self, files: Sequence[Opened]) -> list[Parsed]:
        """The same of decrypted files. What they hold is kept nowhere, and the child that reads them ends before this returns."""
        child = _Child(self._timeout, is_quoted=False)
        try:
            return [await child.parsed_of(Request(opened=file), where=file.file.path) for file in files]
        finally:
            await child.close()

    async def parse_alone(self, files: Sequence[File]) -> list[Parsed]:
        """The same of what a tool has made of decrypted ones."""
        return await self.parse_opened([Opened(file=file, format="yaml", data=file.data) for file in files])

    async def secrets_of(self, files: Sequence[Opened]) -> frozenset[str]:
        """What the encrypted values of files stand for. Raises RenderError where one cannot be read."""
        if not files:
            return frozenset()
        child = _Child(self._timeout, is_quoted=False)
        found: set[str] = set()
        try:
            for file in files:
                (answer,) = await child.ask(Request(listed=file), where=file.file.path)
                if answer.faults:
                    raise FaultsError(answer.faults)
                found.update(answer.secrets)
        finally:
            await child.close()
        return frozenset(found)

    async def left_out(self, paths: list[str], files: dict[str, bytes]) -> frozenset[str]:
        """Which of the paths the ignore files leave out, by their contents. Raises RenderError, also for a bad pattern."""
        child = self._idle.pop() if self._idle else _Child(self._timeout)
        try:
            (answer,) = await child.ask(Request(ignoring=Question(paths=paths, files=files)), where=min(files))
        except BaseException:
            await child.close()
            raise
        self._spare(child)
        if answer.faults:
            raise FaultsError(answer.faults)
        return frozenset(answer.left_out)

    async def _parsed(self, files: list[File]) -> list[Parsed]:
        """Children share the files: each takes the next when it is done with one."""
        results: list[Parsed] = [Parsed(manifests=[], faults=[])] * len(files)
        waiting = iter(enumerate(files))

        async def work() -> None:
            child = self._idle.pop() if self._idle else _Child(self._timeout)
            try:
                for place, file in waiting:
                    results[place] = await child.parse(file)
            except BaseException:
                await child.close()
                raise
            self._spare(child)

        number = min(MOST_CHILDREN, os.cpu_count() or 1, 1 + len(files) // FILES_FOR_ANOTHER)
        await for_each(range(number), lambda _: work(), at_once=number)
        return results

    def _spare(self, child: _Child) -> None:
        if self._idle or child.parsed > MOST_IN_ONE:
            self._end(child)
            return
        self._idle.append(child)
        child.expire(IDLE_SECONDS, lambda: self._expired(child))

    def _expired(self, child: _Child) -> None:
        if child in self._idle:
            self._idle.remove(child)
            self._end(child)

    def _end(self, child: _Child) -> None:
        self._ending = {other for other in self._ending if not other.is_gone}
        self._ending.add(child)
        child.kill()


def _as_of(path: str, parsed: Parsed, *, read_as: str) -> Parsed:
    """What a file holds that was read under the name of another one of the same content."""
    if path == read_as or not parsed.faults:
        return parsed
    faults = [structs.replace(fault, where=f"{path}{fault.where.removeprefix(read_as)}") for fault in parsed.faults]
    return structs.replace(parsed, faults=faults)


class _Child:
    """One worker process, started when the first file comes. Its last words are told only if it `is_quoted`."""

    def __init__(self, timeout: float, *, is_quoted: bool = True) -> None:
        self.parsed = 0
        self._is_quoted = is_quoted
        self._timeout = timeout
        self._process: Process | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._reaped: asyncio.Task[tuple[bytes, bytes]] | None = None

    async def parse(self, file: File) -> Parsed:
        self.parsed += len(file.data)
        return await self.parsed_of(Request(file=file), where=file.path)

    async def parsed_of(self, request: Request, *, where: str) -> Parsed:
        manifests: list[Found] = []
        parts = await self.ask(request, where=where)
        for part in parts:
            manifests += part.manifests
        return Parsed(manifests=manifests, faults=parts[-1].faults)

    async def ask(self, request: Request, *, where: str) -> list[Part]:
        """The answer, of one part at least. Raises RenderError, naming `where`, when there is none."""
        if self._expiry is not None:
            self._expiry.cancel()
        known, self._process = self._process, self._process or await self._started()
        try:
            async with asyncio.timeout(self._timeout):
                try:
                    return await _exchange(self._process, request)
                except (asyncio.IncompleteReadError, ConnectionError):
                    if known is None:
                        raise
                # It may have ended while nobody asked it; whatever else ended it does so again.
                await _last_words(known)
                self._process = await self._started()
                return await _exchange(self._process, request)
        except TimeoutError as error:
            raise RenderError(f"parsing took longer than {self._timeout:g} s", where=where) from error
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            status, told = await _last_words(self._process)
            told = told if self._is_quoted else ""
            raise RenderError(f"the parser ended unexpectedly ({status})", where=where, hint=told) from error

    async def _started(self) -> Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "guard.render.worker",
            # The limit counts processor time, which is at most the time that passes.
            str(math.ceil(self._timeout) + 1),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            start_new_session=True,  # an interrupt at the terminal is the parent's to handle
        )

    @property
    def is_gone(self) -> bool:
        return self._reaped is not None and self._reaped.done()

    def expire(self, seconds: float, expired: Callable[[], None]) -> None:
        self._expiry = asyncio.get_running_loop().call_later(seconds, expired)

    def kill(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        if self._process is not None and self._reaped is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            self._reaped = asyncio.create_task(self._process.communicate())

    async def close(self) -> None:
        self.kill()
        if self._reaped is not None:
            await self._reaped


async def _exchange(process: Process, request: Request) -> list[Part]:
    if process.stdin is None or process.stdout is None:
        raise RenderError("the parser has no pipes")
    process.stdin.write(packed(request))
    await process.stdin.drain()
    parts: list[Part] = []
    while not parts or not parts[-1].last:
        length = int.from_bytes(await process.stdout.readexactly(LENGTH), "big")
        parts.append(codec.decode_as(await process.stdout.readexactly(length), Part))
    return parts


async def _last_words(process: Process) -> tuple[str, str]:
    """How the child ended, and the last line that it wrote."""
    _, told = await process.communicate()
    lines = told.decode(errors="replace").strip().splitlines()
    status = process.returncode or 0
    return f"signal {-status}" if status < 0 else f"status {status}", lines[-1] if lines else ""
