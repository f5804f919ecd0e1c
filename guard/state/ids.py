"""The names of things: kinds, objects, and where a manifest stands in its source."""

from __future__ import annotations

import msgspec

from guard.base import naming
from guard.base.codec import JsonObject

SYNC_LABEL = "gitopsguard.dev/sync"
LABEL_PATH = ("f:metadata", "f:labels", f"f:{SYNC_LABEL}")  # as managedFields write it
FIELD_MANAGER = "guard"
REPAIR_MANAGER = "guard-repair"
GUARD_NAMESPACE = "guard-system"

REPLICAS = ("f:spec", "f:replicas")  # what /scale sets of the built-in kinds that have one

LABEL_VALUE_LENGTH = 63  # the API server's limit for a label's value


class Kind(msgspec.Struct, frozen=True, order=True):
    """A served kind, as discovery names it.

    `resource` is the plural that URLs and admission rules use; `version` the one that Git declares its objects in.
    """

    group: str
    version: str
    kind: str
    resource: str
    namespaced: bool

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_kind(self) -> str:
        """`Deployment.apps`, `ConfigMap`: the form that kubectl takes."""
        return f"{self.kind}.{self.group}" if self.group else self.kind


DEFINITION = Kind(
    group="apiextensions.k8s.io",
    version="v1",
    kind="CustomResourceDefinition",
    resource="customresourcedefinitions",
    namespaced=False,
)
NAMESPACE = Kind(group="", version="v1", kind="Namespace", resource="namespaces", namespaced=False)


class ObjectKey(msgspec.Struct, frozen=True, order=True, cache_hash=True, gc=False):
    """The identity of an object whatever version it is written in. `namespace` is empty for cluster-scoped objects."""

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return naming.titled(kind=self.kind, namespace=self.namespace, name=self.name)


class Origin(msgspec.Struct, frozen=True, gc=False):
    """Where a manifest stands in its source: a path from the source's root, and the line (from 1) of its first key, 0 where a
    tool made the manifest of the file. `via` names that tool and the folder that it was given: `Kustomize clusters/prod`. Without
    a file the manifest was read off the object itself.
    """

    file: str
    line: int
    via: str = ""

    def __str__(self) -> str:
        place = naming.place(self.file, self.line) or "as applied last"
        return f"{place} ({self.via})" if self.via else place


# While the source cannot be read.
UNREAD = Origin(file="", line=0)


class Manifest(msgspec.Struct, frozen=True):
    """One object as the source declares it, before anyone asked the API server what it thinks of it. It is `confidential` where
    it holds values that were encrypted in the source: none of its values is shown anywhere.
    """

    body: JsonObject
    origin: Origin
    confidential: bool = False
