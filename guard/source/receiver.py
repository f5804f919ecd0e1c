"""The push receiver: whoever knows a Sync's secret may make Guard look at its repository now. That is all that a push does;
nothing in it is believed or used, so that a repeated one is harmless.

    POST /push/<namespace>/<name>    202 for a push that is verified
    anything else                    404 without a body: a wrong path, method or signature, an unknown Sync, a body that is too
                                     large or too slow; and a Sync without `push` costs the same work and time as one with it
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager

from aiohttp import hdrs, web
from aiolimiter import AsyncLimiter
from msgspec import Struct

from guard import telemetry
from guard.base.clock import Clock
from guard.base.concurrency import end
from guard.base.errors import GuardError, SourceError
from guard.source import listening
from guard.source.listening import Answer, Limits, refusal
from guard.source.signatures import Host, Verification

# The key in the Secret.
TOKEN = "token"  # noqa: S105 (the name of it)

# A new secret works after so long at the latest, and strangers cause no more requests to the API server.
REREAD_SECONDS = 10.0
# In a minute, for one Sync: more often no host wants to be asked. What comes beyond is put off, not lost.
WAKES = 30
# What nobody known has sent is read all the same while it is small: verifying so much takes as long as taking the connection, a
# third of a millisecond. Of what is larger so many are read in a minute, after which a push of that size waits for the next poll.
SMALL_BYTES = 256 * 1024
STRANGERS = 20

_PATH = re.compile(r"/push/([a-z0-9-]{1,63}/[a-z0-9.-]{1,253})")

_log = telemetry.get("push")


class Hook(Struct, frozen=True, kw_only=True):
    """Who may push to a Sync: how the host signs, and the Secret that holds what it was given."""

    host: Host
    namespace: str
    secret: str


class _Sender:
    """Who may push to one Sync, and what is known of it. `name` is the Sync's."""

    def __init__(self, name: str, hook: Hook) -> None:
        self.name = name
        self.hook = hook
        self.secret = ""
        self.trouble = ""
        self.read_at = float("-inf")
        self.reading: asyncio.Task[None] | None = None
        self.wakes = AsyncLimiter(WAKES, 60)


class Receiver:
    """`hook` and `pushed` take a Sync's `namespace/name`; `pushed` is called when there may be something new. `secret` reads a
    Secret by namespace and name: SourceError says that there is none to be had, any other GuardError leaves what was read before.
    `count` takes `accepted`, `limited` (accepted, and put off) or `refused`.
    """

    def __init__(
        self,
        *,
        hook: Callable[[str], Hook | None],
        secret: Callable[[str, str], Awaitable[Mapping[str, bytes]]],
        pushed: Callable[[str], None],
        count: Callable[[str], None],
        clock: Clock,
        limits: Limits = Limits(),  # noqa: B008 (a frozen value)
    ) -> None:
        self._hook = hook
        self._secret = secret
        self._pushed = pushed
        self._count = count
        self._clock = clock
        self._limits = limits
        self._senders: dict[str, _Sender] = {}
        self._put_off: set[str] = set()  # Syncs that are to be woken when their limit allows
        self._tasks: set[asyncio.Task[None]] = set()
        self._strangers = AsyncLimiter(STRANGERS, 60)

    @asynccontextmanager
    async def serve(self, listener: socket.socket) -> AsyncGenerator[None]:
        """Receive on a bound socket until the block ends."""
        try:
            async with listening.serve(self._answer, listener, limits=self._limits, refused=lambda: self._count("refused")):
                yield
        finally:
            await end(self._tasks)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        began = self._clock.monotonic()
        sender = await self._verified(request)
        if sender is not None:
            self._count(await self._accept(sender))
            return Answer(202)
        self._count("refused")
        await asyncio.sleep(began + self._limits.refusal - self._clock.monotonic())
        return refusal()

    async def _verified(self, request: web.BaseRequest) -> _Sender | None:
        """Whose push it is; None if nobody's that is known."""
        found = _PATH.fullmatch(request.raw_path)
        if found is None or request.method != hdrs.METH_POST or hdrs.CONTENT_ENCODING in request.headers:
            return None
        size = request.content_length
        small = size is not None and size <= SMALL_BYTES
        if (size or 0) > self._limits.body or not (small or self._strangers.has_capacity()):
            return None
        sender = self._sender(found[1])
        host, secret = (sender.hook.host, await self._known(sender)) if sender else ("GitHub", "")
        verification = Verification(host, request.headers, secret=secret, now=self._clock.now().timestamp())
        if await self._fed(verification, request) and verification.holds():
            return sender
        if self._strangers.has_capacity():
            await self._strangers.acquire()
        return None

    async def _fed(self, verification: Verification, request: web.BaseRequest) -> bool:
        """Whether the whole body was there in time, and was not too much."""
        size = 0
        try:
            async with asyncio.timeout(self._limits.exchange):
                async for chunk in request.content.iter_any():
                    size += len(chunk)
                    if size > self._limits.body:
                        return False
                    verification.update(chunk)
        except (TimeoutError, web.RequestPayloadError, ConnectionError):
            return False
        return True

    # ---- who may push

    def _sender(self, name: str) -> _Sender | None:
        hook = self._hook(name)
        if hook is None:
            return None
        known = self._senders.get(name)
        if known is None or known.hook != hook:
            # What is gone or has changed is forgotten, its secret with it.
            self._senders = {sender.name: sender for sender in self._senders.values() if self._hook(sender.name) == sender.hook}
            known = self._senders[name] = _Sender(name, hook)
        return known

    async def _known(self, sender: _Sender) -> str:
        """The secret, read again from time to time; this waits no longer than a refusal takes anyway."""
        now = self._clock.monotonic()
        if now - sender.read_at >= REREAD_SECONDS and (sender.reading is None or sender.reading.done()):
            sender.read_at = now
            sender.reading = self._start(self._read(sender), name=f"secret of {sender.name}")
        if sender.reading is not None:
            await asyncio.wait([sender.reading], timeout=self._limits.refusal)
        return sender.secret

    async def _read(self, sender: _Sender) -> None:
        hook = sender.hook
        trouble = ""
        try:
            secret = await self._secret(hook.namespace, hook.secret)
            # Files, and Secrets made of them, end in a line break.
            sender.secret = secret.get(TOKEN, b"").decode().rstrip("\r\n")
            if not sender.secret:
                trouble = f"Secret {hook.namespace}/{hook.secret} holds no {TOKEN!r}"
        except UnicodeDecodeError:
            sender.secret = ""
            trouble = f"{TOKEN!r} of Secret {hook.namespace}/{hook.secret} is not text"
        except SourceError as error:
            sender.secret = ""
            trouble = str(error)
        except GuardError as error:
            trouble = str(error)
        if trouble and trouble != sender.trouble:
            _log.warning("pushes cannot be verified", sync=sender.name, error=trouble)
        sender.trouble = trouble

    def _start(self, work: Coroutine[None, None, None], *, name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # ---- what a push does

    async def _accept(self, sender: _Sender) -> str:
        """Have the Sync look, at once or when its limit allows. It is not refused: hosts turn off a webhook that is, and of many
        pushes it is the last one that counts.
        """
        if sender.name in self._put_off:
            return "limited"
        if not sender.wakes.has_capacity():
            self._put_off.add(sender.name)
            self._start(self._later(sender), name=f"push to {sender.name}")
            return "limited"
        await sender.wakes.acquire()
        self._pushed(sender.name)
        return "accepted"

    async def _later(self, sender: _Sender) -> None:
        await sender.wakes.acquire()
        self._put_off.discard(sender.name)
        self._pushed(sender.name)
