"""The launcher of tools that read what a repository holds: takes rights away from its own process, and then becomes the tool.

    python -P -S confine.py seconds=61 reads=/srv/build ... -- /usr/local/bin/kustomize build .

Of the standard library only, since it starts without anything else, and as little of that as can be, since it is on the way of
every build: dataclasses, json, pathlib and signal would make it three times as slow. `restrict` can be called from a process that
confines itself, too.

Why not a library: the one binding to Landlock that is kept has only pre-releases, those to seccomp need libseccomp and its
compiler, and both would cost more lines than the four system calls below. Numbers and layouts are the kernel's (landlock(7),
seccomp(2)); both are interfaces that never change.
"""

from __future__ import annotations

import ctypes
import os
import resource
import struct
import sys
from collections.abc import Iterable

REFUSED = 125  # the exit code when rights could not be taken away, as env(1) and timeout(1) have it
NOT_STARTED = 126

# What the interpreter needs, or sets for itself, and the tool does not.
_INTERPRETERS = ("LD_LIBRARY_PATH", "PYTHONHOME", "LC_CTYPE")

_SIGKILL = 9
_PR_SET_PDEATHSIG = 1
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2

_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446
_VERSION_ONLY = 1
_PATH_BENEATH = 1
# Rights on files, by the bits of landlock_ruleset_attr.handled_access_fs; which of them there are depends on the kernel.
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE, _IOCTL_DEV = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14, 1 << 15
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_READING = _READ_FILE | _READ_DIR
_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}  # by ABI
_NETWORK_SINCE, _SCOPES_SINCE = 4, 6
_TCP = 0b11  # bind and connect
_SCOPES = 0b11  # abstract sockets and signals stay among the confined

# Calls that reach the network, io_uring's behind the back of any filter among them, and those that reach into other processes:
# socket, io_uring_setup, ptrace, process_vm_readv, process_vm_writev, pidfd_getfd.
_AUDIT_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_DENIED = {"x86_64": (41, 425, 101, 310, 311, 438), "aarch64": (198, 425, 117, 270, 271, 438)}
_X32 = 0x40000000  # x86_64's calls under other numbers
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER_AT, _ARCHITECTURE_AT = 0, 4  # in struct seccomp_data
_ALLOW, _KILL, _EACCES = 0x7FFF0000, 0x80000000, 0x00050000 | 13


class Confinement:
    """What a process may do.

    `seconds` are of processor time, on all cores together. Of `memory`, in bytes, address space that is only reserved does not
    count, as Go does it by the gigabyte. `file` is the most that it may write into one. It `reads` and `runs` files, and folders
    with all below them, and `writes` into folders, where it may run nothing; what of them does not exist is left out. `parent` is
    the process whose end is its own, 0 for nobody.
    """

    def __init__(
        self,
        *,
        seconds: int,
        memory: int,
        file: int,
        reads: Iterable[str] = (),
        runs: Iterable[str] = (),
        writes: Iterable[str] = (),
        network: bool = False,
        parent: int = 0,
    ) -> None:
        self.seconds = seconds
        self.memory = memory
        self.file = file
        self.reads = tuple(reads)
        self.runs = tuple(runs)
        self.writes = tuple(writes)
        self.network = network
        self.parent = parent

    def arguments(self) -> list[str]:
        """For the launcher's command line."""
        numbers = {"seconds": self.seconds, "memory": self.memory, "file": self.file, "network": int(self.network)}
        paths = {"reads": self.reads, "runs": self.runs, "writes": self.writes}
        return [
            *(f"{name}={value}" for name, value in (numbers | {"parent": self.parent}).items()),
            *(f"{name}={path}" for name, listed in paths.items() for path in listed),
        ]

    @classmethod
    def of(cls, arguments: Iterable[str]) -> Confinement:
        given: dict[str, list[str]] = {}
        for argument in arguments:
            name, _, value = argument.partition("=")
            given.setdefault(name, []).append(value)
        seconds, memory, file, network, parent = (
            int(given[name][0]) for name in ("seconds", "memory", "file", "network", "parent")
        )
        reads, runs, writes = (given.get(name, []) for name in ("reads", "runs", "writes"))
        return cls(
            seconds=seconds, memory=memory, file=file, reads=reads, runs=runs, writes=writes, network=network == 1, parent=parent
        )


class ConfinementError(Exception):
    """Rights could not be taken away."""


