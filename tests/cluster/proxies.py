"""A proxy on loopback before an API server, whose connections can be cut, silenced and held back. TLS passes through it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from tools.controlplane import ControlPlane, Identity
from tools.controlplane.identities import write_kubeconfig

CHUNK = 1 << 16


class Proxy:
    """`accepted` is when each connection came, in the loop's time."""

    def __init__(self, port: int) -> None:
        self.accepted: list[float] = []
        self._target = port
        self._flows = asyncio.Event()
        self._flows.set()
        self._refuses = False
        self._open: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    @classmethod
    @asynccontextmanager
    async def before(cls, plane: ControlPlane) -> AsyncGenerator[Proxy]:
        proxy = cls(int(plane.url.rpartition(":")[2]))
        server = await asyncio.start_server(proxy._meet, "127.0.0.1", 0)
        proxy.port = server.sockets[0].getsockname()[1]
        try:
            yield proxy
        finally:
            server.close()
            for task in proxy._tasks:
                task.cancel()
            await asyncio.gather(*proxy._tasks, return_exceptions=True)

    def kubeconfig(self, plane: ControlPlane, path: Path, *, identity: Identity = "admin") -> Path:
        """One that leads through the proxy."""
        url = f"https://127.0.0.1:{self.port}"
        write_kubeconfig(path, url=url, ca_file=plane.ca_file, identity=identity, token=plane.token(identity))
        return path

    def silence(self) -> None:
        """The connections that are open stay so, and nothing gets through them any more."""
        for connection in self._open:
            connection.flows.clear()

    def hold(self) -> None:
        """The same for all connections, those to come among them."""
        self._flows.clear()
        self.silence()

    def release(self) -> None:
        """What is held back arrives, but for what was silenced."""
        self._flows.set()

    def cut(self) -> None:
        """Reset what is open."""
        for connection in tuple(self._open):
            connection.reset()

    def refuse(self) -> None:
        """Reset what is open and what comes."""
        self._refuses = True
        self.cut()

    def accept(self) -> None:
        self._refuses = False

    def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted.append(asyncio.get_running_loop().time())
        connection = _Connection(writer, flows=self._flows)
        self._open.add(connection)
        try:
            if self._refuses:
                connection.reset()
                return
            await connection.serve(reader, port=self._target)
        finally:
            self._open.discard(connection)
            connection.reset()


class _Connection:
    def __init__(self, client: asyncio.StreamWriter, *, flows: asyncio.Event) -> None:
        self.flows = asyncio.Event()
        self.flows.set()
        self._all_flow = flows
        self._writers = [client]

    async def serve(self, reader: asyncio.StreamReader, *, port: int) -> None:
        client = self._writers[0]
        try:
            back, forth = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            self.reset()
            return
        self._writers.append(forth)
        tasks = [asyncio.create_task(self._pass(reader, forth)), asyncio.create_task(self._pass(back, client))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for writer in self._writers:
                writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                await self._all_flow.wait()
                await self.flows.wait()
                writer.write(data)
                await writer.drain()

    def reset(self) -> None:
        for writer in self._writers:
            found = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                if found is not None and found.fileno() >= 0:
                    found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
