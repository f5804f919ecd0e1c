"""What people are told when a bucket cannot be read. The store's answers are its own wherever it can be made to give them."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from aiohttp import web

from guard.base.errors import SourceError
from guard.source import BucketCredentials
from guard.source.bucket.revision import digest_of
from tests.source.between import Answer, Between
from tests.source.conftest import Opened, credentials_for, until
from tests.source.test_bucket import contents
from tools.s3client import Bucket, connected
from tools.s3server import S3Server

KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "not-the-right-secret-key"


@pytest.fixture
def tls(tmp_path: Path) -> tuple[trustme.CA, tuple[Path, Path]]:
    authority = trustme.CA()
    made = authority.issue_cert("127.0.0.1")
    certificate, key = tmp_path / "server.pem", tmp_path / "server.key"
    made.cert_chain_pems[0].write_to_path(certificate)
    made.private_key_pem.write_to_path(key)
    return authority, (certificate, key)


def answering(status: int, text: str = "", headers: Mapping[str, str] | None = None) -> Answer:
    async def before(_request: web.Request) -> web.Response:
        return web.Response(status=status, text=text, headers=headers)

    return before


def told(source_error: pytest.ExceptionInfo[SourceError]) -> str:
    text = str(source_error.value)
    assert text.isprintable()
    assert SECRET not in text + repr(source_error.value.__cause__)
    return text


async def test_an_unknown_access_key(opened: Opened, bucket: Bucket) -> None:
    with pytest.raises(SourceError, match="the store does not know the access key") as caught:
        await opened(credentials=BucketCredentials(access_key="AKIAUNKNOWN", secret_key=SECRET)).fetch()
    assert (told(caught)).startswith(f"s3://{bucket.name}/: ")


async def test_a_wrong_secret_key(opened: Opened, s3_server: S3Server) -> None:
    with pytest.raises(SourceError, match="the secret key does not belong to the access key") as caught:
        await opened(credentials=BucketCredentials(access_key=s3_server.access_key, secret_key=SECRET)).fetch()
    told(caught)


async def test_a_user_who_may_not(opened: Opened, s3_server: S3Server) -> None:
    await s3_server.add_user(KEY, SECRET)
    with pytest.raises(SourceError, match=r"may not do that.*s3:ListBucket"):
        await opened(credentials=BucketCredentials(access_key=KEY, secret_key=SECRET)).fetch()


@pytest.mark.parametrize(
    ("hours", "said"),
    [(-2, "the store's clock is 2 h.* ahead of Guard's"), (2, "the store's clock is (2 h|1 h 59 min.*) behind Guard's")],
)
async def test_clocks_that_differ(opened: Opened, monkeypatch: pytest.MonkeyPatch, hours: int, said: str) -> None:
    def skewed(*, remove_tzinfo: bool = True) -> datetime:
        now = datetime.now(UTC) + timedelta(hours=hours)
        return now.replace(tzinfo=None) if remove_tzinfo else now

    monkeypatch.setattr("botocore.auth.get_current_datetime", skewed)

    with pytest.raises(SourceError, match=said):
        await opened().fetch()


async def test_a_certificate_that_is_not_trusted(
    opened: Opened, tmp_path: Path, tls: tuple[trustme.CA, tuple[Path, Path]]
) -> None:
    async with S3Server.start(tmp_path / "tls", tls=tls[1]) as server:
        with pytest.raises(SourceError, match=r"certificate is not trusted.*ca\.crt"):
            await opened(endpoint=server.url, credentials=credentials_for(server)).fetch()


async def test_an_authority_of_ones_own(
    opened: Opened, tmp_path: Path, bucket: Bucket, tls: tuple[trustme.CA, tuple[Path, Path]]
) -> None:
    authority = tmp_path / "ca.pem"
    tls[0].cert_pem.write_to_path(authority)
    async with S3Server.start(tmp_path / "tls", tls=tls[1]) as server, connected(server, verify=str(authority)) as client:
        own = await Bucket.make(client, bucket.name)
        await own.put("a.yaml", "1")
        credentials = BucketCredentials(
            access_key=server.access_key, secret_key=server.secret_key, ca_certificate=authority.read_text()
        )
        source = opened(endpoint=server.url, credentials=credentials)

        assert await contents(source, await source.fetch()) == {"a.yaml": "1"}


async def test_an_authority_that_is_none(opened: Opened) -> None:
    with pytest.raises(SourceError, match=r"ca\.crt of the credentials holds no certificate"):
        await opened(credentials=BucketCredentials(access_key=KEY, secret_key=SECRET, ca_certificate="nonsense")).fetch()


async def test_an_unknown_host(opened: Opened) -> None:
    with pytest.raises(SourceError, match=r"the host nowhere\.invalid is unknown"):
        await opened(endpoint="https://nowhere.invalid").fetch()


async def test_a_name_service_that_says_nothing_holds_up_nothing_else(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop's own threads, of which asyncio makes so many, stay free for others."""
    threads = min(32, (os.cpu_count() or 1) + 4)
    answered = threading.Event()
    asked: list[str] = []

    def silent(host: str, *_: object, **__: object) -> list[object]:
        asked.append(host)
        answered.wait(60)
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    sources = [opened(endpoint=f"https://{number}.invalid", directory=str(number)) for number in range(threads)]
    fetches = [asyncio.create_task(source.fetch()) for source in sources]
    try:
        await until(lambda: len(asked) >= threads)
        async with asyncio.timeout(20):
            await asyncio.to_thread(lambda: None)
    finally:
        answered.set()
    for fetch in fetches:
        with pytest.raises(SourceError, match=r"the host \d+\.invalid is unknown"):
            await fetch


