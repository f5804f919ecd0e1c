"""Asks S3, or a store that speaks as it does: listings, objects, versions. Every answer is bounded in time and in size, no
redirect is followed.

The requests are put together and read here, and signed by botocore. Its whole client (aiobotocore's) would hold up the loop for
0.1 s at each start, take 20 MB, read answers of any size, and follow redirects with what it was told.
"""

from __future__ import annotations

import asyncio
import importlib
import ssl
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Protocol, TypeVar, cast
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from msgspec import Struct
from yarl import URL

from guard.base.backoff import Backoff
from guard.base.errors import SourceError
from guard.source.bucket import answers
from guard.source.bucket.address import S3Address
from guard.source.bucket.answers import NotS3, Version
from guard.source.bucket.credentials import BucketCredentials, Frozen, Login
from guard.source.bucket.failures import TRANSIENT, Changed, not_s3, refused
from guard.source.bucket.names import Names
from guard.source.bucket.revision import Listed

# As many files as a folder may hold (tree.MOST_ENTRIES); versions are what a history of them makes of it.
MOST_LISTED, MOST_VERSIONS = 100_000, 200_000
# S3 lists 1,000 at once; others may list fewer. What never ends, ends here.
MOST_PAGES = 1_000
# 1,000 keys of 1,024 bytes, each byte encoded as three, and what stands around them.
MOST_IN_PAGE = 8 * 1024 * 1024
MOST_IN_ERROR = 64 * 1024
# A listing of many pages may take as long as so many requests.
LONGEST = 10
# An error of the network or an overloaded store is met again after up to 0.5 and 1 s.
TRIES = 3
CONNECT_SECONDS = 10
# Together with the size of a file (16 MiB) it bounds the memory.
AT_ONCE = 16

T = TypeVar("T")


class Got(Struct, frozen=True):
    """`version` is empty where the store keeps none; `data` is None for what was too large to be asked for."""

    version: str
    data: bytes | None


class _Answer(Struct, frozen=True):
    """`body` is None where it is longer than it may be."""

    status: int
    headers: Mapping[str, str]
    body: bytes | None
    signed_at: str


class _Request(Protocol):
    headers: Mapping[str, str]


class _Requests(Protocol):
    def AWSRequest(self, *, method: str, url: str, headers: Mapping[str, str]) -> _Request: ...  # noqa: N802 (botocore's)


class _Signer(Protocol):
    def add_auth(self, request: _Request) -> None: ...


class _Signers(Protocol):
    def S3SigV4Auth(self, credentials: Frozen, service_name: str, region_name: str) -> _Signer: ...  # noqa: N802 (botocore's)


