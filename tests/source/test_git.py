from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path

import pytest

from guard.base.errors import SourceError
from guard.source import GitCredentials, GitRef, GitSource
from tests.source.conftest import Source
from tests.source.githttp import PASSWORD, USER, serve
from tests.source.repository import Repository, git_in
from tools.guardrun import eventually

MANIFEST = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"


async def texts(git: GitSource, revision: str, folder: str = "") -> dict[str, str]:
    """What the files of a folder hold."""
    tree = git.tree(revision)
    entries = await tree.entries(folder)
    read = await tree.read(entry.blob for entry in entries)
    return {entry.path: read[entry.blob].decode() for entry in entries}


async def test_a_commit_is_fetched_and_read_from_a_path(repository: Repository, source: Source) -> None:
    commit = repository.commit({"apps/a.yaml": MANIFEST, "other/b.yaml": MANIFEST})
    git = source(repository.url, ref=GitRef(branch="main"))

    revision = await git.fetch()

    assert revision == f"main@sha1:{commit}"
    assert await texts(git, revision, "./apps/") == {"apps/a.yaml": MANIFEST}


async def test_a_file_url_is_fetched(repository: Repository, source: Source) -> None:
    commit = repository.commit({"a.yaml": MANIFEST})

    assert await source(f"file://{repository.path}").fetch() == f"main@sha1:{commit}"


async def test_only_the_last_commit_is_fetched(repository: Repository, source: Source, tmp_path: Path) -> None:
    repository.commit({"a.yaml": "1"})
    repository.commit({"a.yaml": "2"})

    await source(repository.url).fetch()

    (copy,) = (tmp_path / "data").glob("*.git")
    assert git_in(copy, "rev-list", "--all", "--count") == "1"


async def test_a_forced_push_is_followed(repository: Repository, source: Source) -> None:
    repository.commit({"a.yaml": "1"})
    first = repository.commit({"a.yaml": "2"})
    git = source(repository.url)
    before = await git.fetch()
    repository.git("reset", "--quiet", "--hard", "HEAD~1")
    second = repository.commit({"a.yaml": "3"})

    after = await git.fetch()

    assert (before, after) == (f"main@sha1:{first}", f"main@sha1:{second}")
    assert [await texts(git, revision) for revision in (before, after)] == [{"a.yaml": "2"}, {"a.yaml": "3"}]


async def test_a_rewind_is_followed(repository: Repository, source: Source) -> None:
    first = repository.commit({"a.yaml": "1"})
    repository.commit({"a.yaml": "2"})
    git = source(repository.url)
    await git.fetch()
    repository.git("reset", "--quiet", "--hard", first)

    revision = await git.fetch()

    assert revision == f"main@sha1:{first}"
    assert await texts(git, revision) == {"a.yaml": "1"}


async def test_a_vanished_branch_keeps_the_last_good_state(repository: Repository, source: Source) -> None:
    repository.commit({"a.yaml": "1"})
    repository.git("branch", "release/1")
    git = source(repository.url, ref=GitRef(branch="release/1"))
    revision = await git.fetch()
    await git.keep(revision)
    repository.git("branch", "--delete", "--force", "release/1")

    with pytest.raises(SourceError, match="has no branch 'release/1'"):
        await git.fetch()

    assert await texts(git, revision) == {"a.yaml": "1"}


async def test_the_last_good_revision_outlives_a_restart_without_the_remote(repository: Repository, source: Source) -> None:
    repository.commit({"a.yaml": "1"})
    before = source(repository.url)
    revision = await before.fetch()
    await before.keep(revision)
    await before.close()
    repository.path.rename(repository.path.with_name("gone"))
    after = source(repository.url)

    with pytest.raises(SourceError, match="there is no Git repository here"):
        await after.fetch()

    assert await texts(after, revision) == {"a.yaml": "1"}


async def test_what_is_kept_survives_a_garbage_collection(repository: Repository, source: Source, tmp_path: Path) -> None:
    repository.commit({"a.yaml": "1"})
    git = source(repository.url)
    kept = await git.fetch()
    await git.keep(kept, owner="guard-system.apps")
    repository.commit({"a.yaml": "2"})
    await git.fetch()
    (copy,) = (tmp_path / "data").glob("*.git")
    git_in(copy, "gc", "--quiet", "--prune=now")

    assert await texts(git, kept) == {"a.yaml": "1"}


