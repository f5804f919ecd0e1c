"""Signatures of SSH, decided by the exit status of ssh-keygen. Its text is read for nothing but the fingerprint behind a
certificate.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from guard.source.places import shown
from guard.source.verify import signers
from guard.source.verify.keys import Keys
from guard.source.verify.run import Finished, Run
from guard.source.verify.signers import Allowed, SshSignature
from guard.source.verify.verdict import Fault, Signer, moment

_FINGERPRINT = re.compile(r"key (SHA256:[A-Za-z0-9+/]+)$")
# One key may go by many names.
_MOST_PRINCIPALS = 16
_LATEST = 253402300799  # what a calendar of four-digit years holds


def check(
    what: str, payload: bytes, signature: bytes, *, namespace: str, at: float | None, keys: Keys, folder: Path, run: Run
) -> Signer | Fault:
    """Whose the signature over the payload is; `at` is when what is signed says that it was made, by which the time of a key is
    judged, since a signature of SSH does not say. Raises SourceError.
    """
    try:
        found = signers.signature(signature)
    except ValueError as error:
        return Fault(message=f"the signature of {what} cannot be read: {error}")
    if at is None or not 0 < at <= _LATEST:
        return Fault(message=f"{what} is signed with SSH, and does not say when it was made")
    if not keys.ssh:
        return Fault(
            message=f"{what} is signed with SSH, and the Secret has no {signers.FILE}",
            hint=f"if the owner of {found.fingerprint} may sign, add the public key there",
            signer=Signer(key=found.fingerprint),
        )
    return _Check(what, payload, found, namespace=namespace, at=at, keys=keys, folder=folder, run=run).verdict()


class _Check:
    def __init__(
        self, what: str, payload: bytes, found: SshSignature, *, namespace: str, at: float, keys: Keys, folder: Path, run: Run
    ) -> None:
        self._what = what
        self._payload = payload
        self._found = found
        self._namespace = namespace
        self._time = f"-Overify-time={datetime.fromtimestamp(at, UTC):%Y%m%d%H%M%S}"
        self._at = at
        self._keys = keys
        self._folder = folder
        self._run = run
        (folder / "signature").write_bytes(found.armored)
        (folder / "allowed").write_bytes(keys.ssh)
        (folder / "revoked").write_bytes(keys.revoked)

    def verdict(self) -> Signer | Fault:
        if self._keygen("check-novalidate", "-n", self._namespace).status:
            return self._fault("the signature of {what} with the key {key} is wrong: it is not what was signed, or not for this")
        listed = self._keygen("find-principals", "-f", "allowed", self._time)
        names = [name for name in listed.out.decode(errors="replace").split("\n") if name.strip()][:_MOST_PRINCIPALS]
        for name in names if not listed.status else ():
            verified = self._verified(name, "-r", "revoked") if self._keys.revoked else self._verified(name)
            if not verified.status:
                return Signer(by=shown(name), key=self._fingerprint(verified))
        for name in names if self._keys.revoked and not listed.status else ():
            if not (verified := self._verified(name)).status:
                signer = Signer(by=shown(name), key=self._fingerprint(verified))
                return Fault(message=f"{self._what} is signed by {signer}, whose key is revoked", signer=signer)
        return self._why()

    def _verified(self, name: str, *more: str) -> Finished:
        return self._keygen("verify", "-n", self._namespace, "-f", "allowed", "-I", name, self._time, *more)

    def _why(self) -> Fault:
        """The signature fits, and its key is not allowed."""
        lines = [line for line in self._keys.allowed if line.key == self._found.key]
        if not lines:
            return self._fault(
                "{what} is signed with an unknown key {key}", hint=f"if its owner may sign, add the public key to {signers.FILE}"
            )
        by = shown(lines[0].principals)
        if not any(line.serves(self._namespace) for line in lines):
            return self._fault(
                f"{{what}} is signed by {{signer}}, whose key is not allowed for {self._namespace!r}",
                by=by,
                hint=f"if it may be, add that to the namespaces of the key in {signers.FILE}",
            )
        return self._fault(f"{{what}} is signed by {{signer}}, {self._out_of_time(lines)}", by=by)

    def _out_of_time(self, lines: list[Allowed]) -> str:
        made = moment(self._at)
        if before := next((line.options["valid-before"] for line in lines if "valid-before" in line.options), ""):
            return f"whose key has expired: it is valid before {before}, and this was made {made}"
        if after := next((line.options["valid-after"] for line in lines if "valid-after" in line.options), ""):
            return f"whose key is not valid yet: it is so after {after}, and this was made {made}"
        return "whose key is not allowed to"

    def _fault(self, message: str, *, by: str = "", hint: str = "") -> Fault:
        signer = Signer(by=by, key=self._found.fingerprint)
        return Fault(message=message.format(what=self._what, key=signer.key, signer=signer), hint=hint, signer=signer)

    def _fingerprint(self, done: Finished) -> str:
        """Of the key itself, where it came in a certificate."""
        found = _FINGERPRINT.search(done.out.decode(errors="replace").rstrip())
        return found[1] if found else self._found.fingerprint

    def _keygen(self, how: str, *arguments: str) -> Finished:
        return self._run("ssh-keygen", ("-Y", how, "-s", "signature", *arguments), folder=self._folder, stdin=self._payload)
