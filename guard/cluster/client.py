"""Raw JSON to and from the API server, over kubernetes_asyncio's transport (TLS, proxies, credentials).

Its typed models cost twelve times as much as plain JSON and its dynamic client does not raise on errors, so only the transport
below them is used.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from copy import copy
from typing import TYPE_CHECKING, Generic, TypeVar
from urllib.parse import quote, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import msgspec

from guard.base import codec
from guard.base.codec import DecodeError, JsonObject
from guard.base.errors import ApiStatusError, Unreachable
from guard.cluster.connection import Connection
from guard.cluster.frozen import thaw
from guard.cluster.throttling import Patience
from guard.state.ids import FIELD_MANAGER, Kind
from guard.state.metadata import Metadata, PartialObject

if TYPE_CHECKING:
    from kubernetes_asyncio.client import ApiClient

JSON = "application/json"
APPLY_PATCH = "application/apply-patch+yaml"  # JSON is YAML, so a JSON body is fine
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
LIST_PAGE = 500  # as client-go's pager
# etcd is compacted every five minutes: a list that meets that again and again has no end.
LIST_RESTARTS = 3
# Pages asked for at a time: after a restart of the API server every watch may have to list again.
LISTS_AT_ONCE = 4
REQUEST_SECONDS = 30.0  # a request that takes longer is better tried again; the API server itself gives up after 60
CONNECTIONS = 100
READ_BUFFER = 2 * 1024 * 1024  # as the transport's: a watch event is one line, and etcd takes objects of 1.5 MiB

UNAUTHORIZED, GONE, SERVER_ERROR = 401, 410, 500

T = TypeVar("T")


class _PageMetadata(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str = ""
    more: str = msgspec.field(name="continue", default="")


class _Metadata(msgspec.Struct, frozen=True):
    """PartialObjectMetadataList, of meta.k8s.io/v1."""

    metadata: _PageMetadata = _PageMetadata()
    items: tuple[PartialObject, ...] | None = None


class _Objects(msgspec.Struct, frozen=True):
    """A list of any kind."""

    metadata: _PageMetadata = _PageMetadata()
    items: tuple[JsonObject, ...] | None = None


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Part of a list. One that `starts` after others begins the list anew, and what came before it counts no more; `version` is
    the resourceVersion of the whole, to watch from.
    """

    objects: tuple[T, ...]
    version: str
    starts: bool
    ends: bool


