"""Keys made for one test, and files that the real sops encrypts for them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from itertools import count
from pathlib import Path

from msgspec import Struct


class Key(Struct, frozen=True):
    """`recipient` is what files are encrypted for, `entry` the name that a Secret gives the `private` key."""

    recipient: str
    private: bytes
    entry: str

    @property
    def values(self) -> dict[str, bytes]:
        return {self.entry: self.private}


class Locksmith:
    """`tools` are sops and age-keygen."""

    def __init__(self, tools: Mapping[str, Path]) -> None:
        self._tools = tools
        # An agent's socket has 108 characters at most, and a test's own folder may be deep.
        self._home = Path(tempfile.mkdtemp(prefix="gpg-"))
        self._path = os.environ["PATH"]
        self._numbers = count()

    def close(self) -> None:
        self._run("gpgconf", "--kill", "all")
        shutil.rmtree(self._home, ignore_errors=True)

    def age(self) -> Key:
        made = subprocess.run([self._tools["age-keygen"]], capture_output=True, check=True).stdout
        found = re.search(rb"age1\w+", made)
        assert found is not None
        return Key(recipient=found[0].decode(), private=made, entry="identity.agekey")

    def pgp(self, *, passphrase: str = "", kind: str = "default", armored: bool = True) -> Key:
        secret = ("--batch", "--pinentry-mode", "loopback", "--passphrase", passphrase)
        made = self._run(
            "gpg",
            *secret,
            "--status-fd",
            "1",
            "--quick-generate-key",
            f"Ada <ada{next(self._numbers)}@example.com>",
            kind,
            "default",
            "never",
        )
        found = re.search(rb"KEY_CREATED \w (\w+)", made)
        assert found is not None
        fingerprint = found[1].decode()
        if kind != "default":
            self._run("gpg", *secret, "--quick-add-key", fingerprint, kind, "encr", "never")
        private = self._run("gpg", *secret, *(["--armor"] if armored else []), "--export-secret-keys", fingerprint)
        return Key(recipient=fingerprint, private=private, entry="ada.asc" if armored else "ada.gpg")

    def encrypt(self, name: str, text: str | bytes, *keys: Key | str, options: tuple[str, ...] = ()) -> str:
        """What sops makes of a file of that name. A key may be given as the recipient alone."""
        recipients = [key if isinstance(key, str) else key.recipient for key in keys]
        age = ",".join(found for found in recipients if found.startswith("age1"))
        pgp = ",".join(found for found in recipients if not found.startswith("age1"))
        told = [*(["--age", age] if age else []), *(["--pgp", pgp] if pgp else []), *options]
        data = text.encode() if isinstance(text, str) else text
        return self._run(str(self._tools["sops"]), "encrypt", *told, "--filename-override", name, given=data).decode()

    def decrypt(self, name: str, text: str, key: Key) -> bytes:
        """As `sops decrypt` has it, by hand."""
        file = self._home / "identity"
        file.write_bytes(key.private)
        return self._run(
            str(self._tools["sops"]), "decrypt", "--filename-override", name, given=text.encode(), SOPS_AGE_KEY_FILE=str(file)
        )

    def _run(self, *command: str, given: bytes = b"", **environment: str) -> bytes:
        told = {"GNUPGHOME": str(self._home), "HOME": str(self._home), "PATH": self._path, **environment}
        done = subprocess.run(command, cwd=self._home, env=told, input=given, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout


def edited(text: str, pattern: str, replacement: str) -> str:
    """A file changed by hand."""
    changed, times = re.subn(pattern, replacement, text, flags=re.MULTILINE)
    assert times
    return changed
