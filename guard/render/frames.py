"""How parent and child talk: a message is its length in four bytes, the most significant first, and then JSON."""

from __future__ import annotations

from guard.base import codec

LENGTH = 4


def packed(message: object) -> bytes:
    body = codec.encode(message)
    return len(body).to_bytes(LENGTH, "big") + body
