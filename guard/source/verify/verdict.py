"""What comes of looking at a signature."""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec import Struct


class Signer(Struct, frozen=True, kw_only=True):
    """`by` is the name that the key goes by, `key` its fingerprint; `at` are seconds since 1970, None where the signature does
    not say when it was made.
    """

    by: str = ""
    key: str = ""
    at: float | None = None

    def __str__(self) -> str:
        return f"{self.by} ({self.key})" if self.by else self.key


class Fault(Struct, frozen=True, kw_only=True):
    """Why what is signed, if it is, is not taken. `has_aged`: it was good once, and only time has passed since."""

    message: str
    hint: str = ""
    signer: Signer | None = None
    has_aged: bool = False


def moment(seconds: float) -> str:
    """RFC 3339, or what there is to say of times that no calendar has."""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return f"{seconds:.0f} seconds after 1970"
