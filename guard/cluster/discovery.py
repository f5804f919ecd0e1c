"""Which kinds the API server serves, from its aggregated discovery: two requests for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from guard.base.codec import JsonObject, child, children
from guard.cluster.client import Client
from guard.state.ids import Kind

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


class Served:
    """The kinds that a server serves at one moment."""

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self._kinds = {(kind.api_version, kind.kind): kind for kind in kinds}

    def find(self, api_version: str, kind: str) -> Kind | None:
        return self._kinds.get((api_version, kind))

    def versions(self, group: str, kind: str) -> frozenset[str]:
        """The apiVersions in which a kind is served."""
        return frozenset(known.api_version for known in self._kinds.values() if known.group == group and known.kind == kind)


async def discover(client: Client) -> Served:
    core, groups = await asyncio.gather(client.get("/api", accept=AGGREGATED), client.get("/apis", accept=AGGREGATED))
    return Served([*_kinds(core), *_kinds(groups)])


def _kinds(answer: JsonObject) -> Iterable[Kind]:
    for group in children(answer, "items"):
        name = child(group, "metadata").get("name", "")
        for version in children(group, "versions"):
            for resource in children(version, "resources"):
                response = child(resource, "responseKind")
                if response.get("kind"):
                    yield Kind(
                        group=name,
                        version=version["version"],
                        kind=response["kind"],
                        resource=resource["resource"],
                        namespaced=resource["scope"] == "Namespaced",
                    )
