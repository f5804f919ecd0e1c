"""The least that any tool does with a commit: `git fetch` alone, and a plain parse of files in its own process."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from time import perf_counter

from guard.render.manifests import parse

# As guard/source/git.py has them.
_FETCH = ("fetch", "--quiet", "--depth=1", "--force", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head", "--")
_SETTINGS = ("protocol.version=2", "gc.auto=0", "maintenance.auto=false", "fetch.writeCommitGraph=false")


class GitAlone:
    """A bare copy like Guard's of one branch. Each call is one of git's, and returns the seconds that it took."""

    def __init__(self, url: str, directory: Path, *, ca_certificate: str = "") -> None:
        directory.mkdir(parents=True)
        ca_file, copy = directory / "ca.pem", directory / "copy.git"
        ca_file.write_text(ca_certificate)
        self._url = url
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "GIT_DIR": str(copy),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_TERMINAL_PROMPT": "0",
            "no_proxy": "127.0.0.1",
            **({"GIT_SSL_CAINFO": str(ca_file)} if ca_certificate else {}),
        }
        self._git("init", "--bare", "--quiet", str(copy))

    def fetch(self) -> float:
        return self._git(*_FETCH, self._url, "+refs/heads/main:refs/bench/main")

    def listing(self) -> float:
        return self._git("ls-remote", "--symref", "--", self._url, "refs/heads/main")

    def _git(self, *arguments: str) -> float:
        settings = (word for setting in _SETTINGS for word in ("-c", setting))
        started = perf_counter()
        subprocess.run(["git", *settings, *arguments], env=self._environment, check=True, capture_output=True)
        return perf_counter() - started


def parsing(files: Iterable[tuple[str, bytes]]) -> float:
    """Seconds to parse files, given with their paths."""
    files = list(files)
    started = perf_counter()
    for path, text in files:
        assert not parse(path, text).faults
    return perf_counter() - started
