"""Asking the running Guard over its control socket."""

from __future__ import annotations

import pwd
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from guard.audit import Record
from guard.base import codec
from guard.base.errors import ControlError
from guard.control.server import SOCKET
from guard.inspect import Comparison, Explanation

LARGEST_LINE = 8 * 1024 * 1024
CONNECT_SECONDS = 5.0


@asynccontextmanager
async def _ask(directory: Path, path: str, query: Mapping[str, str]) -> AsyncGenerator[aiohttp.ClientResponse]:
    """The answer, to be read within. Raises ControlError, also for one that ends too soon or cannot be decoded."""
    where = directory / SOCKET
    connector = aiohttp.UnixConnector(path=str(where))
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout, read_bufsize=LARGEST_LINE) as session,
            session.get(f"http://guard{path}", params=query) as response,
        ):
            if response.status == HTTPStatus.INTERNAL_SERVER_ERROR:
                raise ControlError("the running Guard failed over this question", where=str(where), hint="its log says why")
            if response.status != HTTPStatus.OK:
                raise ControlError((await response.text()).strip())
            yield response
    except aiohttp.ClientConnectorError as error:
        raise _unanswered(where, error.os_error) from error
    except (aiohttp.ClientError, OSError) as error:
        reason = str(error) or type(error).__name__
        hint = "it may just have ended; its log says more"
        raise ControlError(f"the running Guard broke off: {reason}", where=str(where), hint=hint) from error
    except (ValueError, HttpProcessingError) as error:
        # No JSON, JSON of another shape (DecodeError), or a line past LARGEST_LINE.
        hint = "it may be of another version than this command"
        raise ControlError(f"the running Guard's answer cannot be read: {error}", where=str(where), hint=hint) from error


def _unanswered(where: Path, error: OSError) -> ControlError:
    if isinstance(error, FileNotFoundError | NotADirectoryError | ConnectionRefusedError):
        # A Guard that was killed leaves its socket behind, which refuses.
        hint = "start it with guard run, or give --data-dir"
        return ControlError("no Guard is running on this data folder", where=str(where.parent), hint=hint)
    if isinstance(error, PermissionError):
        hint = "ask as that user, or give another --data-dir"
        return ControlError(f"the control socket is for {_owner(where)} alone", where=str(where), hint=hint)
    return ControlError(f"the running Guard cannot be asked: {error.strerror or error}", where=str(where))


def _owner(path: Path) -> str:
    """The user who may ask: the owner of the socket, or of what keeps others from seeing it."""
    for found in (path, *path.parents):
        try:
            uid = found.stat().st_uid
        except OSError:
            continue
        try:
            return f"user {pwd.getpwuid(uid).pw_name}"
        except KeyError:
            return f"uid {uid}"
    return "another user"


async def diff(directory: Path, *, sync: str) -> Comparison:
    """What `guard diff` shows. Raises ControlError."""
    async with _ask(directory, "/v1/diff", {"sync": sync}) as response:
        return codec.decode_as(await response.read(), Comparison)


async def explain(directory: Path, *, kind: str, name: str, namespace: str) -> Explanation:
    """What `guard explain` shows. Raises ControlError, also for a kind or an object that is not there."""
    async with _ask(directory, "/v1/explain", {"kind": kind, "name": name, "namespace": namespace}) as response:
        return codec.decode_as(await response.read(), Explanation)


async def audit(directory: Path, query: Mapping[str, str]) -> AsyncGenerator[Record]:
    """Records as the query asks for; without end under `follow=true`. Raises ControlError."""
    async with _ask(directory, "/v1/audit", query) as response:
        async for line in response.content:
            yield codec.decode_as(line, Record)
