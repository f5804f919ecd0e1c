"""The bodies of requests, and how much memory those that are not whole yet may take together."""

from __future__ import annotations

import asyncio

from aiohttp import StreamReader
from msgspec import Struct


class TooLarge(Exception):
    """A body of more than the largest review."""


class Overloaded(Exception):
    """A body that had to make room for others."""


class _Receiving(Struct, eq=False):
    """A body that is not whole yet."""

    patience: asyncio.Timeout
    size: int = 0


class Bodies:
    """Reads bodies of at most `largest` bytes; all that are not whole hold at most `unfinished` bytes together."""

    def __init__(self, *, largest: int, unfinished: int) -> None:
        self._largest = largest
        self._unfinished = unfinished
        self._receiving: dict[_Receiving, None] = {}  # the oldest first
        self.held = 0  # bytes of unfinished bodies

    def whole(self, content: StreamReader) -> bytes | None:
        """A body that has come with its head, as most do; None for one that has to be waited for. Raises TooLarge."""
        if not content.is_eof():
            return None
        body = content.read_nowait()
        if len(body) > self._largest:
            raise TooLarge
        return body

    async def rest(self, content: StreamReader, *, seconds: float) -> bytes:
        """The whole body. Raises TimeoutError when it takes longer, TooLarge, Overloaded when all bodies together take too much
        (the one that has been on its way for longest goes first, since the API server sends its own in one go), and
        ConnectionError when the client goes away.
        """
        mine = _Receiving(asyncio.timeout(seconds))
        self._receiving[mine] = None
        chunks: list[bytes] = []
        try:
            async with mine.patience:
                async for chunk in content.iter_any():
                    chunks.append(chunk)
                    self._hold(mine, len(chunk))
        except TimeoutError:
            if mine not in self._receiving:
                raise Overloaded from None
            raise
        finally:
            if mine in self._receiving:
                self._forget(mine)
        return b"".join(chunks)

    def _hold(self, body: _Receiving, size: int) -> None:
        if body not in self._receiving:
            raise Overloaded
        body.size += size
        self.held += size
        if body.size > self._largest:
            raise TooLarge
        while self.held > self._unfinished:
            oldest = next(iter(self._receiving))
            self._forget(oldest)
            if not oldest.patience.expired():
                oldest.patience.reschedule(0)  # its own task is waiting for more

    def _forget(self, body: _Receiving) -> None:
        del self._receiving[body]
        self.held -= body.size
