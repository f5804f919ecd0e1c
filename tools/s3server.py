"""A real S3 server (versitygw) on a free port of loopback, for tests, bench and demo.

async with S3Server.start(directory) as server:
    server.url, server.access_key, server.secret_key
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.binaries import locate
from tools.controlplane.processes import LEASH

START_SECONDS = 30


class S3ServerError(Exception):
    """It did not start."""


@dataclass(frozen=True, kw_only=True)
class S3Server:
    """`folder` holds a folder for each bucket; credentials are the root user's, made up anew at each start."""

    url: str
    port: int
    access_key: str
    secret_key: str
    folder: Path
    process: asyncio.subprocess.Process

    @classmethod
    @asynccontextmanager
    async def start(
        cls,
        directory: Path,
        *,
        tls: tuple[Path, Path] | None = None,
        port: int = 0,
        environment: Mapping[str, str] | None = None,
        login: tuple[str, str] | None = None,
    ) -> AsyncGenerator[S3Server]:
        """Serve what is in `directory` until the block ends. `tls` are files of a certificate and its key. With the `port` and
        `login` of one before it comes back as that one.
        """
        data, versions = directory / "data", directory / "versions"
        for folder in (data, versions):
            folder.mkdir(parents=True, exist_ok=True)
        port = port or _free_port()
        access_key, secret_key = login or (f"guard{secrets.token_hex(6)}", secrets.token_hex(20))
        scheme = "https" if tls else "http"
        certificate = ("--cert", str(tls[0]), "--key", str(tls[1])) if tls else ()
        # Users beside the root user, as made by add_user.
        users = ("--iam-dir", str(directory), "--iam-cache-disable")
        options = ("--port", f"127.0.0.1:{port}", "--health", "/health", "--keep-alive", "--quiet", *users, *certificate)
        log = directory / "log"
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                # Whatever ends the tests ends it.
                *(sys.executable, "-I", "-S", str(LEASH), str(os.getpid())),
                str(locate(["versitygw"])["versitygw"]),
                *options,
                *("posix", "--versioning-dir", str(versions), str(data)),
                # Not among the arguments, which everybody on the machine can read.
                env={
                    "PATH": os.defpath,
                    "ROOT_ACCESS_KEY_ID": access_key,
                    "ROOT_SECRET_ACCESS_KEY": secret_key,
                    **(environment or {}),
                },
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            await _listening(process, port)
            yield cls(
                url=f"{scheme}://127.0.0.1:{port}",
                port=port,
                access_key=access_key,
                secret_key=secret_key,
                folder=data,
                process=process,
            )
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def add_user(self, access_key: str, secret_key: str) -> None:
        """One that has no rights of its own."""
        command = ("admin", "create-user", "--access", access_key, "--secret", secret_key, "--role", "user")
        process = await asyncio.create_subprocess_exec(
            str(locate(["versitygw"])["versitygw"]),
            *command,
            env={
                "PATH": os.defpath,
                "ADMIN_ACCESS_KEY_ID": self.access_key,
                "ADMIN_SECRET_ACCESS_KEY": self.secret_key,
                "ADMIN_ENDPOINT_URL": self.url,
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await process.communicate()
        if process.returncode:
            raise S3ServerError(f"the user cannot be made: {out.decode(errors='replace')[-300:]}")


async def _listening(process: asyncio.subprocess.Process, port: int) -> None:
    async with asyncio.timeout(START_SECONDS):
        while process.returncode is None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            return
    raise S3ServerError("versitygw does not start; its log says why")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
