"""`make tools`: have an SSH server at hand for the tests of private repositories, and GnuPG for those of signatures, installing
Debian's where that is safe.

Standard library only: it may run before there is a virtual environment. As a module: `python3 -m tools.debian`.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools import binaries
from tools.binaries import ToolsError


@dataclass(frozen=True)
class Wanted:
    """A program, the others that come with it, and where people get it."""

    name: str
    also: tuple[str, ...]
    package: str
    people: str


WANTED = (
    Wanted("sshd", (), "openssh-server", "your system's OpenSSH server (it need not run): the tests start one of their own"),
    Wanted("gpg", ("gpg-agent", "gpgconf"), "gnupg", "your system's GnuPG: the tests make keys and sign with them"),
)
# Where distributions keep daemons; often not on the PATH of people.
FOLDERS = ("/usr/sbin", "/usr/local/sbin")
# Asked by Debian's packages before they start a service; 101 is its `no`.
POLICY = Path("/usr/sbin/policy-rc.d")
DENIED = 101
# systemd made it when it booted the machine, so it would start the service at the next boot.
BOOTED = Path("/run/systemd/system")

_APT = ("apt-get", "-o", "DPkg::Lock::Timeout=300", "-qq")


def main() -> int:
    failed = 0
    for wanted in WANTED:
        try:
            path = _found(wanted) or _install(wanted)
        except ToolsError as error:
            print(f"make tools: {error}", file=sys.stderr)
            failed = 1
        else:
            print(f"{wanted.name:<33} {path}")
    return failed


def locate(name: str) -> Path:
    """Where one of WANTED is; sshd wants to be called by its whole path. Raises ToolsError when there is none."""
    wanted = next(one for one in WANTED if one.name == name)
    if path := _found(wanted):
        return path
    raise ToolsError(f"{name} not found; install {wanted.people}")


def _found(wanted: Wanted) -> Path | None:
    folders = os.pathsep.join((os.environ.get("PATH", os.defpath), *FOLDERS))
    found = [shutil.which(name, path=folders) for name in (wanted.name, *wanted.also)]
    return Path(found[0]).absolute() if found[0] and all(found) else None


def _install(wanted: Wanted) -> Path:
    """Install the package, start nothing. Raises ToolsError where that cannot be done, or would leave a service behind."""
    if os.geteuid() or not shutil.which("apt-get") or BOOTED.exists():
        raise ToolsError(f"{wanted.name} not found; install {wanted.people}")
    lock = binaries.cache_root() / "debian.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        # apt waits for nobody who reads its lists.
        fcntl.flock(file, fcntl.LOCK_EX)
        if not _found(wanted):
            print(f"{wanted.name}: installing Debian's {wanted.package} without starting it", flush=True)
            with _no_services(wanted.package):
                _run(wanted.package, *_APT, "update")
                _run(wanted.package, *_APT, "install", "--yes", "--no-install-recommends", wanted.package)
    return locate(wanted.name)


def _run(package: str, *command: str) -> None:
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, env=quiet, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise ToolsError(f"{package} cannot be installed: {' '.join(last) or 'apt-get gave no reason'}")


@contextmanager
def _no_services(package: str) -> Generator[None]:
    """Let no package start a service meanwhile. Raises ToolsError where the machine's own policy would let it."""
    if POLICY.exists():
        if subprocess.run([POLICY, "ssh", "start"], capture_output=True, check=False).returncode != DENIED:
            raise ToolsError(f"{POLICY} lets services start; install {package} yourself")
        yield
        return
    POLICY.write_text(f"#!/bin/sh\nexit {DENIED}\n")
    try:
        POLICY.chmod(0o755)
        yield
    finally:
        POLICY.unlink()


if __name__ == "__main__":
    sys.exit(main())