@pytest.mark.parametrize("annotated", [False, True])
async def test_a_tag_names_its_commit(repository: Repository, source: Source, *, annotated: bool) -> None:
    commit = repository.commit({"a.yaml": "1"})
    repository.git("tag", "v1", *(["--annotate", "--message=v1"] if annotated else []))
    repository.commit({"a.yaml": "2"})
    git = source(repository.url, ref=GitRef(tag="v1"))

    revision = await git.fetch()

    assert revision == f"v1@sha1:{commit}"
    assert await texts(git, revision) == {"a.yaml": "1"}
    assert await git.fetch() == revision


async def test_a_branch_and_a_tag_of_one_name_are_told_apart(repository: Repository, source: Source) -> None:
    tagged = repository.commit({"a.yaml": "1"})
    repository.git("tag", "same")
    ahead = repository.commit({"a.yaml": "2"})
    repository.git("branch", "same")

    assert await source(repository.url, ref=GitRef(tag="same")).fetch() == f"same@sha1:{tagged}"
    assert await source(repository.url, ref=GitRef(branch="same")).fetch() == f"same@sha1:{ahead}"


async def test_the_newest_version_in_a_range_is_followed(repository: Repository, source: Source) -> None:
    git = source(repository.url, ref=GitRef(semver=">=1.0.0 <2.0.0"))
    first = repository.commit({"a.yaml": "1"})
    repository.git("tag", "v1.4.2")
    before = await git.fetch()
    second = repository.commit({"a.yaml": "2"})
    repository.git("tag", "--annotate", "--message=1", "v1.10.0")
    after = await git.fetch()
    repository.commit({"a.yaml": "3"})
    for tag in ("v2.0.0", "v1.11.0-rc.1", "not-a-version"):
        repository.git("tag", tag)

    assert (before, after) == (f"v1.4.2@sha1:{first}", f"v1.10.0@sha1:{second}")
    assert await git.fetch() == after
    # A version that is taken back.
    repository.git("tag", "--delete", "v1.10.0")
    assert await git.fetch() == before


async def test_a_range_without_a_version_is_told(repository: Repository, source: Source) -> None:
    repository.commit({"a.yaml": "1"})
    repository.git("tag", "v1.0.0")

    with pytest.raises(SourceError, match="has no tag that is a version in '\\^2'"):
        await source(repository.url, ref=GitRef(semver="^2")).fetch()


@pytest.mark.parametrize("kind", ["tree", "blob"])
async def test_a_tag_that_is_no_commit_is_told(repository: Repository, source: Source, kind: str) -> None:
    repository.commit({"a.yaml": "1"})
    repository.git("tag", "odd", "HEAD^{tree}" if kind == "tree" else "HEAD:a.yaml")

    with pytest.raises(SourceError, match="is not a commit"):
        await source(repository.url, ref=GitRef(tag="odd")).fetch()


