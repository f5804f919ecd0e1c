"""Who may read what is in a local copy."""

from __future__ import annotations

import asyncio
import fcntl
import shutil
from pathlib import Path

import pytest

from guard.base.errors import ConfigError, SourceError
from guard.source import GitCredentials, GitRef
from tests.source.conftest import Source
from tests.source.githttp import TOKEN, serve
from tests.source.repository import Repository


@pytest.mark.parametrize("secret", ["", "team-b/deploy"])
async def test_a_private_repository_is_not_read_without_its_secret_since_others_fetched_it(
    repository: Repository, source: Source, tmp_path: Path, secret: str
) -> None:
    commit = repository.commit({"a.yaml": "1"})
    async with serve(tmp_path / "served", private=True) as server:
        url = server.url("deploy/.git")
        credentials = GitCredentials(bearer_token=TOKEN, ca_certificate=server.ca_certificate)
        await source(url, credentials=credentials, secret="team-a/deploy").fetch()

        without = GitCredentials(ca_certificate=server.ca_certificate)
        thief = source(url, ref=GitRef(commit=commit), credentials=without, secret=secret)
        with pytest.raises(SourceError, match="refused the credentials"):
            await thief.fetch()
        with pytest.raises(SourceError, match="is not in the local copy"):
            await thief.tree(f"sha1:{commit}").id("")


async def test_those_of_one_secret_share_a_copy_whatever_it_holds_now(
    repository: Repository, source: Source, tmp_path: Path
) -> None:
    repository.commit({"a.yaml": "1"})
    async with serve(tmp_path / "served", private=True) as server:
        url = server.url("deploy/.git")
        credentials = GitCredentials(bearer_token=TOKEN, ca_certificate=server.ca_certificate)
        revision = await source(url, credentials=credentials, secret="team-a/deploy").fetch()

    rotated = source(url, credentials=GitCredentials(bearer_token="new"), secret="team-a/deploy")
    assert [entry.path for entry in await rotated.tree(revision).entries("")] == ["a.yaml"]


@pytest.mark.parametrize("form", ["{}", "file://{}", "{}/../{name}"])
async def test_copies_of_others_are_no_repositories(repository: Repository, source: Source, tmp_path: Path, form: str) -> None:
    commit = repository.commit({"a.yaml": "1"})
    await source(repository.url).fetch()
    (copy,) = (tmp_path / "data").glob("*.git")

    with pytest.raises(ConfigError, match="is in Guard's own folder"):
        source(form.format(copy, name=copy.name), ref=GitRef(commit=commit))


async def test_a_link_to_the_copies_is_no_way_to_them(repository: Repository, source: Source, tmp_path: Path) -> None:
    repository.commit({"a.yaml": "1"})
    await source(repository.url).fetch()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    (copy,) = (tmp_path / "data").glob("*.git")

    with pytest.raises(ConfigError, match="is in Guard's own folder"):
        source(str(tmp_path / "link" / copy.name))


async def test_a_copy_that_was_taken_away_is_fetched_anew(repository: Repository, source: Source, tmp_path: Path) -> None:
    repository.commit({"a.yaml": "1"})
    git = source(repository.url)
    await git.fetch()
    (copy,) = (tmp_path / "data").glob("*.git")
    shutil.rmtree(copy)

    assert [entry.path for entry in await git.tree(await git.fetch()).entries("")] == ["a.yaml"]


async def test_a_fetch_lets_another_sync_keep_its_revision(repository: Repository, source: Source, tmp_path: Path) -> None:
    """What git holds while it writes a ref looks just like what a killed git leaves."""
    commit = repository.commit({"a.yaml": "1"})
    first, second = source(repository.url), source(repository.url)
    revision = await first.fetch()
    (copy,) = (tmp_path / "data").glob("*.git")
    held = copy / "refs" / "guard" / "kept" / "another.lock"
    held.parent.mkdir(parents=True, exist_ok=True)

    with copy.with_suffix(".keep").open("w") as keeping:
        fcntl.flock(keeping, fcntl.LOCK_EX)
        held.touch()
        fetching = asyncio.create_task(second.fetch())
        await asyncio.sleep(0.5)
        assert held.exists()
        assert not fetching.done()

    assert await fetching == revision == f"main@sha1:{commit}"
    # Now nobody holds it.
    assert not held.exists()
    await first.keep(revision, owner="another")
