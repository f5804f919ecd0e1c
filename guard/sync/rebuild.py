"""What a Sync declares, from what is ours in the cluster: after a start at which neither the source nor a copy of it can be read.

It is put in force as a revision is, so that enforcement and healing go on. It never prunes, since what is ours is all that it
holds, and it never widens: a field that somebody else has taken over is not ours any more, and not in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import aclosing

from msgspec import Struct, structs

from guard import telemetry
from guard.base.codec import JsonObject
from guard.base.errors import ApiStatusError
from guard.cluster import Client, Served, collection_path, definitions
from guard.state.builtin import GROUPS
from guard.state.definition import Definition
from guard.state.desired import Declared
from guard.state.ids import SYNC_LABEL, UNREAD, Kind, ObjectKey
from guard.state.rebuilt import is_others, is_ours, manifest_of
from guard.sync.inforce import Resolved
from guard.sync.plan import NOTHING

NOT_FOUND = 404
# Manifests of the next revision are in files, whose names are never empty.
GROUP = ""

_log = telemetry.get("sync")


class Rebuilt(Struct, frozen=True):
    """`whole` where everything that is ours told what Git declared of it; the rest is left to what its label alone protects."""

    resolved: Resolved
    whole: bool


async def rebuilt(client: Client, kinds: Iterable[Kind], *, sync: str, label: str, served: Served, confidential: bool) -> Rebuilt:
    """Of the Sync `sync` (`namespace/name`), whose objects carry the label value `label`, over the kinds that its status names.
    None of their values is shown where any of them may be `confidential`. Page by page, so that no more is held than what is
    declared. Raises Unreachable.
    """
    kinds = tuple(kinds)
    known = await definitions(client, (kind for kind in kinds if kind.group not in GROUPS))
    objects: dict[ObjectKey, Declared] = {}
    whole = True
    for kind in kinds:
        found = await _objects(
            client,
            kind,
            sync=sync,
            label=label,
            define=lambda kind: known.get(kind) or served.definition(kind),
            confidential=confidential,
        )
        objects |= found.objects
        whole = whole and found.whole
    put = tuple(objects.values())
    plan = structs.replace(NOTHING, groups={GROUP: ()}, declared={GROUP: put}, objects=objects, put=put)
    return Rebuilt(Resolved(plan, served), whole=whole)


class _Found(Struct, frozen=True):
    objects: dict[ObjectKey, Declared]
    whole: bool


async def _objects(
    client: Client, kind: Kind, *, sync: str, label: str, define: Callable[[Kind], Definition], confidential: bool
) -> _Found:
    found: dict[ObjectKey, Declared] = {}
    whole = True
    params = {"labelSelector": f"{SYNC_LABEL}={label}"}
    try:
        async with aclosing(client.pages(collection_path(kind), params=params)) as pages:
            async for page in pages:
                if page.starts:
                    found, whole = {}, True
                for live in page.objects:
                    if is_others(live):
                        continue
                    manifest = manifest_of(live, kind) if is_ours(live) else None
                    if manifest is None:
                        whole = False
                        continue
                    key = _key(kind, manifest["metadata"])
                    found[key] = Declared(
                        key=key,
                        kind=kind,
                        body=manifest,
                        origin=UNREAD,
                        sync=sync,
                        definition=define(kind),
                        confidential=confidential,
                    )
    except ApiStatusError as error:
        if error.code == NOT_FOUND:
            return _Found({}, whole=True)  # the kind is served no more, and its objects went with it
        _log.warning("what is ours of a kind cannot be told", sync=sync, kind=kind.group_kind, error=str(error))
        return _Found({}, whole=False)
    return _Found(found, whole=whole)


def _key(kind: Kind, metadata: JsonObject) -> ObjectKey:
    return ObjectKey(group=kind.group, kind=kind.kind, namespace=metadata.get("namespace", ""), name=metadata["name"])
