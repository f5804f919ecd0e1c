"""What somebody has allowed by an annotation counts once."""

from __future__ import annotations

from guard.api import ACCEPT_REVISION, SYNC, Sync
from guard.base.errors import ApiStatusError
from guard.cluster import Client, object_path
from guard.state.ids import FIELD_MANAGER
from guard.sync.doubt import CONFIRM

# The Sync is gone, or somebody has changed the annotation meanwhile.
_OVERTAKEN = {404, 422}


async def spend(client: Client, sync: Sync, *, revision: str, held: str = "") -> None:
    """A revision is in force: take away what it has used up, or made pointless. `held` is the revision since which a prune is
    held back, which may still be confirmed. Raises ClusterError.

    Who may push could come back to a step back that was accepted whenever he likes, as long as the annotation is there. And of a
    bucket the same revision comes again (an empty one always has the same digest), so that a prune which was confirmed and not
    done would be done then.
    """
    annotations = sync.metadata.annotations
    if revision and annotations.get(ACCEPT_REVISION) == revision:
        await take_away(client, sync, ACCEPT_REVISION)
    confirmed = annotations.get(CONFIRM, "")
    if sync.spec.source.bucket is not None and confirmed not in {"", revision, held}:
        await take_away(client, sync, CONFIRM)


async def take_away(client: Client, sync: Sync, name: str) -> None:
    """Take an annotation away, unless somebody has changed it meanwhile. Raises ClusterError."""
    place = f"/metadata/annotations/{name.replace('/', '~1')}"
    try:
        await client.json_patch(
            object_path(SYNC, namespace=sync.metadata.namespace, name=sync.metadata.name),
            [
                {"op": "test", "path": "/metadata/uid", "value": sync.metadata.uid},
                {"op": "test", "path": place, "value": sync.metadata.annotations[name]},
                {"op": "remove", "path": place},
            ],
            manager=FIELD_MANAGER,
        )
    except ApiStatusError as error:
        if error.code not in _OVERTAKEN:
            raise
