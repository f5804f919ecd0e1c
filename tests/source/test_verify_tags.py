"""Signed tags of Git."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.base.errors import VerificationError
from guard.source import GitRef, GitSource, GitVerify
from guard.source.verify.git import Mode
from tests.source.conftest import Source
from tests.source.repository import Repository
from tests.source.signing import OpenPgp, SshKey

TAG = GitRef(tag="v1.4.0")


async def refused(git: GitSource) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        await git.fetch()
    return caught.value


@pytest.mark.parametrize("ref", [TAG, GitRef(semver="^1")])
async def test_a_signed_tag_is_taken_whatever_its_commit(
    repository: Repository, source: Source, openpgp: OpenPgp, ref: GitRef
) -> None:
    ada = openpgp.key("Ada")
    commit = repository.commit({"a.yaml": "1"})
    repository.git(*openpgp.signs(ada), "tag", "--sign", "--message=v1", "v1.4.0")
    git = source(repository.url, ref=ref, verify=GitVerify(keys={"ada.asc": openpgp.public(ada)}, mode="Tag"))

    assert await git.fetch() == f"v1.4.0@sha1:{commit}"

    assert git.trust.signed is not None
    assert git.trust.signed.key == ada
    assert await git.fetch() == f"v1.4.0@sha1:{commit}"


@pytest.mark.parametrize("mode", ["Tag", "TagAndHead"])
async def test_a_tag_that_is_not_signed_is_refused(repository: Repository, source: Source, tmp_path: Path, mode: Mode) -> None:
    ada = SshKey(tmp_path / "keys", "ada")
    repository.commit({"a.yaml": "1"}, signed=ada.signs)
    git = source(repository.url, ref=TAG, verify=GitVerify(keys={"allowed_signers": ada.allowed()}, mode=mode))

    repository.git("tag", "v1.4.0")
    assert (await refused(git)).message == "tag v1.4.0 is not signed: it is a lightweight tag"

    repository.git("tag", "--force", "--annotate", "--message=v1", "v1.4.0")
    assert (await refused(git)).message == "tag v1.4.0 is not signed"

    repository.git(*ada.signs, "tag", "--force", "--sign", "--message=v1", "v1.4.0")
    assert (await git.fetch()).startswith("v1.4.0@")


async def test_tag_and_head_asks_for_both(repository: Repository, source: Source, tmp_path: Path) -> None:
    ada = SshKey(tmp_path / "keys", "ada")
    commit = repository.commit({"a.yaml": "1"})
    repository.git(*ada.signs, "tag", "--sign", "--message=v1", "v1.4.0")
    git = source(repository.url, ref=TAG, verify=GitVerify(keys={"allowed_signers": ada.allowed()}, mode="TagAndHead"))

    assert (await refused(git)).message == f"commit {commit[:10]} is not signed"

    commit = repository.commit({"a.yaml": "2"}, signed=ada.signs)
    repository.git(*ada.signs, "tag", "--force", "--sign", "--message=v1", "v1.4.0")
    assert await git.fetch() == f"v1.4.0@sha1:{commit}"


async def test_a_signed_tag_under_another_name_is_refused(repository: Repository, source: Source, tmp_path: Path) -> None:
    ada = SshKey(tmp_path / "keys", "ada")
    repository.commit({"a.yaml": "1"})
    repository.git(*ada.signs, "tag", "--sign", "--message=v1", "v1.3.0")
    repository.git("update-ref", "refs/tags/v1.4.0", repository.git("rev-parse", "refs/tags/v1.3.0"))
    git = source(repository.url, ref=TAG, verify=GitVerify(keys={"allowed_signers": ada.allowed()}, mode="Tag"))

    error = await refused(git)

    assert "under another name, 'v1.3.0': somebody has put it in the place of this one" in error.message
    assert error.signer == f"ada@example.com ({ada.fingerprint})"


async def test_a_tag_of_a_tag_is_refused(repository: Repository, source: Source, tmp_path: Path) -> None:
    ada = SshKey(tmp_path / "keys", "ada")
    repository.commit({"a.yaml": "1"})
    repository.git("tag", "--annotate", "--message=inner", "inner")
    repository.git(*ada.signs, "tag", "--sign", "--message=v1", "v1.4.0", "inner")
    git = source(repository.url, ref=TAG, verify=GitVerify(keys={"allowed_signers": ada.allowed()}, mode="Tag"))

    assert "for the tag " in (await refused(git)).message


async def test_a_tag_with_another_text_than_was_signed_is_refused(repository: Repository, source: Source, tmp_path: Path) -> None:
    ada = SshKey(tmp_path / "keys", "ada")
    old = repository.commit({"a.yaml": "1"})
    new = repository.commit({"a.yaml": "2"})
    repository.git(*ada.signs, "tag", "--sign", "--message=v1", "v1.4.0", old)
    text = repository.git("cat-file", "tag", "v1.4.0").replace(old, new) + "\n"
    repository.git("update-ref", "refs/tags/v1.4.0", repository.git("mktag", stdin=text))
    git = source(repository.url, ref=TAG, verify=GitVerify(keys={"allowed_signers": ada.allowed()}, mode="Tag"))

    assert "is wrong" in (await refused(git)).message


async def test_a_tag_is_verified_where_others_follow_it_unverified(
    repository: Repository, source: Source, tmp_path: Path
) -> None:
    ada = SshKey(tmp_path / "keys", "ada")
    commit = repository.commit({"a.yaml": "1"})
    repository.git(*ada.signs, "tag", "--sign", "--message=v1", "v1.4.0")
    verify = GitVerify(keys={"allowed_signers": ada.allowed()}, mode="Tag")
    expected = f"v1.4.0@sha1:{commit}"

    assert await source(repository.url, ref=TAG).fetch() == expected
    assert await source(repository.url, ref=TAG, verify=verify).fetch() == expected
    assert await source(repository.url, ref=TAG).fetch() == expected
    assert await source(repository.url, ref=TAG, verify=verify).fetch() == expected
