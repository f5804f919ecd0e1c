"""Private repositories over HTTPS, from the real git http-backend."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from guard.base.errors import SourceError
from guard.source import GitCredentials, GitRef
from tests.source.conftest import Source, until
from tests.source.githttp import PASSWORD, TOKEN, USER, serve
from tests.source.repository import Repository


async def test_a_private_repository_is_fetched_with_a_bearer_token(
    repository: Repository, source: Source, tmp_path: Path
) -> None:
    commit = repository.commit({"a.yaml": "1"})
    async with serve(tmp_path / "served", private=True) as server:
        credentials = GitCredentials(bearer_token=TOKEN, ca_certificate=server.ca_certificate)
        git = source(server.url("deploy/.git"), credentials=credentials)

        assert await git.fetch() == f"main@sha1:{commit}"

    assert set(server.authorizations) == {f"Bearer {TOKEN}"}
    kept = b"".join(path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file())
    assert TOKEN.encode() not in kept


async def test_a_wrong_token_is_one_line_without_the_secret(repository: Repository, source: Source, tmp_path: Path) -> None:
    repository.commit({"a.yaml": "1"})
    async with serve(tmp_path / "served", private=True) as server:
        credentials = GitCredentials(bearer_token="wrong-s3cret", ca_certificate=server.ca_certificate)
        with pytest.raises(SourceError, match=r"^[^\n]*the server refused the credentials[^\n]*$") as caught:
            await source(server.url("deploy/.git"), credentials=credentials).fetch()

    assert "wrong-s3cret" not in str(caught.value) + repr(caught.value.__cause__)


@pytest.mark.parametrize("login", [{"bearer_token": TOKEN}, {"username": USER, "password": PASSWORD}])
async def test_what_opens_one_server_is_never_shown_to_another(
    repository: Repository, source: Source, tmp_path: Path, login: dict[str, str]
) -> None:
    repository.commit({"a.yaml": "1"})
    async with serve(tmp_path / "served", private=True) as server, serve(tmp_path / "served") as thief:
        server.redirect_to = f"https://127.0.0.1:{thief.port}"
        authorities = server.ca_certificate + thief.ca_certificate
        credentials = GitCredentials(ca_certificate=authorities, **login)
        with pytest.raises(SourceError, match="redirects to another place"):
            await source(server.url("deploy/.git"), credentials=credentials).fetch()

    assert thief.requests == []


async def test_a_redirect_never_leaves_encryption(
    repository: Repository, source: Source, tmp_path: Path, silent_port: int
) -> None:
    repository.commit({"a.yaml": "1"})
    async with serve(tmp_path / "served") as server:
        server.redirect_to = f"http://127.0.0.1:{silent_port}"
        git = source(server.url("deploy/.git"), credentials=GitCredentials(ca_certificate=server.ca_certificate))
        with pytest.raises(SourceError, match="redirects to another place"):
            await git.fetch()


@pytest.mark.parametrize("login", [{"bearer_token": TOKEN}, {"username": USER, "password": PASSWORD}])
async def test_a_server_that_tells_what_it_was_told_does_not_get_it_into_errors(
    repository: Repository, source: Source, tmp_path: Path, login: dict[str, str]
) -> None:
    repository.commit({"a.yaml": "1"})
    async with serve(tmp_path / "served", private=True) as server:
        server.echo = True
        credentials = GitCredentials(ca_certificate=server.ca_certificate, **login)
        with pytest.raises(SourceError, match="does not let these credentials read") as caught:
            await source(server.url("deploy/.git"), credentials=credentials).fetch()

    assert server.authorizations[-1]
    assert not any(secret in str(caught.value) for secret in (TOKEN, PASSWORD, server.authorizations[-1].split()[1]))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("login", [{"bearer_token": "s3cret-token"}, {"username": "ada", "password": "s3cret-word"}])
async def test_secrets_are_in_no_argument(source: Source, silent_port: int, login: dict[str, str]) -> None:
    git = source(f"https://127.0.0.1:{silent_port}/deploy", credentials=GitCredentials(**login))
    fetching = asyncio.create_task(git.fetch())
    address = f"{silent_port}/deploy".encode()
    await until(lambda: address in b"".join(arguments()))
    everything = arguments()
    await git.close()
    with pytest.raises(SourceError, match="stopped"):
        await fetching

    # git tells its own helper the address, and nothing else.
    assert all(b"remote-https" in command for command in everything if address in command)
    assert b"s3cret" not in b"".join(everything)


async def test_a_vanished_branch_keeps_the_last_good_state(repository: Repository, source: Source, tmp_path: Path) -> None:
    commit = repository.commit({"a.yaml": "1"})
    repository.git("branch", "release/1")
    async with serve(tmp_path / "served") as server:
        credentials = GitCredentials(ca_certificate=server.ca_certificate)
        git = source(server.url("deploy/.git"), ref=GitRef(branch="release/1"), credentials=credentials)
        revision = await git.fetch()
        await git.keep(revision)
        repository.git("branch", "--delete", "--force", "release/1")

        with pytest.raises(SourceError, match="has no branch 'release/1'"):
            await git.fetch()
        assert await git.tree(revision).entries("")
        # It comes back, rewound.
        repository.git("branch", "release/1", commit)
        assert await git.fetch() == revision


async def test_forced_pushes_and_rewinds_are_followed(repository: Repository, source: Source, tmp_path: Path) -> None:
    first = repository.commit({"a.yaml": "1"})
    second = repository.commit({"a.yaml": "2"})
    async with serve(tmp_path / "served") as server:
        git = source(server.url("deploy/.git"), credentials=GitCredentials(ca_certificate=server.ca_certificate))
        seen = [await git.fetch()]
        repository.git("reset", "--quiet", "--hard", first)
        seen.append(await git.fetch())
        third = repository.commit({"a.yaml": "3"})
        seen.append(await git.fetch())

    assert seen == [f"main@sha1:{commit}" for commit in (second, first, third)]


async def test_servers_of_the_first_protocol_are_understood(repository: Repository, source: Source, tmp_path: Path) -> None:
    commit = repository.commit({"a.yaml": "1"})
    repository.git("tag", "--annotate", "--message=1", "v1.0.0")
    refs = (GitRef(), GitRef(branch="main"), GitRef(tag="v1.0.0"), GitRef(semver="^1"), GitRef(commit=commit))
    async with serve(tmp_path / "served") as server:
        server.old = True
        credentials = GitCredentials(ca_certificate=server.ca_certificate)
        seen = [await source(server.url("deploy/.git"), ref=ref, credentials=credentials).fetch() for ref in refs]

    assert seen == [f"{name}sha1:{commit}" for name in ("main@", "main@", "v1.0.0@", "v1.0.0@", "")]


async def test_a_commit_that_the_server_does_not_hand_out_is_told(repository: Repository, source: Source, tmp_path: Path) -> None:
    commit = repository.commit({"a.yaml": "1"})
    repository.commit({"a.yaml": "2"})
    async with serve(tmp_path / "served") as server:
        credentials = GitCredentials(ca_certificate=server.ca_certificate)
        git = source(server.url("deploy/.git"), ref=GitRef(commit=commit), credentials=credentials)
        server.old = True
        with pytest.raises(SourceError, match=r"hands out only what a branch or tag names.*uploadpack\.allowReachableSHA1InWant"):
            await git.fetch()
        server.old = False
        assert await git.fetch() == f"sha1:{commit}"


def arguments() -> list[bytes]:
    """What every process of this machine was started with."""
    found: list[bytes] = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                found.append((process / "cmdline").read_bytes())
            except OSError:
                continue
    return found
