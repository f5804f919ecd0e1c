"""A Git repository as a source: one shallow, bare copy for each URL, from which any revision that was fetched can be read.

Objects are never pruned: garbage collection is off, so that a revision stays readable after its branch moved on or went away.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from guard.base.errors import SourceError
from guard.source import manifests
from guard.source import revision as revisions
from guard.source.address import GitRef, check_ref, check_url
from guard.source.command import GitCommand, GitCredentials
from guard.source.failures import failure
from guard.source.tree import GitTree
from guard.state.snapshot import Snapshot

__all__ = ["GitCredentials", "GitRef", "GitSource"]

T = TypeVar("T")

# What git leaves behind when it is killed while it fetches; nobody else fetches while we hold our own lock.
_STALE_LOCKS = ("shallow.lock", "packed-refs.lock", "refs/guard/**/*.lock")


class GitSource:
    """One ref of one repository. Calls of git block, so they queue on a thread of its own; errors name the URL, never a secret.

    Raises ConfigError at once for a URL or ref that will never be fetched.
    """

    def __init__(
        self,
        *,
        url: str,
        ref: GitRef | None = None,
        credentials: GitCredentials | None = None,
        directory: Path,
        timeout: float = 60,
    ) -> None:
        check_url(url)
        self._ref = ref or GitRef()
        check_ref(self._ref)
        self._url = url
        self._credentials = credentials or GitCredentials()
        self._repository = directory / f"{_slug(url)}.git"
        self._git = GitCommand(directory=directory, repository=self._repository, credentials=self._credentials, timeout=timeout)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="git")
        self._known = ""  # the commit that the copy was last seen to hold for the ref

    async def fetch(self) -> str:
        """Ask the remote what the ref names, and get it if it is new; forced pushes are followed. Returns the revision.

        With nothing new this is one listing of that one ref, and nothing at all for a commit. Raises SourceError.
        """
        return await self._call(self._fetch)

    async def read(self, revision: str, *, path: str) -> Snapshot:
        """The manifests at and below `path` in a revision that was fetched at any time before; needs no network.

        Raises RenderError where the revision is at fault (no such path, symbolic links), SourceError where the copy is.
        """
        return await self._call(lambda: self._read(revision, path))

    def tree(self, revision: str) -> GitTree:
        """The files of a revision that was fetched at any time before; reading them needs no network.

        Raises SourceError for what is no revision of a Git repository. Further calls are of `guard.state.snapshot.Tree`.
        """
        return GitTree(revision=revision, commit=revisions.commit_of(revision), run=self._run, call=self._call)

    async def keep(self, revision: str, *, owner: str = "") -> None:
        """Pin `revision` as the last good one of `owner` (a Sync), in place of what was pinned before."""
        await self._call(lambda: self._keep(revision, owner))

    async def close(self) -> None:
        """Stop what runs and release the thread. Can be called twice."""
        self._git.stop()
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)

    async def _call(self, function: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, function)
        except SourceError as error:
            if error.where:
                raise
            raise SourceError(error.message, where=self._url, hint=error.hint) from error

    def _fetch(self) -> str:
        with self._alone():
            self._git.prepare()
            if self._ref.commit:
                name, commit = "", self._ref.commit
                remote = commit
            else:
                name, remote, commit = self._ask()
            if commit != self._known:
                if not self._holds(commit):
                    commit = self._download(remote)
                self._point(f"refs/guard/fetched/{_slug(remote)}", commit)
                self._known = commit
        return revisions.written(name, commit)

    def _ask(self) -> tuple[str, str, str]:
        """The ref's short name, its name on the remote, and the id that it holds there."""
        if self._ref.branch:
            asked = [f"refs/heads/{self._ref.branch}"]
        elif self._ref.tag:
            # An annotated tag is an object of its own; the remote lists what it points to with `^{}`.
            asked = [f"refs/tags/{self._ref.tag}", f"refs/tags/{self._ref.tag}^{{}}"]
        else:
            asked = ["HEAD"]
        listed = self._run("ls-remote", "--symref", "--", self._url, *asked).decode(errors="replace")
        values = {name: value for value, _, name in (line.partition("\t") for line in listed.splitlines()) if " " not in value}
        targets = [line[5:].partition("\t")[0] for line in listed.splitlines() if line.startswith("ref: ")]
        found = next((values[name] for name in reversed(asked) if name in values), "")
        if self._ref.branch or self._ref.tag:
            short = self._ref.branch or self._ref.tag
            if not found:
                raise SourceError(f"the repository has no {'branch' if self._ref.branch else 'tag'} {short!r}")
            return short, asked[0], found
        if not found:
            raise SourceError("the repository is empty, or its default branch does not exist", hint="name a branch in ref.branch")
        target = targets[0] if targets else "HEAD"
        return target.removeprefix("refs/heads/"), target, found

    def _download(self, remote: str) -> str:
        slot = f"refs/guard/fetched/{_slug(remote)}"
        self._run(
            "fetch",
            "--quiet",
            "--depth=1",
            "--force",
            "--no-tags",
            "--no-recurse-submodules",
            "--no-write-fetch-head",
            "--",
            self._url,
            f"+{remote}:{slot}",
        )
        return self._run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{slot}^{{commit}}").decode().strip()

    def _read(self, revision: str, path: str) -> Snapshot:
        commit = revisions.commit_of(revision)
        if not self._holds(commit):
            raise SourceError(f"{revision} is not in the local copy")
        return manifests.read(self._run, revision=revision, commit=commit, path=path)

    def _keep(self, revision: str, owner: str) -> None:
        self._point(f"refs/guard/kept/{_slug(f'{self._ref}{owner}')}", revisions.commit_of(revision))

    def _point(self, name: str, commit: str) -> None:
        self._run("update-ref", "--", name, commit)

    def _holds(self, commit: str) -> bool:
        return (self._repository / "HEAD").exists() and not self._git.run("cat-file", "-e", f"{commit}^{{commit}}").status

    def _run(self, *arguments: str, stdin: bytes = b"") -> bytes:
        output = self._git.run(*arguments, stdin=stdin)
        if output.status:
            raise failure(output.err, credentials=self._credentials)
        return output.out

    @contextmanager
    def _alone(self) -> Generator[None, None, None]:
        """Hold the repository's lock: several Syncs may share it, and git's own locks make the second one fail."""
        try:
            self._repository.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._repository.with_suffix(".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                for pattern in _STALE_LOCKS:
                    for stale in self._repository.glob(pattern):
                        with suppress(FileNotFoundError):
                            stale.unlink()
                yield
        except OSError as error:
            raise SourceError(f"the local copy cannot be used: {error}", where=str(self._repository)) from error


def _slug(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
