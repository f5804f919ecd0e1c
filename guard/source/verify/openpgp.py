"""Signatures of OpenPGP, judged by what gpg says on its status descriptor (doc/DETAILS of GnuPG): that is for machines, and what
others wrote, such as user ids, is escaped in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote

from msgspec import Struct

from guard.base.errors import SourceError
from guard.source.places import shown
from guard.source.verify import packets
from guard.source.verify.keys import Keys
from guard.source.verify.run import Run
from guard.source.verify.verdict import Fault, Signer

# No agent, no server, no options of anybody's, no question. The keys are those of the Secret, so all of them count.
_GPG = (
    "--batch",
    "--no-tty",
    "--no-options",
    "--no-autostart",
    "--disable-dirmngr",
    "--no-auto-key-locate",
    "--no-auto-key-retrieve",
    "--no-auto-check-trustdb",
    "--status-fd=1",
)
_STATUS = "[GNUPG:] "
# gpg says one of them of each signature.
_VERDICTS = frozenset({"GOODSIG", "EXPSIG", "EXPKEYSIG", "REVKEYSIG", "BADSIG", "ERRSIG"})
# RFC 9580, 9.5: SHA-256, SHA-384, SHA-512, SHA3-256, SHA3-512. Of the others that gpg takes, SHA-1 has known collisions.
_DIGESTS = frozenset({"8", "9", "10", "12", "14"})
_DIGEST_NAMES = {"1": "MD5", "2": "SHA-1", "3": "RIPEMD-160", "11": "SHA-224"}
_CLASSES = frozenset({"00", "01"})  # of a document, binary or text
_NO_KEY = "9"
# Places of a VALIDSIG and an ERRSIG.
_AT, _DIGEST, _CLASS, _PRIMARY = 2, 7, 8, 9
_ERROR_REASON, _ERROR_KEY = 5, 6
_KEY_RECORDS, _VALIDITY, _FINGERPRINT = ("pub", "sub"), 1, 9  # of a listing with colons


class Status(Struct, frozen=True):
    """A line of gpg's status."""

    keyword: str
    values: tuple[str, ...]


def check(what: str, payload: bytes, signature: bytes, *, keys: Keys, folder: Path, run: Run) -> Signer | Fault:
    """Whose the signature over the payload is. Raises SourceError for keys that gpg does not take."""
    try:
        found = _one(signature)
    except ValueError as error:
        return Fault(message=f"the signature of {what} cannot be read: {error}")
    if not keys.openpgp:
        return Fault(
            message=f"{what} is signed with OpenPGP, and the Secret has no OpenPGP key",
            hint="if its signer may sign, add the public key as an entry *.asc",
        )
    revoked = _imported(keys, folder, run)
    file = folder / "signature"
    file.write_bytes(found)
    verified = run(
        "gpg",
        ("--homedir", str(folder), *_GPG, "--trust-model=always", "--lock-never", "--verify", str(file), "-"),
        folder=folder,
        stdin=payload,
    )
    return judged(what, status_of(verified.out), revoked=revoked)


def judged(what: str, status: Iterable[Status], *, revoked: frozenset[str]) -> Signer | Fault:
    """What gpg's status means. A key that has expired and is revoked says only the first, so `revoked` names keys, too. Pure."""
    verdicts = [line for line in status if line.keyword in _VERDICTS]
    valid = [line.values for line in status if line.keyword == "VALIDSIG"]
    if len(verdicts) != 1:
        return Fault(message=f"the signature of {what} cannot be checked")
    (verdict,) = verdicts
    key, _, name = " ".join(verdict.values).partition(" ")
    if verdict.keyword == "ERRSIG":
        return _unchecked(what, verdict.values)
    by = shown(unquote(name))
    if verdict.keyword == "BADSIG" or len(valid) != 1 or len(valid[0]) <= _PRIMARY:
        return Fault(
            message=f"the signature of {what} is wrong: it is not what {by or key} signed",
            signer=Signer(by=by, key=key),
        )
    return _valid(what, verdict.keyword, valid[0], by=by, revoked=revoked)