def restrict(confinement: Confinement) -> None:
    """Take away from this process, for good, all that `confinement` does not leave it, as far as this machine can.

    Where the kernel knows neither Landlock nor this processor's filter, limits are all there is: see `lacking`. Raises
    ConfinementError where something fails that should not.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    _prctl(libc, _PR_SET_NO_NEW_PRIVS, 1)
    _prctl(libc, _PR_SET_PDEATHSIG, _SIGKILL)
    if confinement.parent and os.getppid() != confinement.parent:
        raise ConfinementError("the parent is gone")
    _limit(resource.RLIMIT_CPU, confinement.seconds)
    _limit(resource.RLIMIT_DATA, confinement.memory)
    _limit(resource.RLIMIT_FSIZE, confinement.file)
    _limit(resource.RLIMIT_CORE, 1)  # none, for crash collectors neither: see guard.base.memory
    _limit(resource.RLIMIT_NOFILE, 1024)
    _go_first()
    _fence(libc, confinement)
    if not confinement.network:
        _cut_off(libc)


def lacking() -> tuple[str, ...]:
    """What this machine cannot do, for the log."""
    missing: list[str] = []
    if not _landlock(ctypes.CDLL(None, use_errno=True)):
        missing.append("Landlock, which keeps tools from files other than a build's own")
    if os.uname().machine not in _DENIED:
        missing.append("a filter of system calls for this processor, which keeps tools from the network")
    return tuple(missing)


def _prctl(libc: ctypes.CDLL, option: int, value: int) -> None:
    if libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)):
        raise _failed(f"prctl {option}")


def _failed(what: str) -> ConfinementError:
    return ConfinementError(f"{what}: {os.strerror(ctypes.get_errno())}")


def _limit(which: int, most: int) -> None:
    _, hard = resource.getrlimit(which)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(which, (most, most))


def _go_first() -> None:
    """Be what the kernel ends first where memory runs out, rather than Guard in the same container."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123 (pathlib takes too long to import)
            file.write("1000")
    except OSError:
        pass  # no /proc: the limit on memory still holds


# ---- Landlock


def _landlock(libc: ctypes.CDLL) -> int:
    """The version of the kernel's interface, 0 without one."""
    return max(0, libc.syscall(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(_VERSION_ONLY)))


def _fence(libc: ctypes.CDLL, confinement: Confinement) -> None:
    version = _landlock(libc)
    if not version:
        return
    rights = _RIGHTS[min(version, max(_RIGHTS))]
    fields = [rights]
    if version >= _NETWORK_SINCE:
        fields.append(0 if confinement.network else _TCP)
    if version >= _SCOPES_SINCE:
        fields.append(_SCOPES)
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    rules = libc.syscall(_LANDLOCK_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint(0))
    if rules < 0:
        raise _failed("landlock_create_ruleset")
    try:
        _allow(libc, rules, confinement.reads, rights & _READING)
        _allow(libc, rules, confinement.runs, rights & (_READING | _EXECUTE))
        # All but running what was written.
        _allow(libc, rules, confinement.writes, rights & ~_EXECUTE)
        if libc.syscall(_LANDLOCK_RESTRICT_SELF, rules, ctypes.c_uint(0)):
            raise _failed("landlock_restrict_self")
    finally:
        os.close(rules)


def _allow(libc: ctypes.CDLL, rules: int, paths: Iterable[str], rights: int) -> None:
    for path in paths:
        try:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            on_this = rights if os.path.isdir(path) else rights & _ON_FILES  # noqa: PTH112 (as above)
            rule = struct.pack("=Qi", on_this, place)
            if libc.syscall(_LANDLOCK_ADD_RULE, rules, _PATH_BENEATH, rule, ctypes.c_uint(0)):
                raise _failed(f"landlock_add_rule {path}")
        finally:
            os.close(place)


# ---- seccomp


def _cut_off(libc: ctypes.CDLL) -> None:
    machine = os.uname().machine
    if machine not in _DENIED:
        return
    code = _program(machine)
    buffer = ctypes.create_string_buffer(code, len(code))
    # struct sock_fprog, aligned as C does.
    program = struct.pack("@HP", len(code) // 8, ctypes.addressof(buffer))
    if libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_SECCOMP_MODE_FILTER), program, ctypes.c_ulong(0), ctypes.c_ulong(0)):
        raise _failed("seccomp")


def _program(machine: str) -> bytes:
    """Classic BPF; the two bytes of a jump count the instructions to skip, when true and when not."""
    denied = _DENIED[machine]
    steps = [(_LOAD, 0, 0, _ARCHITECTURE_AT), (_IF_EQUAL, 1, 0, _AUDIT_ARCHITECTURE[machine]), (_RETURN, 0, 0, _KILL)]
    steps.append((_LOAD, 0, 0, _NUMBER_AT))
    steps.append((_IF_AT_LEAST, len(denied) + 1, 0, _X32))
    steps.extend((_IF_EQUAL, len(denied) - index, 0, number) for index, number in enumerate(denied))
    steps.extend([(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _EACCES)])
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def main() -> None:
    at = sys.argv.index("--")
    described, command = sys.argv[1:at], sys.argv[at + 1 :]
    environment = {name: value for name, value in os.environ.items() if name not in _INTERPRETERS}
    try:
        restrict(Confinement.of(described))
    except (ConfinementError, OSError, ValueError, KeyError) as error:
        _end(f"cannot be confined: {error}", REFUSED)
    try:
        os.execve(command[0], command, environment)  # noqa: S606 (to become the tool is what this is for)
    except OSError as error:
        _end(f"cannot be started: {error.strerror}", NOT_STARTED)


def _end(told: str, status: int) -> None:
    sys.stderr.write(f"{told}\n")
    sys.exit(status)


if __name__ == "__main__":
    main()
