"""OpenPGP's outer form (RFC 9580): text armor, and the packets in it. What gpg is given was walked through here first, so that
neither a private key nor anything but one signature reaches it. Pure.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from itertools import islice

SIGNATURE, SECRET_KEY, PUBLIC_KEY, SECRET_SUBKEY = 2, 5, 6, 7

# Each of them takes no longer than the text is long, whatever it holds: a Secret may be made to be slow to read.
_BEGIN = re.compile(rb"-----BEGIN PGP ([A-Z ]+)-----[ \t\r]*\n")
_END = re.compile(rb"\n-----END PGP ([A-Z ]+)-----")
_ARMORED = re.compile(rb"^[ \t]*-----BEGIN PGP ", re.MULTILINE)
# A key with as many signatures of others on it as gpg itself takes from one has 3,000; forged ones ask for more.
_MOST_PACKETS = 20_000

# The lengths that the first octet of a new-format packet's length stands for.
_ONE_OCTET, _TWO_OCTETS, _FIVE_OCTETS = 192, 224, 255


def blocks(data: bytes) -> tuple[bytes, ...]:
    """What is in the armor, block by block; or the data itself where it has none. Raises ValueError."""
    if not _ARMORED.search(data):
        return (data,)
    return tuple(map(_unarmored, _armored(data)))


def tags(data: bytes) -> tuple[int, ...]:
    """Which packets follow one another. Raises ValueError for anything but whole packets, and for too many."""
    found = tuple(islice(_tags(data), _MOST_PACKETS + 1))
    if len(found) > _MOST_PACKETS:
        raise ValueError(f"it has more than {_MOST_PACKETS} packets")
    if not found:
        raise ValueError("it is empty")
    return found


def _armored(data: bytes) -> Iterator[bytes]:
    """What stands between beginnings and ends, at least once."""
    at = 0
    while (begin := _BEGIN.search(data, at)) is not None or not at:
        end = _END.search(data, begin.end()) if begin is not None else None
        if begin is None or end is None or end[1] != begin[1]:
            raise ValueError("its armor has no end")
        yield data[begin.end() : end.start()]
        at = end.end()


def _unarmored(body: bytes) -> bytes:
    # Headers end with an empty line.
    _, _, text = f"\n{body.decode('ascii', errors='replace')}\n".replace("\r", "").partition("\n\n")
    lines = [line.strip() for line in text.splitlines()]
    # The checksum says nothing that a signature does not.
    plain = "".join(line for line in lines if not line.startswith("="))
    try:
        return base64.b64decode(plain, validate=True)
    except (ValueError, binascii.Error) as error:
        raise ValueError("its armor is damaged") from error


def _tags(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        tag, size, at = _header(data, at)
        if not tag or at + size > len(data):
            raise ValueError("it is cut off, or no OpenPGP at all")
        yield tag
        at += size


def _header(data: bytes, at: int) -> tuple[int, int, int]:
    """Tag and size of the packet at an offset, and where its content begins."""
    first = data[at]
    if not first & 0x80:
        raise ValueError("it is no OpenPGP")
    if first & 0x40:
        return first & 0x3F, *_size(data, at + 1)
    octets = (1, 2, 4, 0)[first & 3]
    if not octets:
        raise ValueError("it has a packet without a length")
    return first >> 2 & 0xF, int.from_bytes(data[at + 1 : at + 1 + octets]), at + 1 + octets


def _size(data: bytes, at: int) -> tuple[int, int]:
    octet = data[at] if at < len(data) else 0
    if octet < _ONE_OCTET:
        return octet, at + 1
    if octet < _TWO_OCTETS:
        return (octet - _ONE_OCTET << 8) + int.from_bytes(data[at + 1 : at + 2]) + _ONE_OCTET, at + 2
    if octet < _FIVE_OCTETS:
        raise ValueError("it has a packet in parts")
    return int.from_bytes(data[at + 1 : at + 5]), at + 5