class Store:
    """One bucket. Errors say in one sentence what is wrong, and repeat no secret. `timeout` is the seconds of one request, with
    its answer.
    """

    def __init__(self, *, address: S3Address, credentials: BucketCredentials, timeout: float) -> None:
        self._address = address
        self._login = Login(credentials, region=address.region)
        self._authority = credentials.ca_certificate
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None
        self._frozen: Frozen | None = None
        # Waits on others: on the name service, and on who gives credentials.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")

    async def begin(self) -> None:
        """Have credentials that hold for a while. To be called before what follows. Raises SourceError."""
        self._frozen = await asyncio.get_running_loop().run_in_executor(self._thread, self._frozen_now)

    async def listing(self, prefix: str) -> list[Listed]:
        """All objects whose keys begin with `prefix`, by key."""
        return await self._in_time(self._listing(prefix))

    async def get(self, listed: Listed, *, version: str = "", most: int) -> Got:
        """The content of an object as it was listed, or in a version. Raises Changed where it is there no more."""
        is_large = listed.size > most
        query = (("versionId", version),) if version else ()
        headers = {} if version else {"if-match": listed.etag}
        # Of what is too large the first byte is enough to learn the version.
        headers |= {"range": "bytes=0-0"} if is_large else {}
        answer = await self._ask(listed.key, query, headers=headers, most=1 if is_large else listed.size)
        # Not all stores heed if-match.
        if answer.headers.get("etag", listed.etag).strip('"') != listed.etag.strip('"'):
            raise Changed("the object is not what was listed")
        if not is_large and (answer.body is None or len(answer.body) != listed.size):
            raise SourceError(f"the store sends another size of {listed.key!r} than it lists")
        told = answer.headers.get("x-amz-version-id", "")
        if told and not version and not _is_same_second(answer.headers.get("last-modified", ""), listed.modified):
            # The same content was put again, which is another version.
            raise Changed("the object is not what was listed")
        if not told.isprintable() or len(told) > 1024:  # noqa: PLR2004 (as S3 bounds it)
            raise not_s3()
        return Got(version=answers.version_of(told), data=None if is_large else answer.body)

    async def versions(self, prefix: str, *, only_first: bool = False) -> list[Version]:
        """All versions of what begins with `prefix`, or the first 1,000 of them; by key, the newest first."""
        return await self._in_time(self._versions(prefix, only_first=only_first))

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _frozen_now(self) -> Frozen:
        # The first import takes 50 ms, which nobody has to wait for in here.
        _requests()
        _signers()
        return self._login.frozen()

    async def _listing(self, prefix: str) -> list[Listed]:
        found: list[Listed] = []
        asked = (("list-type", "2"), ("encoding-type", "url"), ("prefix", prefix))
        more, seen = "", {""}
        for _ in range(MOST_PAGES):
            body = await self._page((*asked, ("continuation-token", more)) if more else asked)
            page = await self._read(answers.page, body)
            found += page.objects
            if len(found) > MOST_LISTED:
                raise SourceError(
                    f"more than {MOST_LISTED:,} objects are below the prefix", hint="name a longer prefix in source.bucket.prefix"
                )
            more = page.more
            if not more:
                return await asyncio.to_thread(_in_order, found, prefix)
            if more in seen:
                break
            seen.add(more)
        raise SourceError("the store's listing of the bucket does not come to an end")

    async def _versions(self, prefix: str, *, only_first: bool) -> list[Version]:
        found: list[Version] = []
        asked = (("versions", ""), ("encoding-type", "url"), ("prefix", prefix))
        more, seen = ("", ""), {("", "")}
        for _ in range(MOST_PAGES):
            query = (*asked, ("key-marker", more[0]), ("version-id-marker", more[1])) if more[0] else asked
            page = await self._read(answers.versions, await self._page(query))
            found += page.versions
            if page.more is None or only_first:
                return found
            more = page.more
            if more in seen or len(found) > MOST_VERSIONS:
                break
            seen.add(more)
        raise SourceError(
            f"the history of what is below the prefix does not end, or has more than {MOST_VERSIONS:,} versions",
            hint="let a lifecycle rule take old versions away, or name a longer prefix",
        )

    async def _in_time(self, work: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(LONGEST * self._timeout):
                return await work
        except TimeoutError as error:
            raise _unreachable(error) from error

    async def _page(self, query: tuple[tuple[str, str], ...]) -> bytes:
        body = (await self._ask("", query, headers={}, most=MOST_IN_PAGE)).body
        if body is None:
            raise SourceError(f"a page of the store's listing is larger than {MOST_IN_PAGE // 2**20} MiB")
        return body

    @staticmethod
    async def _read(reading: Callable[[bytes], T], body: bytes) -> T:
        try:
            # A page of 1,000 takes some milliseconds.
            return await asyncio.to_thread(reading, body)
        except NotS3 as error:
            raise not_s3() from error

    async def _ask(self, key: str, query: tuple[tuple[str, str], ...], *, headers: dict[str, str], most: int) -> _Answer:
        """A GET that went well. Raises SourceError; Changed where the object is not as asked for."""
        backoff = Backoff(first=0.5, most=5)
        for attempt in range(1, TRIES + 1):
            try:
                answer = await self._try(self._address.url(key, query), headers, most=most)
            except aiohttp.ClientConnectorCertificateError as error:
                raise _unreachable(error) from error
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                if attempt == TRIES:
                    raise _unreachable(error) from error
            else:
                if answer.status in {200, 206}:
                    return answer
                if answer.status not in TRANSIENT or attempt == TRIES:
                    error = refused(answer.status, answer.headers, answer.body or b"", signed_at=answer.signed_at)
                    if isinstance(error, Changed) and not key:
                        raise not_s3()
                    raise error
            await asyncio.sleep(backoff.next())
        raise AssertionError("the last try returns or raises")

    async def _try(self, url: str, headers: dict[str, str], *, most: int) -> _Answer:
        signed = self._signed(url, headers)
        parts = urlsplit(url)
        proxy = None if proxy_bypass(parts.netloc) else getproxies().get(parts.scheme)
        async with (await self._opened()).get(
            URL(url, encoded=True), headers=signed, allow_redirects=False, proxy=proxy
        ) as response:
            is_well = response.status in {200, 206}
            body = await _bounded(response, most if is_well else MOST_IN_ERROR)
            told = {name.lower(): value for name, value in response.headers.items()}
            return _Answer(status=response.status, headers=told, body=body, signed_at=signed.get("X-Amz-Date", ""))

    def _signed(self, url: str, headers: dict[str, str]) -> dict[str, str]:
        if self._frozen is None:
            raise AssertionError("begin() comes first")
        request = _requests().AWSRequest(method="GET", url=url, headers=headers)
        _signers().S3SigV4Auth(self._frozen, "s3", self._address.region).add_auth(request)
        return dict(request.headers.items())

    async def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            # Reading the machine's authorities takes some milliseconds.
            context = await asyncio.to_thread(_trusting, self._authority)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=AT_ONCE, ssl=context, resolver=Names(self._thread)),
                timeout=aiohttp.ClientTimeout(total=self._timeout, sock_connect=min(CONNECT_SECONDS, self._timeout)),
                # The content as it is stored.
                auto_decompress=False,
                skip_auto_headers=("Accept-Encoding",),
                # S3 sets none that matter, and a store may not mark who asks.
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


