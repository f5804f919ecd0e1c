from __future__ import annotations

from collections.abc import Mapping

import pytest

from guard.base.errors import ConfigError, RenderError, SourceError
from guard.source import tree as trees
from guard.source.tree import GitTree
from guard.state.snapshot import Changes, Entry, Tree
from tests.source.conftest import Source
from tests.source.repository import Repository


@pytest.fixture
def git(repository: Repository, source: Source) -> Git:
    return Git(repository, source)


class Git:
    """Commits to a repository and fetches what was committed."""

    def __init__(self, repository: Repository, source: Source) -> None:
        self.repository = repository
        self._source = source(repository.url)

    async def commit(self, files: Mapping[str, str | None]) -> GitTree:
        self.repository.commit(files)
        return await self.fetched()

    async def fetched(self) -> GitTree:
        return self._source.tree(await self._source.fetch())


def blob(repository: Repository, path: str) -> str:
    return repository.git("rev-parse", f"HEAD:{path}")


async def test_it_is_what_renderers_take(git: Git) -> None:
    tree: Tree = await git.commit({"a.yaml": "1"})

    assert tree.revision == f"main@sha1:{git.repository.git('rev-parse', 'HEAD')}"


async def test_entries_are_all_files_with_path_content_and_size(git: Git) -> None:
    names = ["apps/z.yaml", "apps/b/c.txt", "apps/.hidden", "apps/.x/y", "apps/b.yaml", "apps/a b/ü.yaml", "other/d.yaml"]
    tree = await git.commit(dict.fromkeys(names, "né\n"))

    entries = await tree.entries("./apps/")

    assert [entry.path for entry in entries] == sorted(name for name in names if name.startswith("apps/"))
    assert {(entry.blob, entry.size, entry.type) for entry in entries} == {(blob(git.repository, "apps/z.yaml"), 4, "file")}
    assert [entry.path for entry in await tree.entries("")] == sorted(names)


async def test_an_executable_is_a_file(git: Git) -> None:
    await git.commit({"run.sh": "true\n"})
    (git.repository.path / "run.sh").chmod(0o755)
    git.repository.commit_all()

    assert [entry.type for entry in await (await git.fetched()).entries("")] == ["file"]


async def test_links_and_submodules_are_told_from_files(git: Git) -> None:
    (git.repository.path / "link.yaml").symlink_to("/etc/passwd")
    git.repository.commit_all()
    git.repository.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},lib")
    git.repository.git("commit", "--quiet", "--message=submodule")

    entries = await (await git.fetched()).entries("")

    assert entries == (
        Entry(path="lib", blob="1" * 40, size=0, type="submodule"),
        Entry(path="link.yaml", blob=blob(git.repository, "link.yaml"), size=len("/etc/passwd"), type="link"),
    )


async def test_the_id_changes_with_what_the_folder_holds(git: Git) -> None:
    first = await git.commit({"apps/a.yaml": "1", "b.yaml": "1"})
    second = await git.commit({"b.yaml": "2"})
    third = await git.commit({"apps/a.yaml": "2"})

    assert await first.id("apps") == await second.id("apps/") != await third.id("apps")
    assert await first.id("") != await second.id("")


async def test_changes_are_what_was_put_and_what_is_gone(git: Git) -> None:
    before = await git.commit({"apps/a.yaml": "1", "apps/b.yaml": "1", "apps/c.yaml": "1", "apps/d/e.yaml": "1", "x.yaml": "1"})
    (git.repository.path / "apps" / "b.yaml").unlink()
    (git.repository.path / "apps" / "c.yaml").rename(git.repository.path / "apps" / "moved.yaml")
    (git.repository.path / "apps" / "d" / "e.yaml").unlink()
    (git.repository.path / "apps" / "d" / "e.yaml").symlink_to("../a.yaml")
    after = await git.commit({"apps/a.yaml": "22", "apps/new/f.yaml": "", "x.yaml": "2"})

    changes = await after.changes("apps", await before.id("apps"))

    entries = {entry.path: entry for entry in await after.entries("apps")}
    put = tuple(entries[f"apps/{name}"] for name in ("a.yaml", "d/e.yaml", "moved.yaml", "new/f.yaml"))
    assert changes == Changes(put=put, gone=("apps/b.yaml", "apps/c.yaml"))
    assert {entry.path: (entry.size, entry.type) for entry in put} == {
        "apps/a.yaml": (2, "file"),
        "apps/d/e.yaml": (9, "link"),
        "apps/moved.yaml": (1, "file"),
        "apps/new/f.yaml": (0, "file"),
    }


