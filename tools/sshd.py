"""`make tools`: have an SSH server at hand for the tests of private repositories, installing Debian's where that is safe.

Standard library only: it may run before there is a virtual environment. As a module: `python3 -m tools.sshd`.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tools import binaries
from tools.binaries import ToolsError

MISSING = "sshd not found; install your system's OpenSSH server: the tests start one of their own, so it need not run"
# Where distributions keep daemons; often not on the PATH of people.
FOLDERS = ("/usr/sbin", "/usr/local/sbin")
# Asked by Debian's packages before they start a service; 101 is its `no`.
POLICY = Path("/usr/sbin/policy-rc.d")
DENIED = 101
# systemd made it when it booted the machine, so it would start the service at the next boot.
BOOTED = Path("/run/systemd/system")

_APT = ("apt-get", "-o", "DPkg::Lock::Timeout=300", "-qq")


def main() -> int:
    try:
        path = find() or _install()
    except ToolsError as error:
        print(f"make tools: {error}", file=sys.stderr)
        return 1
    print(f"{'sshd':<33} {path}")
    return 0


def find() -> Path | None:
    """Sshd wants to be called by its whole path."""
    found = shutil.which("sshd", path=os.pathsep.join((os.environ.get("PATH", os.defpath), *FOLDERS)))
    return Path(found).absolute() if found else None


def locate() -> Path:
    """Where sshd is. Raises ToolsError when there is none."""
    if path := find():
        return path
    raise ToolsError(MISSING)


def _install() -> Path:
    """Install the package, start nothing. Raises ToolsError where that cannot be done, or would leave a service behind."""
    if os.geteuid() or not shutil.which("apt-get") or BOOTED.exists():
        raise ToolsError(
            "sshd not found; install your system's OpenSSH server (it need not run): the tests start one of their own"
        )
    lock = binaries.cache_root() / "sshd.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        # apt waits for nobody who reads its lists.
        fcntl.flock(file, fcntl.LOCK_EX)
        if not find():
            print("sshd: installing Debian's openssh-server without starting it", flush=True)
            with _no_services():
                _run(*_APT, "update")
                _run(*_APT, "install", "--yes", "--no-install-recommends", "openssh-server")
    return locate()


def _run(*command: str) -> None:
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, env=quiet, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise ToolsError(f"openssh-server cannot be installed: {' '.join(last) or 'apt-get gave no reason'}")


@contextmanager
def _no_services() -> Generator[None]:
    """Let no package start a service meanwhile. Raises ToolsError where the machine's own policy would let it."""
    if POLICY.exists():
        if subprocess.run([POLICY, "ssh", "start"], capture_output=True, check=False).returncode != DENIED:
            raise ToolsError(f"{POLICY} lets services start; install openssh-server yourself")
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
