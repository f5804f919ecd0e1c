"""Private repositories over SSH, from a real sshd."""

from __future__ import annotations

import asyncio
import getpass
import os
import shutil
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from guard.base.errors import SourceError
from guard.source import GitCredentials, GitRef, credentials_of
from tests.source.conftest import Source, until
from tests.source.repository import Repository
from tests.source.sshd import SshServer, generate_key, known_hosts, serve_ssh

PASSPHRASE = "correct-horse-battery"


def credentials(server: SshServer, **other: str) -> GitCredentials:
    return GitCredentials(**({"identity": server.identity, "known_hosts": server.known_hosts} | other))


def left(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "data").rglob("guard-*")}


async def test_a_private_repository_is_fetched_and_followed(repository: Repository, source: Source, tmp_path: Path) -> None:
    first = repository.commit({"a.yaml": "1"})
    async with serve_ssh(tmp_path / "ssh") as server:
        git = source(server.url(repository.path), ref=GitRef(branch="main"), credentials=credentials(server))
        before = await git.fetch()
        second = repository.commit({"a.yaml": "2"})
        after = await git.fetch()

    assert (before, after) == (f"main@sha1:{first}", f"main@sha1:{second}")
    assert [entry.path for entry in await git.tree(after).entries("")] == ["a.yaml"]


