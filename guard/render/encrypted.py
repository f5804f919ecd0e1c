"""Tells what SOPS has encrypted, by the text alone, and what of it. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import Literal, TypeAlias

from msgspec import Raw, Struct

from guard.base import codec
from guard.base.codec import Json, is_array, is_object
from guard.state.fields import Path

# What sops calls `--input-type`.
Format: TypeAlias = Literal["yaml", "json", "dotenv", "ini", "binary"]

# How sops writes each value that it has encrypted (its aes/cipher.go), and how that begins in base64, as a Secret's data.
VALUE = "ENC[AES256_GCM,data:"
VALUE_IN_BASE64 = "RU5DW0FFUzI1Nl9HQ00sZGF0"
_BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff")

# Where sops puts its metadata (its stores/): below a key `sops` of the top level, in a section `[sops]`, or in lines `sops_...`.
# Each with the end of the line before it: so a pattern begins with what it looks for, and takes a fifth of the time of `^`.
_YAML = tuple(re.compile(rb"\n%b:(?=[ \t\r\n])" % name) for name in (b"sops", b'"sops"', b"'sops'"))
_INI = re.compile(rb"\n\[sops\][ \t\r]*(?:\n|\Z)")
_DOTENV = re.compile(rb"\nsops_mac=")

# For whom a file is encrypted is looked for no further: sops writes it behind all else.
_MOST_LOOKED_AT = 1024 * 1024
# In front of a key stands the one above it, in some forms: `sops_pgp__list_0__map_fp`.
_AGE = re.compile(rb"\b(?:age1[02-9ac-hj-np-z]+|ssh-(?:ed25519|rsa) [\w+/=]+)")
_PGP = re.compile(rb"""(?:\b|_)fp"?[ \t]*[:=][ \t]*["']?([0-9A-Fa-f]{8,64})\b""")
_ELSEWHERE: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb"\barn:aws[\w-]*:kms:"), "AWS KMS"),
    (re.compile(rb"resource_id\b"), "GCP KMS"),
    (re.compile(rb"vault_?url\b", re.IGNORECASE), "Azure Key Vault"),
    (re.compile(rb"vault_address\b"), "HashiCorp Vault"),
    (re.compile(rb"hckms(?:\b|_)"), "HuaweiCloud KMS"),
)
_MOST_NAMED = 4


class _Top(Struct, frozen=True):
    """The one field of a JSON file that counts."""

    sops: Raw = Raw()


class Recipients(Struct, frozen=True):
    """For whom a file is encrypted: `keys` are age recipients and fingerprints of OpenPGP keys, `services` need a network."""

    keys: tuple[str, ...]
    services: tuple[str, ...]

    def __str__(self) -> str:
        told = [*self.keys[:_MOST_NAMED], *self.services]
        more = f" and {len(self.keys) - _MOST_NAMED} more keys" if len(self.keys) > _MOST_NAMED else ""
        return f"{', '.join(told) or 'nobody'}{more}"


def may_hold_values(data: bytes) -> bool:
    """Whether encrypted values may stand in a text, wherever."""
    return VALUE.encode() in data or VALUE_IN_BASE64.encode() in data or data.startswith(_BYTE_ORDER_MARKS)


def format_of(path: str, data: bytes) -> Format | None:
    """How sops reads a file that it has encrypted, None for any other; costs a look at the bytes for most files."""
    if VALUE.encode() not in data or b"sops" not in data:
        return None
    name = posixpath.basename(path).casefold()
    if data.lstrip()[:1] == b"{":
        if not _is_json(data):
            return None
        if name.endswith((".yaml", ".yml")):
            return "yaml"
        # sops takes all for binary whose name it does not know, and writes that as JSON.
        return "json" if name.endswith(".json") else "binary"
    lines = b"\n" + data
    if _DOTENV.search(lines):
        return "dotenv"
    if _INI.search(lines):
        return "ini"
    return "yaml" if any(form.search(lines) for form in _YAML) else None


def _is_json(data: bytes) -> bool:
    try:
        return bool(bytes(codec.decode_as(data, _Top).sops))
    except codec.DecodeError:
        # A flow mapping of YAML begins like that, too.
        return False


def recipients_of(data: bytes) -> Recipients:
    """As far as that can be told without reading the file."""
    data = data[-_MOST_LOOKED_AT:]
    keys = (*(found[0] for found in _AGE.finditer(data)), *(found[1].upper() for found in _PGP.finditer(data)))
    services = tuple(name for pattern, name in _ELSEWHERE if pattern.search(data))
    return Recipients(keys=tuple(dict.fromkeys(key.decode() for key in keys)), services=services)


def is_value(value: Json) -> bool:
    return isinstance(value, str) and value.startswith(VALUE)


def left_in(body: Json) -> Path | None:
    """Where a value stands that is encrypted still, alone or within a text; None where there is none. A whole file that sops has
    encrypted may be the value of a ConfigMap, for somebody else to decrypt.
    """
    return next((path for path, text in _texts(body) if _is_left(text)), None)


def _is_left(text: str) -> bool:
    if text.startswith(VALUE_IN_BASE64):
        return True
    return VALUE in text and format_of("", text.encode(errors="replace")) is None


def _texts(body: Json) -> Iterator[tuple[Path, str]]:
    pending: list[tuple[Path, Json]] = [((), body)]
    while pending:
        path, part = pending.pop()
        if is_object(part):
            pending.extend(((*path, f"f:{key}"), value) for key, value in part.items())
        elif is_array(part):
            pending.extend(((*path, f"i:{index}"), value) for index, value in enumerate(part))
        elif isinstance(part, str):
            yield path, part


def holds_values(encrypted: Json) -> bool:
    """Whether anything in a part of an encrypted file is encrypted."""
    return any(is_value(text) for _, text in _texts(encrypted))


def values_of(encrypted: Json, decrypted: Json) -> Iterator[str]:
    """What the encrypted values of a part stand for. Both are of one structure."""
    pending = [(encrypted, decrypted)]
    while pending:
        before, after = pending.pop()
        if is_object(before) and is_object(after):
            pending.extend((value, after[key]) for key, value in before.items() if key in after)
        elif is_array(before) and is_array(after):
            pending.extend(zip(before, after, strict=False))
        elif is_value(before) and isinstance(after, str):
            yield after
        elif is_value(before) and isinstance(after, (int, float)) and not isinstance(after, bool):
            yield str(after)
