"""Keeps a bare copy from growing for ever: one pack a fetch would be a hundred thousand in a year.

Not `git gc`: it never lets go of what came from a server that leaves large files out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

# As `git gc --auto` has it (gc.autoPackLimit).
MOST_PACKS = 50
# Fetches as large as a fetch may be, kept beside what is in use.
MOST_LARGE = 4

# What git leaves behind when it is killed; nobody else fetches or keeps while we hold our own locks.
_STALE = ("shallow.lock", "packed-refs.lock", "refs/guard/**/*.lock", "objects/**/tmp_*")


class Run(Protocol):
    """Runs git on the repository. Raises SourceError."""

    def __call__(self, *arguments: str) -> bytes: ...


def clear(repository: Path) -> None:
    """Take away what a killed git left. Raises OSError."""
    for pattern in _STALE:
        for stale in repository.glob(pattern):
            with suppress(FileNotFoundError):
                stale.unlink()


def is_due(repository: Path, *, most: int) -> bool:
    """Whether so much was fetched that `tidy` should be called; `most` is the bytes that one fetch may bring."""
    sizes = [pack.stat().st_size for pack in _packs(repository)]
    return len(sizes) > MOST_PACKS or (len(sizes) > MOST_LARGE and sum(sizes) > MOST_LARGE * most)


def tidy(run: Run, repository: Path) -> None:
    """Put all that a ref leads to into one pack, and let go of the rest. Raises SourceError and OSError."""
    before = {pack.stem for pack in _packs(repository)}
    base = repository / "objects" / "pack" / "pack"
    # Files that were left out are missing; without a window nothing is compressed anew.
    made = run("pack-objects", "--all", "--missing=allow-any", "--delta-base-offset", "--window=0", "--quiet", str(base))
    new = f"pack-{made.decode().strip()}"
    # Says that what is missing is missing on purpose.
    base.with_name(f"{new}.promisor").touch()
    for old in before - {new}:
        # The index first: without it git takes the pack for one that is being written.
        for ending in ("idx", "rev", "pack", "promisor"):
            base.with_name(f"{old}.{ending}").unlink(missing_ok=True)
    # Loose objects, and commits that the file `shallow` still names.
    run("prune", "--expire=now")


def _packs(repository: Path) -> Iterator[Path]:
    return (repository / "objects" / "pack").glob("pack-*.pack")
