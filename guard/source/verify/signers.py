"""SSH's files and signatures: `allowed_signers` and `revoked_keys` as in ssh-keygen(1), and the outer form of a signature
(PROTOCOL.sshsig). ssh-keygen decides; this is to say what is wrong. Pure.
"""

from __future__ import annotations

import base64
import hashlib
import re
from fnmatch import fnmatchcase

from msgspec import Struct

_ARMOR = re.compile(rb"\s*-----BEGIN SSH SIGNATURE-----\r?\n([A-Za-z0-9+/=\r\n]+)\r?\n-----END SSH SIGNATURE-----\s*")
FILE = "allowed_signers"
_MAGIC = b"SSHSIG"
KRL = b"SSHKRL\n\0"

# Principals, options (which may hold spaces in quotes), the key's type, the key.
_LINE = re.compile(
    r'(?P<principals>"[^"]*"|\S+)[ \t]+'
    r'(?:(?P<options>(?:[A-Za-z-]+(?:="[^"]*")?)(?:,[A-Za-z-]+(?:="[^"]*")?)*)[ \t]+)?'
    r"(?P<kind>(?:ssh|sk|ecdsa|rsa)-[A-Za-z0-9@.-]+)[ \t]+(?P<key>[A-Za-z0-9+/]+={0,2})(?:[ \t].*)?"
)
_PUBLIC = re.compile(r"(?P<kind>(?:ssh|sk|ecdsa|rsa)-[A-Za-z0-9@.-]+)[ \t]+(?P<key>[A-Za-z0-9+/]+={0,2})(?:[ \t].*)?")
_OPTION = re.compile(r'([A-Za-z-]+)(?:="([^"]*)")?')
_OPTIONS = frozenset({"cert-authority", "namespaces", "valid-after", "valid-before"})


class Allowed(Struct, frozen=True):
    """A line of allowed_signers."""

    principals: str
    key: bytes
    options: dict[str, str]

    def serves(self, namespace: str) -> bool:
        """Whether it is for such signatures."""
        patterns = self.options.get("namespaces", "*").split(",")
        return any(fnmatchcase(namespace, pattern.strip()) for pattern in patterns)


class SshSignature(Struct, frozen=True):
    blob: bytes
    key: bytes

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.key)

    @property
    def armored(self) -> bytes:
        """As ssh-keygen reads it, and nothing else."""
        text = base64.b64encode(self.blob)
        lines = [text[at : at + 70] for at in range(0, len(text), 70)]
        return b"\n".join((b"-----BEGIN SSH SIGNATURE-----", *lines, b"-----END SSH SIGNATURE-----", b""))


def fingerprint(key: bytes) -> str:
    return f"SHA256:{base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip('=')}"


def allowed(text: bytes) -> tuple[Allowed, ...]:
    """The lines that allow a key. Raises ValueError that names the line: ssh-keygen reads nothing past one that is wrong."""
    return tuple(_allowed(line, number) for number, line in _lines(text))


def check_revoked(data: bytes) -> None:
    """Raise ValueError unless it is a KRL or a list of public keys."""
    if data.startswith(KRL):
        return
    for number, line in _lines(data):
        found = _PUBLIC.fullmatch(line)
        if found is None:
            raise ValueError(f"line {number} is no public key of SSH, and the whole is no KRL")
        _key(found["kind"], found["key"], number)


def signature(text: bytes) -> SshSignature:
    """Take a signature apart. Raises ValueError for anything but one whole signature."""
    found = _ARMOR.fullmatch(text)
    if found is None:
        raise ValueError("it is not one signature of SSH")
    blob = base64.b64decode(found[1].replace(b"\r", b"").replace(b"\n", b""), validate=True)
    if not blob.startswith(_MAGIC):
        raise ValueError("it is no signature of SSH")
    key, _ = _string(blob, len(_MAGIC) + 4)
    return SshSignature(blob=blob, key=key)


def _lines(text: bytes) -> list[tuple[int, str]]:
    lines = (line.strip() for line in text.decode(errors="replace").split("\n"))
    return [(number, line) for number, line in enumerate(lines, 1) if line and not line.startswith("#")]


def _allowed(line: str, number: int) -> Allowed:
    found = _LINE.fullmatch(line)
    if found is None:
        raise ValueError(f"line {number} does not read `principals [options] key-type key`")
    options = {name.lower(): value for name, value in _OPTION.findall(found["options"] or "")}
    if unknown := options.keys() - _OPTIONS:
        raise ValueError(f"line {number} has an option {min(unknown)!r}, which ssh-keygen does not know")
    return Allowed(principals=found["principals"].strip('"'), key=_key(found["kind"], found["key"], number), options=options)


def _key(kind: str, text: str, number: int) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
        named, _ = _string(key, 0)
    except ValueError as error:
        raise ValueError(f"the key in line {number} is damaged") from error
    if named.decode(errors="replace") != kind:
        raise ValueError(f"the key in line {number} is not of the type that it says")
    return key


def _string(data: bytes, at: int) -> tuple[bytes, int]:
    size = int.from_bytes(data[at : at + 4])
    end = at + 4 + size
    if len(data) < at + 4 or end > len(data):
        raise ValueError("it is cut off")
    return data[at + 4 : end], end
