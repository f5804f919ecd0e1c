"""Steps back that an admin has accepted are taken once."""

from __future__ import annotations

from guard.api import ACCEPT_REVISION, SYNC, Sync
from guard.base.errors import ApiStatusError
from guard.cluster import Client, object_path
from guard.state.ids import FIELD_MANAGER

# The Sync is gone, or somebody has changed the annotation meanwhile.
_OVERTAKEN = {404, 422}


async def spend(client: Client, sync: Sync, *, revision: str) -> None:
    """Take the annotation away that accepted this revision, now that it is in force: who may push could come back to it whenever
    he likes, as long as it is there. Raises ClusterError.
    """
    if not revision or sync.metadata.annotations.get(ACCEPT_REVISION) != revision:
        return
    place = f"/metadata/annotations/{ACCEPT_REVISION.replace('/', '~1')}"
    try:
        await client.json_patch(
            object_path(SYNC, namespace=sync.metadata.namespace, name=sync.metadata.name),
            [
                {"op": "test", "path": "/metadata/uid", "value": sync.metadata.uid},
                {"op": "test", "path": place, "value": revision},
                {"op": "remove", "path": place},
            ],
            manager=FIELD_MANAGER,
        )
    except ApiStatusError as error:
        if error.code not in _OVERTAKEN:
            raise
