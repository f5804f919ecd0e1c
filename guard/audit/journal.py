"""The journal: an append-only file of JSON lines, written before an answer leaves."""

from __future__ import annotations

import os
import re
from pathlib import Path

from guard.audit.record import Record
from guard.base.errors import JournalError
from guard.telemetry.logging import get

MAX_BYTES = 64 * 1024 * 1024
KEEP = 8  # rotated files, so that a journal takes at most (8 + 1) * 64 MiB

log = get("audit")


_ROTATED = re.compile(r"journal\.([0-9]{1,18})\.jsonl")


def journal_file(directory: Path, number: int = 0) -> Path:
    """The file being written (0), or the `number`th of those rotated, counted from the journal's beginning.

    A rotation renames one file, once: with files that moved up by one each time a reader could meet the gap and miss what
    lay behind it.
    """
    return directory / (f"journal.{number}.jsonl" if number else "journal.jsonl")


def rotated(directory: Path) -> list[int]:
    """The numbers of the rotated files, oldest first."""
    with os.scandir(directory) as found:
        return sorted(int(match[1]) for entry in found if (match := _ROTATED.fullmatch(entry.name)) and entry.is_file())


class Journal:
    """Appends records, each with exactly one write(2), without fsync: a record outlives the process, not a power cut.

    The files have mode 0600. One that grew to `max_bytes` is renamed, and the `keep` newest renamed ones stay. Where
    renaming fails the file grows on, since a record counts for more than a file's size. Not for several threads at once.

    Raises JournalError where the file cannot be opened, and from `write` where the record was not written whole.
    """

    def __init__(self, directory: Path, *, max_bytes: int = MAX_BYTES, keep: int = KEEP) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._keep = keep
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._open()
        except OSError as error:
            raise JournalError(f"the journal cannot be opened: {error.strerror}", where=str(journal_file(directory))) from error

    def write(self, record: Record) -> None:
        if self._descriptor is None:
            raise JournalError("the journal is closed", where=str(journal_file(self._directory)))
        line = record.line()
        if self._size and self._size + len(line) > self._limit:
            self._rotate()
        # The rest of a line that was cut off becomes a broken line of its own instead of spoiling this record.
        data = b"\n" + line if self._cut_off else line
        try:
            written = os.write(self._descriptor, data)
        except OSError as error:
            raise JournalError(f"a record was not written: {error.strerror}", where=str(journal_file(self._directory))) from error
        self._size += written
        self._cut_off = written < len(data)
        if self._cut_off:
            raise JournalError(f"only {written} of {len(data)} bytes were written", where=str(journal_file(self._directory)))

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> None:
        descriptor = os.open(journal_file(self._directory), os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(descriptor, 0o600)  # a file that was there before may have come with another mode
            size = os.fstat(descriptor).st_size
            cut_off = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor: int | None = descriptor
        self._size = size
        self._cut_off = cut_off
        self._limit = self._max_bytes

    def _rotate(self) -> None:
        previous = self._descriptor
        try:
            before = rotated(self._directory)
            current = journal_file(self._directory)
            if current.exists():
                current.rename(journal_file(self._directory, max(before, default=0) + 1))
            self._open()
        except OSError as error:
            # Try again when it has grown by another eighth, not at each record.
            self._limit = self._size + self._max_bytes // 8
            log.warning("journal not rotated", error=str(error), size=self._size)
            return
        if previous is not None:
            os.close(previous)
        for number in before[: max(0, len(before) + 1 - self._keep)]:
            self._drop(journal_file(self._directory, number))

    def _drop(self, old: Path) -> None:
        try:
            old.unlink(missing_ok=True)
        except OSError as error:
            log.warning("old journal file not deleted", file=old.name, error=str(error))