async def test_a_store_that_is_down(opened: Opened, tmp_path: Path, bucket: Bucket) -> None:
    """And what is held goes on, a pinned revision among it, with no network at all."""
    async with S3Server.start(tmp_path / "s3") as server, connected(server) as client:
        own = await Bucket.make(client, bucket.name)
        await own.put("a.yaml", "1")
        source = opened(endpoint=server.url, credentials=credentials_for(server))
        revision = await source.fetch()
        await source.keep(revision, owner="guard-system/apps")
        await source.close()

    again = opened(endpoint=server.url, credentials=credentials_for(server))
    with pytest.raises(SourceError, match="the store cannot be reached: Connect"):
        await again.fetch()
    assert await contents(again, revision) == {"a.yaml": "1"}
    pinned = opened(endpoint=server.url, credentials=credentials_for(server), pinned=digest_of(revision))
    assert await pinned.fetch() == revision


async def test_a_store_that_says_nothing(opened: Opened, silent_port: int) -> None:
    async with asyncio.timeout(30):
        with pytest.raises(SourceError, match="does not answer in time"):
            await opened(endpoint=f"http://127.0.0.1:{silent_port}", timeout=0.3).fetch()


async def test_a_body_that_trickles(opened: Opened, bucket: Bucket, between: Between) -> None:
    await bucket.put("a.yaml", "1" * 1000)

    async def before(request: web.Request) -> web.StreamResponse | None:
        if not request.path.endswith("/a.yaml"):
            return None
        response = web.StreamResponse(headers={"x-amz-version-id": "1", "Content-Length": "1000"})
        await response.prepare(request)
        for _ in range(1000):
            await response.write(b"1")
            await asyncio.sleep(0.2)
        return response

    between.before = before
    async with asyncio.timeout(60):
        with pytest.raises(SourceError, match="does not answer in time"):
            await opened(timeout=1).fetch()


async def test_a_web_server_that_is_none(opened: Opened, between: Between) -> None:
    page = "<!DOCTYPE html><html><body>Welcome</body></html>"
    for status in (200, 403, 404):
        between.before = answering(status, page, {"Content-Type": "text/html"})
        with pytest.raises(SourceError, match="what answers is not an S3 store"):
            await opened(directory=str(status)).fetch()


