"""Who may sign: the entries of a Secret. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct

from guard.base.errors import SourceError
from guard.source.verify import packets, signers
from guard.source.verify.signers import Allowed

ALLOWED_SIGNERS, REVOKED_KEYS = signers.FILE, "revoked_keys"
_PRIVATE = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY")
# What a Secret can hold as a whole; files may be larger.
_MOST_IN_ENTRY = 1024 * 1024
# Each is imported by a gpg of its own, 12 ms.
_MOST_ENTRIES = 64
_KEYBOX = b"KBXf"
_KEYBOX_AT = 8


class Keys(Struct, frozen=True, kw_only=True):
    """`openpgp` are the entries with what gpg is to import of each, keys before mere revocations of them; `ssh` is one file of
    allowed signers, and `revoked` one of keys that count no more.
    """

    openpgp: tuple[tuple[str, bytes], ...] = ()
    ssh: bytes = b""
    allowed: tuple[Allowed, ...] = ()
    revoked: bytes = b""


def keys_of(values: Mapping[str, bytes]) -> Keys:
    """Read what a Secret holds; entries of other names mean nothing. Raises SourceError, naming the entry that is wrong."""
    openpgp = {name: _openpgp(name, data) for name, data in sorted(values.items()) if name.endswith((".asc", ".gpg"))}
    lists = {
        name: _entry(name, data)
        for name, data in sorted(values.items())
        if name == ALLOWED_SIGNERS or name.endswith(f".{ALLOWED_SIGNERS}")
    }
    if not openpgp and not lists:
        raise SourceError(
            "the Secret that verify.secretRef names has no keys",
            hint=f"OpenPGP keys go into entries *.asc or *.gpg, those of SSH into {ALLOWED_SIGNERS}",
        )
    if len(openpgp) > _MOST_ENTRIES:
        raise SourceError(f"there are more than {_MOST_ENTRIES} entries with keys", hint="an entry may hold several keys")
    revoked = _entry(REVOKED_KEYS, values.get(REVOKED_KEYS, b""))
    allowed = tuple(one for name, data in lists.items() for one in _allowed(name, data))
    try:
        signers.check_revoked(revoked)
    except ValueError as error:
        raise _wrong(REVOKED_KEYS, str(error)) from error
    if revoked and not lists:
        raise _wrong(REVOKED_KEYS, f"it revokes keys of SSH, but there is no {ALLOWED_SIGNERS}")
    ssh = b"\n".join(lists.values()).replace(b"\r\n", b"\n") + b"\n" if lists else b""
    return Keys(
        # A revocation by itself means something only to a key that is there already.
        openpgp=tuple((name, data) for name, (_, data) in sorted(openpgp.items(), key=lambda item: not item[1][0])),
        ssh=ssh,
        allowed=allowed,
        revoked=revoked,
    )


def _entry(name: str, data: bytes) -> bytes:
    if len(data) > _MOST_IN_ENTRY:
        raise _wrong(name, f"it is larger than {_MOST_IN_ENTRY // 1024} KiB")
    if _PRIVATE.search(data):
        raise _private(name)
    return data


def _allowed(name: str, data: bytes) -> tuple[Allowed, ...]:
    try:
        found = signers.allowed(data)
    except ValueError as error:
        raise _wrong(name, str(error), hint="see ALLOWED SIGNERS in ssh-keygen(1)") from error
    if not found:
        raise _wrong(name, "it allows nobody")
    return found


def _openpgp(name: str, data: bytes) -> tuple[bool, bytes]:
    """Whether it has a key, or only revokes one, and what gpg is to import."""
    if _entry(name, data)[_KEYBOX_AT:].startswith(_KEYBOX):
        raise _wrong(name, "it is a keybox of gpg", hint="export the keys: gpg --export --armor WHOM")
    try:
        found = packets.blocks(data)
        tags = {tag for block in found for tag in packets.tags(block)}
    except ValueError as error:
        raise _wrong(name, f"it is no OpenPGP key: {error}", hint="export it: gpg --export --armor WHOM") from error
    if tags & {packets.SECRET_KEY, packets.SECRET_SUBKEY}:
        raise _private(name)
    if packets.PUBLIC_KEY not in tags and tags != {packets.SIGNATURE}:
        raise _wrong(name, "it is no OpenPGP key", hint="export it: gpg --export --armor WHOM")
    return packets.PUBLIC_KEY in tags, b"".join(found)


def _private(name: str) -> SourceError:
    return _wrong(
        name, "it holds a private key, which belongs to its owner alone", hint="give the public key; take this one for leaked"
    )


def _wrong(name: str, message: str, *, hint: str = "") -> SourceError:
    return SourceError(f"entry {name} of the Secret that verify.secretRef names: {message}", hint=hint)
