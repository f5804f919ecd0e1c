"""Certificates that users bring; trustme stands for their authority."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from guard.base.errors import CertificateError
from guard.certs import load

NAMES = ("guard.guard-system.svc", "127.0.0.1")
NOW = datetime.now(UTC)  # trustme's certificates hold now
YEAR = timedelta(days=365)


def write(directory: Path, *, chain: bytes, key: bytes, bundle: bytes) -> Path:
    (directory / "tls.crt").write_bytes(chain)
    (directory / "tls.key").write_bytes(key)
    (directory / "ca.crt").write_bytes(bundle)
    return directory


def issue(directory: Path, *names: str, authority: trustme.CA | None = None, not_after: datetime = NOW + YEAR) -> Path:
    authority = authority or trustme.CA()
    made = authority.issue_cert(*names, not_before=NOW - YEAR, not_after=not_after)
    chain = b"".join(blob.bytes() for blob in made.cert_chain_pems)
    return write(directory, chain=chain, key=made.private_key_pem.bytes(), bundle=_root(authority).cert_pem.bytes())


def _root(authority: trustme.CA) -> trustme.CA:
    while authority.parent_cert is not None:
        authority = authority.parent_cert
    return authority


def test_files_as_cert_manager_lays_them_out_are_taken(tmp_path: Path) -> None:
    found = load(issue(tmp_path, *NAMES), names=NAMES, now=NOW)
    assert found.certificate == (tmp_path / "tls.crt").read_bytes()
    assert found.key == (tmp_path / "tls.key").read_bytes()
    assert found.ca_bundle == (tmp_path / "ca.crt").read_bytes()
    assert abs(found.not_after - (NOW + YEAR)) < timedelta(seconds=2)


def test_a_chain_over_an_intermediate_is_taken(tmp_path: Path) -> None:
    load(issue(tmp_path, *NAMES, authority=trustme.CA().create_child_ca()), names=NAMES, now=NOW)


def test_a_wildcard_covers_one_label(tmp_path: Path) -> None:
    issue(tmp_path, "*.guard-system.svc")
    load(tmp_path, names=("guard.guard-system.svc", "GUARD.guard-system.svc"), now=NOW)
    for name in ("guard-system.svc", "a.guard.guard-system.svc"):
        with pytest.raises(CertificateError, match="does not cover"):
            load(tmp_path, names=(name,), now=NOW)


def test_all_names_must_be_covered_and_the_missing_ones_are_named(tmp_path: Path) -> None:
    issue(tmp_path, "guard.guard-system.svc")
    with pytest.raises(CertificateError, match=r"tls\.crt: does not cover 127\.0\.0\.1, ::1 "):
        load(tmp_path, names=(*NAMES, "::1"), now=NOW)


def test_an_expired_certificate_is_refused_with_its_date(tmp_path: Path) -> None:
    issue(tmp_path, *NAMES, not_after=NOW - timedelta(days=1))
    with pytest.raises(CertificateError, match=r"expired at 20\d\d-"):
        load(tmp_path, names=NAMES, now=NOW)


def test_a_certificate_whose_time_has_not_come_is_refused(tmp_path: Path) -> None:
    issue(tmp_path, *NAMES)
    with pytest.raises(CertificateError, match="valid only from"):
        load(tmp_path, names=NAMES, now=NOW - 2 * YEAR)


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    issue(tmp_path, *NAMES)
    (tmp_path / "tls.key").write_bytes(trustme.CA().issue_cert(*NAMES).private_key_pem.bytes())
    with pytest.raises(CertificateError, match=r"tls\.key: the key does not belong"):
        load(tmp_path, names=NAMES, now=NOW)


def test_a_ca_that_did_not_issue_it_is_refused(tmp_path: Path) -> None:
    issue(tmp_path, *NAMES)
    (tmp_path / "ca.crt").write_bytes(trustme.CA().cert_pem.bytes())
    with pytest.raises(CertificateError, match=r"ca\.crt: did not issue"):
        load(tmp_path, names=NAMES, now=NOW)


@pytest.mark.parametrize("name", ["tls.crt", "tls.key", "ca.crt"])
def test_a_missing_or_foreign_file_is_named(tmp_path: Path, name: str) -> None:
    issue(tmp_path, *NAMES)
    (tmp_path / name).write_text("not PEM")
    with pytest.raises(CertificateError, match=f"{name}: holds no"):
        load(tmp_path, names=NAMES, now=NOW)
    (tmp_path / name).unlink()
    with pytest.raises(CertificateError, match=f"{name}: cannot be read: No such file"):
        load(tmp_path, names=NAMES, now=NOW)


def test_a_key_with_a_passphrase_is_refused_with_what_to_do(tmp_path: Path) -> None:
    issue(tmp_path, *NAMES)
    key = load_pem_private_key((tmp_path / "tls.key").read_bytes(), password=None)
    encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hunter2"))
    (tmp_path / "tls.key").write_bytes(encrypted)
    with pytest.raises(CertificateError, match="without a passphrase"):
        load(tmp_path, names=NAMES, now=NOW)
