"""Acting for a service account, so that the API server allows what that account may and no more, and so that Guard's own webhook
knows such a request from everybody else's who comes as that account.

The proof is a MAC over the account's name, under a key that only this process has. It travels in an `Impersonate-Extra` header,
which the API server hands on to every webhook and writes into its audit log: so the key changes often, and what was seen for one
account is worth nothing for another.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Collection, Mapping
from urllib.parse import quote

from guard.base.clock import Clock
from guard.state.requesters import ACTING_EXTRA

# The API server takes the lower case of what follows the prefix, and then its percent encoding off.
EXTRA_HEADER = f"Impersonate-Extra-{quote(ACTING_EXTRA, safe='')}"
USER_HEADER = "Impersonate-User"

KEY_BYTES = 32  # as many as SHA-256 makes use of; 16 could not be guessed either
# How long what was seen in an audit log is of use at most: both together.
ROTATE_SECONDS = 600.0
# A request takes 30 s at most, the API server's own 60; a clock of its own does not enter.
GRACE_SECONDS = 120.0


class Impersonation:
    """Makes the proof, and knows it again. Keys live in memory: after a restart none of before is accepted."""

    def __init__(self, *, clock: Clock, random: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._clock = clock
        self._random = random
        self._keys: list[tuple[float, bytes]] = []

    def headers(self, username: str) -> Mapping[str, str]:
        """Those of a request as this user. Of a service account the API server knows the groups."""
        self._rotate()
        _, key = self._keys[-1]
        return {USER_HEADER: username, EXTRA_HEADER: _proof(key, username)}

    def is_proof(self, username: str, given: Collection[str]) -> bool:
        """Whether these values of the extra prove that Guard itself is acting for the user. Takes as long for any."""
        self._expire()
        expected = [_proof(key, username).encode() for _, key in self._keys]
        # No generator: each is compared with each.
        return any([hmac.compare_digest(value.encode(), proof) for value in given for proof in expected])  # noqa: C419

    def _rotate(self) -> None:
        now = self._clock.monotonic()
        if not self._keys or now - self._keys[-1][0] >= ROTATE_SECONDS:
            self._keys.append((now, self._random(KEY_BYTES)))
        self._expire()

    def _expire(self) -> None:
        now = self._clock.monotonic()
        self._keys = [(made, key) for made, key in self._keys if now - made < ROTATE_SECONDS + GRACE_SECONDS]


def _proof(key: bytes, username: str) -> str:
    return hmac.new(key, username.encode(), hashlib.sha256).hexdigest()
