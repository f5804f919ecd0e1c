"""Looked at from outside: what a process that keeps its memory private leaves behind, and what others see of it."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

PRIVATE = "from guard.base.memory import keep_private\nkeep_private()\n"
UNLIMITED = "import resource as r\nr.setrlimit(r.RLIMIT_CORE, (r.getrlimit(r.RLIMIT_CORE)[1],) * 2)\n"
KILLED = "import os, signal\nos.kill(os.getpid(), signal.{signal})\n"
STARTS = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', {code!r}])\n"
WAITS = "import sys\nprint(flush=True)\nsys.stdin.read()\n"
# It reads a child's, so that no other rule of the machine (Yama) is in the way; and as a superuser without any of the powers of
# one (prctl(PR_CAPBSET_DROP), which the next program that it runs goes by), so that root's tests tell the same as anybody's.
READER = """
import ctypes, os, subprocess, sys
if len(sys.argv) > 2:
    for capability in range(64):
        ctypes.CDLL(None).prctl(24, ctypes.c_ulong(capability), *[ctypes.c_ulong(0)] * 3)
    os.execv(sys.executable, [sys.executable, "-c", sys.argv[2], sys.argv[1]])
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
for name in ("mem", "environ", "maps"):
    try:
        open(f"/proc/{child.pid}/{name}", "rb").close()
        print("read")
    except PermissionError:
        print("denied")
child.stdin.close()
child.wait()
"""

# Into the folder where it ran, as far as the machine lets anybody.
IS_DUMPED = (
    not Path("/proc/sys/kernel/core_pattern").read_text().startswith(("|", "/"))
    and resource.getrlimit(resource.RLIMIT_CORE)[1] == resource.RLIM_INFINITY
)


def run(code: str, *arguments: str, directory: Path | None = None) -> str:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=directory, text=True, stdout=subprocess.PIPE, timeout=60, check=False).stdout


@pytest.mark.parametrize("signal", ["SIGABRT", "SIGSEGV"])
@pytest.mark.parametrize("of", ["itself", "a child"])
def test_a_crash_leaves_no_core_file(tmp_path: Path, signal: str, of: str) -> None:
    killed = KILLED.format(signal=signal)
    code = killed if of == "itself" else STARTS.format(code=killed)
    left: list[bool] = []
    for before in (UNLIMITED, UNLIMITED + PRIVATE):
        run(before + code, directory=tmp_path)
        left.append(any(tmp_path.iterdir()))
        for core in tmp_path.iterdir():
            core.unlink()
    assert left == [IS_DUMPED, False]


def test_another_process_of_the_same_user_reads_nothing_of_it() -> None:
    assert run(READER, WAITS, READER).split() == ["read"] * 3
    assert run(READER, PRIVATE + WAITS, READER).split() == ["denied"] * 3


def test_what_it_starts_reads_nothing_of_it_and_has_files_and_children_as_any(tmp_path: Path) -> None:
    code = """
        import asyncio, os, sys
        async def started(code):
            return await (await asyncio.create_subprocess_exec(sys.executable, "-c", code)).wait()
        own = os.listdir("/proc/self/fd") and open("/proc/self/stat").read() and open("/proc/self/limits").read()
        print(len(own) > 0, asyncio.run(started("open('/proc/self/oom_score_adj', 'w').write('1000')")))
    """
    indented = "\n".join(line.removeprefix("        ") for line in code.splitlines())
    assert run(PRIVATE + indented, directory=tmp_path) == "True 0\n"


def test_what_cannot_be_had_is_told() -> None:
    # As a superuser who may not raise limits (CAP_SYS_RESOURCE).
    code = """
import ctypes, os, resource, sys
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
ctypes.CDLL(None).prctl(24, ctypes.c_ulong(24), *[ctypes.c_ulong(0)] * 3)
told = "from guard.base.memory import *; print(keep_private(), resource.getrlimit(resource.RLIMIT_CORE))"
os.execv(sys.executable, [sys.executable, "-c", told])
"""
    told = run(code)
    assert "RLIMIT_CORE is 0" in told
    assert told.endswith("(0, 0)\n")