async def test_the_short_form_of_an_address_is_fetched(
    repository: Repository, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = repository.commit({"a.yaml": "1"})
    async with serve_ssh(tmp_path / "ssh") as server:
        # It has no place for a port; the real ssh, found by another way, is told it.
        ssh = tmp_path / "bin" / "ssh"
        ssh.parent.mkdir()
        ssh.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -p {server.port} "$@"\n')
        ssh.chmod(0o755)
        monkeypatch.setenv("PATH", str(ssh.parent), prepend=":")
        git = source(f"{getpass.getuser()}@127.0.0.1:{repository.path}", credentials=credentials(server))

        assert await git.fetch() == f"main@sha1:{commit}"


async def test_the_key_is_nowhere_once_it_was_used(repository: Repository, source: Source, tmp_path: Path) -> None:
    repository.commit({"a.yaml": "1"})
    async with serve_ssh(tmp_path / "ssh") as server:
        git = source(server.url(repository.path), credentials=credentials(server))
        await git.fetch()
    with pytest.raises(SourceError, match="the server cannot be reached"):
        await git.fetch()

    assert left(tmp_path) == set()
    kept = b"".join(path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file())
    assert server.identity.splitlines()[1].encode() not in kept


async def test_a_key_with_a_passphrase_is_opened(repository: Repository, source: Source, tmp_path: Path) -> None:
    commit = repository.commit({"a.yaml": "1"})
    async with serve_ssh(tmp_path / "ssh", passphrase=PASSPHRASE) as server:
        git = source(server.url(repository.path), credentials=credentials(server, password=PASSPHRASE))

        assert await git.fetch() == f"main@sha1:{commit}"
    kept = b"".join(path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file())
    assert PASSPHRASE.encode() not in kept


@pytest.mark.parametrize(
    ("passphrase", "told"), [("", "has a passphrase, which is missing"), ("wrong-s3cret", "passphrase is wrong")]
)
async def test_a_missing_or_wrong_passphrase_is_told(
    repository: Repository, source: Source, tmp_path: Path, passphrase: str, told: str
) -> None:
    repository.commit({"a.yaml": "1"})
    async with serve_ssh(tmp_path / "ssh", passphrase=PASSPHRASE) as server:
        git = source(server.url(repository.path), credentials=credentials(server, password=passphrase))
        with pytest.raises(SourceError, match=told) as caught:
            await git.fetch()
    assert "wrong-s3cret" not in str(caught.value)


async def test_keys_as_they_come_out_of_secrets_are_taken(repository: Repository, source: Source, tmp_path: Path) -> None:
    commit = repository.commit({"a.yaml": "1"})
    async with serve_ssh(tmp_path / "ssh") as server:
        identity = server.identity.replace("\n", "\r\n").strip()
        values = {"identity": identity.encode(), "known_hosts": server.known_hosts.strip().encode()}
        git = source(server.url(repository.path), credentials=credentials_of(values))

        assert await git.fetch() == f"main@sha1:{commit}"


async def test_an_unknown_host_is_refused(repository: Repository, source: Source, tmp_path: Path) -> None:
    repository.commit({"a.yaml": "1"})
    async with serve_ssh(tmp_path / "ssh") as server:
        other = known_hosts(tmp_path / "ssh" / "host.pub", port=1)
        git = source(server.url(repository.path), credentials=credentials(server, known_hosts=other))
        with pytest.raises(SourceError, match=rf"known_hosts has no ED25519 key of the host \[127\.0\.0\.1\]:{server.port}"):
            await git.fetch()
        assert "Accepted" not in server.log


async def test_a_host_with_another_key_may_be_an_attack(repository: Repository, source: Source, tmp_path: Path) -> None:
    repository.commit({"a.yaml": "1"})
    await generate_key(tmp_path / "other")
    async with serve_ssh(tmp_path / "ssh") as server:
        other = known_hosts(tmp_path / "other.pub", port=server.port)
        git = source(server.url(repository.path), credentials=credentials(server, known_hosts=other))
        with pytest.raises(SourceError, match=r"^[^\n]*another host key[^\n]*someone may be pretending to be it[^\n]*$"):
            await git.fetch()
        assert "Accepted" not in server.log


async def test_a_revoked_host_key_is_refused(repository: Repository, source: Source, tmp_path: Path) -> None:
    repository.commit({"a.yaml": "1"})
    async with serve_ssh(tmp_path / "ssh") as server:
        revoked = f"@revoked {server.known_hosts}"
        git = source(server.url(repository.path), credentials=credentials(server, known_hosts=revoked))
        with pytest.raises(SourceError, match="known_hosts calls revoked"):
            await git.fetch()


async def test_a_key_that_the_server_does_not_know_is_told(repository: Repository, source: Source, tmp_path: Path) -> None:
    repository.commit({"a.yaml": "1"})
    async with serve_ssh(tmp_path / "ssh") as server:
        stranger = await generate_key(tmp_path / "stranger")
        git = source(server.url(repository.path), credentials=credentials(server, identity=stranger))
        with pytest.raises(SourceError, match="the server does not take the SSH key"):
            await git.fetch()


@pytest.mark.parametrize(
    "identity", ["not a key", "-----BEGIN OPENSSH PRIVATE KEY-----\ns3cret\n-----END OPENSSH PRIVATE KEY-----\n"]
)
async def test_what_is_no_key_is_told(repository: Repository, source: Source, tmp_path: Path, identity: str) -> None:
    repository.commit({"a.yaml": "1"})
    async with serve_ssh(tmp_path / "ssh") as server:
        git = source(server.url(repository.path), credentials=credentials(server, identity=identity))
        with pytest.raises(SourceError, match="the SSH key cannot be read") as caught:
            await git.fetch()
    assert "s3cret" not in str(caught.value)


async def test_an_agent_and_the_keys_of_the_machine_are_not_used(
    repository: Repository, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit({"a.yaml": "1"})
    async with serve_ssh(tmp_path / "ssh") as server, agent(tmp_path / "ssh" / "client") as address:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(address))
        stranger = await generate_key(tmp_path / "stranger")
        git = source(server.url(repository.path), credentials=credentials(server, identity=stranger))
        with pytest.raises(SourceError, match="the server does not take the SSH key"):
            await git.fetch()


async def test_a_missing_repository_is_told(source: Source, tmp_path: Path) -> None:
    async with serve_ssh(tmp_path / "ssh") as server:
        git = source(server.url(tmp_path / "nothing"), credentials=credentials(server))
        with pytest.raises(SourceError, match="there is no Git repository here"):
            await git.fetch()


async def test_a_server_that_says_something_else_is_told(repository: Repository, source: Source, tmp_path: Path) -> None:
    async with serve_ssh(tmp_path / "ssh", forced="echo Welcome; echo fatal: $(printf '\\033')[31m >&2") as server:
        git = source(server.url(repository.path), credentials=credentials(server))
        with pytest.raises(SourceError) as caught:
            await git.fetch()
    assert str(caught.value).isprintable()


async def test_ssh_without_a_key_is_refused_at_once(source: Source) -> None:
    with pytest.raises(SourceError, match="identity is missing"):
        source("git@git.example.com:deploy", credentials=GitCredentials(known_hosts="x"))
    with pytest.raises(SourceError, match="known_hosts is missing"):
        source("git@git.example.com:deploy", credentials=GitCredentials(identity="x"))


async def test_a_silent_server_is_given_up(source: Source, tmp_path: Path, silent_port: int) -> None:
    git = source(
        f"ssh://git@127.0.0.1:{silent_port}/deploy", credentials=GitCredentials(identity="x", known_hosts="y"), timeout=0.5
    )
    with pytest.raises(SourceError, match=r"took longer than 0\.5 s"):
        await git.fetch()
    assert left(tmp_path) == set()


async def test_closing_ends_a_fetch_at_once(source: Source, tmp_path: Path, silent_port: int) -> None:
    git = source(f"ssh://git@127.0.0.1:{silent_port}/deploy", credentials=GitCredentials(identity="x", known_hosts="y"))
    fetching = asyncio.create_task(git.fetch())
    await until(lambda: left(tmp_path) == {"guard-identity", "guard-known-hosts"})
    await asyncio.sleep(0.1)
    started = time.monotonic()
    await git.close()

    with pytest.raises(SourceError, match="stopped"):
        await fetching
    assert time.monotonic() - started < 10
    assert left(tmp_path) == set()


@asynccontextmanager
async def agent(key: Path) -> AsyncGenerator[Path]:
    """An ssh-agent that holds the key."""
    address = key.with_name("agent")
    process = await asyncio.create_subprocess_exec("ssh-agent", "-D", "-a", address, stdout=asyncio.subprocess.DEVNULL)
    try:
        await until(address.exists)
        added = await asyncio.create_subprocess_exec("ssh-add", "-q", key, env={**os.environ, "SSH_AUTH_SOCK": str(address)})
        assert await added.wait() == 0
        yield address
    finally:
        process.terminate()
        await process.wait()
