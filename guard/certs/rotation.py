"""The listener's TLS, whose certificate can change while connections come in."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path

from guard.base.errors import CertificateError
from guard.certs.serving import ServingCertificate


class ServerTLS:
    """`context` is given to the listener once and stays; each new connection is served with the newest certificate.

    A failed load into a context in use resets connections, so `use` builds another and swaps it in only when it works.
    `scratch` is a folder that exists and can be written to: the ssl module reads keys from files only, so they pass
    through one of mode 0600 there that is gone when the call returns. Raises CertificateError.
    """

    def __init__(self, certificate: ServingCertificate, *, scratch: Path) -> None:
        self._scratch = scratch
        self._current = self._built(certificate)
        self._certificate = certificate
        self.context = self._built(certificate)
        # Called for clients that name no server, too: the API server calls a webhook by its address that way.
        self.context.sni_callback = self._swap

    @property
    def certificate(self) -> ServingCertificate:
        """The one that new connections get."""
        return self._certificate

    def use(self, certificate: ServingCertificate) -> None:
        """From now on. Raises CertificateError, the one served so far staying."""
        self._current = self._built(certificate)
        self._certificate = certificate

    def _swap(self, connection: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._current

    def _built(self, certificate: ServingCertificate) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            with tempfile.NamedTemporaryFile(dir=self._scratch, prefix=".tls.") as file:
                file.write(certificate.key + b"\n" + certificate.certificate)
                file.flush()
                context.load_cert_chain(file.name)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise CertificateError(f"the serving certificate cannot be used: {error}") from error
        return context
