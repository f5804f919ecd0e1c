"""A serving certificate and what must hold for it to be used."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from msgspec import Struct

from guard.base.clock import rfc3339_seconds
from guard.base.errors import CertificateError

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


class ServingCertificate(Struct, frozen=True, kw_only=True):
    """What the listener shows and what clients check it by; all PEM. `certificate` may hold a chain, leaf first."""

    certificate: bytes
    key: bytes
    ca_bundle: bytes
    not_after: datetime

    def __repr__(self) -> str:
        """Keeps the key out of logs and tracebacks."""
        return f"ServingCertificate(not_after={rfc3339_seconds(self.not_after)})"


def load(directory: Path, *, names: Sequence[str], now: datetime) -> ServingCertificate:
    """The user's own certificate: tls.crt, tls.key and ca.crt in `directory`, as cert-manager and a Secret volume lay them out.

    Raises CertificateError where a file cannot be read, the key is not the certificate's, ca.crt did not issue it, it does
    not cover all `names` (DNS names and IP addresses), or its time has not come or is over.
    """
    chain_pem, key_pem, bundle_pem = (read(directory / name) for name in ("tls.crt", "tls.key", "ca.crt"))
    where = str(directory / "tls.crt")
    chain = certificates(chain_pem, where=where)
    leaf = chain[0]
    if private_key(key_pem, where=str(directory / "tls.key")).public_key() != leaf.public_key():
        raise CertificateError("the key does not belong to the certificate in tls.crt", where=str(directory / "tls.key"))
    if now < leaf.not_valid_before_utc:
        raise CertificateError(f"is valid only from {rfc3339_seconds(leaf.not_valid_before_utc)} on", where=where)
    if now >= leaf.not_valid_after_utc:
        raise CertificateError(f"expired at {rfc3339_seconds(leaf.not_valid_after_utc)}", where=where, hint="renew it")
    missing = [name for name in names if not covers(leaf, name)]
    if missing:
        raise CertificateError(
            f"does not cover {', '.join(missing)}",
            where=where,
            hint="the API server calls Guard by it: add it as a SAN",
        )
    if not _leads_to(certificates(bundle_pem, where=str(directory / "ca.crt")), chain):
        raise CertificateError("did not issue the certificate in tls.crt", where=str(directory / "ca.crt"))
    return ServingCertificate(certificate=chain_pem, key=key_pem, ca_bundle=bundle_pem, not_after=leaf.not_valid_after_utc)


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateError(f"cannot be read: {error.strerror}", where=str(path)) from error


def certificates(pem: bytes, *, where: str) -> list[x509.Certificate]:
    """At least one; the first is the leaf."""
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise CertificateError("holds no certificate in PEM form", where=where) from error


def private_key(pem: bytes, *, where: str) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(pem, password=None)
    except TypeError as error:
        raise CertificateError("the key is encrypted", where=where, hint="store it without a passphrase") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateError("holds no private key in PEM form", where=where) from error


def alternative_names(certificate: x509.Certificate) -> frozenset[str | Address]:
    """The subject alternative names: DNS names in lower case, and addresses."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):  # ValueError: one that cannot be read
        return frozenset()
    addresses = [value for value in found.get_values_for_type(x509.IPAddress) if isinstance(value, Address)]
    return frozenset([*(name.lower() for name in found.get_values_for_type(x509.DNSName)), *addresses])


def alternative_name(name: str) -> str | Address:
    """A DNS name in lower case, or an address."""
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return name.lower()


def covers(certificate: x509.Certificate, name: str) -> bool:
    """Whether a client that calls `name` accepts the certificate; a wildcard stands for one label, the first."""
    known = alternative_names(certificate)
    wanted = alternative_name(name)
    return wanted in known or (isinstance(wanted, str) and f"*.{wanted.partition('.')[2]}" in known)


def issued(certificate: x509.Certificate, *, by: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(by)
    except (ValueError, TypeError, InvalidSignature):  # another issuer's name, a kind of key that cannot sign, a wrong signature
        return False
    return True


def _leads_to(roots: list[x509.Certificate], chain: list[x509.Certificate]) -> bool:
    current, rest = chain[0], chain[1:]
    while current not in roots and not any(issued(current, by=root) for root in roots):
        parent = next((candidate for candidate in rest if issued(current, by=candidate)), None)
        if parent is None:
            return False
        rest = [candidate for candidate in rest if candidate is not parent]
        current = parent
    return True
