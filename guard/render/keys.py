"""Private keys as a Secret holds them, under the names that Flux gave them."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from guard.base.errors import RenderError

AGE_SUFFIX = ".agekey"
PGP_SUFFIXES = (".asc", ".gpg")
NAMES = "age identities in entries `*.agekey`, OpenPGP private keys in entries `*.asc` or `*.gpg`"

_IDENTITY = "AGE-SECRET-KEY-"
_PLUGIN = "AGE-PLUGIN-"
# age's own format, in binary and armored: an identity file under a passphrase.
_UNDER_PASSPHRASE = ("age-encryption.org/", "-----BEGIN AGE ENCRYPTED FILE-----")
_BEGIN, _END = b"-----BEGIN PGP PRIVATE KEY BLOCK-----", b"-----END PGP PRIVATE KEY BLOCK-----"
_ARMOR = b"-----BEGIN PGP "
# The first byte of a packet that holds a secret key, in both of OpenPGP's headers (RFC 9580, 4.2): 0xC0 | 5, and 0x80 | 5 << 2.
_SECRET_KEY = frozenset({0xC5, 0x94, 0x95, 0x96, 0x97})


class Keys(Struct, frozen=True):
    """`age` is a file of identities, `pgp` a binary keyring of private keys. `place` is where they lie, as people are told."""

    place: str
    age: bytes = b""
    pgp: bytes = b""

    def digest(self, salt: bytes) -> str:
        """Names the keys; without the salt nothing can be tried against it."""
        told = hashlib.blake2b(key=salt, digest_size=16)
        for part in (self.place.encode(), self.age, self.pgp):
            told.update(len(part).to_bytes(8, "big") + part)
        return told.hexdigest()


def read(values: Mapping[str, bytes], *, place: str) -> Keys:
    """The keys in the entries of `place` (`the Secret apps/sops`, or a folder). Raises RenderError, naming the entry, for what is
    no private key, or is under a passphrase, and where there are none.
    """
    age = [_identities(values[name], _entry(name, place)) for name in sorted(values) if name.endswith(AGE_SUFFIX)]
    pgp = [_keyring(values[name], _entry(name, place)) for name in sorted(values) if name.endswith(PGP_SUFFIXES)]
    if not age and not pgp:
        raise RenderError(f"{place} holds no keys to decrypt with", hint=f"it takes {NAMES}")
    return Keys(place=place, age=b"".join(age), pgp=b"".join(pgp))


def _entry(name: str, place: str) -> str:
    return f"the entry {name} of {place}"


def _identities(data: bytes, entry: str) -> bytes:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise RenderError(f"{entry} is no file of age identities", hint="it is what age-keygen writes") from error
    found: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()  # noqa: PLW2901
        if line.startswith(_UNDER_PASSPHRASE):
            raise RenderError(
                f"{entry} is under a passphrase", hint="there is nobody to ask for it: give the identities themselves"
            )
        if line.startswith(_PLUGIN):
            raise RenderError(
                f"line {number} of {entry} needs a plugin of age, which Guard does not run", hint="give an identity of age's own"
            )
        if line and not line.startswith("#"):
            if not line.startswith(_IDENTITY):
                raise RenderError(f"line {number} of {entry} is no age identity", hint=f"one begins with {_IDENTITY}")
            found.append(line)
    if not found:
        raise RenderError(f"{entry} holds no age identity", hint=f"one begins with {_IDENTITY}")
    return "".join(f"{line}\n" for line in found).encode()


def _keyring(data: bytes, entry: str) -> bytes:
    if _ARMOR in data:
        data = b"".join(_unarmored(_blocks(data), entry))
    if data[:1] == b"" or data[0] not in _SECRET_KEY:
        raise RenderError(f"{entry} is no OpenPGP private key", hint="`gpg --export-secret-keys --armor FINGERPRINT` writes one")
    return data


def _blocks(data: bytes) -> Iterator[bytes]:
    """What is armored. A pattern would look for the end of each beginning anew, which takes minutes where none has one."""
    end = 0
    while (begin := data.find(_BEGIN, end)) >= 0 and (end := data.find(_END, begin)) >= 0:
        yield data[begin + len(_BEGIN) : end]


def _unarmored(blocks: Iterable[bytes], entry: str) -> Iterator[bytes]:
    """What is between lines of headers, which end with an empty one, and the checksum."""
    for block in blocks:
        _, _, body = block.replace(b"\r\n", b"\n").partition(b"\n\n")
        lines = (line.strip() for line in body.split(b"\n"))
        try:
            yield base64.b64decode(b"".join(line for line in lines if not line.startswith(b"=")), validate=True)
        except binascii.Error as error:
            raise RenderError(f"{entry} is damaged", hint="export the key once more") from error
