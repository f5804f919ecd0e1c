"""Signed revisions that somebody puts back: a signature alone does not say that it is the newest."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from guard.base.errors import SourceError, VerificationError
from guard.source import GitCredentials, GitRef, GitSource, GitVerify, Known
from guard.source.verify.git import Mode
from tests.source.conftest import Source
from tests.source.githttp import serve
from tests.source.repository import Repository
from tests.source.signing import SshKey

MAIN = GitRef(branch="main")


class Force:
    """What is in force, as a Sync knows it."""

    def __init__(self) -> None:
        self.known = Known()

    def __call__(self) -> Known:
        return self.known

    async def take(self, git: GitSource) -> str:
        revision = await git.fetch()
        self.known = Known(in_force=revision, verified=revision)
        return revision


class Setting:
    def __init__(self, source: Source, repository: Repository, folder: Path) -> None:
        self.repository = repository
        self.key = SshKey(folder / "keys", "ada")
        self.force = Force()
        self._source = source

    @property
    def keys(self) -> dict[str, bytes]:
        return {"allowed_signers": self.key.allowed()}

    def open(
        self, ref: GitRef | None = MAIN, *, url: str = "", credentials: GitCredentials | None = None, mode: Mode = "Head"
    ) -> GitSource:
        verify = GitVerify(keys=self.keys, known=self.force, mode=mode)
        return self._source(url or self.repository.url, ref=ref, credentials=credentials, verify=verify)

    def commit(self, text: str, *, signed: Sequence[str] | None = None) -> str:
        return self.repository.commit({"a.yaml": text}, signed=self.key.signs if signed is None else signed)

    def commit_unsigned(self, count: int) -> None:
        text = "commit refs/heads/main\ncommitter Ada <ada@example.com> 1700000000 +0000\ndata 1\nx\n"
        if count:
            script = text + "from refs/heads/main^0\n\n" + (text + "\n") * (count - 1)
            self.repository.git("fast-import", "--quiet", stdin=script)
            self.move("main")

    def commit_many(self, count: int) -> str:
        return [self.commit(f"{number} of {count}") for number in range(count)][-1]

    def move(self, commit: str) -> None:
        self.repository.git("reset", "--quiet", "--hard", commit)


@pytest.fixture
def setting(source: Source, repository: Repository, tmp_path: Path) -> Setting:
    return Setting(source, repository, tmp_path)


async def refused(git: GitSource) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        await git.fetch()
    return caught.value


async def test_an_old_signed_commit_that_a_forced_push_brings_back_is_refused_until_an_admin_takes_it(setting: Setting) -> None:
    old = setting.commit("1")
    setting.commit("2")
    git = setting.open()
    taken = await setting.force.take(git)
    setting.move(old)

    error = await refused(git)

    assert f"main@sha1:{old} is signed by ada@example.com" in error.message
    assert f"does not come after {taken}, which is in force" in error.message
    assert error.revision == f"main@sha1:{old}"
    assert error.hint == f"to take it all the same, annotate the Sync with gitopsguard.dev/accept-revision=main@sha1:{old}"
    # The same after a restart of Guard, and where the annotation names another revision.
    setting.force.known = Known(in_force=taken, accepted=f"main@sha1:{'1' * 40}")
    await refused(setting.open())
    setting.force.known = Known(in_force=taken, accepted=f"main@sha1:{old}")
    assert await git.fetch() == f"main@sha1:{old}"
    # What comes after that is a step forward again.
    await setting.force.take(git)
    assert await git.fetch() == f"main@sha1:{old}"
    newer = setting.commit("3")
    assert await git.fetch() == f"main@sha1:{newer}"


async def test_a_history_written_anew_is_refused(setting: Setting) -> None:
    setting.commit("0")
    setting.commit("1")
    git = setting.open()
    await setting.force.take(git)
    setting.repository.git(*setting.key.signs, "commit", "--quiet", "--amend", "--message=other", "--gpg-sign")

    assert "does not come after" in (await refused(git)).message


@pytest.mark.parametrize("commits", [1, 3, 40, 300])
async def test_a_branch_goes_forward_by_any_number_of_commits(setting: Setting, commits: int) -> None:
    setting.commit("0")
    git = setting.open()
    await setting.force.take(git)
    # What is signed last vouches for all before it.
    setting.commit_unsigned(commits - 1)
    newest = setting.commit("last")

    assert await git.fetch() == f"main@sha1:{newest}"


async def test_a_merge_is_a_step_forward(setting: Setting) -> None:
    repository = setting.repository
    first = setting.commit("0")
    git = setting.open()
    setting.commit("1")
    await setting.force.take(git)
    repository.git("checkout", "--quiet", "-b", "feature", first)
    repository.commit({"b.yaml": "1"})
    repository.git("checkout", "--quiet", "main")
    repository.git(*setting.key.signs, "merge", "--quiet", "--no-ff", "--gpg-sign", "--message=merge", "feature")

    assert await git.fetch() == f"main@sha1:{repository.git('rev-parse', 'HEAD')}"


async def test_the_history_is_read_where_the_server_knows_no_filter(setting: Setting, tmp_path: Path) -> None:
    setting.commit("0")
    plain = tmp_path / "served" / "plain.git"
    setting.repository.git("clone", "--quiet", "--bare", setting.repository.url, str(plain))
    setting.repository.git("--git-dir", str(plain), "config", "uploadpack.allowFilter", "false")

    async with serve(tmp_path / "served") as server:
        git = setting.open(url=server.url("plain.git"), credentials=GitCredentials(ca_certificate=server.ca_certificate))
        await setting.force.take(git)
        newest = setting.commit_many(20)
        setting.repository.git("push", "--quiet", str(plain), "main")

        assert await git.fetch() == f"main@sha1:{newest}"
    assert not list((tmp_path / "data").glob("*.history"))


async def test_a_step_that_cannot_be_looked_into_is_tried_again(setting: Setting, tmp_path: Path) -> None:
    setting.commit("0")
    git = setting.open()
    await setting.force.take(git)
    newest = setting.commit_many(20)
    real, fake = shutil.which("git"), tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\ncase "$*" in *--depth=16*) echo "fatal: early EOF" >&2; exit 128;; esac\nexec {real} "$@"\n')
    fake.chmod(0o755)

    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PATH", str(fake.parent), prepend=":")
        with pytest.raises(SourceError, match="early EOF") as caught:
            await git.fetch()
    assert not isinstance(caught.value, VerificationError)

    assert await git.fetch() == f"main@sha1:{newest}"


async def test_another_ref_in_the_sync_is_no_step_back(setting: Setting) -> None:
    old = setting.commit("1")
    setting.repository.git("branch", "stable")
    setting.commit("2")
    await setting.force.take(setting.open())

    assert await setting.open(GitRef(branch="stable")).fetch() == f"stable@sha1:{old}"
    assert await setting.open(GitRef(commit=old)).fetch() == f"sha1:{old}"


async def test_another_default_branch_is_none_of_the_syncs_doing(setting: Setting) -> None:
    setting.commit("1")
    setting.repository.git("branch", "stable")
    setting.commit("2")
    git = setting.open(None)
    await setting.force.take(git)
    setting.repository.git("checkout", "--quiet", "stable")

    assert "does not come after main@" in (await refused(git)).message


async def test_a_version_that_is_taken_away_is_a_step_back(setting: Setting) -> None:
    tagged = setting.commit("1")
    setting.repository.git("tag", "v1.4.0")
    setting.commit("2")
    setting.repository.git("tag", "v1.5.0")
    git = setting.open(GitRef(semver="^1"))
    taken = await setting.force.take(git)
    assert taken.startswith("v1.5.0@")
    setting.repository.git("tag", "--delete", "v1.5.0")

    error = await refused(git)

    assert f"v1.4.0 is older than {taken}, which is in force" in error.message
    assert error.hint.endswith(f"accept-revision=v1.4.0@sha1:{tagged}")
    # A range in which what is in force is not was changed by somebody who may.
    assert await setting.open(GitRef(semver="~1.4")).fetch() == f"v1.4.0@sha1:{tagged}"


async def test_an_old_commit_under_the_name_of_a_newer_version_is_refused(setting: Setting) -> None:
    old = setting.commit("1")
    setting.commit("2")
    setting.repository.git("tag", "v1.5.0")
    git = setting.open(GitRef(semver="^1"))
    taken = await setting.force.take(git)
    setting.repository.git("tag", "v1.6.0", old)

    error = await refused(git)

    assert error.revision == f"v1.6.0@sha1:{old}"
    assert f"does not come after {taken}, which is in force" in error.message
    setting.repository.git("tag", "--delete", "v1.6.0")
    newest = setting.commit_many(3)
    setting.repository.git("tag", "v1.6.0")
    assert await git.fetch() == f"v1.6.0@sha1:{newest}"


async def test_a_newer_version_whose_tag_is_signed_need_not_come_after_the_older_one(setting: Setting) -> None:
    tagged = setting.commit("1")
    setting.commit("2")
    setting.repository.git(*setting.key.signs, "tag", "--sign", "--message=v1", "v1.5.0")
    git = setting.open(GitRef(semver="^1"), mode="Tag")
    assert (await setting.force.take(git)).startswith("v1.5.0@")
    # Of a release branch.
    setting.move(tagged)
    newest = setting.commit("3")
    setting.repository.git(*setting.key.signs, "tag", "--sign", "--message=v1", "v1.6.0")

    assert await git.fetch() == f"v1.6.0@sha1:{newest}"


@pytest.mark.parametrize("ref", [GitRef(tag="v1.4.0"), GitRef(semver="^1")])
async def test_a_tag_is_moved_forward_only(setting: Setting, ref: GitRef) -> None:
    old = setting.commit("1")
    setting.commit("2")
    setting.repository.git("tag", "v1.4.0")
    git = setting.open(ref)
    await setting.force.take(git)
    newest = setting.commit("3")
    setting.repository.git("tag", "--force", "v1.4.0")
    assert await git.fetch() == f"v1.4.0@sha1:{newest}"
    setting.repository.git("tag", "--force", "v1.4.0", old)

    assert "does not come after" in (await refused(git)).message


async def test_what_came_from_a_bucket_is_no_step_back(setting: Setting) -> None:
    commit = setting.commit("1")
    setting.force.known = Known(in_force=f"deploy@sha256:{'0' * 64}")

    assert await setting.open().fetch() == f"main@sha1:{commit}"


async def test_another_repository_without_what_is_in_force_is_a_step_back(setting: Setting, tmp_path: Path) -> None:
    setting.commit("1")
    await setting.force.take(setting.open())
    other = Repository(tmp_path / "served" / "other")
    other.commit({"a.yaml": "2"}, signed=setting.key.signs)

    assert "does not come after" in (await refused(setting.open(url=other.url))).message
