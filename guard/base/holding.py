"""What one process holds of its machine: a folder, an address."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from guard.base.errors import ConfigError


@contextmanager
def held(directory: Path) -> Generator[None]:
    """The data folder, made if need be, held by this process alone."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"the data folder cannot be used: {error.strerror}", where=str(directory)) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        hint = "stop it, or give another --data-dir"
        raise ConfigError("another Guard works in this data folder", where=str(directory), hint=hint) from error
    try:
        yield
    finally:
        os.close(handle)


def bound(address: tuple[str, int], *, option: str = "--listen") -> socket.socket:
    """The listening address that an option names, taken at once so that a port in use is found out before anything is touched."""
    host, port = address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"cannot listen on {host}:{port}: {error.strerror or error}", hint=f"choose another one with {option}"
        ) from error
    listener.setblocking(False)
    return listener
