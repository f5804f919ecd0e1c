"""Which kinds the API server serves, from its aggregated discovery: three requests for all, and one for each custom kind of which
more is to know.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from guard.base.codec import JsonObject, child, children
from guard.base.errors import ApiStatusError
from guard.cluster.client import Client, object_path
from guard.state.capabilities import Capabilities
from guard.state.definition import UNKNOWN, Definition, definition_of
from guard.state.ids import DEFINITION, REPLICAS, Kind

# Deployments, replica sets, stateful sets, replication controllers.
BUILT_IN_SCALES = frozenset({"", "apps"})
NOT_FOUND = 404
AT_ONCE = 10  # definitions read at a time; some are large

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


_SCALED = Definition(scale=REPLICAS)


class Served:
    """The kinds that a server serves at one moment."""

    def __init__(self, kinds: Iterable[Kind], *, scaled: Iterable[Kind] = (), version: str = "") -> None:
        self._kinds = {(kind.api_version, kind.kind): kind for kind in kinds}
        self._scaled = frozenset(scaled)
        self._version = version

    def same_as(self, other: Served) -> bool:
        """Whether the other serves the very same kinds."""
        return self._kinds == other._kinds and self._scaled == other._scaled

    def find(self, api_version: str, kind: str) -> Kind | None:
        return self._kinds.get((api_version, kind))

    def definition(self, kind: Kind) -> Definition:
        """What is known of a kind without its definition: which built-in ones have a /scale."""
        return _SCALED if kind in self._scaled else UNKNOWN

    @property
    def capabilities(self) -> Capabilities:
        """What charts may ask about the cluster."""
        names = {api_version for api_version, _ in self._kinds} | {"/".join(known) for known in self._kinds}
        return Capabilities(version=self._version, apis=tuple(sorted(names)))

    def versions(self, group: str, kind: str) -> frozenset[str]:
        """The apiVersions in which a kind is served."""
        return frozenset(known.api_version for known in self._kinds.values() if known.group == group and known.kind == kind)


async def discover(client: Client) -> Served:
    """Raises ClusterError."""
    core, groups, version = await asyncio.gather(
        client.get("/api", accept=AGGREGATED), client.get("/apis", accept=AGGREGATED), client.get("/version")
    )
    found = [*_kinds(core), *_kinds(groups)]
    scaled = (kind for kind, subresources in found if "scale" in subresources and kind.group in BUILT_IN_SCALES)
    return Served([kind for kind, _ in found], scaled=scaled, version=str(version.get("gitVersion", "")))


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


async def definitions(client: Client, kinds: Iterable[Kind]) -> dict[Kind, Definition]:
    """What the definitions of these custom kinds say. Raises ClusterError."""
    some = asyncio.Semaphore(AT_ONCE)

    async def one(kind: Kind) -> tuple[Kind, Definition]:
        async with some:
            return kind, await _definition(client, kind)

    return dict(await asyncio.gather(*map(one, kinds)))


async def _definition(client: Client, kind: Kind) -> Definition:
    """Nothing is known where there is no definition (an aggregated API), or the very version is gone by now."""
    try:
        body = await client.get(object_path(DEFINITION, namespace="", name=f"{kind.resource}.{kind.group}"))
    except ApiStatusError as error:
        if error.code == NOT_FOUND:
            return UNKNOWN
        raise
    return definition_of(body, kind.version)
