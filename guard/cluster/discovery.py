"""Which kinds the API server serves, from its aggregated discovery: two requests for all of them, and one for each custom kind of
which more is to know.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from guard.base.codec import JsonObject, child, children
from guard.base.errors import ApiStatusError
from guard.cluster.client import Client, object_path
from guard.state.builtin import GROUPS
from guard.state.definition import UNKNOWN, Definition, definitions_of
from guard.state.fields import Path
from guard.state.ids import DEFINITION, REPLICAS, Kind

# Deployments, replica sets, stateful sets, replication controllers.
BUILT_IN_SCALES = frozenset({"", "apps"})
NOT_FOUND = 404

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


class Served:
    """The kinds that a server serves at one moment."""

    def __init__(self, kinds: Iterable[Kind], *, scales: Mapping[Kind, Path] = MappingProxyType({})) -> None:
        self._kinds = {(kind.api_version, kind.kind): kind for kind in kinds}
        self._scales = scales

    def find(self, api_version: str, kind: str) -> Kind | None:
        return self._kinds.get((api_version, kind))

    def scale(self, kind: Kind) -> Path | None:
        """The path of the replicas that the /scale of a built-in kind sets; None where it has none."""
        return self._scales.get(kind)

    def versions(self, group: str, kind: str) -> frozenset[str]:
        """The apiVersions in which a kind is served."""
        return frozenset(known.api_version for known in self._kinds.values() if known.group == group and known.kind == kind)


async def discover(client: Client) -> Served:
    """Raises ClusterError."""
    core, groups = await asyncio.gather(client.get("/api", accept=AGGREGATED), client.get("/apis", accept=AGGREGATED))
    found = [*_kinds(core), *_kinds(groups)]
    scaled = (kind for kind, subresources in found if "scale" in subresources and kind.group in BUILT_IN_SCALES)
    return Served([kind for kind, _ in found], scales=dict.fromkeys(scaled, REPLICAS))


def _kinds(answer: JsonObject) -> Iterable[tuple[Kind, frozenset[str]]]:
    """The kinds, each with the names of its subresources."""
    for group in children(answer, "items"):
        name = child(group, "metadata").get("name", "")
        for version in children(group, "versions"):
            for resource in children(version, "resources"):
                response = child(resource, "responseKind")
                if response.get("kind"):
                    kind = Kind(
                        group=name,
                        version=version["version"],
                        kind=response["kind"],
                        resource=resource["resource"],
                        namespaced=resource["scope"] == "Namespaced",
                    )
                    yield kind, frozenset(found.get("subresource", "") for found in children(resource, "subresources"))


async def definitions(client: Client, kinds: Iterable[Kind], *, served: Served) -> dict[Kind, Definition]:
    """What is to know of each kind: of a custom one its definition says it. Raises ClusterError."""
    kinds = tuple(kinds)
    found = await asyncio.gather(*(_custom(client, kind) for kind in kinds if kind.group not in GROUPS))
    return {kind: Definition(scale=served.scale(kind)) for kind in kinds} | dict(found)


async def _custom(client: Client, kind: Kind) -> tuple[Kind, Definition]:
    """Nothing is known where there is no definition (an aggregated API), or the very version is gone by now."""
    try:
        definition = await client.get(object_path(DEFINITION, namespace="", name=f"{kind.resource}.{kind.group}"))
    except ApiStatusError as error:
        if error.code == NOT_FOUND:
            return kind, UNKNOWN
        raise
    return kind, definitions_of(definition).get(kind.version, UNKNOWN)
