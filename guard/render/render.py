"""The parent's side: has a child parse the files of a snapshot, and takes no harm from what happens to it."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import sys
from asyncio.subprocess import PIPE, Process

from guard.base import codec
from guard.base.errors import RenderError
from guard.base.naming import plural
from guard.render.frames import LENGTH, packed
from guard.render.manifests import Fault, Parsed
from guard.state.ids import Manifest
from guard.state.snapshot import Snapshot

_UNSUPPORTED = {
    "kustomization.yaml": "Kustomize is not supported yet",
    "kustomization.yml": "Kustomize is not supported yet",
    "Kustomization": "Kustomize is not supported yet",
    "Chart.yaml": "Helm charts are not supported yet",
}

# What an interpreter needs to find its modules; nothing of the parent's secrets goes to the child.
_ENVIRONMENT = ("LD_LIBRARY_PATH", "PATH", "PYTHONHOME", "PYTHONPATH")

# An error is one line for a terminal.
_TOLD_AT_ONCE = 4


async def render(snapshot: Snapshot, *, timeout: float = 60) -> tuple[Manifest, ...]:  # noqa: ASYNC109 (the child is killed, not left)
    """The manifests of a snapshot in the order of its files and of their documents; none for a snapshot without files.

    Raises RenderError with the first fault of all files, the others in its hint; also when parsing takes longer than
    `timeout` seconds, more memory than it may, or ends unexpectedly.
    """
    for file in snapshot.files:
        if told := _UNSUPPORTED.get(file.path.rpartition("/")[2]):
            raise RenderError(told, where=file.path)
    if not snapshot.files:
        return ()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "guard.render.worker",
        # The limit counts processor time, which is at most the time that passes.
        str(math.ceil(timeout) + 1),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
        start_new_session=True,  # an interrupt at the terminal is the parent's to handle
    )
    try:
        parsed = await _exchange(process, snapshot, timeout=timeout)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()
    if faults := [fault for each in parsed for fault in each.faults]:
        raise _error(faults)
    return tuple(manifest for each in parsed for manifest in each.manifests)


async def _exchange(process: Process, snapshot: Snapshot, *, timeout: float) -> list[Parsed]:  # noqa: ASYNC109
    if process.stdin is None or process.stdout is None:
        raise RenderError("the parser has no pipes")
    parsed: list[Parsed] = []
    try:
        async with asyncio.timeout(timeout):
            for file in snapshot.files:
                process.stdin.write(packed(file))
                await process.stdin.drain()
                length = int.from_bytes(await process.stdout.readexactly(LENGTH), "big")
                parsed.append(codec.decode_as(await process.stdout.readexactly(length), Parsed))
    except TimeoutError as error:
        raise RenderError(f"parsing took longer than {timeout:g} s", where=snapshot.files[len(parsed)].path) from error
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        status, told = await _last_words(process)
        raise RenderError(
            f"the parser ended unexpectedly ({status})", where=snapshot.files[len(parsed)].path, hint=told
        ) from error
    return parsed


async def _last_words(process: Process) -> tuple[str, str]:
    """How the child ended, and the last line that it wrote."""
    _, told = await process.communicate()
    lines = told.decode(errors="replace").strip().splitlines()
    status = process.returncode or 0
    return f"signal {-status}" if status < 0 else f"status {status}", lines[-1] if lines else ""


def _error(faults: list[Fault]) -> RenderError:
    first, *others = faults
    error = RenderError(first.message, where=first.where, hint=first.hint)
    if not others:
        return error
    told = "; ".join(f"{other.where}: {other.message}" for other in others[:_TOLD_AT_ONCE])
    more = f"; and {len(others) - _TOLD_AT_ONCE} more" if len(others) > _TOLD_AT_ONCE else ""
    hint = f"{first.hint}; " if first.hint else ""
    return RenderError(first.message, where=first.where, hint=f"{hint}{plural(len(others), 'other error')}: {told}{more}")
