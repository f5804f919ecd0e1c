"""A folder reads as the same folder in a commit does."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.base.errors import ConfigError, RenderError
from guard.inspect.folder import FolderTree
from guard.source import GitSource
from guard.state.snapshot import Tree
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
    "other/j.yaml": "j: 1\n",
}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "repository")
    made.commit(FILES)
    return made


async def contents(tree: Tree, folder: str) -> dict[str, tuple[str, int, bytes]]:
    entries = await tree.entries(folder)
    assert [entry.path for entry in entries] == sorted(entry.path for entry in entries)
    blobs = await tree.read(entry.blob for entry in entries if entry.type == "file")
    return {entry.path: (entry.type, entry.size, blobs.get(entry.blob, b"")) for entry in entries}


@pytest.mark.parametrize("folder", ["", "apps", "apps/inner"])
async def test_the_same_files_are_read_as_from_git(repository: Repository, tmp_path: Path, folder: str) -> None:
    source = GitSource(url=str(repository.directory), directory=tmp_path / "data")
    commit = source.tree(await source.fetch())
    found = FolderTree(repository.directory / folder)

    assert found.folder == folder
    assert await contents(found, folder) == await contents(commit, folder)
    await source.close()


async def test_links_and_submodules_are_what_they_are_in_git(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").symlink_to("b.yaml")
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / ".git").write_text("gitdir: ../.git/modules/inner\n")
    (inner / "c.yaml").write_text("c: 1\n")

    found = await FolderTree(tmp_path).entries("")

    assert [(entry.path, entry.type) for entry in found] == [("a.yaml", "link"), ("inner", "submodule")]


@pytest.mark.parametrize("before", ["", "apps/../", "{root}/"])
def test_paths_are_shown_as_they_were_given(repository: Repository, monkeypatch: pytest.MonkeyPatch, before: str) -> None:
    monkeypatch.chdir(repository.directory)
    before = before.format(root=repository.directory)

    assert FolderTree(Path(f"{before}apps")).shown("apps/a.yml") == f"{before}apps/a.yml"


async def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RenderError, match="does not exist"):
        await FolderTree(tmp_path / "none").entries("none")
    with pytest.raises(ConfigError, match="cannot be read"):
        await FolderTree(tmp_path).read(["none"])
