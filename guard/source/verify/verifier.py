"""Looks at one signature with the keys of one Secret."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from guard.source.verify import openpgp, run, ssh
from guard.source.verify.keys import Keys, keys_of
from guard.source.verify.verdict import Fault, Signer, moment

__all__ = ["Fault", "Signer", "Verifier"]

# As Kerberos has it: clocks that are set at all differ by less.
CLOCK_SKEW_SECONDS = 300
# One of a key of 16384 bits with a dozen notations has 4 KiB.
_LARGEST = 64 * 1024

_SSH = b"-----BEGIN SSH SIGNATURE-----"
_X509 = b"-----BEGIN SIGNED MESSAGE-----"
_KINDS = re.compile(rb"^-----BEGIN (?:SSH SIGNATURE|PGP SIGNATURE|PGP MESSAGE|SIGNED MESSAGE)-----", re.MULTILINE)


class Verifier:
    """`values` are a Secret's, read when they are needed: what is in force is read without them. `directory` is where a folder is
    made for each check, with a keyring of those keys and of nothing else, and taken away after it: nothing stays behind that
    could be old, or changed by somebody. `now` is the time of day.
    """

    def __init__(self, values: Mapping[str, bytes], *, directory: Path, now: Callable[[], float] = time.time) -> None:
        self._values = values
        self._keys: Keys | None = None
        self._directory = directory
        self._now = now
        self._programs = run.Programs()

    def check(self, what: str, payload: bytes, signature: bytes, *, namespace: str, at: float | None) -> Signer | Fault:
        """Whose the signature over the payload is. `namespace` is what signatures of SSH are made for, and `at` when the payload
        says that it was made. Blocks. Raises SourceError where that cannot be found out, and for a Secret that is wrong.
        """
        if self._keys is None:
            self._keys = keys_of(self._values)
        if not signature.strip():
            return Fault(message=f"{what} is not signed")
        if len(signature) > _LARGEST:
            return Fault(message=f"the signature of {what} is larger than {_LARGEST // 1024} KiB")
        if len(_KINDS.findall(signature)) > 1:
            return Fault(message=f"{what} carries several signatures, and Guard takes one", hint="sign it once")
        if signature.startswith(_X509):
            return Fault(
                message=f"{what} is signed with an X.509 certificate, which Guard does not take", hint="sign with OpenPGP or SSH"
            )
        runs = self._programs.run
        with run.folder(self._directory) as folder:
            if signature.startswith(_SSH):
                found = ssh.check(what, payload, signature, namespace=namespace, at=at, keys=self._keys, folder=folder, run=runs)
            else:
                found = openpgp.check(what, payload, signature, keys=self._keys, folder=folder, run=runs)
        return found if isinstance(found, Fault) else self._not_ahead(what, found, at)

    def stop(self) -> None:
        """Stop what looks at a signature, and look at none any more; from any thread."""
        self._programs.stop()

    def _not_ahead(self, what: str, found: Signer, at: float | None) -> Signer | Fault:
        made = found.at if found.at is not None else at
        now = self._now()
        if made is None or made <= now + CLOCK_SKEW_SECONDS:
            return found
        return Fault(
            message=f"{what} is signed by {found}, dated {moment(made)}, but here it is {moment(now)}",
            hint="set the clock that is wrong: the signer's or that of Guard's machine",
            signer=found,
        )
