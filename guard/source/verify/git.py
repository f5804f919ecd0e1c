"""Whether a commit of Git may be taken: signed as the Sync asks for, and no step back from what is in force."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias, TypeVar

from msgspec import Struct

from guard.api import ACCEPT_REVISION
from guard.base.errors import SourceError, VerificationError
from guard.source import revision as revisions
from guard.source.address import GitRef
from guard.source.ports import Signed
from guard.source.semver import is_older, is_version
from guard.source.verify import objects
from guard.source.verify.known import Known, trusted
from guard.source.verify.objects import SignedObject
from guard.source.verify.verdict import Signer, moment
from guard.source.verify.verifier import Verifier

Parsed = TypeVar("Parsed", bound=SignedObject)
Mode: TypeAlias = Literal["Head", "Tag", "TagAndHead"]

NAMESPACE = "git"  # of signatures that git makes with SSH
# A commit with the message of a whole release's notes has some KiB.
MOST_IN_OBJECT = 1024 * 1024
_SHOWN = 10


class Taken(Struct, frozen=True, kw_only=True):
    """What was fetched: `name` is the ref's, `tag` the id of the annotated tag that led to the commit, empty without one."""

    name: str
    commit: str
    tag: str = ""

    @property
    def revision(self) -> str:
        return revisions.written(self.name, self.commit)


class Read(Protocol):
    """The text of a commit or tag that is held. Raises SourceError."""

    def __call__(self, kind: Literal["commit", "tag"], name: str) -> bytes: ...


# Whether the first commit leads to the second by its parents; None where that is not known within bounds. Raises SourceError.
LeadsTo: TypeAlias = Callable[[str, str], bool | None]


class GitVerification:
    """Of one Sync: with these keys, this mode, this ref. What was found good stays so, since neither commit nor keys change; the
    rest is looked at again each time.
    """

    def __init__(self, verifier: Verifier, *, mode: Mode, ref: GitRef, known: Callable[[], Known]) -> None:
        self._verifier = verifier
        self._mode: Mode = mode
        self._ref = ref
        self._known = known
        self._good: tuple[Taken, Signed] | None = None
        # Of the last pair: what is in force, and what was fetched.
        self._forward: tuple[str, Taken, bool | None] | None = None

    @property
    def wants_tag(self) -> bool:
        return self._mode != "Head"

    def check(self, taken: Taken, *, read: Read, leads_to: LeadsTo) -> Signed:
        """Who signed what was fetched. Raises VerificationError for what is not to be taken, SourceError."""
        known = self._known()
        if self._good is None or self._good[0] != taken:
            self._good = None
            self._good = taken, self._signed(taken, known, read)
        self._check_forward(taken, known, read=read, leads_to=leads_to)
        return self._good[1]

    def stop(self) -> None:
        """As a Verifier's."""
        self._verifier.stop()

    # ---- signatures

    def _signed(self, taken: Taken, known: Known, read: Read) -> Signed:
        signer = Signer()
        if self._mode != "Tag":
            what = f"commit {taken.commit[:_SHOWN]}"
            signer = self._signer(what, _parsed(taken, lambda: objects.commit(read("commit", taken.commit))), taken, known)
        if self._mode != "Head":
            signer = self._tag_signer(taken, known, read)
        at = moment(signer.at) if signer.at is not None else ""
        return Signed(revision=taken.revision, by=signer.by, key=signer.key, at=at)

    def _tag_signer(self, taken: Taken, known: Known, read: Read) -> Signer:
        what = f"tag {taken.name}"
        if not taken.tag:
            raise VerificationError(
                f"{what} is not signed: it is a lightweight tag",
                revision=taken.revision,
                hint="sign it: git tag --sign, and push it with --force",
            )
        tag = _parsed(taken, lambda: objects.tag(read("tag", taken.tag)))
        signer = self._signer(what, tag, taken, known)
        if tag.name != taken.name:
            raise VerificationError(
                f"{what} is signed by {signer} under another name, {tag.name!r}: somebody has put it in the place of this one",
                revision=taken.revision,
                signer=str(signer),
            )
        if (tag.kind, tag.target) != ("commit", taken.commit):
            raise VerificationError(
                f"{what} is signed by {signer} for the {tag.kind} {tag.target[:_SHOWN]}, not for commit {taken.commit[:_SHOWN]}",
                revision=taken.revision,
                signer=str(signer),
                hint="let the tag name the commit itself",
            )
        return signer

    def _signer(self, what: str, found: SignedObject, taken: Taken, known: Known) -> Signer:
        verdict = self._verifier.check(what, found.payload, found.signature, namespace=NAMESPACE, at=found.at)
        return trusted(verdict, revision=taken.revision, known=known)

    # ---- steps back

    def _check_forward(self, taken: Taken, known: Known, *, read: Read, leads_to: LeadsTo) -> None:
        before = _taken(known.in_force)
        if before is None or taken.revision in {known.in_force, known.accepted} or not self._follows(before, taken):
            return
        if self._ref.semver and before.name != taken.name:
            if is_older(taken.name, before.name, text=self._ref.semver):
                raise self._back(taken, f"{taken.name} is older than {known.in_force}, which is in force")
            if self.wants_tag:
                # The name was signed, too. Where the commit alone was, whoever can push may call an old one as he likes.
                return
        if self._forward is None or self._forward[:2] != (known.in_force, taken):
            is_parent = before.commit in _parsed(taken, lambda: objects.commit(read("commit", taken.commit))).parents
            self._forward = known.in_force, taken, is_parent or leads_to(before.commit, taken.commit)
        match self._forward[2]:
            case True:
                return
            case False:
                raise self._back(taken, f"it does not come after {known.in_force}, which is in force")
            case None:
                raise self._back(taken, f"{known.in_force}, which is in force, is not among the last commits before it")

    def _follows(self, before: Taken, taken: Taken) -> bool:
        """Whether the two came by the same ref, so that one has to come after the other; if not, the Sync was changed. Which
        branch is the default one is the remote's to say, so another name of it makes no difference.
        """
        if self._ref.commit or before.commit == taken.commit:
            return False
        if self._ref.semver:
            return is_version(before.name, self._ref.semver)
        return before.name == taken.name if self._ref.branch or self._ref.tag else bool(before.name)

    def _back(self, taken: Taken, why: str) -> VerificationError:
        signed = self._good[1] if self._good is not None else None
        return VerificationError(
            f"{taken.revision} is signed by {signed}, but {why}: somebody may have put an old one back",
            revision=taken.revision,
            signer=str(signed),
            hint=f"to take it all the same, annotate the Sync with {ACCEPT_REVISION}={taken.revision}",
        )


def _parsed(taken: Taken, parse: Callable[[], Parsed]) -> Parsed:
    try:
        return parse()
    except ValueError as error:
        raise VerificationError(f"{taken.revision} is not to be trusted: {error}", revision=taken.revision) from error


def _taken(revision: str) -> Taken | None:
    """None for what is none, or another source's."""
    try:
        commit = revisions.commit_of(revision)
    except SourceError:
        return None
    return Taken(name=revision.rpartition("@")[0], commit=commit)
