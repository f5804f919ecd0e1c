"""Which keys of a bucket are files that are read. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import accumulate

from guard.base.errors import RenderError, SourceError
from guard.source.bucket.revision import Listed
from guard.source.include import Include
from guard.source.listing import checked

# Characters, of which S3 has at most as many as bytes.
_LONGEST = 1024
_HINT = "rename the object, or leave it out with source.bucket.include"


class Keys:
    """Those below `prefix`, which ends in a slash unless it is empty, that `include` lets in, and some `besides`."""

    def __init__(self, prefix: str, include: Include, *, besides: Collection[str] = ()) -> None:
        self._prefix = prefix
        self._include = include
        self._besides = besides

    def wanted(self, listed: Iterable[Listed]) -> list[Listed]:
        """Raises SourceError for keys that cannot be files, or not beside one another."""
        found = [each for each in listed if self._is_wanted(each.key, size=each.size)]
        paths = {each.key[len(self._prefix) :] for each in found}
        for path in paths:
            if above := next((above for above in _above(path.split("/")) if above in paths), ""):
                raise SourceError(f"the key {self._prefix + above!r} is an object, and a folder of {path!r}", hint=_HINT)
        return found

    def could_hold(self, key: str) -> bool:
        """Whether a revision may have held an object of this key."""
        try:
            return not key.endswith("/") and self._is_wanted(key, size=1)
        except SourceError:
            return False

    def _is_wanted(self, key: str, *, size: int) -> bool:
        if key in self._besides:
            return True
        path = key[len(self._prefix) :]
        if not size and (not path or path.endswith("/")):
            # What consoles put where a folder shall show.
            return False
        # S3 has longer names, and deeper folders, than files do: those can be left out as well.
        if len(path) <= _LONGEST and not self._include.wants(path):
            return False
        try:
            return bool(checked(path.encode(), folder="", revision="", wanted=self._include.wants))
        except RenderError as error:
            raise SourceError(error.message, hint=error.hint or _HINT) from error


def _above(parts: Sequence[str]) -> Iterator[str]:
    """The folders of a path."""
    return accumulate(parts[:-1], "{}/{}".format)
