"""Commits and tags of Git as they are stored: what of them is signed, and by what (gitformat-signature(5)).

Stricter than git where that could be fooled: one signature, in the one place that is its own, and no NUL, at which parts of git
stop reading. Pure.
"""

from __future__ import annotations

import re

from msgspec import Struct

_DATED = re.compile(rb"[^\n]*> ([0-9]{1,12}) [+-][0-9]{4}")
_ID = re.compile(rb"[0-9a-f]{40}")
# Where a tag's signature begins; the last such line does, as in git.
_SIGNATURE = re.compile(rb"^-----BEGIN (?:PGP SIGNATURE|PGP MESSAGE|SSH SIGNATURE|SIGNED MESSAGE)-----", re.MULTILINE)
_SIGNED_HEADER = b"gpgsig"


class SignedObject(Struct, frozen=True, kw_only=True):
    """`at` is when the committer or tagger says that it was made, None where that is not to be read."""

    payload: bytes
    signature: bytes
    at: float | None


class Commit(SignedObject, frozen=True, kw_only=True):
    parents: tuple[str, ...]


class TagObject(SignedObject, frozen=True, kw_only=True):
    """`name` is the one inside of what is signed; `kind` and `target` are what it points to."""

    name: str
    kind: str
    target: str


def commit(raw: bytes) -> Commit:
    """Raises ValueError for what git would not have made."""
    _check(raw)
    headers, blank, message = raw.partition(b"\n\n")
    kept: list[bytes] = []
    signatures: list[list[bytes]] = []
    is_signature = False
    for line in headers.split(b"\n"):
        name, _, value = line.partition(b" ")
        if name:
            is_signature = name == _SIGNED_HEADER
            if is_signature:
                signatures.append([value])
            elif name.startswith(_SIGNED_HEADER):
                raise ValueError(f"it has a header {name.decode(errors='replace')!r}, which Guard does not take")
            else:
                kept.append(line)
        elif is_signature:
            signatures[-1].append(value)
        else:
            kept.append(line)
    if len(signatures) > 1:
        raise ValueError("it carries several signatures")
    signature = b"".join(line + b"\n" for line in signatures[0]) if signatures else b""
    return Commit(
        payload=b"\n".join(kept) + blank + message,
        signature=signature,
        at=_at(_one(kept, b"committer")),
        parents=tuple(_id(line.removeprefix(b"parent ")) for line in kept if line.startswith(b"parent ")),
    )


def tag(raw: bytes) -> TagObject:
    """Raises ValueError for what git would not have made."""
    _check(raw)
    starts = [found.start() for found in _SIGNATURE.finditer(raw)]
    end = starts[-1] if starts else len(raw)
    headers = raw[:end].partition(b"\n\n")[0].split(b"\n")
    names = [line.partition(b" ")[0] for line in headers]
    if names[:3] != [b"object", b"type", b"tag"] or any(name.startswith(_SIGNED_HEADER) for name in names):
        raise ValueError("its headers are not those of a tag")
    return TagObject(
        payload=raw[:end],
        signature=raw[end:],
        at=_at(_one(headers, b"tagger")),
        name=_one(headers, b"tag").decode(errors="replace"),
        kind=_one(headers, b"type").decode(errors="replace"),
        target=_id(_one(headers, b"object")),
    )


def _check(raw: bytes) -> None:
    if b"\0" in raw:
        raise ValueError("it holds a NUL")


def _one(headers: list[bytes], name: bytes) -> bytes:
    """The value of a header that is there once, or not at all."""
    found = [line[len(name) + 1 :] for line in headers if line.startswith(name + b" ")]
    if len(found) > 1:
        raise ValueError(f"it has {len(found)} headers {name.decode()!r}")
    return found[0] if found else b""


def _at(dated: bytes) -> float | None:
    found = _DATED.fullmatch(dated)
    return float(found[1]) if found else None


def _id(text: bytes) -> str:
    if not _ID.fullmatch(text):
        raise ValueError("it names something that is no id")
    return text.decode()
