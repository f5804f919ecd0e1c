"""People who change a cluster by hand, over the plain API."""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from urllib.parse import quote

import aiohttp

from guard.base import codec
from guard.base.codec import Json, JsonObject
from tools.controlplane import ControlPlane

# The way past the webhook, as the operations page has it.
PAST = (
    ("Impersonate-User", "ada@example.com"),
    ("Impersonate-Group", "gitopsguard:break-glass"),
    ("Impersonate-Group", "platform"),
    ("Impersonate-Group", "system:authenticated"),
)
REFERENCE = re.compile(r"Reference: ([0-9A-Z]{26})")
RESOURCES = {
    "ConfigMap": "/api/v1/namespaces/default/configmaps",
    "Secret": "/api/v1/namespaces/default/secrets",
    "Service": "/api/v1/namespaces/default/services",
    "Deployment": "/apis/apps/v1/namespaces/default/deployments",
}
ANSWER_SECONDS = 15.0


class Answer:
    """What the API server said; status 0 where it said nothing."""

    def __init__(self, status: int, body: Json) -> None:
        self.status = status
        self.body: JsonObject = body if codec.is_object(body) else {}

    @property
    def reference(self) -> str:
        """Of the record that Guard says it has made of a denial."""
        found = REFERENCE.search(str(self.body.get("message", "")))
        return found[1] if found and self.status >= 400 else ""


class Hands:
    """A person, or `past` the webhook one of the break-glass group."""

    def __init__(self, plane: ControlPlane, session: aiohttp.ClientSession) -> None:
        self._plane = plane
        self._session = session

    @classmethod
    @asynccontextmanager
    async def of(cls, plane: ControlPlane) -> AsyncGenerator[Hands]:
        trust = ssl.create_default_context(cafile=str(plane.ca_file))
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust), timeout=timeout) as session:
            yield cls(plane, session)

    async def patch(self, kind: str, name: str, patch: JsonObject, *, past: bool = False) -> Answer:
        return await self._ask("PATCH", kind, name, patch, past=past, content_type="application/merge-patch+json")

    async def delete(self, kind: str, name: str, *, past: bool = False) -> Answer:
        return await self._ask("DELETE", kind, name, None, past=past)

    async def get(self, kind: str, name: str) -> Answer:
        return await self._ask("GET", kind, name, None, past=False)

    async def list(self, kind: str, *, labels: str) -> list[JsonObject]:
        answer = await self._ask("GET", kind, f"?labelSelector={quote(labels)}", None, past=False)
        if answer.status != 200:
            raise ConnectionError(f"{kind}s cannot be listed: {answer.status} {answer.body}")
        return codec.children(answer.body, "items")

    async def _ask(
        self, method: str, kind: str, name: str, body: Json, *, past: bool, content_type: str = "application/json"
    ) -> Answer:
        separator = "" if name.startswith("?") else "/"
        headers = [
            ("Authorization", f"Bearer {self._plane.token('admin' if past else 'person')}"),
            ("Content-Type", content_type),
            *(PAST if past else ()),
        ]
        data = None if body is None else codec.encode(body)
        url = f"{self._plane.url}{RESOURCES[kind]}{separator}{name}"
        try:
            async with self._session.request(method, url, data=data, headers=headers) as response:
                content = await response.read()
                return Answer(response.status, codec.decode(content) if "json" in response.content_type else {})
        except (aiohttp.ClientError, TimeoutError, OSError, codec.DecodeError):
            return Answer(0, {})
