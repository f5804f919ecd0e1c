from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from cryptography import x509

from guard.base.errors import CertificateError
from guard.certs import ServerTLS, ServingCertificate, ensure

NOW = datetime.now(UTC)


class Client:
    """Connects to a listener on loopback, as strictly as Python can (`VERIFY_X509_STRICT` is the default from 3.13 on)."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def connect(
        self, trusted: ServingCertificate, *, name: str = "localhost", most: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        context = ssl.create_default_context(cadata=trusted.ca_bundle.decode())
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.maximum_version = most
        context.set_alpn_protocols(["h2", "http/1.1"])
        async with asyncio.timeout(60):
            return await asyncio.open_connection("127.0.0.1", self._port, ssl=context, server_hostname=name)

    async def shown(self, trusted: ServingCertificate, *, name: str = "localhost") -> bytes:
        """The certificate's serial number, as the client sees it."""
        _, writer = await self.connect(trusted, name=name)
        shown = session(writer).getpeercert(binary_form=True)
        await close(writer)
        assert shown is not None
        return x509.load_der_x509_certificate(shown).serial_number.to_bytes(20)


def session(writer: asyncio.StreamWriter) -> ssl.SSLObject:
    found = writer.get_extra_info("ssl_object")
    assert isinstance(found, ssl.SSLObject)
    return found


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


def serial(certificate: ServingCertificate) -> bytes:
    return x509.load_pem_x509_certificate(certificate.certificate).serial_number.to_bytes(20)


@asynccontextmanager
async def listening(tls: ServerTLS) -> AsyncGenerator[Client]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        await close(writer)

    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=tls.context)
    async with server:
        yield Client(server.sockets[0].getsockname()[1])


def make(directory: Path) -> ServingCertificate:
    return ensure(directory, names=("localhost", "127.0.0.1"), now=NOW)


async def test_new_connections_get_the_newest_certificate_and_old_ones_stay(tmp_path: Path) -> None:
    first, second = make(tmp_path / "a"), make(tmp_path / "b")
    tls = ServerTLS(first, scratch=tmp_path)
    async with listening(tls) as client:
        reader, writer = await client.connect(first)
        tls.use(second)
        assert tls.certificate == second
        assert await client.shown(second) == serial(second)
        writer.write(b"still here\n")
        assert await reader.readline() == b"still here\n"
        await close(writer)


async def test_a_client_that_calls_an_address_gets_the_newest_one_too(tmp_path: Path) -> None:
    first, second = make(tmp_path / "a"), make(tmp_path / "b")
    tls = ServerTLS(first, scratch=tmp_path)
    async with listening(tls) as client:
        assert await client.shown(first, name="127.0.0.1") == serial(first)
        tls.use(second)
        assert await client.shown(second, name="127.0.0.1") == serial(second)


async def test_a_certificate_that_cannot_be_used_leaves_the_old_one_in_force(tmp_path: Path) -> None:
    first, second = make(tmp_path / "a"), make(tmp_path / "b")
    tls = ServerTLS(first, scratch=tmp_path)
    async with listening(tls) as client:
        for broken in (msgspec.structs.replace(first, key=second.key), msgspec.structs.replace(first, certificate=b"junk")):
            with pytest.raises(CertificateError, match="cannot be used"):
                tls.use(broken)
        assert tls.certificate == first
        assert await client.shown(first) == serial(first)


async def test_tls_1_2_is_the_least_and_http_1_1_is_spoken(tmp_path: Path) -> None:
    certificate = make(tmp_path)
    tls = ServerTLS(certificate, scratch=tmp_path)
    assert tls.context.minimum_version == ssl.TLSVersion.TLSv1_2
    async with listening(tls) as client:
        _, writer = await client.connect(certificate, most=ssl.TLSVersion.TLSv1_2)
        assert session(writer).version() == "TLSv1.2"
        assert session(writer).selected_alpn_protocol() == "http/1.1"
        await close(writer)


def test_no_key_is_left_in_the_scratch_folder(tmp_path: Path) -> None:
    certificate = make(tmp_path / "certs")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    tls = ServerTLS(certificate, scratch=scratch)
    with pytest.raises(CertificateError):
        tls.use(msgspec.structs.replace(certificate, key=b"junk"))
    assert list(scratch.iterdir()) == []


def test_a_scratch_folder_that_is_missing_is_a_certificate_error(tmp_path: Path) -> None:
    with pytest.raises(CertificateError):
        ServerTLS(make(tmp_path), scratch=tmp_path / "missing")
