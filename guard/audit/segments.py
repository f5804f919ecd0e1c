"""The files of a journal, opened together so that a rotation meanwhile neither hides nor doubles one."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from guard.audit.journal import journal_file, rotated

BLOCK = 64 * 1024
HEAD = 256  # bytes: time and reference come first and take 100


class Position(Struct, frozen=True):
    """A place in a journal that outlives renaming: which file, and how many of its bytes came before.

    An inode alone does not tell files apart, since that of a deleted file is used again at once; the first line, which
    holds a reference, does.
    """

    inode: int
    head: bytes
    offset: int

    def same_file(self, other: Position) -> bool:
        return (self.inode, self.head) == (other.inode, other.head)


class Segment:
    """One file, as far as it held whole lines when it was opened. A last line without its newline is still being written,
    or was cut off; it counts once the journal has ended it.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        # In this order: a first line that is written in between is then in the head as well, by which the file is known again.
        status = os.fstat(file.fileno())
        head = file.readline(HEAD)
        self.end = Position(inode=status.st_ino, head=head, offset=self._whole_lines(status.st_size))

    def lines(self, start: int = 0) -> Iterator[bytes]:
        """From the byte `start` on; empty lines are left out."""
        self._file.seek(start)
        offset = start
        while offset < self.end.offset and (line := self._file.readline()):
            offset += len(line)
            if line != b"\n":
                yield line

    def lines_backwards(self) -> Iterator[bytes]:
        rest = b""  # the end of a line whose beginning has not been read yet
        for block in self._blocks_backwards(self.end.offset):
            rest, *lines = (block + rest).split(b"\n")
            yield from (line for line in reversed(lines) if line)
        if rest:
            yield rest

    def _whole_lines(self, size: int) -> int:
        end = size
        for block in self._blocks_backwards(size):
            if (newline := block.rfind(b"\n")) >= 0:
                return end - len(block) + newline + 1
            end -= len(block)
        return 0

    def _blocks_backwards(self, end: int) -> Iterator[bytes]:
        while end > 0:
            start = max(0, end - BLOCK)
            self._file.seek(start)
            yield self._file.read(end - start)
            end = start


def stamp(directory: Path) -> tuple[int, int, int] | None:
    """Changes whenever the file being written does; costs one stat. None where there is no file."""
    try:
        status = journal_file(directory).stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


@contextmanager
def open_segments(directory: Path) -> Generator[list[Segment]]:
    """The journal's files that hold a whole line, oldest first. Raises OSError where one that is there cannot be read."""
    with ExitStack() as stack:
        # The file being written comes first: if it is rotated meanwhile it comes again, by number, and is not missed.
        written = _segment(journal_file(directory), stack)
        found = [_segment(journal_file(directory, number), stack) for number in _numbers(directory)]
        if written is not None and not any(segment and written.end.same_file(segment.end) for segment in found):
            found.append(written)
        yield [segment for segment in found if segment is not None]


def _segment(path: Path, stack: ExitStack) -> Segment | None:
    """None where the file holds no whole line, or is gone since it was listed."""
    try:
        segment = Segment(stack.enter_context(path.open("rb")))
    except FileNotFoundError:
        return None
    return segment if segment.end.offset else None


def _numbers(directory: Path) -> list[int]:
    try:
        return rotated(directory)
    except FileNotFoundError:
        return []