async def test_ssh_is_not_s3(opened: Opened) -> None:
    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2p1\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(SourceError, match=r"what answers is not an S3 store|closed the connection"):
            await opened(endpoint=f"http://127.0.0.1:{port}").fetch()


async def test_http_where_tls_is_wanted(opened: Opened, s3_server: S3Server) -> None:
    with pytest.raises(SourceError, match="does not speak TLS as it should"):
        await opened(endpoint=f"https://127.0.0.1:{s3_server.port}").fetch()


async def test_a_bucket_in_another_region(opened: Opened, between: Between) -> None:
    answers: tuple[tuple[int, str, dict[str, str]], ...] = (
        (301, "<Error><Code>PermanentRedirect</Code></Error>", {"x-amz-bucket-region": "eu-west-3"}),
        (400, "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-3</Region></Error>", {}),
    )
    for status, text, headers in answers:
        between.before = answering(status, text, headers)
        with pytest.raises(SourceError, match=r"the bucket is in the region eu-west-3 \(set region: eu-west-3\)"):
            await opened(directory=str(status)).fetch()


async def test_a_redirect_is_not_followed(opened: Opened, between: Between, s3_server: S3Server) -> None:
    async with Between.of(s3_server) as thief:
        between.before = answering(307, headers={"Location": f"{thief.url}/deploy"})
        with pytest.raises(SourceError, match="redirects to another place, which Guard does not follow"):
            await opened().fetch()
        assert thief.asked == []


async def test_an_overloaded_store_is_asked_again_some_times(opened: Opened, bucket: Bucket, between: Between) -> None:
    await bucket.put("a.yaml", "1")
    left = 2

    async def before(_request: web.Request) -> web.Response | None:
        nonlocal left
        left -= 1
        return web.Response(status=503, text="<Error><Code>SlowDown</Code></Error>") if left >= 0 else None

    between.before = before
    await opened().fetch()
    between.taken()
    left = 100
    with pytest.raises(SourceError, match=r"the store is overloaded or out of order \(SlowDown\)"):
        await opened().fetch()
    assert between.taken() == ["list"] * 3


async def test_what_a_store_says_is_told_without_what_moves_a_cursor(opened: Opened, between: Between) -> None:
    text = f"<Error><Code>Odd</Code><Message>fine&#13;words &#x9b;31m{'x' * 5000}</Message></Error>"
    between.before = answering(400, text)
    with pytest.raises(SourceError, match="the store refuses: Odd: finewords") as caught:
        await opened().fetch()
    assert len(told(caught)) < 400


async def test_a_proxy_of_the_environment_is_used(
    opened: Opened, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, s3_server: S3Server
) -> None:
    """It is given the whole URL, as proxies are for plain HTTP."""
    await bucket.put("a.yaml", "1")
    async with Between.of(s3_server) as proxy:
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("http_proxy", proxy.url)
        source = opened(endpoint=s3_server.url)
        assert await contents(source, await source.fetch()) == {"a.yaml": "1"}
        assert proxy.asked == ["list", "a.yaml"]
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        with pytest.raises(SourceError, match="the proxy does not let Guard through"):
            await source.fetch()


async def test_a_bucket_that_is_named_in_the_host(
    opened: Opened, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a proxy, so that no name has to be resolved."""
    domain = "localhost:8000"
    started = S3Server.start(tmp_path / "s3", environment={"VGW_VIRTUAL_DOMAIN": domain})
    async with started as server, connected(server) as client, Between.of(server) as proxy:
        own = await Bucket.make(client, bucket.name)
        await own.put("a b/ü+.yaml", "1")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.setenv("http_proxy", proxy.url)
        source = opened(endpoint=f"http://{domain}", credentials=credentials_for(server), path_style=False)

        assert await contents(source, await source.fetch()) == {"a b/ü+.yaml": "1"}
        assert {headers["host"] for headers in proxy.headers} == {f"{bucket.name}.{domain}"}
