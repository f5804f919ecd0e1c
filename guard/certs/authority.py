"""Guard's own certificate authority, kept in a folder, for those who bring no certificates."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from guard.base.errors import CertificateError
from guard.certs.serving import (
    Address,
    ServingCertificate,
    alternative_name,
    alternative_names,
    certificates,
    issued,
    private_key,
    read,
)

CA_LIFE = timedelta(days=10 * 365)
SERVING_LIFE = timedelta(days=365)
CLOCK_SKEW = timedelta(minutes=5)  # an API server whose clock is a little behind accepts a certificate made just now


class _Pair(Struct, frozen=True):
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def ensure(directory: Path, *, names: Sequence[str], now: datetime) -> ServingCertificate:
    """A certificate for `names` (DNS names and IP addresses), issued by the authority in `directory`, which holds ca.crt, ca.key,
    tls.crt and tls.key (keys of mode 0600).

    What is there is kept while the authority outlives a certificate issued now, and the certificate is its own, names
    exactly `names` and has more than a third of its life left. Anything else, damaged files included, is issued anew.
    Raises CertificateError for names that cannot stand in a certificate and where the folder cannot be read or written.
    """
    wanted = _checked(names)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise CertificateError(f"cannot be made: {error.strerror}", where=str(directory)) from error
    authority = _stored(directory, "ca")
    if authority is None or not _valid(authority.certificate, now=now, left=SERVING_LIFE):
        authority = _new_authority(now)
        _store(directory, "ca", authority)
    serving = _stored(directory, "tls")
    if (
        serving is None
        or not _valid(serving.certificate, now=now, left=SERVING_LIFE / 3)
        or alternative_names(serving.certificate) != wanted
        or not issued(serving.certificate, by=authority.certificate)
    ):
        serving = _new_serving(authority, names=wanted, now=now)
        _store(directory, "tls", serving)
    return ServingCertificate(
        certificate=serving.certificate.public_bytes(Encoding.PEM),
        key=_key_pem(serving.key),
        ca_bundle=authority.certificate.public_bytes(Encoding.PEM),
        not_after=serving.certificate.not_valid_after_utc,
    )


def _checked(names: Sequence[str]) -> frozenset[str | Address]:
    if not names:
        raise CertificateError("a certificate needs at least one name")
    for name in names:
        if not name.isascii() or not name:
            raise CertificateError(f"{name!r} cannot stand in a certificate", hint="write it in its ASCII (IDNA) form")
    return frozenset(alternative_name(name) for name in names)


def _valid(certificate: x509.Certificate, *, now: datetime, left: timedelta) -> bool:
    return certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - left


def _stored(directory: Path, name: str) -> _Pair | None:
    """None where the files are not there, damaged, or no pair."""
    if not (directory / f"{name}.crt").exists() or not (directory / f"{name}.key").exists():
        return None
    certificate_pem, key_pem = read(directory / f"{name}.crt"), read(directory / f"{name}.key")
    try:
        certificate = certificates(certificate_pem, where=f"{name}.crt")[0]
        key = private_key(key_pem, where=f"{name}.key")
    except CertificateError:
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        return None
    return _Pair(certificate, key)


def _store(directory: Path, name: str, pair: _Pair) -> None:
    """The key first: a crash in between leaves two files that are no pair, which the next start replaces."""
    _replace(directory / f"{name}.key", _key_pem(pair.key), mode=0o600)
    _replace(directory / f"{name}.crt", pair.certificate.public_bytes(Encoding.PEM), mode=0o644)


def _replace(path: Path, data: bytes, *, mode: int) -> None:
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # of mode 0600
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                os.fchmod(file.fileno(), mode)
            Path(temporary).replace(path)
        except OSError:
            with suppress(OSError):
                Path(temporary).unlink()
            raise
    except OSError as error:
        raise CertificateError(f"cannot be written: {error.strerror}", where=str(path)) from error


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _new_authority(now: datetime) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    # Named by its key, so that two authorities in one bundle are never taken for each other.
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    name = _named(f"gitops-guard CA {identifier.digest.hex()[:8]}")
    certificate = (
        _certificate(subject=name, issuer=name, key=key, issued_by=key, now=now, life=CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return _Pair(certificate, key)


def _new_serving(authority: _Pair, *, names: frozenset[str | Address], now: datetime) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    general = [x509.DNSName(name) if isinstance(name, str) else x509.IPAddress(name) for name in sorted(names, key=str)]
    certificate = (
        _certificate(
            subject=_named("gitops-guard"),
            issuer=authority.certificate.subject,
            key=key,
            issued_by=authority.key,
            now=now,
            life=SERVING_LIFE,
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(general), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return _Pair(certificate, key)


def _certificate(
    *,
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issued_by: ec.EllipticCurvePrivateKey,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issued_by.public_key()), critical=False)
    )


def _named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
