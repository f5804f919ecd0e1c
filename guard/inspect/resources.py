"""Finding a kind as people name it: `deployment`, `deployments`, `deploy`, `Deployment.apps`, `deployments.v1.apps`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

import msgspec

from guard.base.codec import JsonObject, child, children
from guard.base.errors import ConfigError
from guard.cluster import Client
from guard.cluster.discovery import AGGREGATED
from guard.state.ids import Kind


class Resource(msgspec.Struct, frozen=True):
    """A kind with the names that it goes by, in lower case."""

    kind: Kind
    names: frozenset[str]

    def fits(self, name: str, rest: str) -> bool:
        """`rest` is what follows the first dot: nothing, a group or its first labels, or a version with or without a group."""
        if name not in self.names:
            return False
        group, version = self.kind.group, self.kind.version
        return not rest or f"{group}.".startswith(f"{rest}.") or rest in {version, f"{version}.", f"{version}.{group}"}


async def find_kind(client: Client, text: str) -> Kind:
    """The first kind in the API server's own order that goes by this name, as kubectl takes it. Raises ConfigError where there
    is none, ClusterError.
    """
    answers = await asyncio.gather(client.get("/api", accept=AGGREGATED), client.get("/apis", accept=AGGREGATED))
    found = match(text, [resource for answer in answers for resource in resources(answer)])
    if found is None:
        raise ConfigError(f"the cluster serves no kind {text!r}", hint="kubectl api-resources lists them")
    return found


def match(text: str, served: Iterable[Resource]) -> Kind | None:
    name, _, rest = text.lower().partition(".")
    return next((resource.kind for resource in served if resource.fits(name, rest)), None)


def resources(answer: JsonObject) -> Iterator[Resource]:
    """The resources of an aggregated discovery document, in its order: preferred versions first."""
    for group in children(answer, "items"):
        for version in children(group, "versions"):
            for resource in children(version, "resources"):
                kind = str(child(resource, "responseKind").get("kind") or "")
                if kind and "get" in resource.get("verbs", ()):
                    short: list[str] = resource.get("shortNames") or []
                    names = [kind, resource["resource"], resource.get("singularResource") or "", *short]
                    yield Resource(
                        kind=Kind(
                            group=child(group, "metadata").get("name", ""),
                            version=version["version"],
                            kind=kind,
                            resource=resource["resource"],
                            namespaced=resource["scope"] == "Namespaced",
                        ),
                        names=frozenset(name.lower() for name in names if name),
                    )