async def test_a_submodule_that_comes_is_a_change(git: Git) -> None:
    before = await git.commit({"a.yaml": "1"})
    git.repository.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},lib")
    git.repository.git("commit", "--quiet", "--message=submodule")
    after = await git.fetched()

    changes = await after.changes("", await before.id(""))

    assert changes == Changes(put=(Entry(path="lib", blob="1" * 40, size=0, type="submodule"),), gone=())


async def test_a_file_in_place_of_a_folder_is_a_change_of_both(git: Git) -> None:
    before = await git.commit({"a/b.yaml": "1"})
    (git.repository.path / "a" / "b.yaml").unlink()
    (git.repository.path / "a").rmdir()
    after = await git.commit({"a": "2"})

    changes = await after.changes("", await before.id(""))

    assert changes == Changes(put=(Entry(path="a", blob=blob(git.repository, "a"), size=1),), gone=("a/b.yaml",))


async def test_nothing_new_is_no_change(git: Git) -> None:
    tree = await git.commit({"a.yaml": "1"})

    assert await tree.changes("", await tree.id("")) == Changes(put=(), gone=())


@pytest.mark.parametrize("since", ["", "1" * 40, "--output=/tmp/x", "main"])
async def test_changes_since_what_the_copy_does_not_have_cannot_be_told(git: Git, since: str) -> None:
    tree = await git.commit({"a.yaml": "1"})

    assert await tree.changes("", since) is None


async def test_contents_come_byte_for_byte(git: Git) -> None:
    contents = {"empty": "", "plain": "a: 1\n", "no-newline": "a: 1", "lines": "\n\n\n", "same": "a: 1\n"}
    tree = await git.commit(contents)
    entries = await tree.entries("")

    read = await tree.read(entry.blob for entry in entries)

    assert {entry.path: read[entry.blob].decode() for entry in entries} == contents
    assert await tree.read([]) == {}


@pytest.mark.parametrize("path", ["nowhere", "apps/a.yaml", "apps/nowhere", "apps/a.yaml/b"])
async def test_a_missing_path_names_path_and_revision(git: Git, path: str) -> None:
    tree = await git.commit({"apps/a.yaml": "1"})

    for call in (tree.id(path), tree.entries(path), tree.changes(path, "1" * 40)):
        with pytest.raises(RenderError) as caught:
            await call
        assert repr(path) in str(caught.value)
        assert tree.revision in str(caught.value)


async def test_a_path_out_of_the_repository_is_refused(git: Git) -> None:
    tree = await git.commit({"a.yaml": "1"})

    for path in ("../other", "apps/../..", "a\nb"):
        with pytest.raises(ConfigError, match="is not one inside the repository"):
            await tree.id(path)


async def test_a_revision_that_was_never_fetched_is_refused(git: Git, source: Source) -> None:
    await git.commit({"a.yaml": "1"})
    unknown = source(git.repository.url)

    with pytest.raises(SourceError, match="is not in the local copy"):
        await unknown.tree(f"main@sha1:{'1' * 40}").id("")
    with pytest.raises(SourceError, match="is not a revision of a Git repository"):
        unknown.tree("bucket@sha256:12")


