from __future__ import annotations

import os
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from guard.base.errors import SourceError
from guard.source.verify import Fault, Signer, Verifier, keys_of, run
from tests.source.signing import OpenPgp, SshKey, day


def check(
    values: Mapping[str, bytes], payload: bytes, signature: bytes, folder: Path, *, at: float | None = None
) -> Signer | Fault:
    return Verifier(values, directory=folder / "data").check("it", payload, signature, namespace="git", at=at)


def test_keys_are_read_from_any_number_of_entries(openpgp: OpenPgp, tmp_path: Path) -> None:
    ada, bob, eve = openpgp.key("Ada"), openpgp.key("Bob"), SshKey(tmp_path / "keys", "eve")
    values = {
        "ada.asc": openpgp.public(ada) + b"\nsome text\n" + openpgp.public(bob),
        "all.gpg": openpgp.gpg("--export"),
        "allowed_signers": b"# those who may\r\n\r\n" + eve.allowed().replace(b"\n", b"\r\n"),
        "team.allowed_signers": eve.allowed('namespaces="git,file"', 'valid-after="20200101"'),
        "README": b"means nothing",
    }

    assert [name for name, _ in keys_of(values).openpgp] == ["ada.asc", "all.gpg"]
    for key in (ada, bob):
        found = check(values, b"text", openpgp.sign(b"text", key), tmp_path)
        assert isinstance(found, Signer)
        assert found.key == key
    found = check(values, b"text", eve.sign(b"text", namespace="git"), tmp_path, at=day("2026-01-01"))
    assert isinstance(found, Signer)
    assert found.key == eve.fingerprint


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "has no keys"),
        ({"identity": b"x"}, "has no keys"),
        ({"ada.asc": b"hello"}, "entry ada.asc .* it is no OpenPGP"),
        ({"ada.asc": b""}, "entry ada.asc .* it is empty"),
        ({"ada.gpg": b"\x99\x01\x0d" + b"x" * 12}, "entry ada.gpg .* it is cut off"),
        ({"ada.asc": b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDM"}, "entry ada.asc .* its armor has no end"),
        ({"ada.gpg": b"\0\0\0\x20\1\1\0\2KBXf" + b"\0" * 20}, "entry ada.gpg .* is a keybox of gpg"),
        ({"allowed_signers": b"# nobody\n"}, "entry allowed_signers .* it allows nobody"),
        ({"allowed_signers": b"ada@example.com\n"}, "entry allowed_signers .* line 1 does not read"),
        ({"allowed_signers": b"\nada@example.com ssh-ed25519 AAAA\n"}, "the key in line 2 is damaged"),
        ({"allowed_signers": b"ada@example.com ssh-ed25519 AAAAB3NzaC1yc2E=\n"}, "not of the type that it says"),
        ({"allowed_signers": b'ada@example.com valid="1" ssh-ed25519 AAAA\n'}, "has an option 'valid'"),
        ({"ada.asc": b"x" * (1024 * 1024 + 1)}, "larger than 1024 KiB"),
    ],
)
def test_what_is_no_key_is_named(values: dict[str, bytes], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        keys_of(values)


@pytest.mark.parametrize("text", [b"-----BEGIN PGP A-----\n", b"\n", b"-----BEGIN PGP A-----\n\n-----END PGP B-----\n"])
@pytest.mark.timeout(60)
def test_what_is_no_key_does_not_take_long(text: bytes) -> None:
    """In a time that went with the square of its length it would be minutes, in which nothing else of Guard runs."""
    with pytest.raises(SourceError, match="it is no OpenPGP key"):
        keys_of({"ada.asc": text * (1_000_000 // len(text))})


@pytest.mark.timeout(60)
def test_what_is_no_signature_does_not_take_long(openpgp: OpenPgp, tmp_path: Path) -> None:
    values = {"ada.asc": openpgp.public(openpgp.key("Ada"))}
    for signature in (b"\n" * 600_000 + b"x", b"-----BEGIN PGP A-----\n" * 45_000):
        assert isinstance(check(values, b"text", signature, tmp_path), Fault)


def test_a_private_key_is_refused(openpgp: OpenPgp, tmp_path: Path) -> None:
    ada, eve = openpgp.key("Ada"), SshKey(tmp_path / "keys", "eve")
    armored = openpgp.gpg("--armor", "--export-secret-keys", ada)
    values = {"ada.asc": armored, "ada.gpg": openpgp.gpg("--export-secret-keys", ada), "allowed_signers": eve.path.read_bytes()}

    for name, value in values.items():
        with pytest.raises(SourceError, match=f"entry {re.escape(name)} .* holds a private key") as caught:
            keys_of({name: value})
        assert armored.decode()[50:90] not in str(caught.value)


def test_what_is_no_revocation_is_named(openpgp: OpenPgp, tmp_path: Path) -> None:
    ada, bob, eve = openpgp.key("Ada"), openpgp.key("Bob"), SshKey(tmp_path / "keys", "eve")
    with pytest.raises(SourceError, match=r"entry revoked_keys .* line 1 is no public key of SSH"):
        keys_of({"allowed_signers": eve.allowed(), "revoked_keys": b"eve\n"})
    with pytest.raises(SourceError, match="there is no allowed_signers"):
        keys_of({"ada.asc": openpgp.public(ada), "revoked_keys": eve.public.encode()})

    values = {"ada.asc": openpgp.public(ada), "bob.asc": openpgp.revocation(bob)}
    with pytest.raises(SourceError, match=r"entry bob.asc .* revokes no key of this Secret"):
        check(values, b"text", openpgp.sign(b"text", ada), tmp_path)


def test_a_key_that_gpg_does_not_take_is_named(openpgp: OpenPgp, tmp_path: Path) -> None:
    ada, later = openpgp.key("Ada"), openpgp.key("Later", at=day("2060-01-01"))
    values = {"ada.asc": openpgp.public(ada), "later.asc": openpgp.public(later)}

    with pytest.raises(SourceError, match=r"entry later.asc .* gpg does not take every key in it .*in the future"):
        check(values, b"text", openpgp.sign(b"text", ada), tmp_path)


def test_several_signatures_are_refused(openpgp: OpenPgp, tmp_path: Path) -> None:
    ada, bob = openpgp.key("Ada"), openpgp.key("Bob")
    values = {"ada.asc": openpgp.public(ada)}
    both = openpgp.gpg("--local-user", ada, "--local-user", bob, "--detach-sign", stdin=b"text")

    for signature in (openpgp.sign(b"text", ada) + openpgp.sign(b"text", bob), both):
        found = check(values, b"text", signature, tmp_path)
        assert isinstance(found, Fault)
        assert "several signatures" in found.message or "not one signature alone" in found.message


def test_a_message_that_is_signed_by_itself_is_no_signature_of_something_else(openpgp: OpenPgp, tmp_path: Path) -> None:
    ada = openpgp.key("Ada")
    message = openpgp.gpg("--armor", "--local-user", ada, "--compress-algo=none", "--sign", stdin=b"another text")

    found = check({"ada.asc": openpgp.public(ada)}, b"text", message, tmp_path)

    assert isinstance(found, Fault)
    assert "not one signature alone" in found.message


@pytest.mark.parametrize("name", ["Eve\n[GNUPG:] GOODSIG 0123456789ABCDEF Ada", "x%0A[GNUPG:] GOODSIG 0123 Ada", "\x1b[2Jclear"])
def test_the_name_of_a_key_fools_nobody(openpgp: OpenPgp, tmp_path: Path, name: str) -> None:
    openpgp.gpg("--allow-freeform-uid", "--quick-gen-key", name, "ed25519", "sign")
    listed = openpgp.gpg("--with-colons", "--list-keys").decode().splitlines()
    fingerprint = next(line.split(":")[9] for line in listed if line.startswith("fpr:"))
    public, signature = openpgp.public(), openpgp.sign(b"text", fingerprint)

    found = check({"eve.asc": public}, b"text", signature, tmp_path)
    assert isinstance(found, Signer)
    assert found.key == fingerprint
    assert found.by.isprintable()
    found = check({"eve.asc": public}, b"other text", signature, tmp_path)
    assert isinstance(found, Fault)
    assert "is wrong: it is not what" in found.message
    assert found.message.isprintable()


def test_a_signature_of_ssh_for_something_else_is_wrong(tmp_path: Path) -> None:
    ada = SshKey(tmp_path / "keys", "ada")

    found = check({"allowed_signers": ada.allowed()}, b"text", ada.sign(b"text", namespace="file"), tmp_path, at=1.0)

    assert isinstance(found, Fault)
    assert (
        found.message
        == f"the signature of it with the key {ada.fingerprint} is wrong: it is not what was signed, or not for this"
    )


@pytest.mark.parametrize(
    "signature",
    [
        b"garbage",
        b"-----BEGIN PGP SIGNATURE-----\n\n!!!!\n-----END PGP SIGNATURE-----\n",
        b"-----BEGIN PGP SIGNATURE-----\n",
        b"-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n",
        b"-----BEGIN SSH SIGNATURE-----\nU1NIU0lHAAAAAf////8=\n-----END SSH SIGNATURE-----\n",
        b"\x89",
        b"\xc2\xff",
        b"x" * (64 * 1024 + 1),
    ],
)
def test_what_is_no_signature_is_told(openpgp: OpenPgp, tmp_path: Path, signature: bytes) -> None:
    ada = SshKey(tmp_path / "keys", "ada")
    values = {"ada.asc": openpgp.public(openpgp.key("Ada")), "allowed_signers": ada.allowed()}

    found = check(values, b"text", signature, tmp_path, at=1.0)

    assert isinstance(found, Fault)
    assert re.match("the signature of it (cannot be read|is larger)", found.message)


def test_a_certificate_of_an_authority_that_may_is_taken(tmp_path: Path) -> None:
    authority, ada = SshKey(tmp_path / "keys", "authority"), SshKey(tmp_path / "keys", "ada")
    ada.certify(authority, principal="ada@example.com")
    values = {"allowed_signers": b"*@example.com cert-authority " + authority.public.encode()}

    found = check(values, b"text", ada.sign(b"text", namespace="git", certificate=True), tmp_path, at=day("2026-11-01"))

    assert isinstance(found, Signer)
    assert (found.by, found.key) == ("ada@example.com", ada.fingerprint)


def test_long_paths_and_folders_that_cannot_be_written(openpgp: OpenPgp, tmp_path: Path) -> None:
    ada = openpgp.key("Ada")
    values, signature = {"ada.asc": openpgp.public(ada)}, openpgp.sign(b"text", ada)

    assert isinstance(check(values, b"text", signature, tmp_path / ("x" * 200)), Signer)

    (tmp_path / "data").write_text("a file")
    with pytest.raises(SourceError, match="no folder can be made to check signatures in"):
        check(values, b"text", signature, tmp_path)


def test_many_checks_at_once_do_not_disturb_one_another(openpgp: OpenPgp, tmp_path: Path) -> None:
    ada = openpgp.key("Ada")
    values, signature = {"ada.asc": openpgp.public(ada)}, openpgp.sign(b"text", ada)
    (tmp_path / "data" / "verify-left").mkdir(parents=True)
    os.utime(tmp_path / "data" / "verify-left", (0, 0))

    with ThreadPoolExecutor(8) as pool:
        found = [pool.submit(check, values, b"text", signature, tmp_path) for _ in range(24)]

    assert all(isinstance(one.result(), Signer) for one in found)
    assert not list((tmp_path / "data").iterdir())


def test_a_gpg_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "bin" / "gpg"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\nsleep 600 &\nsleep 600\n")
    script.chmod(0o755)

    with monkeypatch.context() as patched, run.folder(tmp_path) as where:
        patched.setenv("PATH", str(script.parent), prepend=":")
        with pytest.raises(SourceError, match=r"gpg took longer than 0\.5 s over a signature"):
            run.Programs(seconds=0.5).run("gpg", (), folder=where, stdin=b"x" * 1024 * 1024)


def test_a_key_that_others_have_signed_ten_thousand_times_is_borne(openpgp: OpenPgp, tmp_path: Path) -> None:
    ada = openpgp.key("Ada")
    public = openpgp.gpg("--export", ada)
    # The signature that binds the name, over and over.
    last = public.partition(b"ada@example.com>")[2]
    signature = openpgp.sign(b"text", ada)

    assert isinstance(check({"ada.gpg": public + last * 5_000}, b"text", signature, tmp_path), Signer | Fault)
    with pytest.raises(SourceError, match=r"more than 20000 packets|larger than 1024 KiB"):
        check({"ada.gpg": public + last * 21_000}, b"text", signature, tmp_path)


def test_checks_side_by_side_are_not_in_each_others_way(tmp_path: Path) -> None:
    def check_many(_: int) -> None:
        for _ in range(100):
            with run.folder(tmp_path) as folder:
                assert folder.is_dir()

    with ThreadPoolExecutor(8) as threads:
        assert len(list(threads.map(check_many, range(8)))) == 8
    assert list(tmp_path.iterdir()) == []
