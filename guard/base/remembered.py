"""What was worked out of bytes met lately."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")


class Remembered(Generic[T]):
    """Results by the bytes that they came from; the longest unused go first, so that the bytes kept stay below `most`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._results: OrderedDict[bytes, T] = OrderedDict()
        self._bytes = 0

    def get(self, raw: bytes) -> T | None:
        known = self._results.get(raw)
        if known is not None:
            self._results.move_to_end(raw)
        return known

    def put(self, raw: bytes, result: T) -> None:
        """For bytes that `get` does not know."""
        self._results[raw] = result
        self._bytes += len(raw)
        while self._bytes > self._most:
            oldest, _ = self._results.popitem(last=False)
            self._bytes -= len(oldest)
