"""Syncs in the API server, read, followed and changed with the user's own kubeconfig: what several commands share."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from guard.api import SYNC, key_of
from guard.base import codec
from guard.base.codec import JsonObject, children
from guard.base.errors import ApiStatusError, ClusterError, ConfigError
from guard.cli.output import line
from guard.cluster import Client, Event, collection_path, connect, object_path, watch
from guard.state.managed import our_fields

MANAGER = "guard-cli"
NOT_FOUND = 404
# How the fence begins what it says (guard/registration/fence.py).
FENCED = "this is Guard's own"


@asynccontextmanager
async def connected(kubeconfig: Path | None, context: str | None) -> AsyncGenerator[Client]:
    client = Client(await connect(kubeconfig=kubeconfig, context=context))
    try:
        yield client
    finally:
        await client.close()


async def list_syncs(client: Client, *, namespace: str = "") -> list[JsonObject]:
    """Of one namespace, or of all. Raises ConfigError where the cluster has no such kind."""
    try:
        return children(await client.get(collection_path(SYNC, namespace=namespace)), "items")
    except ApiStatusError as error:
        if error.code == NOT_FOUND:
            raise ConfigError("this cluster knows no Syncs", hint="guard run installs them") from error
        raise


async def find_sync(client: Client, key: str) -> JsonObject | None:
    """By `namespace/name`; None when it is not there."""
    try:
        return await client.get(_path(key))
    except ApiStatusError as error:
        if error.code == NOT_FOUND:
            return None
        raise


async def get_sync(client: Client, key: str) -> JsonObject:
    """By `namespace/name`. Raises ConfigError when it is not there."""
    found = await find_sync(client, key)
    if found is None:
        raise await _nowhere(client, key)
    return found


async def patch_sync(client: Client, key: str, patch: JsonObject) -> JsonObject:
    """Merge a patch into a Sync. Raises ConfigError when it is not there, or the user may not."""
    try:
        return await client.merge_patch(_path(key), patch, manager=MANAGER)
    except ApiStatusError as error:
        if error.code == NOT_FOUND:
            raise await _nowhere(client, key) from error
        if FENCED in error.message:
            raise _fenced(key, patch, error) from error
        raise


def follow_syncs(client: Client, key: str = "", *, namespace: str = "") -> AsyncGenerator[Event[JsonObject]]:
    """The changes of one, of a namespace's, or of all, as `guard.cluster.watch` tells them, without end."""
    within, _, name = key.partition("/")
    fields = f"metadata.name={name}" if key else ""
    return watch(client, collection_path(SYNC, namespace=within or namespace), fields=fields)


def warn_of_file(sync: JsonObject) -> None:
    """Where a file holds the Sync, Guard's own Apply entry has fields of its spec."""
    if any(path[0] == "f:spec" for path in our_fields(sync).paths()):
        line(
            "note: guard run --config applied this Sync from a file; should that set spec.suspend, the next start wins", err=True
        )


def _path(key: str) -> str:
    namespace, _, name = key.partition("/")
    return object_path(SYNC, namespace=namespace, name=name)


async def _nowhere(client: Client, key: str) -> ConfigError:
    """What to say of a Sync that is not there: where one of its name is."""
    name = key.partition("/")[2]
    try:
        keys = [*map(key_of, await list_syncs(client))]
    except ClusterError:  # the user may not, or they cannot be listed now
        keys = []
    named = [found for found in keys if found.partition("/")[2] == name]
    hint = f"there is {', '.join(named)}" if named else "guard status lists them"
    return ConfigError(f"there is no Sync {key}", hint=hint)


def _fenced(key: str, patch: JsonObject, error: ApiStatusError) -> ConfigError:
    namespace, _, name = key.partition("/")
    said = error.message[error.message.index(FENCED) :]
    command = f"kubectl -n {namespace} patch sync {name} --type merge -p '{codec.encode(patch).decode()}'"
    groups = "--as=YOU --as-group=YOUR-GROUP --as-group=gitopsguard:admins --as-group=system:authenticated"
    return ConfigError(said, where=f"Sync {key}", hint=f"as one of them, or where you may impersonate one: {command} {groups}")