async def test_a_poll_is_one_git_and_a_commit_four(
    repository: Repository, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = tmp_path / "calls"
    script = tmp_path / "bin" / "git"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\necho "$1" >> {calls}\nexec {shutil.which("git")} "$@"\n')
    script.chmod(0o755)
    repository.commit({"a.yaml": "1"})
    git = source(repository.url)
    before = git.tree(await git.fetch())
    since = await before.id("")
    commit = repository.commit({"a.yaml": "2"})
    monkeypatch.setenv("PATH", str(script.parent), prepend=":")

    def called() -> list[str]:
        names = calls.read_text().split()
        calls.unlink()
        return names

    revision = await git.fetch()
    assert called() == ["ls-remote", "cat-file", "fetch", "rev-parse"]
    assert await git.fetch() == revision == f"main@sha1:{commit}"
    assert called() == ["ls-remote"]
    tree = git.tree(revision)
    changes = await tree.changes(".", since)
    assert called() == ["cat-file", "diff-tree", "cat-file"]
    assert changes
    await tree.read(entry.blob for entry in changes.put)
    assert called() == ["cat-file"]


async def test_a_bare_commit_is_fetched_once(repository: Repository, source: Source) -> None:
    commit = repository.commit({"a.yaml": "1"})
    repository.commit({"a.yaml": "2"})
    git = source(repository.url, ref=GitRef(commit=commit))

    revision = await git.fetch()
    repository.path.rename(repository.path.with_name("gone"))

    assert revision == await git.fetch() == f"sha1:{commit}"
    assert await texts(git, revision) == {"a.yaml": "1"}


async def test_without_a_ref_the_default_branch_is_followed(repository: Repository, source: Source) -> None:
    repository.git("checkout", "--quiet", "-b", "trunk")
    commit = repository.commit({"a.yaml": "1"})

    assert await source(repository.url).fetch() == f"trunk@sha1:{commit}"


async def test_an_empty_repository_is_named(repository: Repository, source: Source) -> None:
    with pytest.raises(SourceError, match="the repository is empty"):
        await source(repository.url).fetch()


async def test_a_repository_of_another_kind_is_named(source: Source, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "served" / "sha256", kind="sha256")
    repository.commit({"a.yaml": "1"})

    with pytest.raises(SourceError, match="repositories with SHA-256 objects are not supported"):
        await source(repository.url).fetch()


async def test_a_copy_that_was_being_made_when_guard_ended_is_made_anew(
    repository: Repository, source: Source, tmp_path: Path
) -> None:
    commit = repository.commit({"a.yaml": "1"})
    await source(repository.url).fetch()
    (copy,) = (tmp_path / "data").glob("*.git")
    half = copy.rename(copy.with_suffix(".new"))
    (half / "HEAD").write_text("half of i")

    assert await source(repository.url).fetch() == f"main@sha1:{commit}"
    assert not half.exists()


async def test_a_missing_commit_is_named(repository: Repository, source: Source) -> None:
    repository.commit({"a.yaml": "1"})

    with pytest.raises(SourceError, match="does not have what the ref names"):
        await source(repository.url, ref=GitRef(commit="1" * 40)).fetch()


async def test_two_sources_of_one_repository_do_not_disturb_each_other(repository: Repository, source: Source) -> None:
    repository.commit({"a.yaml": "1"})
    repository.git("branch", "other")
    sources = [source(repository.url, ref=GitRef(branch=branch)) for branch in ("main", "other", "main", "other")]

    for number in range(3):
        commit = repository.commit({"a.yaml": f"{number}"})
        repository.git("branch", "--force", "other")
        assert [revision[-40:] for revision in await asyncio.gather(*(each.fetch() for each in sources))] == [commit] * 4


async def test_locks_of_a_killed_git_do_not_stop_the_next_fetch(repository: Repository, source: Source, tmp_path: Path) -> None:
    repository.commit({"a.yaml": "1"})
    git = source(repository.url)
    await git.fetch()
    (copy,) = (tmp_path / "data").glob("*.git")
    (copy / "shallow.lock").touch()
    (slot,) = (copy / "refs" / "guard" / "fetched").iterdir()
    slot.with_name(f"{slot.name}.lock").touch()
    commit = repository.commit({"a.yaml": "2"})

    assert await git.fetch() == f"main@sha1:{commit}"


async def test_a_repository_of_another_owner_is_fetched(
    repository: Repository, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = repository.commit({"a.yaml": "1"})
    # What git itself offers for this: it then takes every repository for someone else's.
    monkeypatch.setattr("guard.source.command._KEPT", frozenset({"GIT_TEST_ASSUME_DIFFERENT_OWNER"}))
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")

    assert await source(repository.url).fetch() == f"main@sha1:{commit}"


async def test_git_variables_of_the_caller_do_not_steer_guard(
    repository: Repository, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = repository.commit({"a.yaml": "1"})
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "url./nowhere.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "/")

    assert await source(repository.url).fetch() == f"main@sha1:{commit}"


async def test_a_private_repository_is_fetched_over_https(repository: Repository, source: Source, tmp_path: Path) -> None:
    commit = repository.commit({"a.yaml": MANIFEST})
    async with serve(tmp_path / "served", private=True) as server:
        credentials = GitCredentials(username=USER, password=PASSWORD, ca_certificate=server.ca_certificate)
        git = source(server.url("deploy/.git"), ref=GitRef(branch="main"), credentials=credentials)

        revision = await git.fetch()

    assert revision == f"main@sha1:{commit}"
    assert await texts(git, revision) == {"a.yaml": MANIFEST}
    kept = b"".join(path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file())
    assert PASSWORD.encode() not in kept


async def test_a_poll_without_news_fetches_nothing(repository: Repository, source: Source, tmp_path: Path) -> None:
    repository.commit({"a.yaml": MANIFEST})
    async with serve(tmp_path / "served") as server:
        git = source(server.url("deploy/.git"), credentials=GitCredentials(ca_certificate=server.ca_certificate))
        await git.fetch()
        first = len(server.requests)
        await git.fetch()

    # The advertisement of capabilities and one listing; the first fetch needed both twice, and the pack.
    assert (first, len(server.requests) - first) == (5, 2)


async def test_a_wrong_password_is_one_line_without_the_secret(repository: Repository, source: Source, tmp_path: Path) -> None:
    repository.commit({"a.yaml": MANIFEST})
    async with serve(tmp_path / "served", private=True) as server:
        credentials = GitCredentials(username=USER, password="wrong-secret", ca_certificate=server.ca_certificate)
        url = server.url("deploy/.git")
        with pytest.raises(SourceError) as caught:
            await source(url, credentials=credentials).fetch()

    text = str(caught.value)
    assert text.startswith(f"{url}: the server refused the credentials")
    assert "\n" not in text
    assert "wrong-secret" not in text + repr(caught.value.__cause__) + repr(credentials)


async def test_an_unknown_authority_is_one_line(repository: Repository, source: Source, tmp_path: Path) -> None:
    repository.commit({"a.yaml": MANIFEST})
    async with serve(tmp_path / "served") as server, serve(tmp_path / "served") as other:
        git = source(server.url("deploy/.git"), credentials=GitCredentials(ca_certificate=other.ca_certificate))
        with pytest.raises(SourceError, match=r"^[^\n]*: the server's certificate is not trusted[^\n]*$"):
            await git.fetch()


async def test_a_password_never_follows_a_redirect(repository: Repository, source: Source, tmp_path: Path) -> None:
    repository.commit({"a.yaml": MANIFEST})
    async with serve(tmp_path / "served") as server, serve(tmp_path / "served", private=True) as thief:
        server.redirect_to = f"https://127.0.0.1:{thief.port}"
        authorities = server.ca_certificate + thief.ca_certificate
        credentials = GitCredentials(username=USER, password=PASSWORD, ca_certificate=authorities)
        with pytest.raises(SourceError, match="redirects to another place"):
            await source(server.url("deploy/.git"), credentials=credentials).fetch()

    assert thief.requests == []


async def test_an_unknown_repository_and_an_unreachable_server_are_one_line(source: Source, tmp_path: Path) -> None:
    async with serve(tmp_path) as server:
        credentials = GitCredentials(ca_certificate=server.ca_certificate)
        with pytest.raises(SourceError, match=r"^[^\n]*there is no Git repository here[^\n]*$"):
            await source(server.url("nothing"), credentials=credentials).fetch()
        gone = server.url("deploy")
    with pytest.raises(SourceError, match=r"^[^\n]*the server cannot be reached[^\n]*$"):
        await source(gone).fetch()


async def test_an_unknown_host_is_named(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(SourceError, match=r"^[^\n]*the host nowhere\.invalid is unknown[^\n]*$"):
        await source("https://nowhere.invalid/deploy.git").fetch()


async def test_a_silent_server_is_given_up(source: Source, silent_port: int) -> None:
    started = time.monotonic()
    with pytest.raises(SourceError, match=r"took longer than 0\.5 s"):
        await source(f"https://127.0.0.1:{silent_port}/deploy", timeout=0.5).fetch()

    assert time.monotonic() - started < 10


@pytest.mark.timeout(60)
async def test_closing_does_not_wait_for_another_that_fetches_into_the_same_copy(
    source: Source, silent_port: int, tmp_path: Path
) -> None:
    url = f"https://127.0.0.1:{silent_port}/deploy"
    first, second = source(url, timeout=600), source(url, timeout=600)
    fetching = asyncio.create_task(first.fetch())
    await eventually(lambda: list((tmp_path / "data").glob("*.fetch")), what="the first one fetches")
    waiting = asyncio.create_task(second.fetch())
    await asyncio.sleep(0.5)

    await second.close()
    assert not fetching.done()
    await first.close()
    for task in (fetching, waiting):
        with pytest.raises(SourceError, match="stopped"):
            await task


async def test_closing_ends_a_fetch_at_once(source: Source, silent_port: int) -> None:
    git = source(f"https://127.0.0.1:{silent_port}/deploy", timeout=60)
    fetching = asyncio.create_task(git.fetch())
    await asyncio.sleep(0.3)
    started = time.monotonic()
    await git.close()

    with pytest.raises(SourceError, match="stopped"):
        await fetching
    assert time.monotonic() - started < 10
