"""Keeps what a process holds in memory from the disk and from others of the same user.

Guard holds what it decrypts, and credentials, in its memory and nowhere else. The kernel would write all of it to the disk, or
hand it to the machine's crash collector, when the process crashes; and it lets every process of the same user read it.
"""

from __future__ import annotations

import ctypes
import os
import resource

# The kernel dumps nothing at all below a page, and takes 1, unlike 0, for a word to crash collectors as well (core(5) says that
# limits do not hold for these; fs/coredump.c has the exception).
MOST_CORE = 1

_PR_SET_DUMPABLE = 4  # prctl(2)


def keep_private() -> tuple[str, ...]:
    """No crash dump of this process, nor of those that it starts; and none but the superuser may read this one's memory, through
    /proc or ptrace (what it starts is again like any other). Returns what the machine did not grant, for the log.
    """
    missing: list[str] = []
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (MOST_CORE, MOST_CORE))
    except ValueError:  # the hard limit is 0 already, which is for good: nothing is written, but collectors are told
        missing.append("a limit of core dumps that crash collectors keep to (RLIMIT_CORE is 0, and may not be raised to 1)")
    libc = ctypes.CDLL(None, use_errno=True)
    unused = ctypes.c_ulong(0)
    if libc.prctl(_PR_SET_DUMPABLE, unused, unused, unused, unused):
        missing.append(f"memory that only the superuser reads (prctl: {os.strerror(ctypes.get_errno())})")
    return tuple(missing)
