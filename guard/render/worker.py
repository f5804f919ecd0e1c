"""The child that does what a repository may make endless: `python -m guard.render.worker SECONDS`, a Request in, Parts out, until
the input ends.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator

from guard.base import codec, memory
from guard.base.errors import RenderError
from guard.render import opened
from guard.render.frames import LENGTH, Part, Request, packed
from guard.render.ignoring import left_out
from guard.render.manifests import Fault, Found, Parsed, parse
from guard.render.opened import Opened
from guard.state.snapshot import File

# A file at the source's limit of 16 MiB took 460 MiB at its worst (nothing but empty lists): twice that, and some.
MEMORY = 1024 * 1024 * 1024
# What is decoded at once holds up the parent's loop: 256 KiB take it some 2 ms.
PART = 256 * 1024


def answer(request: File | Opened) -> Parsed:
    """What `request` holds; a file that needs too much is a fault of that file."""
    file = request if isinstance(request, File) else request.file
    try:
        return parse(file.path, file.data) if isinstance(request, File) else opened.parse(request)
    except MemoryError:
        return _too_much(file, f"needs more than {MEMORY // 2**20} MiB of memory to read")
    except RecursionError:
        return _too_much(file, "is nested too deeply")


def parts(parsed: Parsed) -> Iterator[Part]:
    """The same in parts of PART bytes or one manifest, the last of which has the faults."""
    found: list[Found] = []
    size = 0
    for each in parsed.manifests:
        found.append(each)
        size += len(codec.encode(each.body))
        if size > PART:
            yield Part(manifests=found, last=False)
            found, size = [], 0
    yield Part(manifests=found, faults=parsed.faults)


def main() -> None:
    seconds = int(sys.argv[1])
    _limit(resource.RLIMIT_AS, MEMORY)
    memory.keep_private()
    given, told = sys.stdin.buffer, sys.stdout.buffer
    while header := given.read(LENGTH):
        # Each file has the whole time. The parent counts as well, but it may be gone.
        _limit(resource.RLIMIT_CPU, int(time.process_time()) + seconds)
        request = codec.decode_as(given.read(int.from_bytes(header, "big")), Request)
        for part in _answers(request):
            told.write(packed(part))
        told.flush()


def _answers(request: Request) -> Iterator[Part]:
    for each in filter(None, (request.file, request.opened)):
        yield from parts(answer(each))
    try:
        if request.listed is not None:
            yield Part(secrets=opened.secrets_of(request.listed))
        if request.ignoring is not None:
            yield Part(left_out=left_out(request.ignoring))
    except RenderError as error:
        yield Part(faults=[Fault(where=error.where, message=error.message, hint=error.hint)])


def _too_much(request: File, message: str) -> Parsed:
    return Parsed(manifests=[], faults=[Fault(where=request.path, message=message)])


def _limit(which: int, most: int) -> None:
    """The soft limit: the hard one stays, since processor time is counted from the start and the limit moves on with it."""
    _, hard = resource.getrlimit(which)
    resource.setrlimit(which, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


if __name__ == "__main__":
    main()
