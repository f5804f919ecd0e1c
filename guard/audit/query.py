"""Reading the journal while it is being written and rotated."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import chain, islice
from pathlib import Path

from msgspec import Struct

from guard.audit.record import Event, Record
from guard.audit.segments import Position, Segment, open_segments, stamp
from guard.base import codec
from guard.base.clock import rfc3339

POLL_SECONDS = 0.15
BATCH = 500  # records read off the event loop at a time


class Filter(Struct, frozen=True, kw_only=True):
    """Which records to read; what is left empty admits all. Kinds are compared without regard to case, `sync` is
    `namespace/name` or just the name, and `limit` keeps the newest (0: all).
    """

    events: tuple[Event, ...] = ()
    sync: str = ""
    kind: str = ""
    namespace: str = ""
    name: str = ""
    user: str = ""
    since: datetime | None = None
    reference: str = ""
    limit: int = 0

    def admits(self, record: Record) -> bool:
        return (
            (not self.events or record.event in self.events)
            and (not self.sync or self.sync in (record.sync, record.sync.rpartition("/")[2]))
            and (not self.kind or self.kind.lower() == record.kind.lower())
            and (not self.namespace or self.namespace == record.namespace)
            and (not self.name or self.name == record.name)
            and (not self.user or self.user == record.user)
            and (not self.reference or self.reference.upper() == record.id)
            and (self.since is None or record.time >= rfc3339(self.since))
        )


class Reading(Iterator[Record]):
    """The records that the filter admits, oldest first. `broken` counts the lines met so far that hold no record, and `end`
    is how far the journal went when the first record was asked for.
    """

    def __init__(self, directory: Path, wanted: Filter) -> None:
        self.broken = 0
        self.end: Position | None = None
        self._directory = directory
        self._wanted = wanted
        self._records = self._newest() if wanted.limit or wanted.reference else self._all()

    def __next__(self) -> Record:
        return next(self._records)

    def _all(self) -> Iterator[Record]:
        with self._segments() as segments:
            for segment in segments:
                yield from self._admitted(segment.lines())

    def _newest(self) -> Iterator[Record]:
        """Reads from the end, so that the last few records of a large journal cost no more than they are."""
        with self._segments() as segments:
            backwards = chain.from_iterable(segment.lines_backwards() for segment in reversed(segments))
            yield from reversed(list(islice(self._admitted(backwards), self._wanted.limit or 1)))

    @contextmanager
    def _segments(self) -> Generator[list[Segment]]:
        """Without the old files that end before the time asked for, which shows in the first record of the next one."""
        with open_segments(self._directory) as segments:
            self.end = segments[-1].end if segments else None
            start = 0
            if self._wanted.since is not None:
                since = rfc3339(self._wanted.since)
                while start + 1 < len(segments) and _starts_before(segments[start + 1], since):
                    start += 1
            yield segments[start:]

    def _admitted(self, lines: Iterator[bytes]) -> Iterator[Record]:
        for line in lines:
            record = _decode(line)
            if record is None:
                self.broken += 1
            elif self._wanted.admits(record):
                yield record


def read(directory: Path, wanted: Filter) -> Reading:
    """The journal as it stands now. It reads files, so an event loop leaves it to a thread.

    Raises OSError where a file that is there cannot be read; a directory without a journal holds no records.
    """
    return Reading(directory, wanted)


async def follow(directory: Path, wanted: Filter) -> AsyncGenerator[Record]:
    """What `read` gives, then each record that comes, without end; a rotation neither loses nor doubles one.

    A journal that is not there yet is waited for. Broken lines are left out.
    """
    history = Reading(directory, wanted)
    while batch := await asyncio.to_thread(lambda: list(islice(history, BATCH))):
        for record in batch:
            yield record
    seen, known = history.end, None
    while True:
        now = stamp(directory)
        if now != known:
            known = now
            lines, seen = await asyncio.to_thread(_news, directory, seen)
            for line in lines:
                record = _decode(line)
                if record is not None and wanted.admits(record):
                    yield record
        await asyncio.sleep(POLL_SECONDS)


def _news(directory: Path, seen: Position | None) -> tuple[list[bytes], Position | None]:
    """The lines after a position, which may stand in a file renamed since (or gone: then all there is), and the new end."""
    with open_segments(directory) as segments:
        number = next((n for n, segment in enumerate(segments) if seen and seen.same_file(segment.end)), 0)
        lines: list[bytes] = []
        for segment in segments[number:]:
            lines += segment.lines(seen.offset if seen and seen.same_file(segment.end) else 0)
        return lines, segments[-1].end if segments else seen


def _starts_before(segment: Segment, moment: str) -> bool:
    first = next((record for line in segment.lines() if (record := _decode(line)) is not None), None)
    return first is not None and first.time < moment


def _decode(line: bytes) -> Record | None:
    try:
        return codec.decode_as(line, Record)
    except codec.DecodeError:
        return None
