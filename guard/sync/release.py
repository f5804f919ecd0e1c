"""Giving an object up: it stays as it is, and is nobody's but people's from then on."""

from __future__ import annotations

from guard.base.codec import JsonObject, child
from guard.base.errors import ApiStatusError
from guard.cluster import Client
from guard.cluster.client import METADATA
from guard.state.ids import REPAIR_MANAGER, SYNC_LABEL
from guard.state.managed import entries
from guard.sync.leftovers import PRUNE, Leftover, Looking

TRIES = 3  # a patch that meets a newer object is made again from what the API server holds by then
CONFLICT, NOT_FOUND, UNPROCESSABLE = 409, 404, 422

_LABEL = f"/metadata/labels/{SYNC_LABEL.replace('/', '~1')}"


async def release(client: Client, leftover: Leftover, *, looking: Looking) -> bool:
    """Take our label off, and our entries out of managedFields: whoever applies the object next finds no owner in his way. False
    where it is gone, or no leftover any more. Raises ClusterError.
    """
    for attempt in range(TRIES):
        try:
            # What is read so is of a kind of its own.
            body = {**await client.get(leftover.path, accept=METADATA), "apiVersion": leftover.kind.api_version}
            if await looking.again(leftover) is None:
                return False
            await client.json_patch(leftover.path, given_up(body), manager=REPAIR_MANAGER)
        except ApiStatusError as error:
            if error.code == NOT_FOUND:
                return False
            if error.code not in {CONFLICT, UNPROCESSABLE} or attempt == TRIES - 1:
                raise
        else:
            return True
    return False


def given_up(body: JsonObject) -> list[JsonObject]:
    """The patch that gives this very version of an object up."""
    metadata = child(body, "metadata")
    kept = [entry.raw for entry in entries(body) if not entry.is_guard]
    return [
        *({"op": "test", "path": f"/metadata/{name}", "value": metadata[name]} for name in ("uid", "resourceVersion")),
        {"op": "remove", "path": _LABEL},
        {"op": "replace", "path": "/metadata/managedFields", "value": kept or [_placeholder(body)]},
    ]


def _placeholder(body: JsonObject) -> JsonObject:
    """An entry that holds next to nothing. With none at all the API server would give everything to `before-first-apply` when
    somebody applies the object, and he would have to force his way past that.
    """
    return {
        "manager": REPAIR_MANAGER,
        "operation": "Update",
        "apiVersion": body["apiVersion"],
        "time": child(body, "metadata")["creationTimestamp"],
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:metadata": {"f:annotations": {f"f:{PRUNE}": {}}}},
    }
