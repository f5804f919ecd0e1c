"""A folder reads as the same folder in a commit does."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.base.errors import RenderError
from guard.inspect import folder
from guard.source import listing, manifests
from tools.guardrun import Repository

FILES: dict[str, str | None] = {
    "apps/b.yaml": "b: 1\n",
    "apps/a.yml": "a: 1\n",
    "apps/c.json": "{}\n",
    "apps/inner/d.yaml": "d: 1\n",
    "apps/inner/Kustomization": "e: 1\n",
    "apps/README.md": "f\n",
    "apps/.hidden.yaml": "g: 1\n",
    "apps/.github/h.yaml": "h: 1\n",
    "apps/i.YAML": "i: 1\n",
    "other/j.yaml": "j: 1\n",
}


def from_commit(repository: Repository, path: str) -> dict[str, bytes]:
    def run(*arguments: str, stdin: bytes = b"") -> bytes:
        import subprocess

        command = ["git", "-C", str(repository.directory), *arguments]
        return subprocess.run(command, input=stdin, check=True, capture_output=True).stdout

    commit = repository.git("rev-parse", "HEAD")
    return {file.path: file.data for file in manifests.read(run, revision="r", commit=commit, path=path).files}


def test_the_same_files_are_read_as_from_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = Repository(tmp_path / "repository")
    repository.commit(FILES)
    monkeypatch.chdir(repository.directory)
    found = folder.read(Path("apps"))
    assert {file.path: file.data for file in found.files} == from_commit(repository, "apps")
    assert [file.path for file in found.files] == sorted(file.path for file in found.files)
    # The whole repository: its own .git is no submodule.
    assert {file.path: file.data for file in folder.read(Path()).files} == from_commit(repository, "")


def test_a_symbolic_link_is_refused_as_in_git(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").symlink_to("b.yaml")
    with pytest.raises(RenderError, match="symbolic link") as raised:
        folder.read(tmp_path)
    assert raised.value.where == (tmp_path / "a.yaml").as_posix()


def test_a_submodule_is_refused_as_in_git(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / ".git").write_text("gitdir: ../.git/modules/inner\n")
    with pytest.raises(RenderError, match="submodule"):
        folder.read(tmp_path)


def test_a_file_past_the_limit_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "a.yaml").open("wb") as file:
        file.truncate(listing.MOST_IN_FILE + 1)
    with pytest.raises(RenderError, match="larger than 16 MiB"):
        folder.read(tmp_path)
