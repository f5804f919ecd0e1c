"""Keeps the text of what is in force at hand, compressed, so that a refusal can name the line of a field without asking Git."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping
from types import MappingProxyType

from guard.render.locate import lines_of
from guard.state.fields import Path
from guard.state.ids import Origin
from guard.state.snapshot import Entry

# A rendered installation in one file comes to that; unpacking it takes 2 ms.
MOST_BYTES = 1024 * 1024
# Level 1 packs a manifest to half or less in 15 us; level 6 would gain a tenth and take twice as long.
LEVEL = 1
MOST_ANSWERS = 256
# Contents that no revision has any more go when they are a quarter of all, since finding them means looking at all.
SPARE, SPARE_LEAST = 0.25, 100
_NO_FILES: Mapping[str, Entry] = MappingProxyType({})
LONGEST_QUESTION = 4096  # characters; names may be megabytes long, and nobody asks for those twice


class Texts:
    """The files of the revisions of one Sync. What two revisions share is held once."""

    def __init__(self) -> None:
        self._packed: dict[str, bytes] = {}
        self._revisions: dict[str, Mapping[str, Entry]] = {}
        self._answers: dict[tuple[str, Origin, tuple[Path, ...]], tuple[int, ...]] = {}

    def add(self, contents: Mapping[str, bytes]) -> None:
        """Hold contents by blob, for the revision that comes next. Takes 20 us a file; can run in a thread of its own."""
        for blob, data in contents.items():
            if len(data) <= MOST_BYTES and blob not in self._packed:
                self._packed[blob] = zlib.compress(data, LEVEL)

    def hold(self, revision: str, files: Mapping[str, Entry]) -> None:
        """Hold a revision beside those held. `files`, by path, must not change any more."""
        self._revisions[revision] = files

    def keep(self, revisions: Collection[str]) -> None:
        """Let go of all other revisions."""
        self._revisions = {revision: files for revision, files in self._revisions.items() if revision in revisions}
        self._answers.clear()
        held = sum(map(len, self._revisions.values()))
        if len(self._packed) > held * (1 + SPARE) + SPARE_LEAST:
            used = {entry.blob for files in self._revisions.values() for entry in files.values()}
            self._packed = {blob: packed for blob, packed in self._packed.items() if blob in used}

    @property
    def held(self) -> int:
        """How many contents are held."""
        return len(self._packed)

    def lines(self, origin: Origin, paths: tuple[Path, ...], *, revision: str) -> tuple[int, ...]:
        """The line of each path in the object that begins at `origin`, as `lines_of` has it; that of `origin` where the text of
        the revision is not held.
        """
        asked = (revision, origin, paths)
        known = self._answers.get(asked)
        if known is None:
            entry = self._revisions.get(revision, _NO_FILES).get(origin.file)
            packed = self._packed.get(entry.blob) if entry is not None else None
            if packed is None or not origin.line:
                return (origin.line,) * len(paths)
            known = lines_of(zlib.decompress(packed), paths, line=origin.line)
            if sum(len(element) for path in paths for element in path) <= LONGEST_QUESTION:
                if len(self._answers) >= MOST_ANSWERS:
                    self._answers.pop(next(iter(self._answers)))
                self._answers[asked] = known
        return known
