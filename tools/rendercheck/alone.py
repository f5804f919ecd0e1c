"""What the tools make of a folder on their own, as a user would run them in a checkout, and what kubectl reads in it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from guard.base.codec import Json
from tools.controlplane.processes import clean_environment
from tools.rendercheck.folders import Folder

_SECONDS = 300
_NOTHING = "error: no objects passed to patch"
# Each object is printed on its own, indented, between braces in the first column.
_PRINTED = re.compile(r"^\{\}$|^\{$.*?^\}$", re.MULTILINE | re.DOTALL)


class Made(Struct, frozen=True):
    """Objects in the order of the output, or why there are none."""

    objects: list[Json]
    complaint: str = ""


class Checkout:
    """The commit that HEAD of a repository names, below `scratch`; `git_directory` is only read."""

    def __init__(self, git_directory: Path, *, scratch: Path, tools: Mapping[str, Path]) -> None:
        self._git_directory = git_directory
        self._scratch = scratch
        self._tools = tools
        self._root = scratch / "checkout"
        # No programs to be found by those that would run some, no proxies, nothing of the user's own set-up.
        self._environment = clean_environment(scratch / "home", PATH="", KUBECONFIG=os.devnull)
        (scratch / "home").mkdir()

    def write(self) -> list[str]:
        """Check the commit out, and list its files. Raises CalledProcessError."""
        self._git("read-tree", "HEAD")
        self._git("checkout-index", "--all", f"--prefix={self._root}/")
        return self._git("ls-files", "-z").decode(errors="surrogateescape").split("\0")[:-1]

    def commit(self) -> str:
        return self._git("rev-parse", "HEAD").decode().strip()

    def render(self, folder: Folder) -> Made:
        match folder.form:
            case "Kustomize":
                return self._tool("kustomize", "build", folder.path or ".")
            case "Helm":
                values = [f"--values={path}" for path in folder.values]
                options = ["--namespace=default", "--include-crds", "--skip-tests", *values]
                return self._tool("helm", "template", *options, "check", folder.path or ".")
            case "YAML":
                return self._plain(folder.path)

    def _tool(self, name: str, *arguments: str) -> Made:
        done = self._run(self._tools[name], *arguments)
        if done.returncode:
            return Made(objects=[], complaint=f"{name}: {done.stderr.decode(errors='replace').strip()}")
        output = self._scratch / "output.yaml"
        output.write_bytes(done.stdout)
        return self._read(output)

    def _plain(self, path: str) -> Made:
        """Guard leaves out what begins with a dot, so kubectl does not get to see it."""
        copy = self._scratch / "plain"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self._root / path, copy, symlinks=True, ignore=lambda _, names: {n for n in names if n.startswith(".")})
        return self._read(copy, "--recursive")

    def _read(self, path: Path, *options: str) -> Made:
        """`kubectl patch --local` with a patch that changes nothing reads files as `kubectl apply` does, and asks no server."""
        command = [
            "patch",
            "--local",
            f"--filename={path}",
            *options,
            "--type=json",
            "--patch=[]",
            "--output=json",
            "--show-managed-fields",
        ]
        done = self._run(self._tools["kubectl"], *command)
        told = done.stderr.decode(errors="replace").strip()
        if done.returncode and told != _NOTHING:
            return Made(objects=[], complaint=f"kubectl: {told}")
        texts = _PRINTED.findall(done.stdout.decode())
        return Made(objects=[json.loads(text, parse_int=_number) for text in texts])

    def _run(self, *command: str | Path) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            command, cwd=self._root, env=self._environment, stdin=subprocess.DEVNULL, capture_output=True, check=False,
            timeout=_SECONDS,
        )  # fmt: skip

    def _git(self, *arguments: str) -> bytes:
        environment = clean_environment(
            self._scratch / "home",
            GIT_INDEX_FILE=str(self._scratch / "index"),
            GIT_CONFIG_NOSYSTEM="1",
            GIT_CONFIG_COUNT="2",
            GIT_CONFIG_KEY_0="safe.directory",
            GIT_CONFIG_VALUE_0="*",
            GIT_CONFIG_KEY_1="core.hooksPath",
            GIT_CONFIG_VALUE_1=os.devnull,
        )
        command: Sequence[str | Path] = ["git", f"--git-dir={self._git_directory}", f"--work-tree={self._root}", *arguments]
        self._root.mkdir(exist_ok=True)
        return subprocess.run(command, cwd=self._root, env=environment, capture_output=True, check=True).stdout


def _number(text: str) -> int | float:
    """The API server has integers of 64 bits; what is larger is a float there."""
    number = int(text)
    return number if -(2**63) <= number < 2**63 else float(number)
