"""Keeps the text of what is in force at hand, compressed, so that a refusal can name the line of a field without asking Git."""

from __future__ import annotations

import zlib
from collections.abc import Collection

from msgspec import Struct

from guard.render.locate import lines_of
from guard.state.fields import Path
from guard.state.ids import Origin
from guard.state.snapshot import Snapshot

# A rendered installation in one file comes to that; unpacking it takes 2 ms.
MOST_BYTES = 1024 * 1024
# Level 1 packs a manifest to half or less in 15 us; level 6 would gain a tenth and take twice as long.
LEVEL = 1
MOST_ANSWERS = 256
LONGEST_QUESTION = 4096  # characters; names may be megabytes long, and nobody asks for those twice


class _Held(Struct, frozen=True):
    blob: str
    packed: bytes


class Texts:
    """The files of the revisions of one Sync. What two revisions share is held once."""

    def __init__(self) -> None:
        self._revisions: dict[str, dict[str, _Held]] = {}
        self._answers: dict[tuple[str, Origin, tuple[Path, ...]], tuple[int, ...]] = {}

    def hold(self, snapshot: Snapshot) -> None:
        """Hold the files of a revision beside those held. Takes 20 us a file; can run in a thread of its own."""
        known = {held.blob: held for files in list(self._revisions.values()) for held in files.values()}
        self._revisions[snapshot.revision] = {
            file.path: known.get(file.blob) or _Held(blob=file.blob, packed=zlib.compress(file.data, LEVEL))
            for file in snapshot.files
            if len(file.data) <= MOST_BYTES
        }

    def keep(self, revisions: Collection[str]) -> None:
        """Let go of all other revisions."""
        self._revisions = {revision: files for revision, files in self._revisions.items() if revision in revisions}
        self._answers.clear()

    def lines(self, origin: Origin, paths: tuple[Path, ...], *, revision: str) -> tuple[int, ...]:
        """The line of each path in the object that begins at `origin`, as `lines_of` has it; that of `origin` where the text of
        the revision is not held.
        """
        asked = (revision, origin, paths)
        known = self._answers.get(asked)
        if known is None:
            held = self._revisions.get(revision, {}).get(origin.file)
            if held is None:
                return (origin.line,) * len(paths)
            known = lines_of(zlib.decompress(held.packed), paths, line=origin.line)
            if sum(len(element) for path in paths for element in path) <= LONGEST_QUESTION:
                if len(self._answers) >= MOST_ANSWERS:
                    self._answers.pop(next(iter(self._answers)))
                self._answers[asked] = known
        return known
