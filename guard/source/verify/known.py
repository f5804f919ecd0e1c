"""What is known of a Sync's revisions when the next one is looked at."""

from __future__ import annotations

from msgspec import Struct

from guard.base.errors import VerificationError
from guard.source.verify.verdict import Fault, Signer


class Known(Struct, frozen=True, kw_only=True):
    """`in_force` is the revision that is, `verified` one whose signature was found good when it was taken, with the time `at`
    which it was signed, and `accepted` one that an admin takes though it is a step back.
    """

    in_force: str = ""
    verified: str = ""
    at: str = ""
    accepted: str = ""


def trusted(verdict: Signer | Fault, *, revision: str, known: Known) -> Signer:
    """Who signed a revision, of which this is the verdict. Raises VerificationError where it is not to be taken."""
    if not isinstance(verdict, Fault):
        return verdict
    if verdict.has_aged and verdict.signer is not None and known.verified == revision:
        # It was good when it was taken, and is in force.
        return verdict.signer
    signer = str(verdict.signer) if verdict.signer is not None else ""
    raise VerificationError(verdict.message, revision=revision, signer=signer, hint=verdict.hint)
