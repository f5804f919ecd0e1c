"""Taking away what a Sync once declared and declares no more."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import msgspec

from guard.base.errors import ApiStatusError
from guard.cluster import Client, object_path
from guard.cluster.client import collection_path
from guard.state.desired import DesiredState
from guard.state.ids import LABEL_PATH, SYNC_LABEL, Kind, ObjectKey
from guard.state.metadata import Metadata

CONFIRM = "gitopsguard.dev/confirm-prune"
PRUNE = "gitopsguard.dev/prune"
DISABLED = "Disabled"
NOT_FOUND = 404


class Candidate(msgspec.Struct, frozen=True):
    """A live object of ours that is not declared any more."""

    key: ObjectKey
    kind: Kind
    uid: str
    resource_version: str

    @property
    def path(self) -> str:
        return object_path(self.kind, namespace=self.key.namespace, name=self.key.name)


def is_ours(metadata: Metadata) -> bool:
    """Our Apply entry owns the label, and no controller owns the object: controllers copy labels (EndpointSlices get a
    Service's), and people do, too.
    """
    return not metadata.is_controlled and LABEL_PATH in metadata.our_fields


async def candidates(client: Client, kinds: Iterable[Kind], *, label: str, state: DesiredState) -> list[Candidate]:
    """What to prune, in the reverse of the order of applying: what others live in goes last."""
    found: list[Candidate] = []
    for kind in kinds:
        found += await _candidates(client, collection_path(kind), kind, {"labelSelector": f"{SYNC_LABEL}={label}"}, state=state)
    return _in_order(found)


async def candidates_among(client: Client, gone: Mapping[ObjectKey, Kind], *, label: str, state: DesiredState) -> list[Candidate]:
    """Those of the objects that are left of what was declared, by asking for each."""
    found: list[Candidate] = []
    for key, kind in gone.items():
        params = {"labelSelector": f"{SYNC_LABEL}={label}", "fieldSelector": f"metadata.name={key.name}"}
        found += await _candidates(client, collection_path(kind, namespace=key.namespace), kind, params, state=state)
    return _in_order(found)


async def _candidates(
    client: Client, path: str, kind: Kind, params: Mapping[str, str], *, state: DesiredState
) -> list[Candidate]:
    try:
        items, _ = await client.list_metadata(path, params=params)
    except ApiStatusError as error:
        if error.code == NOT_FOUND:
            return []  # the kind is served no more, and its objects went with it
        raise
    return [
        Candidate(key=metadata.key(kind), kind=kind, uid=metadata.uid, resource_version=metadata.resource_version)
        for metadata in items
        if state.get(metadata.key(kind)) is None
        and not metadata.deletion_timestamp
        and is_ours(metadata)
        and (metadata.annotations or {}).get(PRUNE) != DISABLED
    ]


def _in_order(found: Iterable[Candidate]) -> list[Candidate]:
    return sorted(found, key=lambda candidate: (_rank(candidate.kind), candidate.key))


def _rank(kind: Kind) -> int:
    if kind.kind == "CustomResourceDefinition":
        return 2
    return 1 if kind.kind == "Namespace" else 0


def doubt(found: Collection[Candidate], *, declared: int, namespaces_left: int) -> str:
    """Why this prune looks like an accident; empty when it does not."""
    if not found:
        return ""
    if declared == 0:
        return f"the revision is empty, and {len(found)} objects would go"
    gone = sum(candidate.kind.kind == "Namespace" for candidate in found)
    if gone and not namespaces_left:
        return f"every namespace that was declared would go ({gone})"
    return ""
