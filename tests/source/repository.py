"""A real repository made with git, for tests to commit to."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


class Repository:
    def __init__(self, path: Path, *, kind: str = "sha1") -> None:
        self.path = path
        path.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main", f"--object-format={kind}")

    @property
    def url(self) -> str:
        return str(self.path)

    def git(self, *arguments: str, stdin: str = "", at: float | None = None) -> str:
        """`at` is when commits and tags are made; now where nothing is said."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | {
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            **{f"GIT_{who}_NAME": "Ada" for who in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{who}_EMAIL": "ada@example.com" for who in ("AUTHOR", "COMMITTER")},
            **({f"GIT_{who}_DATE": f"{at:.0f} +0000" for who in ("AUTHOR", "COMMITTER")} if at is not None else {}),
        }
        done = subprocess.run(
            ["git", *arguments], cwd=self.path, env=environment, input=stdin, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(
        self, files: Mapping[str, str | None], *, message: str = "change", signed: Sequence[str] = (), at: float | None = None
    ) -> str:
        """Write the files, or take them away where there is no text, commit everything there is, and return the commit's id.

        `signed` are options of git with which to sign it.
        """
        for name, text in files.items():
            target = self.path / name
            if text is None:
                target.unlink()
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        return self.commit_all(message=message, signed=signed, at=at)

    def commit_all(self, *, message: str = "change", signed: Sequence[str] = (), at: float | None = None) -> str:
        self.git("add", "--all")
        sign = ["--gpg-sign"] if signed else []
        self.git(*signed, "commit", "--quiet", "--allow-empty", f"--message={message}", *sign, at=at)
        return self.git("rev-parse", "HEAD")

    def forge(self, tree: bytes) -> None:
        """Make a commit of a tree that git itself would not make, and point main to it."""
        made = subprocess.run(
            ["git", "hash-object", "-t", "tree", "-w", "--literally", "--stdin"],
            cwd=self.path,
            input=tree,
            capture_output=True,
            check=True,
        )
        commit = self.git("commit-tree", "-m", "forged", made.stdout.decode().strip())
        self.git("update-ref", "refs/heads/main", commit)


def git_in(copy: Path, *arguments: str, stdin: bytes = b"") -> str:
    """Run git on a bare copy that Guard made."""
    done = subprocess.run(["git", "--git-dir", copy, *arguments], input=stdin, capture_output=True, check=True)
    return done.stdout.decode().strip()
