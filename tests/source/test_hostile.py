"""Repositories made to do harm: nothing of theirs runs, leads elsewhere, or makes Guard ask somebody else."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from guard.base.errors import ConfigError, RenderError, SourceError
from guard.source import GitCredentials, GitRef
from guard.state.snapshot import is_lfs_pointer
from tests.source.conftest import Source
from tests.source.githttp import serve
from tests.source.repository import Repository

HOOKS = """
    applypatch-msg fsmonitor-watchman post-checkout post-commit post-index-change post-merge post-receive post-rewrite post-update
    pre-auto-gc pre-commit pre-merge-commit pre-push pre-rebase pre-receive prepare-commit-msg proc-receive push-to-checkout
    reference-transaction update
"""
SETTINGS = """
    core.alternateRefsCommand core.askPass core.editor core.fsmonitor core.pager core.sshCommand credential.helper
    diff.evil.command diff.evil.textconv diff.external filter.evil.clean filter.evil.process filter.evil.smudge gpg.program
    uploadpack.packObjectsHook
"""


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A program that leaves a file beside it when it is run."""
    program = tmp_path / "trap"
    program.write_text(f'#!/bin/sh\necho "$0 $*" >> {tmp_path}/sprung\n')
    program.chmod(0o755)
    return program


def sprung(trap: Path) -> str:
    log = trap.with_name("sprung")
    return log.read_text() if log.exists() else ""


async def test_programs_that_a_repository_names_are_not_run(
    repository: Repository, source: Source, tmp_path: Path, trap: Path
) -> None:
    first = repository.commit({"a.yaml": "1", ".gitattributes": "* filter=evil diff=evil merge=evil text eol=crlf ident\n"})
    for setting in SETTINGS.split():
        repository.git("config", setting, str(trap))
    for hook in HOOKS.split():
        (repository.path / ".git" / "hooks" / hook).symlink_to(trap)
    repository.git("-c", "core.hooksPath=/dev/null", "commit-tree", "-p", first, "-m", "second", "HEAD^{tree}")
    trap.with_name("sprung").unlink(missing_ok=True)
    async with serve(tmp_path / "served") as server:
        for url in (repository.url, f"file://{repository.path}", server.url("deploy/.git")):
            git = source(url, credentials=GitCredentials(ca_certificate=server.ca_certificate))
            tree = git.tree(await git.fetch())
            entries = {entry.path: entry.blob for entry in await tree.entries("")}
            read = await tree.read(entries.values())
            await tree.changes("", "1" * 40)

            assert read[entries["a.yaml"]] == b"1"
    assert sprung(trap) == ""


async def test_a_default_branch_that_looks_like_an_option_is_refused(repository: Repository, source: Source, trap: Path) -> None:
    commit = repository.commit({"a.yaml": "1"})
    name = f"--upload-pack={trap}"
    (repository.path / ".git" / "HEAD").write_text(f"ref: refs/heads/{name}\n")
    repository.git("update-ref", f"refs/heads/{name}", commit)

    with pytest.raises(SourceError, match="default branch has a name that cannot be"):
        await source(repository.url).fetch()
    assert sprung(trap) == ""


@pytest.mark.parametrize("ref", [{"branch": "--upload-pack=id"}, {"tag": "--exec=id"}, {"commit": "--all"}, {"semver": "--exec"}])
def test_refs_that_look_like_options_are_refused_at_once(source: Source, ref: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        source("https://git.example.com/deploy", ref=GitRef(**ref))


async def test_tags_that_look_like_options_are_no_versions(repository: Repository, source: Source, trap: Path) -> None:
    commit = repository.commit({"a.yaml": "1"})
    for tag in (f"--upload-pack={trap}", "-9.9.9", "v1.0.0", "v9.9.9/1"):
        repository.git("update-ref", f"refs/tags/{tag}", commit)

    assert await source(repository.url, ref=GitRef(semver="*")).fetch() == f"v1.0.0@sha1:{commit}"
    assert sprung(trap) == ""


async def test_addresses_of_submodules_are_never_asked(repository: Repository, source: Source) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/lib"
        repository.commit(
            {"a.yaml": "1", ".gitmodules": f'[submodule "lib"]\n\tpath = lib\n\turl = {url}\n\tfetchRecurseSubmodules = true\n'}
        )
        repository.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},lib")
        repository.git("commit", "--quiet", "--message=submodule")
        git = source(repository.url)
        tree = git.tree(await git.fetch())

        assert {entry.path: entry.type for entry in await tree.entries("")}["lib"] == "submodule"
        with pytest.raises(RenderError, match=r"'lib/apps' does not exist in .*: 'lib' is a submodule, which Guard does not"):
            await tree.id("lib/apps")
        with pytest.raises(BlockingIOError):
            listener.accept()


async def test_a_path_through_a_link_is_not_followed(repository: Repository, source: Source) -> None:
    (repository.path / "apps").symlink_to("/etc")
    repository.commit_all()
    git = source(repository.url)
    tree = git.tree(await git.fetch())

    with pytest.raises(RenderError, match=r"'apps/ssl' does not exist in .*: 'apps' is a symbolic link, which Guard"):
        await tree.id("apps/ssl")


async def test_a_pointer_of_git_lfs_is_handed_out_as_it_is(repository: Repository, source: Source) -> None:
    repository.commit({"a.yaml": f"version https://git-lfs.github.com/spec/v1\noid sha256:{'1' * 64}\nsize 3\n"})
    git = source(repository.url)
    tree = git.tree(await git.fetch())
    (entry,) = await tree.entries("")

    assert is_lfs_pointer((await tree.read([entry.blob]))[entry.blob])


@pytest.mark.parametrize("name", [b"..", b".", b"a/../../b", b"/etc/passwd", b""])
async def test_forged_names_that_lead_out_of_the_repository_are_refused(
    repository: Repository, source: Source, name: bytes
) -> None:
    repository.commit({"a.yaml": "1"})
    blob = repository.git("rev-parse", "HEAD:a.yaml")
    repository.forge(b"100644 " + name + b"\0" + bytes.fromhex(blob))
    git = source(repository.url)

    with pytest.raises((RenderError, SourceError), match=r"leads out of its folder|git failed"):
        await git.tree(await git.fetch()).entries("")


async def test_a_folder_that_holds_itself_many_times_over_is_refused(repository: Repository, source: Source) -> None:
    blob = repository.git("hash-object", "-w", "--stdin", stdin="1")
    tree = repository.git("mktree", stdin="".join(f"100644 blob {blob}\t{number}\n" for number in range(10)))
    for _ in range(9):
        tree = repository.git("mktree", stdin="".join(f"040000 tree {tree}\t{number}\n" for number in range(10)))
    repository.git("update-ref", "refs/heads/main", repository.git("commit-tree", "-m", "bomb", tree))
    git = source(repository.url)

    with pytest.raises(RenderError, match="more than 100,000 files are at and below"):
        await git.tree(await git.fetch()).entries("")
