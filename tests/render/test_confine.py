"""What a confined process can do, tried by one."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import textwrap
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from guard.render import confine
from guard.render.confine import Confinement

LAUNCHER = confine.__file__
LANDLOCK = max(0, ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), ctypes.c_uint(1)))

# Prints what became of an attempt, after all that it needs is loaded.
TRIAL = """
import ctypes, errno, os, signal, socket, subprocess, sys
from guard.render.confine import Confinement, restrict

ctypes.CDLL(None).getpid
b"".decode("utf-8"), "".encode("idna")
folder, outside = sys.argv[1:3]
restrict(Confinement.of(sys.argv[3:]))
try:
    result = ATTEMPT
except OSError as error:
    print(errno.errorcode[error.errno])
except MemoryError:
    print("MemoryError")
else:
    print("done" if result is None or result is True else result)
"""
MEMORY = 512 * 1024 * 1024
FILE = 1024 * 1024
DENIED = "EACCES"
UNLESS_FENCED = DENIED if LANDLOCK else "done"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """`read` and `written` for a process to use, a file and a folder outside of both, and a link that leads there."""
    for name in ("read", "written", "outside"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("text")
    (tmp_path / "read" / "link").symlink_to("../outside/file")
    return tmp_path


def attempt(what: str, folder: Path, *, network: bool = False) -> str:
    reads, writes = [str(folder / "read"), "/absent"], [str(folder / "written")]
    confinement = Confinement(seconds=10, memory=MEMORY, file=FILE, reads=reads, writes=writes, network=network)
    program = TRIAL.replace("ATTEMPT", textwrap.dedent(what))
    command = [sys.executable, "-c", program, str(folder), str(folder / "outside"), *confinement.arguments()]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(Path(LAUNCHER).parents[2])}
    )
    return done.stdout.strip() or f"{done.returncode}: {done.stderr[-500:]}"


@pytest.mark.parametrize(
    ("what", "became"),
    [
        ('open(folder + "/read/file").read()', "text"),
        ('os.listdir(folder + "/read") == ["file"] or True', "done"),
        ('open(folder + "/read/link").read()', DENIED if LANDLOCK else "text"),
        ('open(outside + "/file").read()', DENIED if LANDLOCK else "text"),
        ('open(folder + "/read/../outside/file").read()', DENIED if LANDLOCK else "text"),
        ("os.listdir(outside) and None", UNLESS_FENCED),
        ('open("/etc/passwd").close()', UNLESS_FENCED),
        ('open("/proc/self/environ").close()', UNLESS_FENCED),
        ('open(f"/proc/{os.getppid()}/environ").close()', UNLESS_FENCED),
        ('open(folder + "/read/file", "w").close()', UNLESS_FENCED),
        ('open(folder + "/read/new", "w").close()', UNLESS_FENCED),
        ('os.unlink(folder + "/read/file")', UNLESS_FENCED),
        ('os.symlink("/etc", folder + "/read/new")', UNLESS_FENCED),
        ('open(folder + "/written/new", "w").close()', "done"),
        ('open(folder + "/written/file").read()', "text"),
        ('os.unlink(folder + "/written/file")', "done"),
        ('os.truncate(outside + "/file", 0)', UNLESS_FENCED if LANDLOCK >= 3 else "done"),
        ('os.rename(folder + "/written/file", outside + "/moved")', UNLESS_FENCED),
        ('os.execv("/bin/true", ["true"])', DENIED if LANDLOCK else "0: "),
        ('os.posix_spawn(sys.executable, ["python"], {}) and None', UNLESS_FENCED),
    ],
)  # fmt: skip
def test_files_are_what_it_was_left(what: str, became: str, folder: Path) -> None:
    assert attempt(what, folder) == became


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK", "AF_PACKET", "AF_VSOCK"])
@pytest.mark.parametrize("kind", ["SOCK_STREAM", "SOCK_DGRAM", "SOCK_RAW"])
def test_there_are_no_sockets(family: str, kind: str, folder: Path) -> None:
    assert attempt(f"socket.socket(socket.{family}, socket.{kind}).close()", folder) == DENIED


def test_there_are_sockets_where_the_network_was_left(folder: Path) -> None:
    assert attempt("socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()", folder, network=True) == "done"


@pytest.mark.parametrize("name", ["io_uring_setup", "ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd"])
def test_there_is_no_way_around_and_none_into_other_processes(name: str, folder: Path) -> None:
    numbers = {
        "x86_64": {"io_uring_setup": 425, "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "pidfd_getfd": 438},
        "aarch64": {"io_uring_setup": 425, "ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271, "pidfd_getfd": 438},
    }
    number = numbers[os.uname().machine][name]
    call = f"(ctypes.CDLL(None, use_errno=True).syscall({number}, 0, 0, 0, 0, 0, 0), errno.errorcode.get(ctypes.get_errno()))"
    assert attempt(call, folder) == f"(-1, '{DENIED}')"


def test_numbers_of_another_architecture_reach_nothing(folder: Path) -> None:
    """x86_64 knows its calls under the numbers of x32, too; other processors know no such number."""
    call = "(ctypes.CDLL(None, use_errno=True).syscall(0x40000000 + 41, 2, 1, 0), errno.errorcode.get(ctypes.get_errno()))"
    assert attempt(call, folder) == f"(-1, '{DENIED if os.uname().machine == 'x86_64' else 'ENOSYS'}')"


def test_signals_do_not_reach_others(folder: Path) -> None:
    assert attempt("os.kill(os.getppid(), 0)", folder) == ("EPERM" if LANDLOCK >= 6 else "done")


@pytest.mark.parametrize(
    ("what", "became"),
    [
        ("bytes(600 * 1024 * 1024) and None", "MemoryError"),
        ("bytes(100 * 1024 * 1024) and None", "done"),
        ('open(folder + "/written/new", "wb", buffering=0).write(bytes(2 * 1024 * 1024))', str(1024 * 1024)),
        ('[os.open("/dev/null", os.O_RDONLY) for _ in range(2000)] and None', DENIED if LANDLOCK else "EMFILE"),
        ("[os.dup(0) for _ in range(2000)] and None", "EMFILE"),
        ('open("/proc/self/oom_score_adj").read()', DENIED if LANDLOCK else "1000"),
    ],
)  # fmt: skip
def test_what_it_may_take_is_bounded(what: str, became: str, folder: Path) -> None:
    assert attempt(what, folder) == became


def test_its_time_on_the_processor_is_bounded(folder: Path) -> None:
    confinement = Confinement(seconds=1, memory=MEMORY, file=0, runs=["/"])
    command = [sys.executable, "-P", "-S", LAUNCHER, *confinement.arguments(), "--", sys.executable, "-c", "while True: pass"]
    done = subprocess.run(command, capture_output=True, check=False, cwd=folder)
    assert done.returncode == -signal.SIGKILL


def launched(folder: Path, *command: str, runs: tuple[str, ...] = ("/",)) -> subprocess.CompletedProcess[str]:
    confinement = Confinement(seconds=10, memory=MEMORY, file=FILE, reads=[str(folder)], runs=runs)
    return subprocess.run(
        [sys.executable, "-P", "-S", LAUNCHER, *confinement.arguments(), "--", *command],
        capture_output=True, text=True, check=False, cwd=folder, env={"LD_LIBRARY_PATH": "/x", "PYTHONHOME": "", "KEPT": "1"},
    )  # fmt: skip


def test_the_launcher_becomes_the_program_with_its_arguments_and_environment(folder: Path) -> None:
    done = launched(folder, "/bin/sh", "-c", 'echo "$0 $KEPT ${LD_LIBRARY_PATH-gone} ${PYTHONHOME-gone}"; exit 3', "--", "x=1")
    assert (done.returncode, done.stdout, done.stderr) == (3, "-- 1 gone gone\n", "")


def test_a_program_that_is_not_there_is_not_started(folder: Path) -> None:
    done = launched(folder, "/absent")
    assert (done.returncode, done.stderr) == (confine.NOT_STARTED, "cannot be started: No such file or directory\n")


@pytest.mark.parametrize("arguments", [["seconds=1"], ["seconds=x", "memory=1", "file=1", "network=0", "parent=0"]])
def test_without_all_that_it_is_told_nothing_is_started(arguments: list[str], folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-S", LAUNCHER, *arguments, "--", "/bin/echo", "started"],
        capture_output=True, text=True, check=False, cwd=folder,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (confine.REFUSED, "")
    assert done.stderr.startswith("cannot be confined: ")


def test_nothing_is_started_when_the_parent_is_gone_already(folder: Path) -> None:
    confinement = Confinement(seconds=10, memory=MEMORY, file=FILE, runs=["/"], parent=os.getpid() + 1)
    done = subprocess.run(
        [sys.executable, "-P", "-S", LAUNCHER, *confinement.arguments(), "--", "/bin/echo", "started"],
        capture_output=True, text=True, check=False, cwd=folder,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (confine.REFUSED, "", "cannot be confined: the parent is gone\n")


async def test_it_ends_with_a_parent_that_is_killed() -> None:
    program = """
        import os, subprocess, sys, time
        from guard.render.confine import Confinement
        confinement = Confinement(seconds=60, memory=2**29, file=0, runs=["/"], parent=os.getpid())
        launcher = [sys.executable, "-P", "-S", sys.argv[1], *confinement.arguments(), "--"]
        child = subprocess.Popen([*launcher, "/bin/sh", "-c", "echo up; exec sleep 600"], stdout=subprocess.PIPE)
        child.stdout.readline()
        print(child.pid, flush=True)
        time.sleep(600)
    """
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(program), LAUNCHER,
        stdout=PIPE, env=os.environ | {"PYTHONPATH": str(Path(LAUNCHER).parents[2])},
    )  # fmt: skip
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    parent.kill()
    await parent.wait()
    while _runs(child):  # noqa: ASYNC110 (another process, which knows no Event)
        await asyncio.sleep(0.01)


def test_what_this_machine_lacks_is_known() -> None:
    lacking = confine.lacking()
    assert any("Landlock" in each for each in lacking) == (LANDLOCK == 0)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return False
