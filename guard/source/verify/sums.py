"""The list by which a bucket is signed: what sha256sum prints of the objects below the prefix, and in a first line when that was.
Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from msgspec import Struct

LIST = "SHA256SUMS"
SIGNATURES = (f"{LIST}.asc", f"{LIST}.sig")
# No manifests, and in no list.
FILES = frozenset({LIST, *SIGNATURES})

# sha256sum passes over lines that begin so when it checks.
_SIGNED = re.compile(r"# signed: (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|[+-]\d\d:\d\d))")
# A file in text or in binary mode; behind a backslash a name in which some characters are escaped.
_LINE = re.compile(r"(?P<escaped>\\?)(?P<digest>[0-9a-f]{64}) [ *](?P<path>.+)")
_ESCAPES = {"\\\\": "\\", "\\n": "\n", "\\r": "\r"}


class Sums(Struct, frozen=True):
    """`at` is when the list says that it was signed, in seconds since 1970; `digests` are in hex, by path from the prefix."""

    at: float
    digests: dict[str, str]


def parse(data: bytes) -> Sums:
    """Raises ValueError for what is no such list."""
    try:
        first, *lines = data.decode().replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError("it is not a text in UTF-8") from error
    signed = _SIGNED.fullmatch(first.strip())
    if signed is None:
        raise ValueError("its first line does not say when it was signed, as in: # signed: 2026-01-02T03:04:05Z")
    digests: dict[str, str] = {}
    for number, line in enumerate(lines, 2):
        if not line or line.startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            raise ValueError(f"line {number} is not one of sha256sum")
        path = found["path"]
        if found["escaped"]:
            path = re.sub(r"\\[\\nr]", lambda escape: _ESCAPES[escape[0]], path)
        path = path.removeprefix("./")
        if digests.setdefault(path, found["digest"]) != found["digest"]:
            raise ValueError(f"{path!r} is in it twice")
    try:
        return Sums(at=datetime.fromisoformat(signed[1]).astimezone(UTC).timestamp(), digests=digests)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{signed[1]} is no time") from error


def differences(sums: Sums, found: Mapping[str, str], *, wants: Callable[[str], bool]) -> tuple[str, ...]:
    """How what was found (digests by path) is not what the list says, a sentence for each object. What is not wanted is not read,
    so the list may say of it what it likes.
    """
    listed = {path: digest for path, digest in sums.digests.items() if path not in FILES and wants(path)}
    paths = sorted((listed.keys() | found.keys()) - FILES)
    return tuple(_difference(path, found, listed) for path in paths if found.get(path) != listed.get(path))


def is_too_large(digest: str) -> bool:
    """Whether there is no content of that name, since the object is larger than what is read of a bucket."""
    return digest.startswith("-")


def _difference(path: str, found: Mapping[str, str], listed: Mapping[str, str]) -> str:
    if path not in listed:
        return f"{path} is not in the list"
    if is_too_large(found.get(path, "")):
        return f"{path} is too large to be read"
    return f"{path} is not what was signed" if path in found else f"{path} is missing"
