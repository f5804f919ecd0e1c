"""Repositories that would fill the disk, the memory, or a day."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from pathlib import Path

import pytest

from guard.base.errors import RenderError, SourceError
from guard.source import GitCredentials, GitRef, listing, upkeep
from guard.source.listing import LARGER
from guard.source.tree import GitTree
from tests.source.conftest import Source
from tests.source.githttp import serve
from tests.source.repository import Repository, git_in

LARGE = 200_000


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is large from LARGE bytes on."""
    for name in ("git", "tree", "listing"):
        monkeypatch.setattr(f"guard.source.{name}.MOST_IN_FILE", LARGE - 1)


def write_large(repository: Repository, name: str = "large.bin") -> None:
    """Noise, so that it does not shrink."""
    (repository.path / name).write_bytes(os.urandom(LARGE))


def copy_of(tmp_path: Path) -> Path:
    (copy,) = (tmp_path / "data").glob("*.git")
    return copy


def size_of(tmp_path: Path) -> int:
    return sum(path.stat().st_size for path in copy_of(tmp_path).rglob("*") if path.is_file())


async def assert_only_the_large_file_is_missing(tree: GitTree) -> None:
    entries = {entry.path: entry for entry in await tree.entries("")}
    assert await tree.read([entries["a.yaml"].blob]) == {entries["a.yaml"].blob: b"1"}
    with pytest.raises(RenderError, match=rf"^large\.bin: is larger than .*in {tree.revision}"):
        await tree.read([entries["a.yaml"].blob, entries["large.bin"].blob])


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("where", ["path", "https"])
async def test_a_large_file_is_not_even_fetched(repository: Repository, source: Source, tmp_path: Path, where: str) -> None:
    repository.git("config", "uploadpack.allowFilter", "true")
    write_large(repository)
    repository.commit({"a.yaml": "1"})
    async with serve(tmp_path / "served") as server:
        credentials = GitCredentials(ca_certificate=server.ca_certificate)
        url = repository.url if where == "path" else server.url("deploy/.git")
        git = source(url, credentials=credentials)
        before = git.tree(await git.fetch())
        await assert_only_the_large_file_is_missing(before)
        write_large(repository)
        repository.commit({"b.yaml": "1"})
        after = git.tree(await git.fetch())

    await assert_only_the_large_file_is_missing(after)
    changes = await after.changes("", await before.id(""))
    assert changes
    assert {entry.path: entry.size for entry in changes.put} == {"b.yaml": 1, "large.bin": LARGER}
    assert size_of(tmp_path) < LARGE


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("setting", ["uploadpack.allowFilter=false", "uploadpackfilter.blob:limit.allow=false"])
async def test_a_server_that_leaves_nothing_out_is_taken_as_it_is(
    repository: Repository, source: Source, tmp_path: Path, setting: str
) -> None:
    name, _, value = setting.partition("=")
    repository.git("config", "uploadpack.allowFilter", "true")
    repository.git("config", name, value)
    write_large(repository)
    commit = repository.commit({"a.yaml": "1"})
    async with serve(tmp_path / "served") as server:
        git = source(server.url("deploy/.git"), credentials=GitCredentials(ca_certificate=server.ca_certificate))
        revision = await git.fetch()

    assert revision == f"main@sha1:{commit}"
    await assert_only_the_large_file_is_missing(git.tree(revision))
    assert size_of(tmp_path) > LARGE