class _Pool:
    """The connections to one API server, made when the first one is needed."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._transport: ApiClient | None = None
        self._session: aiohttp.ClientSession | None = None
        self.proxy: str | None = None

    def session(self) -> aiohttp.ClientSession:
        if self._transport is None or self._session is None:
            self._connection.configuration.connection_pool_maxsize = CONNECTIONS
            try:
                self._transport = self._connection.transport()
            except (ssl.SSLError, OSError) as error:
                server = self._connection.server
                raise Unreachable(f"the TLS files for {server} cannot be used: {error}") from error
            # The transport's own session looks for the environment's proxies and a .netrc before each request, in a thread each
            # time (0.2 ms), and fails where .netrc names the host.
            own = self._transport.rest_client.pool_manager
            self._session = aiohttp.ClientSession(connector=own.connector, connector_owner=False, read_bufsize=READ_BUFFER)
            self.proxy = self._connection.configuration.proxy or _proxy_of(self._connection.server)
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
        if self._transport is not None:
            await self._transport.close()
            self._transport = None


class Client:
    """One identity at one API server. `renew` is awaited once on a 401, to get another token, and the request is repeated. A
    server that is asked for too much is asked again when it says so (`throttling`).
    """

    def __init__(
        self,
        connection: Connection,
        *,
        renew: Callable[[], Awaitable[None]] | None = None,
        observe: Callable[[str, int], None] | None = None,
    ) -> None:
        self._connection = connection
        self._renew = renew
        self._observe: Callable[[str, int], None] = observe or _unobserved
        self._pool = _Pool(connection)
        self._headers: Callable[[], Mapping[str, str]] = _no_headers
        self._listing = asyncio.Semaphore(LISTS_AT_ONCE)

    @property
    def server(self) -> str:
        return self._connection.server

    def acting_as(self, headers: Callable[[], Mapping[str, str]]) -> Client:
        """A client that sends these headers as well, as they are at each request: it asks in another's name, with this one's
        credentials. The connections are this one's, and are closed with it.
        """
        acting = copy(self)
        acting._headers = headers  # noqa: SLF001 (a Client's own)
        return acting

    async def close(self) -> None:
        await self._pool.close()

    @asynccontextmanager
    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = JSON,
        accept: str = JSON,
        limits: aiohttp.ClientTimeout | None = None,
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        """One request, whose body is still to be read. Raises ApiStatusError from 400 on, Unreachable without an answer."""
        response = await self._send(
            method, path, params=params, body=body, content_type=content_type, accept=accept, limits=limits
        )
        try:
            yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"{self.server} broke off: {error or type(error).__name__}") from error
        finally:
            response.release()

    async def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None,
        body: bytes | None,
        content_type: str,
        accept: str,
        limits: aiohttp.ClientTimeout | None,
    ) -> aiohttp.ClientResponse:
        """Sent again once when the token has expired, and as often as the server asks to come back later and patience lasts."""
        headers = {"Accept": accept, "User-Agent": "guard"}
        if body is not None:
            headers["Content-Type"] = content_type
        patience, renew = Patience(), self._renew
        while True:
            try:
                return await self._once(method, path, params=params, body=body, headers=headers, limits=limits)
            except ApiStatusError as error:
                if error.code == UNAUTHORIZED and renew is not None:
                    await renew()
                    renew = None
                    continue
                pause = patience.pause(error)
                if pause is None:
                    raise
                await asyncio.sleep(pause)

    async def _once(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None,
        body: bytes | None,
        headers: Mapping[str, str],
        limits: aiohttp.ClientTimeout | None,
    ) -> aiohttp.ClientResponse:
        authorization = await self._connection.authorization()
        configuration = self._connection.configuration
        try:
            response = await self._pool.session().request(
                method,
                self.server + path,
                params=params,
                data=body,
                headers={**headers, **self._headers(), **({"Authorization": authorization} if authorization else {})},
                timeout=limits or aiohttp.ClientTimeout(total=REQUEST_SECONDS),
                server_hostname=configuration.tls_server_name,
                proxy=self._pool.proxy,
            )
            self._observe(method, response.status)
            if response.status < 400:  # noqa: PLR2004 (HTTP's border between success and error)
                return response
            async with response:
                raise _status_error(response, await response.read(), what=f"{method} {path}")
        except (aiohttp.ClientError, TimeoutError, OSError) as failure:
            raise Unreachable(_unreachable(self.server, failure)) from failure

    async def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: JsonObject | list[JsonObject] | None = None,
        content_type: str = JSON,
        accept: str = JSON,
    ) -> JsonObject:
        """One request and its decoded answer."""
        encoded = None if body is None else codec.encode(body)
        async with self.request(method, path, params=params, body=encoded, content_type=content_type, accept=accept) as response:
            data = await response.read()
        return self._decoded(codec.decode, data, what=f"{method} {path}")

    def _decoded(self, decode: Callable[[bytes], T], data: bytes, *, what: str) -> T:
        try:
            return codec.at_any_depth(decode, data)
        except DecodeError as error:
            raise Unreachable(f"{self.server} answered {what} with something that cannot be read: {error}") from error

    async def get(self, path: str, *, params: Mapping[str, str] | None = None, accept: str = JSON) -> JsonObject:
        return await self.call("GET", path, params=params, accept=accept)

    async def post(self, path: str, body: JsonObject, *, manager: str = FIELD_MANAGER) -> JsonObject:
        return await self.call("POST", path, params={"fieldManager": manager}, body=body)

    async def create(self, path: str, body: JsonObject, *, dry_run: bool, manager: str = FIELD_MANAGER) -> JsonObject:
        """Fields that the kind does not know are errors, not dropped."""
        params = {"fieldManager": manager, "fieldValidation": "Strict"}
        if dry_run:
            params["dryRun"] = "All"
        return await self.call("POST", path, params=params, body=body)

    async def put(self, path: str, body: JsonObject, *, manager: str = FIELD_MANAGER) -> JsonObject:
        return await self.call("PUT", path, params={"fieldManager": manager}, body=body)

    async def apply(self, path: str, body: JsonObject, *, manager: str, force: bool, dry_run: bool = False) -> JsonObject:
        """Server-side apply. Fields that the kind does not know are errors, not dropped. An object that was frozen by a version
        that is gone is thawed first, before a dry run as well.
        """
        params = {"fieldManager": manager, "force": str(force).lower(), "fieldValidation": "Strict"}
        if dry_run:
            params["dryRun"] = "All"
        try:
            return await self.call("PATCH", path, params=params, body=body, content_type=APPLY_PATCH)
        except ApiStatusError as error:
            api_version, kind = str(body.get("apiVersion")), str(body.get("kind"))
            if error.code != SERVER_ERROR or not await thaw(self, path, api_version=api_version, kind=kind, manager=manager):
                raise
        return await self.call("PATCH", path, params=params, body=body, content_type=APPLY_PATCH)

    async def json_patch(self, path: str, operations: list[JsonObject], *, manager: str) -> JsonObject:
        return await self.call("PATCH", path, params={"fieldManager": manager}, body=operations, content_type=JSON_PATCH)

    async def merge_patch(self, path: str, body: JsonObject, *, manager: str) -> JsonObject:
        return await self.call("PATCH", path, params={"fieldManager": manager}, body=body, content_type=MERGE_PATCH)

    async def delete(self, path: str, *, uid: str, resource_version: str | None = None, propagation: str = "Background") -> bool:
        """Delete exactly the object that was looked at; `propagation` tells what becomes of its dependents. False where it is
        there until somebody is done with it: finalizers, a grace period.
        """
        preconditions = {"uid": uid} if resource_version is None else {"uid": uid, "resourceVersion": resource_version}
        options = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "preconditions": preconditions,
            "propagationPolicy": propagation,
        }
        answer = await self.call("DELETE", path, body=options)
        # A Status, or the object as it was last.
        return answer.get("kind") == "Status"

    async def list_metadata(self, path: str, *, params: Mapping[str, str]) -> tuple[list[Metadata], str]:
        """The metadata of all objects of a collection, and the resourceVersion to watch from."""
        items: list[Metadata] = []
        version = ""
        async with aclosing(self.metadata_pages(path, params=params)) as pages:
            async for page in pages:
                if page.starts:
                    items.clear()
                items.extend(page.objects)
                version = page.version
        return items, version

    def metadata_pages(self, path: str, *, params: Mapping[str, str], limit: int = LIST_PAGE) -> AsyncGenerator[Page[Metadata]]:
        """The same, page by page."""

        def decode(data: bytes) -> tuple[_PageMetadata, tuple[Metadata, ...]]:
            found = codec.decode_as(data, _Metadata)
            return found.metadata, tuple(item.metadata for item in found.items or ())

        return self._pages(path, params=params, limit=limit, accept=METADATA_LIST, decode=decode)

    def pages(self, path: str, *, params: Mapping[str, str], limit: int = LIST_PAGE) -> AsyncGenerator[Page[JsonObject]]:
        """All objects of a collection, page by page; their lists say the kind, they do not."""

        def decode(data: bytes) -> tuple[_PageMetadata, tuple[JsonObject, ...]]:
            found = codec.decode_as(data, _Objects)
            return found.metadata, found.items or ()

        return self._pages(path, params=params, limit=limit, accept=JSON, decode=decode)

    async def _pages(
        self,
        path: str,
        *,
        params: Mapping[str, str],
        limit: int,
        accept: str,
        decode: Callable[[bytes], tuple[_PageMetadata, tuple[T, ...]]],
    ) -> AsyncGenerator[Page[T]]:
        """A page at a time, so that neither memory nor the loop is held up by a large collection."""
        query, starts, restarts = {**params, "limit": str(limit)}, True, 0
        while True:
            try:
                async with self._listing, self.request("GET", path, params=query, accept=accept) as response:
                    data = await response.read()
            except ApiStatusError as error:
                # What is left of the list was compacted away meanwhile, and a later rest does not fit what was read.
                if error.code != GONE or starts or restarts == LIST_RESTARTS:
                    raise
                del query["continue"]
                starts, restarts = True, restarts + 1
                continue
            metadata, objects = self._decoded(decode, data, what=f"GET {path}")
            yield Page(objects=objects, version=metadata.resource_version, starts=starts, ends=not metadata.more)
            if not metadata.more:
                return
            query["continue"], starts = metadata.more, False


def _proxy_of(server: str) -> str | None:
    """The proxy that the environment names for this URL."""
    parts = urlsplit(server)
    return None if proxy_bypass(parts.netloc) else getproxies().get(parts.scheme)


def _unobserved(_verb: str, _code: int) -> None:
    """For clients whose requests nobody counts."""


def _no_headers() -> Mapping[str, str]:
    """Those of a client that asks in its own name."""
    return {}


def _status_error(response: aiohttp.ClientResponse, data: bytes, *, what: str) -> ApiStatusError:
    try:
        status = codec.decode(data)
    except DecodeError:
        status = {}
    known = status if codec.is_object(status) else {}
    message = known.get("message") or data[:200].decode(errors="replace").strip() or response.reason or "no reason given"
    retry_after = response.headers.get("Retry-After", "")
    return ApiStatusError(
        str(message),
        code=response.status,
        reason=str(known.get("reason") or response.reason or ""),
        retry_after=float(retry_after) if retry_after.isdigit() else None,
        fields=tuple(
            str(cause["field"]) for cause in codec.children(codec.child(known, "details"), "causes") if "field" in cause
        ),
        where=what,
    )


def _unreachable(server: str, error: BaseException) -> str:
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)):
        return f"the API server {server} did not answer in time"
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return f"the API server {server} is not trusted: {error}"
    return f"the API server {server} cannot be reached: {error or type(error).__name__}"


def collection_path(kind: Kind, *, namespace: str = "") -> str:
    """The URL path of a kind's objects, of all namespaces where none is given."""
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    within = f"/namespaces/{quote(namespace, safe='')}" if kind.namespaced and namespace else ""
    return f"{root}{within}/{kind.resource}"


def object_path(kind: Kind, *, namespace: str, name: str) -> str:
    return f"{collection_path(kind, namespace=namespace)}/{quote(name, safe='')}"
