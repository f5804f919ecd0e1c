"""Guard's listener in a thread of its own, on the loop that `guard run` uses, with real sockets and real TLS."""

from __future__ import annotations

import asyncio
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

import trustme
import uvloop

from guard.admission import Responder, application, serve
from guard.admission.connections import Limits, Pool
from guard.admission.server import PATH
from guard.base import codec
from guard.base.codec import Json, JsonObject
from guard.telemetry import Metrics

HOST = "127.0.0.1"
SECONDS = 20.0  # within which anything that is waited for has to come


class Counted(Metrics):
    """Metrics whose rejections can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.reasons: list[str] = []
        self._changed = threading.Condition()

    def admission_rejected(self, *, reason: str) -> None:
        super().admission_rejected(reason=reason)
        with self._changed:
            self.reasons.append(reason)
            self._changed.notify_all()

    def await_rejection(self, reason: str, *, times: int = 1) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.reasons.count(reason) >= times, SECONDS), (reason, self.reasons)


class Client:
    """One connection. What is sent is exactly the bytes given."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.socket.settimeout(SECONDS)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> tuple[int, http.client.HTTPMessage, bytes]:
        response = http.client.HTTPResponse(self.socket)
        response.begin()
        return response.status, response.headers, response.read()

    def closed(self) -> bool:
        """Whether the server ends the connection, without a further byte, before the time-out."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True

    def review(self, data: bytes | None = None, *, query: str = "") -> JsonObject:
        """The answer to one review, which has to be in the form of a review."""
        self.send(post(data or review(), query=query))
        status, _, body = self.answer()
        assert status == 200, body
        return codec.decode(body)["response"]

    def close(self) -> None:
        self.socket.close()


class Listening:
    def __init__(self, port: int, *, meter: Counted, authority: trustme.CA, pool: Pool) -> None:
        self.port = port
        self.meter = meter
        self.pool = pool
        self._trust = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())

    def await_phase(self, phase: str, *, times: int) -> None:
        _poll(lambda: [connection.phase for connection in list(self.pool.connections)].count(phase) >= times)

    def await_held(self, size: int) -> None:
        _poll(lambda: self.pool.bodies.held >= size)

    def plain(self) -> Client:
        return Client(socket.create_connection((HOST, self.port), timeout=SECONDS))

    @contextmanager
    def client(self) -> Generator[Client]:
        client = self.connect()
        try:
            yield client
        finally:
            client.close()

    def connect(self) -> Client:
        connection = socket.create_connection((HOST, self.port), timeout=SECONDS)
        return Client(self._trust.wrap_socket(connection, server_hostname=HOST))


def _poll(condition: Callable[[], bool]) -> None:
    """For what the listener tells nobody of."""
    give_up = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.01)


@contextmanager
def listening(respond: Responder, *, limits: Limits | None = None, meter: Counted | None = None) -> Generator[Listening]:
    """On leaving, a good review has to be answered, whatever happened before."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with authority.issue_cert(HOST).private_key_and_cert_chain_pem.tempfile() as pair:
        context.load_cert_chain(pair)
    counted = meter or Counted()
    listener = socket.create_server((HOST, 0))
    listener.setblocking(False)
    ready, stop = threading.Event(), asyncio.Event()
    pools: list[Pool] = []
    loops: list[asyncio.AbstractEventLoop] = []

    async def main() -> None:
        loops.append(asyncio.get_running_loop())
        app = application({PATH: respond})
        async with serve(app, listener, tls=context, meter=counted, limits=limits or Limits()) as pool:
            pools.append(pool)
            ready.set()
            await stop.wait()

    def run() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())

    thread = threading.Thread(target=run, name="listener")
    thread.start()
    try:
        assert ready.wait(SECONDS)
        found = Listening(listener.getsockname()[1], meter=counted, authority=authority, pool=pools[0])
        yield found
        with found.client() as client:
            assert client.review()["uid"] == "7"
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join(SECONDS)
        listener.close()
    assert not thread.is_alive()


def review(**changed: Json) -> bytes:
    request = {
        "uid": "7",
        "kind": {"group": "", "version": "v1", "kind": "ConfigMap"},
        "resource": {"group": "", "version": "v1", "resource": "configmaps"},
        "operation": "UPDATE",
        "name": "web",
        "namespace": "shop",
        "userInfo": {"username": "ada"},
        "object": {"metadata": {"name": "web"}},
        "oldObject": {"metadata": {"name": "web"}},
        **changed,
    }
    return codec.encode({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})


def head(*, length: int | None, query: str = "", **changed: str) -> bytes:
    """The head of a request; `Content_Type="text/plain"` changes a header, an empty value leaves it out."""
    headers = {"Host": HOST, "Content-Type": "application/json", "Content-Length": "" if length is None else str(length)}
    headers |= {name.replace("_", "-"): value for name, value in changed.items()}
    lines = [f"POST {PATH}{query} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items() if value)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def health(path: str = "/healthz") -> bytes:
    """A request that anyone may make."""
    return f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()


def post(body: bytes, *, query: str = "", **changed: str) -> bytes:
    return head(length=len(body), query=query, **changed) + body


def chunked(*chunks: bytes) -> bytes:
    framed = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return head(length=None, Transfer_Encoding="chunked") + framed + b"0\r\n\r\n"
