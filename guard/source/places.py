"""Says where an error of a source is, and what others wrote."""

from __future__ import annotations

from guard.base.errors import SourceError, VerificationError


def shown(text: str, *, most: int = 200) -> str:
    """What somebody else wrote, for a terminal and a status."""
    return "".join(filter(str.isprintable, text))[:most]


def placed(error: SourceError, where: str) -> SourceError:
    """The same with a place, where it names none; plain but for its class, since what is done about an error goes by that."""
    where = error.where or where
    if isinstance(error, VerificationError):
        return VerificationError(error.message, where=where, hint=error.hint, revision=error.revision, signer=error.signer)
    return SourceError(error.message, where=where, hint=error.hint)