def _valid(what: str, verdict: str, values: tuple[str, ...], *, by: str, revoked: frozenset[str]) -> Signer | Fault:
    """Of a signature that fits, by a key that is known."""
    signer = Signer(by=by, key=values[0], at=float(values[_AT]))
    signed = f"{what} is signed by {signer}"
    if verdict == "REVKEYSIG" or {values[0], values[_PRIMARY]} & revoked:
        return Fault(message=f"{signed}, whose key is revoked", signer=signer)
    if values[_DIGEST] not in _DIGESTS:
        digest = _DIGEST_NAMES.get(values[_DIGEST], "a digest that Guard does not know")
        return Fault(
            message=f"{signed} with {digest}, which can be forged",
            hint="sign with SHA-256 or better: digest-algo SHA512 in gpg.conf",
            signer=signer,
        )
    if values[_CLASS] not in _CLASSES:
        return Fault(message=f"the signature of {what} by {signer} is not one of a document", signer=signer)
    if verdict == "EXPSIG":
        return Fault(message=f"{signed}, but that signature has expired", signer=signer, has_aged=True)
    if verdict == "EXPKEYSIG":
        return Fault(
            message=f"{signed}, whose key has expired",
            hint="have the signer extend the key and put it into the Secret, or sign with one that is valid",
            signer=signer,
            has_aged=True,
        )
    return signer


def _unchecked(what: str, values: tuple[str, ...]) -> Fault:
    reason = values[_ERROR_REASON] if len(values) > _ERROR_REASON else ""
    key = values[_ERROR_KEY] if len(values) > _ERROR_KEY and values[_ERROR_KEY] != "-" else values[0] if values else ""
    signer = Signer(key=shown(key))
    if reason == _NO_KEY:
        return Fault(
            message=f"{what} is signed with an unknown key {signer}",
            hint="if its owner may sign, add the public key to the Secret as an entry *.asc",
            signer=signer,
        )
    return Fault(message=f"the signature of {what} by {signer} cannot be checked: gpg's error {shown(reason)}", signer=signer)


def _one(signature: bytes) -> bytes:
    """Out of its armor. Raises ValueError for more than a signature, such as a message that gpg would find good by itself."""
    found = packets.blocks(signature)
    if len(found) != 1 or packets.tags(found[0]) != (packets.SIGNATURE,):
        raise ValueError("it is not one signature alone")
    return found[0]


def status_of(out: bytes) -> tuple[Status, ...]:
    lines = (line.removeprefix(_STATUS) for line in out.decode(errors="replace").split("\n") if line.startswith(_STATUS))
    return tuple(Status(words[0], tuple(words[1:])) for line in lines if (words := line.split(" ")))


def _imported(keys: Keys, folder: Path, run: Run) -> frozenset[str]:
    """Make a keyring of the keys, and return the fingerprints of those that are revoked."""
    home = ("--homedir", str(folder), *_GPG)
    for name, data in keys.openpgp:
        done = run("gpg", (*home, "--trust-model=pgp", "--import"), folder=folder, stdin=data)
        status = status_of(done.out)
        owners = packets.tags(data).count(packets.PUBLIC_KEY)
        if sum(line.keyword == "IMPORT_OK" for line in status) < owners:
            raise _refused(name, "gpg does not take every key in it", hint=_why(done.err))
        if not owners and done.status:
            raise _refused(
                name, "it revokes no key of this Secret", hint="put the key that it revokes beside it, or take both out"
            )
    listed = run("gpg", (*home, "--trust-model=always", "--with-colons", "--list-keys"), folder=folder, stdin=b"")
    found: set[str] = set()
    validity = ""
    for line in listed.out.decode(errors="replace").split("\n"):
        fields = line.split(":")
        if fields[0] in _KEY_RECORDS:
            validity = fields[_VALIDITY]
        elif fields[0] == "fpr" and validity == "r":
            found.add(fields[_FINGERPRINT])
    return frozenset(found)


def _why(err: bytes) -> str:
    lines = [shown(line.removeprefix("gpg: ")) for line in err.decode(errors="replace").splitlines()]
    reasons = [line for line in lines if "skipped" in line or "in the future" in line or "no valid user ID" in line]
    return f"gpg says: {reasons[0]}" if reasons else "export it anew: gpg --export --armor WHOM"


def _refused(name: str, message: str, *, hint: str) -> SourceError:
    return SourceError(f"entry {name} of the Secret that verify.secretRef names: {message}", hint=hint)
