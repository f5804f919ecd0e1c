"""A push receiver on loopback, and raw connections to it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from guard.base.clock import SystemClock
from guard.base.errors import GuardError
from guard.base.holding import bound
from guard.source import Hook, Receiver
from guard.source.listening import Limits
from guard.source.signatures import Host

SECRET = "correct-horse-battery"
SYNC = "guard-system/apps"
PATH = f"/push/{SYNC}"
BODY = b'{"ref": "refs/heads/main"}'

# What a refusal takes is waited for hundreds of times here.
QUICK = Limits(refusal=0.02)

ACCEPTED, REFUSED = 202, 404
SECONDS = 20.0


class Clock(SystemClock):
    """The system's, and what a test puts on it."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.ahead)

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead


class Answer:
    """All that came back until the connection was closed."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        head, _, self.body = data.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        self.status = int(lines[0].split()[1]) if data else 0
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}

    @property
    def told(self) -> bytes:
        """The bytes, but for the time of day."""
        return re.sub(rb"\r\nDate: [^\r]*", b"", self.data)


class Receiving:
    """What a receiver is given, and what it did. A Secret may be an error, which reading it then raises."""

    def __init__(self) -> None:
        self.port = 0
        self.clock = Clock()
        self.hooks: dict[str, Hook] = {SYNC: Hook(host="GitHub", namespace="guard-system", secret="hook")}
        self.secrets: dict[str, Mapping[str, str] | GuardError] = {"guard-system/hook": {"token": SECRET}}
        self.api_server = asyncio.Event()  # answers while it is set
        self.api_server.set()
        self.reads: list[str] = []
        self.pushed: list[str] = []
        self.counted: list[str] = []
        self.log: list[str] = []  # both, as they came
        self.fault: Exception | None = None  # what waking a Sync raises

    def hook(self, host: Host) -> None:
        self.hooks[SYNC] = Hook(host=host, namespace="guard-system", secret="hook")

    async def secret(self, namespace: str, name: str) -> Mapping[str, bytes]:
        self.reads.append(f"{namespace}/{name}")
        await self.api_server.wait()
        found = self.secrets[f"{namespace}/{name}"]
        if isinstance(found, GuardError):
            raise found
        return {key: value.encode() for key, value in found.items()}

    def wake(self, sync: str) -> None:
        if self.fault is not None:
            raise self.fault
        self.pushed.append(sync)
        self.log.append(sync)

    def count(self, result: str) -> None:
        self.counted.append(result)
        self.log.append(result)

    async def send(self, data: bytes) -> Answer:
        reader, writer = await self.connect()
        try:
            writer.write(data)
            async with asyncio.timeout(SECONDS):
                return Answer(await reader.read())
        finally:
            writer.close()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def push(self, body: bytes = BODY, *, secret: str = SECRET, path: str = PATH) -> int:
        """The status of a push as GitHub signs it."""
        return (await self.send(post(body, path=path, headers=signed(body, secret=secret)))).status


@asynccontextmanager
async def receiving(limits: Limits = QUICK) -> AsyncGenerator[Receiving]:
    """On leaving, a good push has to be accepted, whatever happened before."""
    made = Receiving()
    receiver = Receiver(
        hook=made.hooks.get,
        secret=made.secret,
        pushed=made.wake,
        count=made.count,
        clock=made.clock,
        limits=limits,
    )
    listener = bound(("127.0.0.1", 0))
    made.port = listener.getsockname()[1]
    async with receiver.serve(listener):
        yield made
        made.hooks["guard-system/last"] = Hook(host="GitHub", namespace="guard-system", secret="last")
        made.secrets["guard-system/last"] = {"token": SECRET}
        assert await made.push(path="/push/guard-system/last") == ACCEPTED


def hexadecimal(body: bytes, *, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def signed(body: bytes = BODY, *, secret: str = SECRET) -> dict[str, str]:
    return {"X-Hub-Signature-256": f"sha256={hexadecimal(body, secret=secret)}"}


def post(
    body: bytes = BODY, *, path: str = PATH, method: str = "POST", headers: Mapping[str, str] | None = None, more: bytes = b""
) -> bytes:
    """A request, byte for byte. `more` are further lines of the head."""
    lines = [f"{method} {path} HTTP/1.1", "Host: push.example.com", "Content-Type: application/json"]
    lines += [f"Content-Length: {len(body)}", *(f"{name}: {value}" for name, value in (headers or {}).items())]
    return "\r\n".join(lines).encode() + b"\r\n" + more + b"\r\n" + body


def chunked(*chunks: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    lines = [f"POST {PATH} HTTP/1.1", "Host: push.example.com", "Transfer-Encoding: chunked"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    framed = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + framed + b"0\r\n\r\n"