async def test_file_names_that_cannot_be_shown_are_refused(git: Git) -> None:
    odd = b"a\x1b[31m.yaml", b"a\nb.yaml", b"\xff.yaml", "a\u202egnp.yaml".encode()
    for name in odd:
        path = f"odd/{name.decode(errors='surrogateescape')}"
        before = await git.commit({"fine.yaml": name.hex()})
        tree = await git.commit({path: "1"})

        with pytest.raises(RenderError, match="holds control characters or is not UTF-8") as caught:
            await tree.entries("")
        assert str(caught.value).isprintable()
        with pytest.raises(RenderError, match="holds control characters or is not UTF-8"):
            await tree.changes("", await before.id(""))
        await git.commit({path: None})


async def test_unusual_spaces_and_letters_in_names_are_fine(git: Git) -> None:
    names = ["Screenshot 9.41.05\u202fAM.png", "a\u00a0b.yaml", "日本.yaml"]
    tree = await git.commit(dict.fromkeys(names, "1"))

    assert sorted(entry.path for entry in await tree.entries("")) == sorted(names)


async def test_very_many_files_are_refused(git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "MOST_ENTRIES", 3)
    tree = await git.commit({f"many/{number}.yaml": "1" for number in range(4)} | {"few/a.yaml": "1"})

    assert len(await tree.entries("few")) == 1
    with pytest.raises(RenderError, match="more than 3 files are at and below the path 'many'"):
        await tree.entries("many")


async def test_files_past_the_limits_are_not_read(git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "MOST_IN_FILE", 4)
    tree = await git.commit({"apps/five": "12345", "apps/four": "1234"})
    blobs = {entry.path: entry.blob for entry in await tree.entries("")}

    assert await tree.read([blobs["apps/four"]]) == {blobs["apps/four"]: b"1234"}
    with pytest.raises(RenderError, match=r"^apps/five: is larger than"):
        await tree.read([blobs["apps/five"], blobs["apps/four"]])


async def test_no_more_is_read_at_once_than_fits(git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "MOST_IN_ALL", 500)
    monkeypatch.setattr(trees, "MOST_IN_FILE", 2000)
    tree = await git.commit({"a": "a" * 400, "b": "b" * 400, "huge": "h" * 3000})
    blobs = {entry.path: entry.blob for entry in await tree.entries("")}

    assert await tree.read([blobs["a"]]) == {blobs["a"]: b"a" * 400}
    with pytest.raises(RenderError, match="the files to be read hold more than"):
        await tree.read([blobs["a"], blobs["b"]])
    with pytest.raises(RenderError, match="huge: is larger than"):
        await tree.read([blobs["huge"]])


async def test_only_what_is_included_is_there(repository: Repository, source: Source) -> None:
    git = source(repository.url, include=["/apps/", "!*.md"])
    repository.commit({"apps/a.yaml": "1", "apps/README.md": "1", "other/b.yaml": "1"})
    before = git.tree(await git.fetch())
    repository.commit({"apps/a.yaml": "2", "apps/README.md": "2", "apps/c.yaml": "1", "other/b.yaml": "2"})
    after = git.tree(await git.fetch())

    assert [entry.path for entry in await before.entries("")] == ["apps/a.yaml"]
    changes = await after.changes("", await before.id(""))
    assert changes
    assert [entry.path for entry in changes.put] == ["apps/a.yaml", "apps/c.yaml"]


async def test_other_patterns_make_another_folder(repository: Repository, source: Source) -> None:
    repository.commit({"a.yaml": "1"})
    trees = [source(repository.url, include=include).tree for include in ([], ["a*"], ["b*"])]
    revision = await source(repository.url).fetch()
    ids = [await tree(revision).id("") for tree in trees]

    assert len(set(ids)) == len(ids)
    for tree, own in zip(trees, ids, strict=True):
        answers = [await tree(revision).changes("", each) for each in ids]
        assert [answer is not None for answer in answers] == [each == own for each in ids]


async def test_odd_names_that_are_not_included_do_no_harm(repository: Repository, source: Source) -> None:
    repository.commit({"apps/a.yaml": "1", "odd/a\nb": "1"})
    git = source(repository.url, include=["apps"])

    assert [entry.path for entry in await git.tree(await git.fetch()).entries("")] == ["apps/a.yaml"]
