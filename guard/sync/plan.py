"""From a revision's manifests to declared objects in the order in which they are applied. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache

from guard.apply import prepare
from guard.base.codec import JsonObject, child, children
from guard.base.errors import RenderError
from guard.state.definition import UNKNOWN, Definition, definition_of
from guard.state.desired import Declared
from guard.state.ids import Kind, Manifest, ObjectKey

# An object in an early stage is there before the next stage begins: definitions and namespaces first, then what others refer to.
_FIRST = frozenset({("apiextensions.k8s.io", "CustomResourceDefinition"), ("", "Namespace")})
_SECOND_GROUPS = frozenset({"rbac.authorization.k8s.io", "scheduling.k8s.io", "storage.k8s.io"})
_SECOND = frozenset({("", "ServiceAccount"), ("", "ConfigMap"), ("", "Secret")})
STAGES = 3

_MOST_NAMED = 5  # faults listed in one error; the rest is a count

Find = Callable[[str, str], Kind | None]
Define = Callable[[Kind], Definition]


def resolve(
    manifests: Iterable[Manifest], *, find: Find, sync: str, label: str, revision: str, define: Define = lambda _kind: UNKNOWN
) -> tuple[Declared, ...]:
    """The declared objects of one revision.

    `find` maps (apiVersion, kind) to a served kind, `define` a kind that the revision does not define to what is known of it.
    Raises RenderError, naming file and line, for unknown kinds, namespaces that are missing or out of place, and objects declared
    twice: a revision is taken whole or not at all.
    """
    manifests = tuple(manifests)
    coming, definitions = _coming(manifests)

    @cache
    def definition(kind: Kind) -> Definition:
        return definition_of(definitions[kind], kind.version) if kind in definitions else define(kind)

    found: dict[ObjectKey, Declared] = {}
    faults: list[str] = []
    for manifest in manifests:
        body, where = manifest.body, manifest.origin
        metadata = child(body, "metadata")
        api_version, name = str(body.get("apiVersion", "")), str(metadata.get("name", ""))
        kind = find(api_version, str(body.get("kind", ""))) or coming.get((api_version, str(body.get("kind", ""))))
        if kind is None:
            faults.append(f"{where}: the cluster serves no {body.get('kind')} in {api_version}, nor does this revision define it")
            continue
        namespace = str(metadata.get("namespace") or "")
        if kind.namespaced and not namespace:
            faults.append(f"{where}: {kind.kind} {name} has no metadata.namespace")
            continue
        if not kind.namespaced and namespace:
            faults.append(f"{where}: {kind.kind} {name} has a metadata.namespace, but its kind is cluster-scoped")
            continue
        key = ObjectKey(group=kind.group, kind=kind.kind, namespace=namespace, name=name)
        twin = found.get(key)
        if twin is not None:
            faults.append(f"{where}: {key} is declared a second time, first at {twin.origin}")
            continue
        found[key] = Declared(
            key=key,
            kind=kind,
            body=prepare(body, label=label),
            origin=manifest.origin,
            sync=sync,
            revision=revision,
            definition=definition(kind),
        )
    if faults:
        more = f"; and {len(faults) - _MOST_NAMED} more" if len(faults) > _MOST_NAMED else ""
        raise RenderError("; ".join(faults[:_MOST_NAMED]) + more)
    return tuple(found.values())


def _coming(manifests: Sequence[Manifest]) -> tuple[Mapping[tuple[str, str], Kind], Mapping[Kind, JsonObject]]:
    """The kinds that CustomResourceDefinitions among the manifests will serve, and the definition of each."""
    kinds: dict[tuple[str, str], Kind] = {}
    definitions: dict[Kind, JsonObject] = {}
    for manifest in manifests:
        if manifest.body.get("kind") != "CustomResourceDefinition":
            continue
        spec: JsonObject = child(manifest.body, "spec")
        names = child(spec, "names")
        for version in children(spec, "versions"):
            if version.get("served"):
                kind = Kind(
                    group=str(spec.get("group", "")),
                    version=str(version.get("name", "")),
                    kind=str(names.get("kind", "")),
                    resource=str(names.get("plural", "")),
                    namespaced=spec.get("scope") == "Namespaced",
                )
                kinds[kind.api_version, kind.kind] = kind
                definitions[kind] = manifest.body
    return kinds, definitions


def stages(objects: Iterable[Declared]) -> list[list[Declared]]:
    """The objects in stages to be applied one after another; within a stage order does not matter."""
    found: list[list[Declared]] = [[] for _ in range(STAGES)]
    for declared in objects:
        found[_stage(declared.kind)].append(declared)
    return [stage for stage in found if stage]


def _stage(kind: Kind) -> int:
    if (kind.group, kind.kind) in _FIRST:
        return 0
    return 1 if kind.group in _SECOND_GROUPS or (kind.group, kind.kind) in _SECOND else 2
