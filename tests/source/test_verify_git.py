"""Revisions of Git that have to be signed: keys and signatures are real ones, made at run time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from guard.base.errors import SourceError, VerificationError
from guard.source import GitRef, GitSource, GitVerify, Known
from guard.source.verify.git import Mode
from tests.source.conftest import Source
from tests.source.repository import Repository
from tests.source.signing import OpenPgp, SshKey, day, keygen, running_in
from tools.guardrun import eventually

MAIN = GitRef(branch="main")


def asked(keys: Mapping[str, bytes], *, mode: Mode = "Head", known: Callable[[], Known] = Known) -> GitVerify:
    return GitVerify(keys=keys, mode=mode, known=known)


async def refused(git: GitSource) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        await git.fetch()
    return caught.value


async def test_a_commit_signed_with_a_key_of_the_secret_is_taken(
    repository: Repository, source: Source, openpgp: OpenPgp
) -> None:
    ada = openpgp.key("Ada")
    commit = repository.commit({"a.yaml": "1"}, signed=openpgp.signs(ada))
    git = source(repository.url, ref=MAIN, verify=asked({"ada.asc": openpgp.public(ada)}))

    assert await git.fetch() == f"main@sha1:{commit}"

    signed = git.trust.signed
    assert signed is not None
    assert (signed.revision, signed.by, signed.key) == (f"main@sha1:{commit}", "Ada <ada@example.com>", ada)
    assert signed.at.startswith("20")


async def test_a_commit_signed_with_ssh_is_taken(repository: Repository, source: Source, tmp_path: Path) -> None:
    ada = SshKey(tmp_path / "keys", "ada")
    commit = repository.commit({"a.yaml": "1"}, signed=ada.signs)
    git = source(repository.url, verify=asked({"allowed_signers": ada.allowed()}))

    assert await git.fetch() == f"main@sha1:{commit}"

    signed = git.trust.signed
    assert signed is not None
    assert (signed.by, signed.key, signed.at) == ("ada@example.com", ada.fingerprint, "")


async def test_an_unsigned_commit_is_refused_and_the_next_signed_one_taken(
    repository: Repository, source: Source, openpgp: OpenPgp
) -> None:
    ada = openpgp.key("Ada")
    git = source(repository.url, verify=asked({"ada.gpg": openpgp.gpg("--export", ada)}))
    commit = repository.commit({"a.yaml": "1"})

    error = await refused(git)

    assert error.message == f"commit {commit[:10]} is not signed"
    assert (error.revision, error.signer, error.where) == (f"main@sha1:{commit}", "", repository.url)
    assert git.trust.signed is None
    commit = repository.commit({"a.yaml": "2"}, signed=openpgp.signs(ada))
    assert await git.fetch() == f"main@sha1:{commit}"


async def test_a_key_that_is_not_in_the_secret_is_unknown(repository: Repository, source: Source, openpgp: OpenPgp) -> None:
    ada, eve = openpgp.key("Ada"), openpgp.key("Eve")
    repository.commit({"a.yaml": "1"}, signed=openpgp.signs(eve))

    error = await refused(source(repository.url, verify=asked({"ada.asc": openpgp.public(ada)})))

    assert "is signed with an unknown key" in error.message
    assert error.signer == eve


async def test_an_ssh_key_that_is_not_allowed_is_unknown(repository: Repository, source: Source, tmp_path: Path) -> None:
    ada, eve = SshKey(tmp_path / "keys", "ada"), SshKey(tmp_path / "keys", "eve")
    repository.commit({"a.yaml": "1"}, signed=eve.signs)

    error = await refused(source(repository.url, verify=asked({"allowed_signers": ada.allowed()})))

    assert "is signed with an unknown key" in error.message
    assert error.signer == eve.fingerprint


async def test_a_kind_of_signature_for_which_there_is_no_key_is_named(
    repository: Repository, source: Source, openpgp: OpenPgp, tmp_path: Path
) -> None:
    ada, eve = SshKey(tmp_path / "keys", "ada"), openpgp.key("Eve")
    repository.commit({"a.yaml": "1"}, signed=openpgp.signs(eve))
    error = await refused(source(repository.url, verify=asked({"allowed_signers": ada.allowed()})))
    assert "is signed with OpenPGP, and the Secret has no OpenPGP key" in error.message

    repository.commit({"a.yaml": "2"}, signed=ada.signs)
    error = await refused(source(repository.url, verify=asked({"eve.asc": openpgp.public(eve)})))
    assert "is signed with SSH, and the Secret has no allowed_signers" in error.message


@pytest.mark.parametrize("kind", ["openpgp", "ssh"])
async def test_a_commit_that_was_changed_after_it_was_signed_is_refused(
    repository: Repository, source: Source, openpgp: OpenPgp, tmp_path: Path, kind: str
) -> None:
    ada, ssh = openpgp.key("Ada"), SshKey(tmp_path / "keys", "ada")
    repository.commit({"a.yaml": "1"}, signed=openpgp.signs(ada) if kind == "openpgp" else ssh.signs)
    text = repository.git("cat-file", "commit", "HEAD")
    forged = repository.git("hash-object", "-t", "commit", "-w", "--stdin", stdin=text.replace("change", "charge") + "\n")
    repository.git("update-ref", "refs/heads/main", forged)

    error = await refused(
        source(repository.url, verify=asked({"ada.asc": openpgp.public(ada), "allowed_signers": ssh.allowed()}))
    )

    assert "is wrong: it is not what" in error.message
    assert error.revision == f"main@sha1:{forged}"


async def test_a_key_that_has_expired_is_refused(repository: Repository, source: Source, openpgp: OpenPgp) -> None:
    ada = openpgp.key("Ada", at=day("2025-01-01"), expires="1y")
    repository.commit({"a.yaml": "1"}, signed=openpgp.signs(ada, at=day("2025-02-01")))

    error = await refused(source(repository.url, verify=asked({"ada.asc": openpgp.public(ada)})))

    assert error.message.endswith(f"is signed by Ada <ada@example.com> ({ada}), whose key has expired")
    assert error.signer == f"Ada <ada@example.com> ({ada})"


async def test_what_is_in_force_outlives_its_key(repository: Repository, source: Source, openpgp: OpenPgp) -> None:
    ada = openpgp.key("Ada", at=day("2025-01-01"), expires="1y")
    commit = repository.commit({"a.yaml": "1"}, signed=openpgp.signs(ada, at=day("2025-02-01")))
    known = Known(in_force=f"main@sha1:{commit}", verified=f"main@sha1:{commit}")

    git = source(repository.url, verify=asked({"ada.asc": openpgp.public(ada)}, known=lambda: known))

    assert await git.fetch() == f"main@sha1:{commit}"


async def test_what_is_in_force_does_not_outlive_the_trust_in_its_key(
    repository: Repository, source: Source, openpgp: OpenPgp
) -> None:
    ada, eve = openpgp.key("Ada"), openpgp.key("Eve", at=day("2025-01-01"), expires="1y")
    commit = repository.commit({"a.yaml": "1"}, signed=openpgp.signs(eve, at=day("2025-02-01")))
    known = Known(in_force=f"main@sha1:{commit}", verified=f"main@sha1:{commit}")

    error = await refused(source(repository.url, verify=asked({"ada.asc": openpgp.public(ada)}, known=lambda: known)))
    assert "unknown key" in error.message
    assert error.revision == f"main@sha1:{commit}"

    # gpg says of a key that has expired and is revoked only that it has expired.
    keys = {"a.asc": openpgp.revocation(eve), "eve.asc": openpgp.public(eve)}
    error = await refused(source(repository.url, verify=asked(keys, known=lambda: known)))
    assert "whose key is revoked" in error.message


async def test_a_signature_that_has_expired_is_refused(repository: Repository, source: Source, openpgp: OpenPgp) -> None:
    ada = openpgp.key("Ada", at=day("2025-01-01"))
    signs = openpgp.signs(ada, "--default-sig-expire=7d", at=day("2025-02-01"))
    repository.commit({"a.yaml": "1"}, signed=signs)

    error = await refused(source(repository.url, verify=asked({"ada.asc": openpgp.public(ada)})))

    assert error.message.endswith("but that signature has expired")


async def test_a_key_that_is_revoked_is_refused(repository: Repository, source: Source, openpgp: OpenPgp) -> None:
    ada = openpgp.key("Ada")
    repository.commit({"a.yaml": "1"}, signed=openpgp.signs(ada))
    keys = {"ada.asc": openpgp.public(ada)}
    await source(repository.url, verify=asked(keys)).fetch()

    error = await refused(source(repository.url, verify=asked(keys | {"ada-revoked.asc": openpgp.revocation(ada)})))

    assert error.message.endswith(f"is signed by Ada <ada@example.com> ({ada}), whose key is revoked")


@pytest.mark.parametrize("form", ["list", "krl"])
async def test_an_ssh_key_that_is_revoked_is_refused(repository: Repository, source: Source, tmp_path: Path, form: str) -> None:
    ada, bob = SshKey(tmp_path / "keys", "ada"), SshKey(tmp_path / "keys", "bob")
    keygen("-q", "-k", "-f", str(tmp_path / "krl"), str(ada.path.with_suffix(".pub")))
    revoked = ada.public.encode() if form == "list" else (tmp_path / "krl").read_bytes()
    keys = {"allowed_signers": ada.allowed() + bob.allowed(), "revoked_keys": revoked}
    repository.commit({"a.yaml": "1"}, signed=ada.signs)

    error = await refused(source(repository.url, verify=asked(keys)))
    assert error.message.endswith(f"is signed by ada@example.com ({ada.fingerprint}), whose key is revoked")

    commit = repository.commit({"a.yaml": "2"}, signed=bob.signs)
    assert await source(repository.url, verify=asked(keys)).fetch() == f"main@sha1:{commit}"


async def test_the_time_of_an_ssh_key_is_held_against_the_committers(
    repository: Repository, source: Source, tmp_path: Path
) -> None:
    ada = SshKey(tmp_path / "keys", "ada")
    keys = {"allowed_signers": ada.allowed('valid-after="20250101"', 'valid-before="20250201"')}
    good = repository.commit({"a.yaml": "1"}, signed=ada.signs, at=day("2025-01-15"))
    assert await source(repository.url, verify=asked(keys)).fetch() == f"main@sha1:{good}"

    repository.commit({"a.yaml": "2"}, signed=ada.signs, at=day("2025-02-02"))
    error = await refused(source(repository.url, verify=asked(keys)))
    assert error.message.endswith("whose key has expired: it is valid before 20250201, and this was made 2025-02-02T00:00:00Z")

    keys = {"allowed_signers": ada.allowed('valid-after="20250301"')}
    error = await refused(source(repository.url, verify=asked(keys)))
    assert error.message.endswith("whose key is not valid yet: it is so after 20250301, and this was made 2025-02-02T00:00:00Z")


async def test_an_ssh_key_for_files_does_not_sign_commits(repository: Repository, source: Source, tmp_path: Path) -> None:
    ada = SshKey(tmp_path / "keys", "ada")
    repository.commit({"a.yaml": "1"}, signed=ada.signs)

    error = await refused(source(repository.url, verify=asked({"allowed_signers": ada.allowed('namespaces="file"')})))

    assert error.message.endswith("whose key is not allowed for 'git'")
    assert error.hint == "if it may be, add that to the namespaces of the key in allowed_signers"


@pytest.mark.parametrize("kind", ["openpgp", "ssh"])
async def test_a_signature_from_the_future_is_refused(
    repository: Repository, source: Source, openpgp: OpenPgp, tmp_path: Path, kind: str
) -> None:
    ada, ssh = openpgp.key("Ada"), SshKey(tmp_path / "keys", "ada")
    later = time.time() + 3600
    repository.commit({"a.yaml": "1"}, signed=openpgp.signs(ada, at=later) if kind == "openpgp" else ssh.signs, at=later)

    error = await refused(
        source(repository.url, verify=asked({"ada.asc": openpgp.public(ada), "allowed_signers": ssh.allowed()}))
    )

    assert ", but here it is " in error.message
    assert "set the clock that is wrong" in error.hint


async def test_clocks_may_differ_a_little(repository: Repository, source: Source, openpgp: OpenPgp) -> None:
    ada = openpgp.key("Ada")
    later = time.time() + 120
    commit = repository.commit({"a.yaml": "1"}, signed=openpgp.signs(ada, at=later), at=later)

    assert await source(repository.url, verify=asked({"a.asc": openpgp.public(ada)})).fetch() == f"main@sha1:{commit}"


async def test_a_weak_digest_is_refused(repository: Repository, source: Source, openpgp: OpenPgp) -> None:
    ada = openpgp.key("Ada", algorithm="rsa2048")
    repository.commit({"a.yaml": "1"}, signed=openpgp.signs(ada, "--digest-algo=SHA1"))

    error = await refused(source(repository.url, verify=asked({"ada.asc": openpgp.public(ada)})))

    assert "with SHA-1, which can be forged" in error.message


async def test_x509_is_refused(repository: Repository, source: Source, openpgp: OpenPgp) -> None:
    ada = openpgp.key("Ada")
    repository.commit({"a.yaml": "1"}, signed=openpgp.signs(ada))
    text = repository.git("cat-file", "commit", "HEAD").replace("PGP SIGNATURE", "SIGNED MESSAGE")
    repository.git("update-ref", "refs/heads/main", repository.git("hash-object", "-t", "commit", "-w", "--stdin", stdin=text))

    error = await refused(source(repository.url, verify=asked({"ada.asc": openpgp.public(ada)})))

    assert "with an X.509 certificate, which Guard does not take" in error.message


async def test_a_verdict_is_remembered_and_a_refusal_looked_at_again(
    repository: Repository, source: Source, openpgp: OpenPgp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = tmp_path / "calls"
    script = tmp_path / "bin" / "gpg"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\necho run >> {calls}\nexec /usr/bin/env PATH="${{PATH#*:}}" gpg "$@"\n')
    script.chmod(0o755)
    ada, eve = openpgp.key("Ada"), openpgp.key("Eve")
    repository.commit({"a.yaml": "1"}, signed=openpgp.signs(ada))
    eves = openpgp.signs(eve)
    git = source(repository.url, verify=asked({"ada.asc": openpgp.public(ada)}))
    monkeypatch.setenv("PATH", str(script.parent), prepend=":")

    await git.fetch()
    once = len(calls.read_text().split())
    await git.fetch()
    assert len(calls.read_text().split()) == once > 0

    calls.unlink()
    repository.commit({"a.yaml": "2"}, signed=eves)
    calls.unlink(missing_ok=True)
    await refused(git)
    once = len(calls.read_text().split())
    await refused(git)
    assert len(calls.read_text().split()) == 2 * once


async def test_a_refused_revision_leaves_the_last_one_readable(repository: Repository, source: Source, openpgp: OpenPgp) -> None:
    ada = openpgp.key("Ada")
    repository.commit({"a.yaml": "1"}, signed=openpgp.signs(ada))
    git = source(repository.url, verify=asked({"ada.asc": openpgp.public(ada)}))
    revision = await git.fetch()
    await git.keep(revision)
    repository.commit({"a.yaml": "2"})

    await refused(git)

    (entry,) = await git.tree(revision).entries("")
    assert await git.tree(revision).read([entry.blob]) == {entry.blob: b"1"}


async def test_gpg_that_is_missing_is_named(
    repository: Repository, source: Source, openpgp: OpenPgp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = openpgp.key("Ada")
    repository.commit({"a.yaml": "1"}, signed=openpgp.signs(ada))
    git = source(repository.url, verify=asked({"ada.asc": openpgp.public(ada)}))
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("git", "sh", "env"):
        (tools / name).symlink_to(Path("/usr/bin") / name)

    with monkeypatch.context() as patched:
        patched.setenv("PATH", str(tools))
        with pytest.raises(SourceError, match="gpg is not installed where Guard runs"):
            await git.fetch()


@pytest.mark.timeout(60)
async def test_closing_ends_a_gpg_that_hangs(
    repository: Repository, source: Source, openpgp: OpenPgp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, script = tmp_path / "began", tmp_path / "bin" / "gpg"
    script.parent.mkdir()
    script.write_text(f"#!/bin/sh\ntouch {began}\nsleep 600 &\nsleep 600\n")
    script.chmod(0o755)
    ada = openpgp.key("Ada")
    repository.commit({"a.yaml": "1"}, signed=openpgp.signs(ada))
    git = source(repository.url, verify=asked({"ada.asc": openpgp.public(ada)}))
    monkeypatch.setenv("PATH", str(script.parent), prepend=":")

    fetching = asyncio.create_task(git.fetch())
    await eventually(began.exists, what="gpg runs")
    began_closing = time.monotonic()
    await git.close()
    with pytest.raises(SourceError, match="stopped"):
        await fetching
    # gpg itself would be given 30 s.
    assert time.monotonic() - began_closing < 15


async def test_nothing_of_gpg_is_left_behind(repository: Repository, source: Source, openpgp: OpenPgp, tmp_path: Path) -> None:
    ada = openpgp.key("Ada")
    repository.commit({"a.yaml": "1"}, signed=openpgp.signs(ada))

    await source(repository.url, verify=asked({"ada.asc": openpgp.public(ada)})).fetch()

    assert not list((tmp_path / "data").glob("verify-*"))
    assert not running_in(tmp_path)


@pytest.mark.parametrize("kind", ["openpgp", "ssh"])
async def test_git_itself_agrees(repository: Repository, source: Source, openpgp: OpenPgp, tmp_path: Path, kind: str) -> None:
    """Of a merge with a signed tag in it, whose text holds what looks like signatures, and of the tag."""
    ada, ssh = openpgp.key("Ada"), SshKey(tmp_path / "keys", "ada")
    signs = openpgp.signs(ada) if kind == "openpgp" else ssh.signs
    allowed = tmp_path / "allowed"
    allowed.write_bytes(ssh.allowed())
    settings = (*signs, "-c", f"gpg.ssh.allowedSignersFile={allowed}")
    repository.commit({"a.yaml": "1"})
    repository.git("checkout", "--quiet", "-b", "side")
    repository.commit({"b.yaml": "1"}, message="side\n\n-----BEGIN PGP SIGNATURE-----\n\ngpgsig x\n")
    repository.git(*signs, "tag", "--sign", "--message=v1\n\ngpgsig y", "v1.0.0")
    repository.git("checkout", "--quiet", "main")
    repository.git(*signs, "merge", "--quiet", "--no-ff", "--gpg-sign", "--message=merge\n\ngpgsig z", "v1.0.0")
    keys = {"ada.asc": openpgp.public(ada), "allowed_signers": ssh.allowed()}
    assert "\nmergetag " in repository.git("cat-file", "commit", "HEAD")

    repository.git(*settings, "verify-commit", "HEAD")
    repository.git(*settings, "verify-tag", "v1.0.0")

    assert await source(repository.url, ref=MAIN, verify=asked(keys)).fetch()
    assert await source(repository.url, ref=GitRef(tag="v1.0.0"), verify=asked(keys, mode="Tag")).fetch()
