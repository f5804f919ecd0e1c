"""Objects that no apply can change, since managedFields hold an entry in a version that their kind is served in no more.

The API server converts every entry into the version of an apply, and answers 500 where it cannot; other writes go through, and
leave managedFields as they are. A JSON patch of managedFields alone ends that.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Protocol

from guard.base.codec import JsonObject, children
from guard.base.errors import ApiStatusError
from guard.state.ids import REPAIR_MANAGER
from guard.state.managed import entries, replacing

NOT_FOUND, CONFLICT, UNPROCESSABLE = 404, 409, 422
TRIES = 3  # a patch that meets a newer object is made again from what the API server holds by then


class Objects(Protocol):
    """What it takes of a client."""

    async def get(self, path: str) -> JsonObject: ...

    async def json_patch(self, path: str, operations: list[JsonObject], *, manager: str) -> JsonObject: ...


async def thaw(client: Objects, path: str, *, api_version: str, kind: str, manager: str) -> bool:
    """Rid an object of entries in versions of its kind that are served no more; whether there were any. The Apply entry of
    `manager` goes on in `api_version` instead, so that what it holds and an apply leaves out is given up. Raises ClusterError.
    """
    for attempt in range(TRIES):
        try:
            live = await client.get(path)
        except ApiStatusError as error:
            if error.code == NOT_FOUND:
                return False
            raise
        others = {entry.api_version for entry in entries(live)} - {api_version}
        vanished = {other for other in others if not await _is_served(client, other, kind=kind)}
        if not vanished:
            return False
        try:
            kept = _kept(live, vanished, api_version=api_version, manager=manager)
            await client.json_patch(path, replacing(live, kept), manager=REPAIR_MANAGER)
        except ApiStatusError as error:
            if error.code not in {CONFLICT, UNPROCESSABLE} or attempt == TRIES - 1:
                raise
        else:
            return True
    return False


def _kept(live: JsonObject, vanished: Container[str], *, api_version: str, manager: str) -> list[JsonObject]:
    kept: list[JsonObject] = []
    for entry in entries(live):
        if entry.api_version not in vanished:
            kept.append(entry.raw)
        elif (entry.manager, entry.operation, entry.subresource) == (manager, "Apply", ""):
            kept.append({**entry.raw, "apiVersion": api_version})
    return kept


async def _is_served(client: Objects, api_version: str, *, kind: str) -> bool:
    try:
        answer = await client.get(f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}")
    except ApiStatusError as error:
        if error.code == NOT_FOUND:
            return False
        raise
    return any(found.get("kind") == kind for found in children(answer, "resources"))
