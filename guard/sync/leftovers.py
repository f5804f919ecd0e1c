"""What of a Sync's objects is still in the cluster though Git declares it no more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from guard.api import BREAK_GLASS, SYNC
from guard.base.errors import ApiStatusError
from guard.cluster import Client, Served, object_path
from guard.cluster.client import collection_path
from guard.state.desired import DesiredState
from guard.state.ids import DEFINITION, GUARD_NAMESPACE, LABEL_PATH, NAMESPACE, SYNC_LABEL, Kind, ObjectKey
from guard.state.metadata import Metadata
from guard.sync.order import Rank, rank

PRUNE = "gitopsguard.dev/prune"
DISABLED = "Disabled"
NOT_FOUND = 404

# With one of them Guard itself would go, or every Sync or break-glass; whoever takes Guard away does so by hand.
GUARDS_OWN = frozenset(
    {
        ObjectKey(group=NAMESPACE.group, kind=NAMESPACE.kind, namespace="", name=GUARD_NAMESPACE),
        *(
            ObjectKey(group=DEFINITION.group, kind=DEFINITION.kind, namespace="", name=f"{kind.resource}.{kind.group}")
            for kind in (SYNC, BREAK_GLASS)
        ),
    }
)

_APISERVICE = Kind(group="apiregistration.k8s.io", version="v1", kind="APIService", resource="apiservices", namespaced=False)


class Leftover(msgspec.Struct, frozen=True, kw_only=True):
    """A live object of ours that is not declared any more. `since` is when its deletion began, empty before; `stays` where it is
    to be left alone, as its annotation says.
    """

    key: ObjectKey
    kind: Kind
    uid: str
    resource_version: str
    rank: Rank
    finalizers: tuple[str, ...] = ()
    since: str = ""
    stays: bool = False

    @property
    def path(self) -> str:
        return object_path(self.kind, namespace=self.key.namespace, name=self.key.name)

    @property
    def is_container(self) -> bool:
        return self.kind.group_kind in {NAMESPACE.group_kind, DEFINITION.group_kind}

    def holds(self, other: Leftover) -> bool:
        """Whether the other goes with this one: a namespace's content, a definition's instances."""
        if self.kind.group_kind == NAMESPACE.group_kind:
            return other.key.namespace == self.key.name
        return self.kind.group_kind == DEFINITION.group_kind and self.key.name == f"{other.kind.resource}.{other.kind.group}"


class Found(msgspec.Struct, frozen=True):
    """What is left; what could not be looked through, and why (`faults`) or because nobody serves it just now (`unserved`); and
    the kinds of which there can be nothing any more.
    """

    leftovers: tuple[Leftover, ...] = ()
    faults: tuple[str, ...] = ()
    unserved: tuple[str, ...] = ()
    vanished: frozenset[Kind] = frozenset()

    @property
    def is_whole(self) -> bool:
        return not (self.faults or self.unserved)


def is_ours(metadata: Metadata) -> bool:
    """Our Apply entry owns the label, and no controller owns the object: controllers copy labels (EndpointSlices get a
    Service's), and people do, too.
    """
    return not metadata.is_controlled and LABEL_PATH in metadata.our_fields


def left_of(metadata: Metadata, kind: Kind, *, label: str, state: DesiredState) -> Leftover | None:
    """The object where it is left over of the Sync with this label: ours, and declared by nobody."""
    key = metadata.key(kind)
    labelled = (metadata.labels or {}).get(SYNC_LABEL) == label
    if not labelled or state.get(key) is not None or not is_ours(metadata):
        return None
    return Leftover(
        key=key,
        kind=kind,
        uid=metadata.uid,
        resource_version=metadata.resource_version,
        rank=rank(kind, metadata.annotations),
        finalizers=metadata.finalizers or (),
        since=metadata.deletion_timestamp or "",
        stays=key in GUARDS_OWN or (metadata.annotations or {}).get(PRUNE) == DISABLED,
    )


class Looking:
    """Looks for what is left of the Sync with this label; `state` is the index as it is by then."""

    def __init__(self, client: Client, *, label: str, state: Callable[[], DesiredState]) -> None:
        self._client = client
        self._label = label
        self._state = state

    async def through(self, kinds: Iterable[Kind], *, served: Served) -> Found:
        """All objects of these kinds, in whichever version they are served by now. Raises Unreachable."""
        return await self._gathered([(kind, {}, "") for kind in sorted(set(kinds))], served=served)

    async def among(self, gone: Mapping[ObjectKey, Kind], *, served: Served) -> Found:
        """Those of these objects that are left, by asking for each. Raises Unreachable."""
        asked = [(kind, {"fieldSelector": f"metadata.name={key.name}"}, key.namespace) for key, kind in gone.items()]
        return await self._gathered(asked, served=served)

    async def _gathered(self, asked: Iterable[tuple[Kind, Mapping[str, str], str]], *, served: Served) -> Found:
        leftovers: dict[ObjectKey, Leftover] = {}
        faults: dict[str, None] = {}
        unserved: dict[Kind, None] = {}
        vanished: set[Kind] = set()
        for kind, params, namespace in asked:
            try:
                now = served_as(kind, served)
                if now is not None:
                    leftovers |= {found.key: found for found in await self._listed(now, params, namespace=namespace)}
                elif kind not in vanished and kind not in unserved:
                    if await self._has_vanished(kind):
                        vanished.add(kind)
                    else:
                        unserved[kind] = None
            except ApiStatusError as error:
                faults[f"{kind.group_kind} cannot be looked through: {error.message}"] = None
        told = tuple(f"{kind.group_kind} is not served just now" for kind in unserved)
        return Found(tuple(leftovers.values()), tuple(faults), told, frozenset(vanished))

    async def again(self, leftover: Leftover) -> Leftover | None:
        """The very object as it is by now; None where it is gone, or is no leftover any more. Raises ClusterError."""
        params = {"labelSelector": f"{SYNC_LABEL}={self._label}", "fieldSelector": f"metadata.name={leftover.key.name}"}
        items, _ = await self._client.list_metadata(
            collection_path(leftover.kind, namespace=leftover.key.namespace), params=params
        )
        found = (left_of(metadata, leftover.kind, label=self._label, state=self._state()) for metadata in items)
        return next((one for one in found if one is not None and one.uid == leftover.uid), None)

    async def _listed(self, kind: Kind, params: Mapping[str, str], *, namespace: str) -> list[Leftover]:
        labelled = {"labelSelector": f"{SYNC_LABEL}={self._label}", **params}
        try:
            items, _ = await self._client.list_metadata(collection_path(kind, namespace=namespace), params=labelled)
        except ApiStatusError as error:
            # Of a namespaced kind, also where the namespace is gone, it answers with an empty list.
            if error.code == NOT_FOUND and await self._has_vanished(kind):
                return []
            raise
        state = self._state()
        return [found for metadata in items if (found := left_of(metadata, kind, label=self._label, state=state)) is not None]

    async def _has_vanished(self, kind: Kind) -> bool:
        """Whether nothing defines the kind any more, so that its objects are gone: what is not served may be so for a while."""
        places = (
            object_path(DEFINITION, namespace="", name=f"{kind.resource}.{kind.group}"),
            object_path(_APISERVICE, namespace="", name=f"{kind.version}.{kind.group}"),
        )
        return not any([await self._is_there(place) for place in places])

    async def _is_there(self, path: str) -> bool:
        try:
            await self._client.get(path)
        except ApiStatusError as error:
            if error.code == NOT_FOUND:
                return False
            raise
        return True


def served_as(kind: Kind, served: Served) -> Kind | None:
    """The kind in a version that is served: the very one, or another; None where there is none."""
    found = served.find(kind.api_version, kind.kind)
    if found is not None:
        return found
    others = sorted(served.versions(kind.group, kind.kind))
    return served.find(others[0], kind.kind) if others else None
