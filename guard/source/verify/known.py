"""What is known of a Sync's revisions when the next one is looked at."""

from __future__ import annotations

from msgspec import Struct


class Known(Struct, frozen=True, kw_only=True):
    """`in_force` is the revision that is, `verified` one whose signature was found good when it was taken, with the time `at`
    which it was signed, and `accepted` one that an admin takes though it is a step back.
    """

    in_force: str = ""
    verified: str = ""
    at: str = ""
    accepted: str = ""
