"""The child that parses: `python -m guard.render.worker CPU_SECONDS`, a File in, a Parsed out, until the input ends."""

from __future__ import annotations

import resource
import sys

from guard.base import codec
from guard.render.frames import LENGTH, packed
from guard.render.manifests import Fault, Parsed, parse
from guard.state.snapshot import File

# A file at the source's limit of 16 MiB took 460 MiB at its worst (nothing but empty lists): twice that, and some.
MEMORY = 1024 * 1024 * 1024


def answer(request: File) -> Parsed:
    """What `request` holds; a file that needs too much is a fault of that file."""
    try:
        return parse(request.path, request.data)
    except MemoryError:
        return _too_much(request, f"needs more than {MEMORY // 2**20} MiB of memory to read")
    except RecursionError:
        return _too_much(request, "is nested too deeply")


def main() -> None:
    _limit(resource.RLIMIT_AS, MEMORY)
    _limit(resource.RLIMIT_CPU, int(sys.argv[1]))
    _limit(resource.RLIMIT_CORE, 0)
    given, told = sys.stdin.buffer, sys.stdout.buffer
    while header := given.read(LENGTH):
        request = codec.decode_as(given.read(int.from_bytes(header, "big")), File)
        told.write(packed(answer(request)))
        told.flush()


def _too_much(request: File, message: str) -> Parsed:
    return Parsed(manifests=[], faults=[Fault(where=request.path, message=message)])


def _limit(which: int, most: int) -> None:
    _, hard = resource.getrlimit(which)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(which, (most, most))


if __name__ == "__main__":
    main()
