"""Whether a revision of a bucket may be taken: its list signed by somebody who may, every object as the list says, and no step
back from what is in force.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from guard.api import ACCEPT_REVISION
from guard.base.errors import SourceError, VerificationError
from guard.source.ports import Signed
from guard.source.verify import sums
from guard.source.verify.known import Known, trusted
from guard.source.verify.sums import LIST, SIGNATURES, Sums
from guard.source.verify.verdict import Fault, Signer, moment
from guard.source.verify.verifier import CLOCK_SKEW_SECONDS, Verifier

# Of signatures that ssh-keygen makes: for nothing else (PROTOCOL.sshsig).
NAMESPACE = "bucket@gitopsguard.dev"
_NAMED = 3
_HINT = "sign what is there, or wait for an upload to end"


class BucketVerify(Struct, frozen=True, kw_only=True):
    """Whose signature is asked for, by a Secret's values, and what is `known` of the Sync's revisions at the time."""

    keys: Mapping[str, bytes]
    known: Callable[[], Known] = Known


class Content(Struct, frozen=True, kw_only=True):
    """What a revision holds: digests of contents by path, and how one of them is `read`. `wants` says which paths are read at
    all, and `at` of another revision when its list was signed, None where that is not known.
    """

    revision: str
    digests: Mapping[str, str]
    read: Callable[[str], bytes]
    wants: Callable[[str], bool]
    at: Callable[[str], float | None]


class BucketVerification:
    """With the keys of one Secret. What was found good stays so; the rest is looked at again each time. One that `is_pinned` is
    an admin's choice, and may be any that is signed.
    """

    def __init__(self, verify: BucketVerify, *, directory: Path, is_pinned: bool, now: Callable[[], float] = time.time) -> None:
        self._verifier = Verifier(verify.keys, directory=directory, now=now)
        self._known = verify.known
        self._is_pinned = is_pinned
        self._now = now
        self._good: tuple[Content, Signed, Sums] | None = None

    def check(self, content: Content) -> Signed:
        """Who signed it. Blocks. Raises VerificationError for what is not to be taken, SourceError."""
        known = self._known()
        good = self._good
        # A revision is made of names of versions, which are the store's word.
        if good is None or (good[0].revision, good[0].digests) != (content.revision, content.digests):
            self._good = None
            good = self._good = content, *self._checked(content, known)
        _, signed, listed = good
        if not self._is_pinned and content.revision != known.accepted:
            self._check_forward(signed, listed, known, content)
        return signed

    def stop(self) -> None:
        """As a Verifier's."""
        self._verifier.stop()

    def _checked(self, content: Content, known: Known) -> tuple[Signed, Sums]:
        data, signature = self._files(content)
        try:
            listed = sums.parse(data)
        except ValueError as error:
            raise VerificationError(f"{LIST} cannot be used: {error}", revision=content.revision) from error
        signer = self._signer(data, signature, listed, content, known)
        if different := sums.differences(listed, content.digests, wants=content.wants):
            more = f", and {len(different) - _NAMED} more" if len(different) > _NAMED else ""
            raise VerificationError(
                f"the bucket is not what {signer} signed at {moment(listed.at)}: {', '.join(different[:_NAMED])}{more}",
                revision=content.revision,
                signer=str(signer),
                hint=_HINT,
            )
        return Signed(revision=content.revision, by=signer.by, key=signer.key, at=moment(listed.at)), listed

    def _files(self, content: Content) -> tuple[bytes, bytes]:
        """The list and its signature."""
        if LIST not in content.digests:
            raise VerificationError(
                f"nothing is signed: there is no {LIST} below the prefix", revision=content.revision, hint=_HINT
            )
        found = [name for name in SIGNATURES if name in content.digests]
        if len(found) != 1:
            what = "several signatures, and Guard takes one" if found else f"no signature {' or '.join(SIGNATURES)}"
            raise VerificationError(f"{LIST} has {what}", revision=content.revision, hint=_HINT)
        for name in (LIST, found[0]):
            if sums.is_too_large(content.digests[name]):
                raise VerificationError(f"{name} is too large to be read", revision=content.revision, hint=_HINT)
        return content.read(content.digests[LIST]), content.read(content.digests[found[0]])

    def _signer(self, data: bytes, signature: bytes, listed: Sums, content: Content, known: Known) -> Signer:
        verdict = self._verifier.check(LIST, data, signature, namespace=NAMESPACE, at=listed.at)
        signer = trusted(verdict, revision=content.revision, known=known)
        if not isinstance(verdict, Fault) and listed.at > self._now() + CLOCK_SKEW_SECONDS:
            # No later one could take its place.
            raise VerificationError(
                f"{LIST} is signed by {signer} for {moment(listed.at)}, but here it is {moment(self._now())}",
                revision=content.revision,
                signer=str(signer),
                hint="set the clock that is wrong: the signer's or that of Guard's machine",
            )
        return signer

    def _check_forward(self, signed: Signed, listed: Sums, known: Known, content: Content) -> None:
        before = content.at(known.in_force)
        if before is None and known.verified == known.in_force and known.at:
            before = datetime.fromisoformat(known.at).timestamp()
        if before is None or listed.at >= before:
            return
        raise VerificationError(
            f"{LIST} is signed by {signed} at {moment(listed.at)}, before {known.in_force}, which is in force and was signed at "
            f"{moment(before)}: somebody may have put an old one back",
            revision=signed.revision,
            signer=str(signed),
            hint=f"to take it all the same, annotate the Sync with {ACCEPT_REVISION}={signed.revision}",
        )


def signed_at(read: Callable[[], bytes]) -> float | None:
    """When the list that is read says that it was signed; None where there is none."""
    try:
        return sums.parse(read()).at
    except (SourceError, ValueError, KeyError):
        return None
