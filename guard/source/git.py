"""A Git repository as a source: one shallow, bare copy for each URL and each Secret, from which any revision that is held can be
read.

A revision is held when it is the last one fetched of a ref, or kept for a Sync; others go when the copy has grown (`upkeep`).
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

from msgspec import Struct

from guard import telemetry
from guard.base.errors import SourceError
from guard.source import refs, upkeep
from guard.source import revision as revisions
from guard.source.address import GitRef, check_ref
from guard.source.command import MOST_MEMORY, MOST_MEMORY_OF_LIST, MOST_OUTPUT, GitCommand, TooMuch
from guard.source.credentials import GitCredentials
from guard.source.failures import FILTER_REFUSED
from guard.source.history import History
from guard.source.include import Include
from guard.source.listing import MOST_IN_FILE
from guard.source.places import placed
from guard.source.ports import Link, Signed, Trust
from guard.source.remote import REMOTE, Remote
from guard.source.tree import GitTree
from guard.source.verify import Verifier
from guard.source.verify.git import MOST_IN_OBJECT, GitVerification, Mode, Taken
from guard.source.verify.known import Known
from guard.source.weblinks import web_link

__all__ = ["GitSource", "GitVerify"]

T = TypeVar("T")

_log = telemetry.get("source")

# Manifests of 100,000 objects are a tenth of it; the rest is for what else a repository holds.
MOST_IN_FETCH = 1024**3


class GitVerify(Struct, frozen=True, kw_only=True):
    """Whose signature is asked for, by a Secret's values, on what, and what is `known` of the Sync's revisions at the time."""

    keys: Mapping[str, bytes]
    mode: Mode = "Head"
    known: Callable[[], Known] = Known


class GitSource:
    """One ref of one repository. Calls of git block, so they queue on a thread of its own; errors name the URL, never a secret.

    Who shares a copy can read what is in it, so that is shared by those of one URL and one `secret`, the name of where the
    credentials come from. `include` are patterns of what is read at all, everything if empty; with `verify` nothing is taken that
    is not signed so; `most` is how many bytes one fetch may bring. Raises ConfigError at once for a URL, ref or pattern that will
    never work, SourceError for credentials that cannot.
    """

    def __init__(
        self,
        *,
        url: str,
        ref: GitRef | None = None,
        credentials: GitCredentials | None = None,
        secret: str = "",
        include: Iterable[str] = (),
        verify: GitVerify | None = None,
        directory: Path,
        timeout: float = 60,
        most: int = MOST_IN_FETCH,
    ) -> None:
        self._ref = ref or GitRef()
        check_ref(self._ref)
        self._url = url
        self._include = Include(include)
        self._most = most
        self._repository = directory / f"{_slug(f'{url} {secret}' if secret else url)}.git"
        self._remote = Remote(
            url=url, credentials=credentials or GitCredentials(), directory=directory, repository=self._repository
        )
        self._git = GitCommand(directory=directory, repository=self._repository, timeout=timeout, most=most)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="git")
        self._known = ""  # the commit that the copy was last seen to hold for the ref, unless it was taken away meanwhile
        # Files that are too large; empty once the server was found to refuse that.
        self._leave_out = f"blob:limit={MOST_IN_FILE + 1}"
        self._verification = (
            GitVerification(Verifier(verify.keys, directory=directory), mode=verify.mode, ref=self._ref, known=verify.known)
            if verify is not None
            else None
        )
        self._history = History(self._remote, directory=directory, copy=self._repository, timeout=timeout, most=most)
        self._signed: Signed | None = None

    async def fetch(self) -> str:
        """Ask the remote what the ref names, and get it if it is new; forced pushes are followed. Returns the revision.

        With nothing new this is one listing of that one ref, and nothing at all for a commit. Raises SourceError.
        """
        return await self._call(self._fetch)

    def tree(self, revision: str) -> GitTree:
        """The files of a revision that is held; reading them needs no network.

        Raises SourceError for what is no revision of a Git repository. Further calls are of `guard.state.snapshot.Tree`.
        """
        commit = revisions.commit_of(revision)
        return GitTree(revision=revision, commit=commit, include=self._include, run=self._run, call=self._call)

    async def keep(self, revision: str, *, owner: str = "") -> None:
        """Hold `revision` as the last good one of `owner` (a Sync), in place of the one before."""
        await self._call(lambda: self._keep(revision, owner))

    @property
    def trust(self) -> Trust:
        """A `guard.source.ports.Source`'s: a commit never changes."""
        return Trust(is_fetched=bool(self._known), signed=self._signed)

    def link(self, revision: str) -> Link:
        """The page of the repository's host."""
        return partial(web_link, self._url, revision)

    async def close(self) -> None:
        """Stop what runs and let the thread go, which may wait until another Sync of the same copy has fetched. Can be called
        twice.
        """
        self._git.stop()
        self._history.stop()
        if self._verification is not None:
            self._verification.stop()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _call(self, function: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, function)
        except SourceError as error:
            raise placed(error, self._url) from error

    def _fetch(self) -> str:
        with self._alone():
            found = self._found()
            commit, tag = found.commit, found.tag if self._wants_tag else ""
            if (tag or commit) != self._known or not (self._repository / self._slot).exists():
                if self._holds(tag or commit):
                    self._run("update-ref", "--", self._slot, tag or commit)
                else:
                    commit, tag = self._download(found)
                self._known = tag or commit
            taken = Taken(name=found.name, commit=commit, tag=tag)
            if self._verification is not None:
                self._signed = self._verification.check(taken, read=self._object, leads_to=partial(self._leads_to, found.remote))
        return taken.revision

    def _found(self) -> refs.Found:
        if self._ref.commit:
            return refs.Found(name="", remote=self._ref.commit, commit=self._ref.commit)
        option, names = refs.question(self._ref)
        asked = ("ls-remote", option, "--", REMOTE, *names)
        listing = self._run(*asked, memory=MOST_MEMORY_OF_LIST, environment=self._remote.environment())
        return refs.answer(listing, self._ref)

    def _download(self, found: refs.Found) -> tuple[str, str]:
        """Returns the commit, and the annotated tag that leads to it where that is wanted, and is one."""
        if upkeep.is_due(self._repository, most=self._most):
            with self._locked("keep"):
                self._tidy()
        arguments = (
            "fetch",
            "--quiet",
            "--depth=1",
            "--force",
            "--no-tags",
            "--no-recurse-submodules",
            "--no-write-fetch-head",
            "--",
            REMOTE,
            f"+{found.remote}:{self._slot}",
        )
        try:
            self._run(*arguments, environment=self._remote.environment(leave_out=self._leave_out))
        except SourceError as error:
            if error.message != FILTER_REFUSED:
                raise
            self._leave_out = ""
            self._run(*arguments, environment=self._remote.environment())
        # It may have moved since it was asked for.
        commit = self._id(f"{self._slot}^{{commit}}")
        tag = self._id(self._slot) if self._wants_tag else commit
        return commit, "" if tag == commit else tag

    def _id(self, name: str) -> str:
        return self._run("rev-parse", "--verify", "--end-of-options", name).decode().strip()

    @property
    def _wants_tag(self) -> bool:
        return self._verification is not None and self._verification.wants_tag

    def _object(self, kind: Literal["commit", "tag"], name: str) -> bytes:
        """A `guard.source.verify.git.Read`."""
        try:
            return self._run("cat-file", kind, name, most=MOST_IN_OBJECT)
        except TooMuch as error:
            raise SourceError(f"the {kind} {name} is larger than {MOST_IN_OBJECT // 2**20} MiB") from error

    def _leads_to(self, ref: str, before: str, commit: str) -> bool | None:
        """A `guard.source.verify.git.LeadsTo` by the history of a ref of the remote's."""
        return self._history.leads_to(ref, before, commit)

    def _tidy(self) -> None:
        try:
            upkeep.tidy(self._run, self._repository)
        except SourceError as error:
            # A copy that stays as large as it is keeps nobody from what is new.
            upkeep.clear(self._repository)
            _log.warning("a local copy cannot be packed anew", where=str(self._repository), error=str(error))

    @property
    def _slot(self) -> str:
        """What holds the last revision fetched, for all Syncs that follow the same."""
        return f"refs/guard/fetched/{_slug(str(self._ref))}"

    def _keep(self, revision: str, owner: str) -> None:
        # Not while others decide what can go.
        with self._locked("keep"):
            self._run("update-ref", "--", f"refs/guard/kept/{_slug(owner or str(self._ref))}", revisions.commit_of(revision))

    def _holds(self, commit: str) -> bool:
        return not self._git.run("cat-file", "-e", f"{commit}^{{commit}}").status

    def _run(
        self,
        *arguments: str,
        stdin: bytes = b"",
        most: int = MOST_OUTPUT,
        memory: int = MOST_MEMORY,
        environment: Mapping[str, str] | None = None,
    ) -> bytes:
        if not (self._repository / "HEAD").exists():
            raise SourceError("there is no local copy yet")
        output = self._git.run(*arguments, stdin=stdin, most=most, memory=memory, environment=environment)
        if output.status:
            raise self._remote.failure(output)
        return output.out

    @contextmanager
    def _alone(self) -> Generator[None]:
        """Have the repository ready, and to oneself: several Syncs may share it, and git's own locks make the second one fail."""
        with self._locked("fetch"):
            self._clear()
            self._git.prepare()
            self._remote.prepare()
            with self._remote.identified():
                try:
                    yield
                except SourceError:
                    # A server that sends too much would send it at every try.
                    self._clear()
                    raise

    def _clear(self) -> None:
        """Not while another Sync keeps a revision: its lock files are not what a killed git left."""
        with self._locked("keep"):
            upkeep.clear(self._repository)

    @contextmanager
    def _locked(self, what: str) -> Generator[None]:
        try:
            self._repository.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._repository.with_suffix(f".{what}").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise SourceError(f"the local copy cannot be used: {error}", where=str(self._repository)) from error


def _slug(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
