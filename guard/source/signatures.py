"""How each host of repositories proves that a push is its own, by a secret that it shares with Guard. No I/O.

    GitHub     X-Hub-Signature-256: sha256=<hex>    HMAC-SHA256 of the body
    GitLab     X-Gitlab-Token: <secret>             the secret itself; but if it is a signing token (`whsec_<base64>`):
               webhook-signature: v1,<base64> ...   HMAC-SHA256 of `<webhook-id>.<webhook-timestamp>.<body>` (Standard Webhooks)
    Gitea      X-Gitea-Signature: <hex>             HMAC-SHA256 of the body
    Forgejo    X-Forgejo-Signature: <hex>           the same; where there is none, Gitea's header
    Bitbucket  X-Hub-Signature: sha256=<hex>        the same, of Cloud and Data Center
    Generic    X-Signature: sha256=<hex>            the same
    S3         Authorization: Bearer <secret>       the secret itself, which stores of buckets send; or
               Authorization: Basic <base64>        the same as a password, whoever the user

A header that comes twice counts as none.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import secrets
from typing import Literal, Protocol, TypeAlias

Host: TypeAlias = Literal["GitHub", "GitLab", "Gitea", "Forgejo", "Bitbucket", "Generic", "S3"]

# What Standard Webhooks' own libraries allow between the clocks of both sides.
TOLERANCE_SECONDS = 300.0

_PREFIXED = re.compile(r"sha256=([0-9a-fA-F]{64})")
_BARE = re.compile(r"([0-9a-fA-F]{64})")
_SIGNING_TOKEN = "whsec_"  # noqa: S105 (what such a token begins with)
# Stands in for a secret that is not there, so that the work is the same.
_UNKNOWN = secrets.token_bytes(32)


class Headers(Protocol):
    def getall(self, key: str, default: list[str], /) -> list[str]: ...


class Verification:
    """Of one request: takes the body as it comes, then tells whether the sender knows `secret`; an empty one is known to nobody.
    `now` is in Unix seconds.
    """

    def __init__(self, host: Host, headers: Headers, *, secret: str, now: float) -> None:
        self._known = bool(secret)
        self._secret = secret
        self._shown = ""
        key, before = _encoded(secret) or _UNKNOWN, b""
        self._claimed: list[bytes] = []
        match host:
            case "GitHub":
                self._claimed = _hexadecimal(_PREFIXED, _only(headers, "X-Hub-Signature-256"))
            case "GitLab" if secret.startswith(_SIGNING_TOKEN):
                key = _decoded(secret.removeprefix(_SIGNING_TOKEN)) or _UNKNOWN
                self._claimed, before = _standard(headers, now=now)
            case "GitLab":
                self._shown = _only(headers, "X-Gitlab-Token")
            case "Gitea":
                self._claimed = _hexadecimal(_BARE, _only(headers, "X-Gitea-Signature"))
            case "Forgejo":
                own = headers.getall("X-Forgejo-Signature", [])
                self._claimed = _hexadecimal(_BARE, _only(headers, "X-Forgejo-Signature" if own else "X-Gitea-Signature"))
            case "Bitbucket":
                self._claimed = _hexadecimal(_PREFIXED, _only(headers, "X-Hub-Signature"))
            case "Generic":
                self._claimed = _hexadecimal(_PREFIXED, _only(headers, "X-Signature"))
            case "S3":
                self._shown = _told(_only(headers, "Authorization"))
        self._digest = hmac.new(key, before, "sha256")

    def update(self, chunk: bytes) -> None:
        self._digest.update(chunk)

    def holds(self) -> bool:
        """Compares in constant time, and as much for a secret that is empty."""
        digest = self._digest.digest()
        # All of them, and digests of the secret itself: neither how many there are nor how long it is tells in time.
        signed = sum([hmac.compare_digest(digest, claimed) for claimed in self._claimed])
        shown = hmac.compare_digest(_digest(self._shown), _digest(self._secret))
        return self._known and (bool(signed) or shown)


def _told(authorization: str) -> str:
    """The secret that a header of HTTP's own schemes holds; empty for other ones."""
    scheme, _, value = authorization.partition(" ")
    match scheme.casefold():
        case "bearer":
            return value.strip()
        case "basic":
            return _decoded(value.strip()).partition(b":")[2].decode("utf-8", "surrogateescape")
        case _:
            return ""


def _only(headers: Headers, name: str) -> str:
    values = headers.getall(name, [])
    return values[0] if len(values) == 1 else ""


def _hexadecimal(form: re.Pattern[str], text: str) -> list[bytes]:
    found = form.fullmatch(text)
    return [bytes.fromhex(found[1])] if found else []


def _standard(headers: Headers, *, now: float) -> tuple[list[bytes], bytes]:
    """What the request claims by Standard Webhooks, and what is signed before the body."""
    name, at = _only(headers, "webhook-id"), _only(headers, "webhook-timestamp")
    if not name or not re.fullmatch(r"[0-9]{1,12}", at) or abs(now - int(at)) > TOLERANCE_SECONDS:
        return [], b""
    entries = (entry.partition(",") for entry in _only(headers, "webhook-signature").split())
    return [_decoded(value) for version, _, value in entries if version == "v1"], _encoded(f"{name}.{at}.")


def _decoded(text: str) -> bytes:
    """Empty for what is no base64."""
    try:
        return base64.b64decode(_encoded(text), validate=True)
    except binascii.Error:
        return b""


def _encoded(text: str) -> bytes:
    """Headers come with bytes that are no UTF-8 as surrogates."""
    return text.encode("utf-8", "surrogateescape")


def _digest(text: str) -> bytes:
    return hmac.digest(_UNKNOWN, _encoded(text), "sha256")