def _requests() -> _Requests:
    return cast("_Requests", importlib.import_module("botocore.awsrequest"))


def _signers() -> _Signers:
    return cast("_Signers", importlib.import_module("botocore.auth"))


def _trusting(authority: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cadata=authority or None)
    except (ssl.SSLError, ValueError) as error:
        raise SourceError("ca.crt of the credentials holds no certificate", hint="it has to be one in PEM") from error


async def _bounded(response: aiohttp.ClientResponse, most: int) -> bytes | None:
    """The whole body; None where it is longer. The connection is then given up."""
    if response.content_length is not None and response.content_length > most:
        response.close()
        return None
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > most:
            response.close()
            return None
    return bytes(body)


def _is_same_second(told: str, listed: str) -> bool:
    """Of a header and of a listing, as far as they can be read."""
    try:
        return parsedate_to_datetime(told).timestamp() == int(datetime.fromisoformat(listed).timestamp())
    except (ValueError, OverflowError):
        return True


def _in_order(found: list[Listed], prefix: str) -> list[Listed]:
    keys = [each.key for each in found]
    if any(not key.startswith(prefix) for key in keys) or len(set(keys)) != len(keys):
        raise SourceError("the store lists a key twice, or one that was not asked for", hint="check the endpoint")
    return sorted(found, key=lambda each: each.key)


def _unreachable(error: Exception) -> SourceError:
    hint = "check the endpoint, and the way there"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return SourceError(
            "the store's certificate is not trusted", hint="give its authority as ca.crt in the Secret, if it is one of your own"
        )
    if isinstance(error, aiohttp.ClientProxyConnectionError | aiohttp.ClientHttpProxyError):
        return SourceError("the proxy does not let Guard through to the store", hint="check https_proxy and no_proxy")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return SourceError(f"the host {error.host} is unknown", hint="check the endpoint, and the name service of this machine")
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return SourceError("the store does not speak TLS as it should", hint=hint)
    if isinstance(error, TimeoutError):
        return SourceError("the store does not answer in time", hint=hint)
    if isinstance(error, aiohttp.ClientConnectorError):
        return SourceError(f"the store cannot be reached: {error.os_error.strerror or 'no connection'}", hint=hint)
    if isinstance(error, aiohttp.ClientResponseError):
        return not_s3()
    return SourceError("the store closed the connection", hint=hint)
