"""Which kinds there are, told without an API server: built-in ones, those that the manifests define, and guesses."""

from __future__ import annotations

from collections.abc import Iterable

from guard.base.codec import JsonObject, child
from guard.cluster.builtin import built_in
from guard.state.definition import Definition
from guard.state.ids import Kind, Manifest


class OfflineKinds:
    """Stands in for discovery. `warnings` says what was guessed, one line a kind."""

    def __init__(self, manifests: Iterable[Manifest], *, known: Iterable[Kind] = ()) -> None:
        """`known` are kinds that somebody else has named, such as the API server in a review."""
        self._known = {(kind.group, kind.kind): kind for kind in known}
        self._defined: dict[tuple[str, str], Kind] = {}
        # Kinds of which some object has a namespace, with the first place where each kind stands.
        self._namespaced: set[tuple[str, str]] = set()
        self._places: dict[tuple[str, str], str] = {}
        self._warnings: dict[tuple[str, str], str] = {}
        for manifest in manifests:
            body = manifest.body
            named = (_group(str(body.get("apiVersion"))), str(body.get("kind")))
            self._places.setdefault(named, str(manifest.origin))
            if child(body, "metadata").get("namespace"):
                self._namespaced.add(named)
            if body.get("kind") == "CustomResourceDefinition":
                kind = _defined(child(body, "spec"))
                self._defined[kind.group, kind.kind] = kind

    @property
    def defined(self) -> tuple[Kind, ...]:
        """What CustomResourceDefinitions among the manifests define, without a version."""
        return tuple(self._defined.values())

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(self._warnings.values())

    def find(self, api_version: str, kind: str) -> Kind | None:
        """None for the kinds that a CustomResourceDefinition among the manifests defines: it says more than can be found here."""
        return None if (_group(api_version), kind) in self._defined else self.taken(api_version, kind)

    def taken(self, api_version: str, kind: str) -> Kind:
        """What a kind is taken for, in whatever version; where nothing tells, a guess."""
        group, version = _group(api_version), api_version.rpartition("/")[2]
        if found := self._defined.get((group, kind)):
            return Kind(group, version, kind, found.resource, found.namespaced)
        if found := built_in().find(api_version, kind):
            return found
        # Alpha and beta versions have the resource and the scope of the others.
        for other in sorted(built_in().versions(group, kind)):
            if found := built_in().find(other, kind):
                return Kind(group, version, kind, found.resource, found.namespaced)
        if found := self._known.get((group, kind)):
            return Kind(group, version, kind, found.resource, found.namespaced)
        return self._guessed(group, version, kind)

    def _guessed(self, group: str, version: str, kind: str) -> Kind:
        named = (group, kind)
        namespaced = named in self._namespaced
        found = Kind(group=group, version=version, kind=kind, resource=plural(kind), namespaced=namespaced)
        scope = (
            "namespaced, as its objects have a namespace" if namespaced else "cluster-scoped, as its objects have no namespace"
        )
        where = f"{self._places[named]}: " if named in self._places else ""
        self._warnings.setdefault(
            named, f"{where}{found.group_kind} is not built in, and no CustomResourceDefinition here defines it: taken as {scope}"
        )
        return found


def define(kind: Kind) -> Definition:
    """What is known of a kind that no manifest defines."""
    return built_in().definition(kind)


def plural(kind: str) -> str:
    """The resource that a kind most likely has: apimachinery's UnsafeGuessKindToResource."""
    name = kind.lower()
    if name.endswith("s"):
        return f"{name}es"
    return f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"


def _defined(spec: JsonObject) -> Kind:
    names = child(spec, "names")
    return Kind(
        group=str(spec.get("group")),
        version="",
        kind=str(names.get("kind")),
        resource=str(names.get("plural")),
        namespaced=spec.get("scope") == "Namespaced",
    )


def _group(api_version: str) -> str:
    return api_version.rpartition("/")[0]
