"""A real sshd on loopback, as the user who runs the tests, with keys and configuration of its own."""

from __future__ import annotations

import asyncio
import getpass
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from tools import debian
from tools.controlplane.processes import Daemon, port_of, reserve_port

# As root it gives up its rights in part, and for that wants a folder that is nobody's.
PRIVILEGE_SEPARATION = Path("/run/sshd")

_CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/authorized
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PubkeyAuthentication yes
PermitRootLogin prohibit-password
AcceptEnv GIT_PROTOCOL
LogLevel VERBOSE
"""


class SshServer:
    """`identity` gets in; `log` is what sshd said."""

    def __init__(self, folder: Path, *, port: int, identity: str) -> None:
        self.port = port
        self.identity = identity
        self._folder = folder

    def url(self, path: Path) -> str:
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}{path}"

    @property
    def known_hosts(self) -> str:
        return known_hosts(self._folder / "host.pub", port=self.port)

    @property
    def log(self) -> str:
        return (self._folder / "log").read_text()


def known_hosts(public: Path, *, port: int) -> str:
    """The line for a server of 127.0.0.1 that has this key."""
    kind, key, *_ = public.read_text().split()
    return f"[127.0.0.1]:{port} {kind} {key}\n"


async def generate_key(path: Path, *, passphrase: str = "") -> str:
    """Make a key pair, the public one with the ending .pub, and return the private one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = await asyncio.create_subprocess_exec("ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", path)
    assert await made.wait() == 0
    return _text(path)


def _text(path: Path) -> str:
    return path.read_text()


@asynccontextmanager
async def serve_ssh(folder: Path, *, passphrase: str = "", forced: str = "") -> AsyncGenerator[SshServer]:
    """Serve until the block ends. With `forced` everyone gets that command's output, whatever they ask for."""
    await generate_key(folder / "host")
    identity = await generate_key(folder / "client", passphrase=passphrase)
    options = f'command="{forced}" ' if forced else ""
    (folder / "authorized").write_text(options + (folder / "client.pub").read_text())
    _prepare()
    with reserve_port() as reserved:
        port = port_of(reserved)
    (folder / "config").write_text(_CONFIG.format(port=port, folder=folder))
    server = SshServer(folder, port=port, identity=identity)
    daemon = Daemon([debian.locate("sshd"), "-D", "-e", "-f", folder / "config"], log=folder / "log", home=folder)
    await daemon.start()
    try:
        async with asyncio.timeout(60):
            while "Server listening" not in server.log:
                daemon.check()
                await asyncio.sleep(0.01)
        yield server
    finally:
        await daemon.stop()


def _prepare() -> None:
    if not os.geteuid():
        PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
