"""How parent and child talk: a message is its length in four bytes, the most significant first, and then JSON."""

from __future__ import annotations

from msgspec import Struct

from guard.base import codec
from guard.render.ignoring import Question
from guard.render.manifests import Fault, Found
from guard.render.opened import Opened
from guard.state.snapshot import File

LENGTH = 4


class Request(Struct, frozen=True):
    """A file to be parsed, as it is or decrypted, one whose decrypted values are to be listed, or paths to be sorted out."""

    file: File | None = None
    opened: Opened | None = None
    listed: Opened | None = None
    ignoring: Question | None = None


class Part(Struct, frozen=True, omit_defaults=True):
    """A part of an answer."""

    manifests: list[Found] = []
    faults: list[Fault] = []
    left_out: list[str] = []
    secrets: list[str] = []
    last: bool = True


def packed(message: object) -> bytes:
    body = codec.encode(message)
    return len(body).to_bytes(LENGTH, "big") + body