async def test_a_repository_that_brings_too_much_is_refused_and_leaves_nothing(
    repository: Repository, source: Source, tmp_path: Path
) -> None:
    write_large(repository)
    repository.commit({"a.yaml": "1"})
    git = source(repository.url, most=LARGE // 2)
    for _ in range(2):
        with pytest.raises(SourceError, match=r"^[^\n]*brings more than Guard takes at once[^\n]*$"):
            await git.fetch()
        assert size_of(tmp_path) < LARGE // 2
    (repository.path / "large.bin").unlink()
    commit = repository.commit_all()

    assert await git.fetch() == f"main@sha1:{commit}"


@pytest.mark.usefixtures("small_files")
async def test_a_copy_that_has_grown_is_packed_anew(
    repository: Repository, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "MOST_PACKS", 5)
    write_large(repository)
    repository.commit({"a.yaml": "1"})
    repository.git("branch", "other")
    git, other = source(repository.url), source(repository.url, ref=GitRef(branch="other"))
    kept = await git.fetch()
    await git.keep(kept, owner="guard-system/apps")
    seen: list[str] = []
    for number in range(8):
        repository.commit({f"{number}.yaml": "1"})
        seen.append(await git.fetch())
    repository.git("branch", "--force", "other")
    await other.fetch()

    copy = copy_of(tmp_path)
    assert len(list((copy / "objects" / "pack").glob("*.pack"))) <= 6
    assert len((copy / "shallow").read_text().split()) <= 6
    assert git_in(copy, "rev-list", "--all", "--count") == "2"
    for revision in (kept, seen[-1]):
        await assert_only_the_large_file_is_missing(git.tree(revision))
    with pytest.raises(SourceError, match="is not in the local copy"):
        await git.tree(seen[0]).id("")
    # What came before is still known, so that no more than what is new is asked for.
    repository.commit({"z.yaml": "1"})
    await git.fetch()
    newest_pack = max((copy / "objects" / "pack").glob("*.pack"), key=lambda pack: pack.stat().st_mtime_ns)
    assert len(git_in(copy, "show-index", stdin=newest_pack.with_suffix(".idx").read_bytes()).splitlines()) == 3


async def test_large_fetches_are_not_kept_side_by_side(repository: Repository, source: Source, tmp_path: Path) -> None:
    git = source(repository.url, most=LARGE * 2)
    for _ in range(12):
        write_large(repository)
        repository.commit_all()
        await git.fetch()

    assert size_of(tmp_path) < LARGE * 2 * (upkeep.MOST_LARGE + 2)


async def test_paths_that_no_tool_could_use_are_refused(repository: Repository, source: Source) -> None:
    deep, long = "d/" * listing.MOST_DEPTH + "a.yaml", "n" * (listing.MOST_IN_NAME + 1)
    for path in (deep, long):
        repository.git("read-tree", "--empty")
        blob = repository.git("hash-object", "-w", "--stdin")
        repository.git("update-index", "--add", "--cacheinfo", f"100644,{blob},odd/{path}")
        repository.git("commit", "--quiet", "--message=odd")
        git = source(repository.url)
        tree = git.tree(await git.fetch())

        with pytest.raises(RenderError, match=r"^main@sha1:[0-9a-f]+: the path '[^']{64}'\.\.\. is too long"):
            await tree.entries("")


async def test_folders_without_end_are_refused(repository: Repository, source: Source) -> None:
    depth = 3_000
    mark = "commit refs/heads/deep\ncommitter a <a@example.com> 0 +0000\ndata 0\nM 100644 inline "
    repository.git("fast-import", "--quiet", stdin=f"{mark}{'d/' * depth}a.yaml\ndata 1\n1\n\n")
    git = source(repository.url, ref=GitRef(branch="deep"))

    with pytest.raises((RenderError, SourceError), match=r"is too long|git failed"):
        await git.tree(await git.fetch()).entries("")


async def test_a_copy_that_cannot_be_packed_anew_keeps_nobody_from_what_is_new(
    repository: Repository, source: Source, tmp_path: Path
) -> None:
    for number in range(upkeep.MOST_LARGE + 3):
        repository.git("checkout", "--quiet", "--orphan", f"branch-{number}")
        (repository.path / "large.bin").write_bytes(os.urandom(LARGE))
        commit = repository.commit_all()

        fetched = await source(repository.url, ref=GitRef(branch=f"branch-{number}"), most=LARGE * 2).fetch()

        assert fetched == f"branch-{number}@sha1:{commit}"
    assert not list(copy_of(tmp_path).glob("objects/**/tmp_*"))


async def test_a_list_of_refs_without_end_is_given_up_before_it_fills_the_memory(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("guard.source.git.MOST_MEMORY_OF_LIST", 256 * 1024**2)
    async with await asyncio.start_server(_list_without_end, "127.0.0.1", 0) as server:
        git = source(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/deploy", ref=GitRef(semver="1.x"))
        with pytest.raises(SourceError, match="git needs more memory than Guard gives it"):
            await git.fetch()


async def _list_without_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    with contextlib.closing(writer), contextlib.suppress(ConnectionError):
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/x-git-upload-pack-")
        if head.startswith(b"GET"):
            writer.write(b"advertisement\r\n\r\n" + _line(b"# service=git-upload-pack\n") + b"0000")
            writer.write(_line(b"version 2\n") + _line(b"ls-refs=unborn\n") + _line(b"fetch=shallow filter\n") + b"0000")
            await writer.drain()
            return
        writer.write(b"result\r\n\r\n")
        for number in itertools.count():
            name = b"refs/tags/%d-%s" % (number, b"x" * 900)
            writer.write(_line(b"%040x %s\n" % (number + 1, name)))
            await writer.drain()


def _line(data: bytes) -> bytes:
    return b"%04x" % (len(data) + 4) + data
