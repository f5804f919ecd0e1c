"""Become another program, which the kernel kills when the parent is gone: `leash.py PARENT-PID PROGRAM ARGUMENT...`.

A program of its own because a preexec function forks a process that has threads, about which Python warns for good reason.
Linux only; elsewhere the program runs without a leash.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    parent, program = int(sys.argv[1]), sys.argv[2]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the leash was on
            sys.exit(f"process {parent}, which started {program}, is gone")
    os.execv(program, sys.argv[2:])  # noqa: S606 (no shell is what is wanted)


main()
