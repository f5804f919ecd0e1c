"""The Sync kind in the API server, and the Syncs of configuration files."""

from __future__ import annotations

import asyncio

from guard import api
from guard.base.codec import JsonObject
from guard.base.errors import ApiStatusError, ConfigError
from guard.cluster import Client, collection_path, discover, object_path
from guard.state.ids import DEFINITION, FIELD_MANAGER, Kind

SERVED_SECONDS = 30.0


async def install_definition(client: Client, body: JsonObject, *, kind: Kind) -> None:
    """Apply the definition of one of Guard's kinds and wait until the API server serves it. Raises ConfigError when it does not,
    ClusterError.
    """
    await client.apply(
        object_path(DEFINITION, namespace="", name=body["metadata"]["name"]), body, manager=FIELD_MANAGER, force=True
    )
    try:
        async with asyncio.timeout(SERVED_SECONDS):
            # The API server has no other way to tell.
            while not await _serves(client, kind):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    except TimeoutError as error:
        raise ConfigError(f"the API server does not serve the {kind.kind} kind although its definition is installed") from error


async def _serves(client: Client, kind: Kind) -> bool:
    """Discovery knows a new kind before its storage answers."""
    if (await discover(client)).find(kind.api_version, kind.kind) is None:
        return False
    try:
        await client.get(collection_path(kind))
    except ApiStatusError:
        return False
    return True


async def apply_sync(client: Client, manifest: JsonObject) -> None:
    """Apply a Sync of a file: the file wins. Raises ConfigError when it is refused."""
    metadata = manifest["metadata"]
    path = object_path(api.SYNC, namespace=metadata["namespace"], name=metadata["name"])
    try:
        await client.apply(path, manifest, manager=FIELD_MANAGER, force=True)
    except ApiStatusError as error:
        raise ConfigError(f"Sync {metadata['namespace']}/{metadata['name']} is refused: {error.message}") from error
