"""What a Secret, or a folder of files, says about how to get into a Git repository."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from urllib.parse import quote

from msgspec import Struct

from guard.base.errors import SourceError

# Keys of a Secret, as users of Flux know them, and the fields that they become.
KEYS = {
    "username": "username",
    "password": "password",
    "bearerToken": "bearer_token",
    "ca.crt": "ca_certificate",
    "identity": "identity",
    "known_hosts": "known_hosts",
}
# What is one line; editors and `kubectl create secret --from-file` leave a newline behind it.
_LINES = frozenset({"username", "password", "bearerToken"})


class GitCredentials(Struct, frozen=True):
    """For HTTPS `username` and `password`, or `bearer_token`, and `ca_certificate`, which stands in for the machine's
    authorities. For SSH `identity`, a private key, `password`, the key's passphrase, and `known_hosts`. Files are given as their
    text.
    """

    username: str = ""
    password: str = ""
    bearer_token: str = ""
    ca_certificate: str = ""
    identity: str = ""
    known_hosts: str = ""

    def __repr__(self) -> str:
        told = [name for name in self.__struct_fields__ if getattr(self, name)]
        return f"GitCredentials({', '.join(f'{name}=***' for name in told)})"

    @property
    def log_in(self) -> bool:
        """Whether there is something to log in with."""
        return bool(self.username or self.password or self.bearer_token or self.identity)

    def without_secrets(self, text: str) -> str:
        """The text without what of this a server may have been told, should it echo that."""
        login = base64.b64encode(f"{self.username or 'git'}:{self.password}".encode()).decode() if self.password else ""
        for secret in (login, self.password, quote(self.password, safe=""), self.bearer_token):
            if secret:
                text = text.replace(secret, "***")
        return text


def credentials_of(values: Mapping[str, bytes]) -> GitCredentials:
    """The credentials that the (decoded) data of a Secret hold, or the files of a folder, by name; others are left alone.

    Raises SourceError that names the key which is not what it has to be, and never its value.
    """
    texts: dict[str, str] = {}
    for key, field in KEYS.items():
        text = _text(key, values.get(key, b""))
        texts[field] = text.rstrip("\r\n") if key in _LINES else text
        if key in _LINES and not texts[field].isprintable():
            raise SourceError(f"{key} of the credentials holds more than one line, or control characters")
    if texts["bearer_token"] and (texts["username"] or texts["password"]):
        raise SourceError("the credentials hold bearerToken and username or password", hint="leave one of them out")
    return GitCredentials(**texts)


def check_credentials(credentials: GitCredentials, *, scheme: str) -> None:
    """Raise SourceError where something is missing that an address of this scheme needs."""
    if scheme != "ssh":
        return
    for key in ("identity", "known_hosts"):
        if not getattr(credentials, key).strip():
            what = "the private key" if key == "identity" else "the server's public key, as ssh-keyscan prints it"
            raise SourceError(
                f"{key} is missing, without which Guard does not use SSH", hint=f"put {what} into the Secret that secretRef names"
            )


def _text(key: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise SourceError(f"{key} of the credentials is not text") from error
