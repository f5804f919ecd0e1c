from __future__ import annotations

import ipaddress
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from guard.base.errors import CertificateError
from guard.certs import ServingCertificate, ensure, load

NAMES = ("guard.guard-system.svc", "127.0.0.1")
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def leaf(certificate: ServingCertificate) -> x509.Certificate:
    return x509.load_pem_x509_certificate(certificate.certificate)


def test_a_new_folder_gets_an_authority_and_a_certificate_that_load_accepts(tmp_path: Path) -> None:
    made = ensure(tmp_path / "certs", names=NAMES, now=NOW)
    assert load(tmp_path / "certs", names=NAMES, now=NOW) == made
    assert made.not_after == NOW + timedelta(days=365)
    authority = x509.load_pem_x509_certificate(made.ca_bundle)
    assert authority.not_valid_after_utc == NOW + timedelta(days=3650)
    for certificate in (leaf(made), authority):
        key = certificate.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        assert key.curve.name == "secp256r1"


def test_only_the_owner_may_read_the_keys(tmp_path: Path) -> None:
    ensure(tmp_path / "certs", names=NAMES, now=NOW)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "certs").iterdir()}
    assert modes == {"ca.crt": 0o644, "ca.key": 0o600, "tls.crt": 0o644, "tls.key": 0o600}
    assert (tmp_path / "certs").stat().st_mode & 0o777 == 0o700


def test_names_and_addresses_become_what_they_are(tmp_path: Path) -> None:
    found = leaf(ensure(tmp_path, names=("Guard.Example.com", "10.0.0.1", "::1"), now=NOW))
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["guard.example.com"]
    assert set(names.get_values_for_type(x509.IPAddress)) == {ipaddress.ip_address("10.0.0.1"), ipaddress.ip_address("::1")}


def test_what_is_good_is_kept_whatever_the_order_of_names(tmp_path: Path) -> None:
    made = ensure(tmp_path, names=NAMES, now=NOW)
    assert ensure(tmp_path, names=NAMES[::-1], now=NOW + timedelta(days=200)) == made


@pytest.mark.parametrize(("days", "kept"), [(243, True), (244, False), (400, False), (-1, False)])
def test_a_certificate_is_renewed_in_the_last_third_of_its_life(tmp_path: Path, *, days: int, kept: bool) -> None:
    made = ensure(tmp_path, names=NAMES, now=NOW)
    later = ensure(tmp_path, names=NAMES, now=NOW + timedelta(days=days))
    assert (later.certificate == made.certificate) is kept
    assert load(tmp_path, names=NAMES, now=NOW + timedelta(days=days)) == later


def test_a_renewed_certificate_comes_from_the_same_authority_with_another_key(tmp_path: Path) -> None:
    made = ensure(tmp_path, names=NAMES, now=NOW)
    later = ensure(tmp_path, names=NAMES, now=NOW + timedelta(days=300))
    assert later.ca_bundle == made.ca_bundle
    assert later.key != made.key


def test_other_names_get_another_certificate(tmp_path: Path) -> None:
    ensure(tmp_path, names=NAMES, now=NOW)
    changed = ensure(tmp_path, names=("127.0.0.1",), now=NOW)
    assert load(tmp_path, names=("127.0.0.1",), now=NOW) == changed


def test_an_authority_near_its_end_is_replaced_with_its_certificate(tmp_path: Path) -> None:
    made = ensure(tmp_path, names=NAMES, now=NOW)
    later = NOW + timedelta(days=9 * 365 + 10)
    renewed = ensure(tmp_path, names=NAMES, now=later)
    assert renewed.ca_bundle != made.ca_bundle
    assert load(tmp_path, names=NAMES, now=later) == renewed


@pytest.mark.parametrize("name", ["ca.crt", "ca.key", "tls.crt", "tls.key"])
@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_missing_or_damaged_file_is_mended(tmp_path: Path, name: str, content: bytes | None) -> None:
    ensure(tmp_path, names=NAMES, now=NOW)
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    mended = ensure(tmp_path, names=NAMES, now=NOW)
    assert load(tmp_path, names=NAMES, now=NOW) == mended
    assert ensure(tmp_path, names=NAMES, now=NOW) == mended


@pytest.mark.parametrize("name", ["tls.key", "ca.key"])
def test_a_key_of_another_pair_is_replaced(tmp_path: Path, name: str) -> None:
    ensure(tmp_path / "a", names=NAMES, now=NOW)
    ensure(tmp_path / "b", names=NAMES, now=NOW)
    shutil.copy(tmp_path / "b" / name, tmp_path / "a" / name)
    mended = ensure(tmp_path / "a", names=NAMES, now=NOW)
    assert load(tmp_path / "a", names=NAMES, now=NOW) == mended


def test_a_certificate_of_another_authority_is_replaced(tmp_path: Path) -> None:
    made = ensure(tmp_path / "a", names=NAMES, now=NOW)
    ensure(tmp_path / "b", names=NAMES, now=NOW)
    for name in ("tls.crt", "tls.key"):
        shutil.copy(tmp_path / "b" / name, tmp_path / "a" / name)
    mended = ensure(tmp_path / "a", names=NAMES, now=NOW)
    assert mended.ca_bundle == made.ca_bundle
    assert load(tmp_path / "a", names=NAMES, now=NOW) == mended


@pytest.mark.parametrize("names", [(), ("",), ("bücher.example",)])
def test_names_that_no_certificate_can_hold_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(CertificateError):
        ensure(tmp_path, names=names, now=NOW)


def test_a_folder_that_cannot_be_made_is_a_certificate_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CertificateError, match="cannot be made"):
        ensure(tmp_path / "file" / "certs", names=NAMES, now=NOW)


def test_the_key_does_not_show_in_texts(tmp_path: Path) -> None:
    made = ensure(tmp_path, names=NAMES, now=NOW)
    assert "PRIVATE" not in f"{made!r} {made}"
