"""Runs a tool in its confinement, and takes no harm from what it does."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import shutil
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType

from msgspec import Struct

from guard import telemetry
from guard.base.errors import RenderError
from guard.render import confine
from guard.render.confine import Confinement
from guard.render.scratch import Scratch

# What programs need that are not of one piece, and the times of day by their names. None of it is anybody's secret.
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/usr/share/zoneinfo", "/etc/localtime")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")
_LOADERS = ("/lib", "/lib64")  # where ld-*.so.* is

# With the network: certificates, names of hosts and users, git with all that it calls.
_SYSTEM = ("/bin", "/usr", "/lib", "/lib64", "/etc")
_PROXIES = tuple(name for lower in ("http_proxy", "https_proxy", "no_proxy", "all_proxy") for name in (lower, lower.upper()))
_AUTHORITIES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO")  # they name files
# Neither what this machine's git is set up to do nor what a URL can make it do: no helpers, no files, nobody to ask.
_GIT = {
    "GIT_ALLOW_PROTOCOL": "https:http:ssh",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_SSH_COMMAND": "ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=yes",
}
# What an interpreter needs to find its modules; the launcher does not hand it on.
_INTERPRETER = ("LD_LIBRARY_PATH", "PYTHONHOME")

_NOTHING: Mapping[str, str] = MappingProxyType({})

_READ_AT_ONCE = 256 * 1024
# How Go's runtime itself, and no program in it, begins to say that it is at its end: at an allocation that failed unnoticed.
_CRASHED = b"SIGSEGV: segmentation violation"
_MEMORY_WORDS = (b"out of memory", b"cannot allocate memory", b"failed to create new OS thread")


class Limits(Struct, frozen=True, kw_only=True):
    """What a tool may take. A chart of 5,000 objects took Helm 0.5 s of the processor and 78 MB; one kustomization of 1,000
    Deployments took Kustomize 2.4 s and 44 MB, of 3,000 it took 42 s and 116 MB.
    """

    seconds: float = 120
    memory: int = 1024 * 1024 * 1024
    output: int = 64 * 1024 * 1024
    told: int = 64 * 1024  # of its error output, from its end


class Finished(Struct, frozen=True):
    status: int
    output: bytes
    told: bytes


class Binary(Struct, frozen=True):
    """A tool where it lies. `identity` changes with the file."""

    name: str
    path: str
    identity: str


def find(name: str) -> Binary:
    """A tool on the PATH. Raises RenderError where there is none."""
    found = shutil.which(name)
    if found is None:
        raise RenderError(
            f"{name} is not installed where Guard runs",
            hint=f"Guard looks for {name} on its PATH; Guard's image brings it along",
        )
    path = os.path.realpath(found)
    about = Path(path).stat()
    return Binary(name=name, path=path, identity=f"{path} {about.st_size} {about.st_mtime_ns}")


async def run(
    binary: Binary,
    arguments: Sequence[str],
    *,
    folder: Path,
    scratch: Scratch,
    limits: Limits,
    where: str,
    network: bool = False,
    given: bytes = b"",
    descriptors: Sequence[int] = (),
    environment: Mapping[str, str] = _NOTHING,
) -> Finished:
    """Run a tool to its end in `folder`. It reads the scratch folder's files and no others, and writes into its home only; it is
    `given` its standard input, and open files under their own numbers. `environment` is what it is told beside the usual.

    Raises RenderError with `where` when it cannot be started, takes too long or too much, and says nothing of other failures.
    """
    _say_what_is_lacking()
    confinement = Confinement(
        # Its own collector of garbage works on several cores; the time that passes is the parent's to watch.
        seconds=math.ceil(limits.seconds * (os.cpu_count() or 1)) + 1,
        memory=limits.memory,
        file=limits.output,
        reads=(*_LIBRARIES, str(scratch.files), *(_authorities() if network else ())),
        runs=(binary.path, *_loaders(), *(_SYSTEM if network else ())),
        writes=(str(scratch.home), *_DEVICES),
        network=network,
        parent=os.getpid(),
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-S", confine.__file__, *confinement.arguments(), "--", binary.path, *arguments,
        stdin=PIPE if given else DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        cwd=folder,
        env={**_environment(scratch, network=network), **environment},
        pass_fds=descriptors,
        # An interrupt at the terminal is the parent's to handle, and what it starts ends with it.
        start_new_session=True,
    )  # fmt: skip
    try:
        output, told = await _outputs(process, binary.name, limits, given=given)
        _check(binary, process.returncode or 0, told, limits)
    except RenderError as error:
        raise RenderError(error.message, where=error.where or where, hint=error.hint) from error
    finally:
        _kill(process)
        await process.communicate()
    return Finished(status=process.returncode or 0, output=output, told=told)


async def _outputs(process: Process, name: str, limits: Limits, *, given: bytes) -> tuple[bytes, bytes]:
    if process.stdout is None or process.stderr is None:
        raise RenderError(f"{name} has no pipes")
    output, told = bytearray(), bytearray()

    async def results(stream: asyncio.StreamReader) -> None:
        while chunk := await stream.read(_READ_AT_ONCE):
            if len(output) > limits.output:
                # Read to its end all the same: what is waited for is the process's, and that of its pipes.
                continue
            output.extend(chunk)
            if len(output) > limits.output:
                _kill(process)

    async def words(stream: asyncio.StreamReader) -> None:
        while chunk := await stream.read(_READ_AT_ONCE):
            told.extend(chunk)
            del told[: -limits.told]

    try:
        async with asyncio.timeout(limits.seconds):
            await asyncio.gather(_give(process, given), results(process.stdout), words(process.stderr))
            await process.wait()
    except TimeoutError as error:
        raise RenderError(f"{name} took longer than {limits.seconds:g} s") from error
    if len(output) > limits.output:
        raise RenderError(f"{name} gives out more than {limits.output // 2**20} MiB")
    return bytes(output), bytes(told)


async def _give(process: Process, given: bytes) -> None:
    if process.stdin is None:
        return
    # Who ends without reading it all says why in another way.
    with contextlib.suppress(ConnectionError):
        process.stdin.write(given)
        await process.stdin.drain()
    process.stdin.close()


def _kill(process: Process) -> None:
    """The tool and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _check(binary: Binary, status: int, told: bytes, limits: Limits) -> None:
    words = told.decode(errors="replace").strip().splitlines()
    last = words[-1] if words else ""
    if status == confine.NOT_STARTED and last.startswith("cannot be started"):
        raise RenderError(
            f"{binary.name} {last}",
            where=binary.path,
            hint="Guard needs the program itself, not a script that starts it; the projects release it for every system",
        )
    if status == confine.REFUSED and last.startswith("cannot be confined"):
        raise RenderError(f"{binary.name} {last}")
    if status < 0:
        raise RenderError(f"{binary.name} was ended by signal {-status}, as happens when memory or time runs out")
    if status and told.startswith(_CRASHED):
        raise RenderError(f"{binary.name} crashed, as it may where it needs more than {limits.memory // 2**20} MiB of memory")
    if status and any(word in told for word in _MEMORY_WORDS):
        raise RenderError(f"{binary.name} needs more than {limits.memory // 2**20} MiB of memory")


def _environment(scratch: Scratch, *, network: bool) -> dict[str, str]:
    home = str(scratch.home)
    found = {name: os.environ[name] for name in _INTERPRETER if name in os.environ}
    found |= {"HOME": home, "TMPDIR": home, "KUBECONFIG": os.devnull, "PATH": ""}
    found |= {f"XDG_{name}_HOME": f"{home}/{name.lower()}" for name in ("CACHE", "CONFIG", "DATA", "STATE")}
    if network:
        found |= _GIT | {"PATH": os.environ.get("PATH", os.defpath)}
        found |= {name: os.environ[name] for name in (*_PROXIES, *_AUTHORITIES) if name in os.environ}
    return found


def _authorities() -> tuple[str, ...]:
    return tuple(os.environ[name] for name in _AUTHORITIES if os.environ.get(name))


@cache
def _loaders() -> tuple[str, ...]:
    return tuple(str(path) for folder in _LOADERS for path in Path(folder).glob("ld-*.so.*"))


@cache
def _say_what_is_lacking() -> None:
    if missing := confine.lacking():
        telemetry.get("render").warning("Kustomize, Helm and SOPS run less confined than they could be", lacking=missing)
