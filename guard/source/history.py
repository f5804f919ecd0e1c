"""Whether a commit comes after another one. Copies are shallow, so this asks the remote: for commits alone, without their files,
a few of them at first, in a repository that is there for the one question.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from guard.base.errors import SourceError
from guard.source.command import GitCommand
from guard.source.failures import FILTER_REFUSED
from guard.source.remote import REMOTE, Remote

# How many commits of a line are looked at before giving up, and in which steps: most pushes bring a few. The whole history of
# Linux is 1.3 million commits, of which the longest line has a tenth.
STEPS = (16, 256, 4096, 65536)
_LEAVE_OUT = "tree:0"
_TIP = "refs/guard/tip"


class History:
    """Of one repository, beside its `copy`; used by one at a time. `stop` may come from any thread."""

    def __init__(self, remote: Remote, *, directory: Path, copy: Path, timeout: float, most: int) -> None:
        self._remote = remote
        self._repository = copy.with_suffix(".history")
        self._git = GitCommand(directory=directory, repository=self._repository, timeout=timeout, most=most)
        self._leave_out = _LEAVE_OUT

    def leads_to(self, ref: str, before: str, commit: str) -> bool | None:
        """Whether `before` is among the ancestors of a commit to which the remote's ref points; None where that could not be
        seen within the last of STEPS. Raises SourceError.
        """
        try:
            # What a killed process left is not looked at.
            self._forget()
            self._git.prepare()
            for depth in STEPS:
                self._fetch(ref, depth)
                if not self._holds(commit):
                    raise SourceError("the ref was moved while its history was read")
                if self._holds(before) and not self._git.run("merge-base", "--is-ancestor", before, commit).status:
                    return True
                if self._is_whole():
                    return False
        finally:
            self._forget()
        return None

    def stop(self) -> None:
        self._git.stop()

    def _fetch(self, ref: str, depth: int) -> None:
        options = ("--quiet", f"--depth={depth}", "--force", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head")
        arguments = ("fetch", *options, "--", REMOTE, f"+{ref}:{_TIP}")
        try:
            self._run(*arguments)
        except SourceError as error:
            if error.message != FILTER_REFUSED:
                raise
            self._leave_out = ""
            self._run(*arguments)

    def _run(self, *arguments: str) -> None:
        output = self._git.run(*arguments, environment=self._remote.environment(leave_out=self._leave_out))
        if output.status:
            raise self._remote.failure(output)

    def _holds(self, commit: str) -> bool:
        return not self._git.run("cat-file", "-e", f"{commit}^{{commit}}").status

    def _is_whole(self) -> bool:
        return not (self._repository / "shallow").exists()

    def _forget(self) -> None:
        shutil.rmtree(self._repository, ignore_errors=True)
