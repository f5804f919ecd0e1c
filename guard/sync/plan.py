"""From a revision's manifests to declared objects. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from typing import TypeAlias

from msgspec import Struct, structs

from guard.apply import prepare
from guard.base import naming
from guard.base.codec import JsonObject, child, children
from guard.base.errors import RenderError
from guard.state.builtin import GROUPS
from guard.state.definition import UNKNOWN, Definition, definition_of
from guard.state.desired import Declared, DesiredState
from guard.state.ids import Kind, Manifest, ObjectKey
from guard.sync.order import WAVE, annotations_of, wave_fault

_MOST_NAMED = 5  # faults listed in one error; the rest is a count

Find = Callable[[str, str], Kind | None]
Define = Callable[[Kind], Definition]

# A revision's manifests in groups that come and go together. What did not change since the last revision is the same tuple.
Groups: TypeAlias = Mapping[str, tuple[Manifest, ...]]


class Plan(Struct, frozen=True, kw_only=True):
    """What a revision declares. `put` and `gone` are what differs from the plan that it was resolved beside: `put` is new
    or other than before, were it only in the line that it stands in.
    """

    groups: Groups
    declared: Mapping[str, tuple[Declared, ...]]
    objects: Mapping[ObjectKey, Declared]
    put: tuple[Declared, ...]
    gone: tuple[Declared, ...]
    # The kinds that the revision itself brings, by apiVersion and name, and the definition of each.
    coming: Mapping[tuple[str, str], Kind]
    definitions: Mapping[Kind, JsonObject]
    # That of objects that name none.
    namespace: str = ""


NOTHING = Plan(groups={}, declared={}, objects={}, put=(), gone=(), coming={}, definitions={})


def without(plan: Plan, keys: Collection[ObjectKey]) -> Plan:
    """The plan less these objects."""
    return structs.replace(
        plan,
        declared={name: tuple(one for one in found if one.key not in keys) for name, found in plan.declared.items()},
        objects={key: one for key, one in plan.objects.items() if key not in keys},
        put=tuple(one for one in plan.put if one.key not in keys),
    )


def refuse_conflicts(plan: Plan, *, state: DesiredState, sync: str) -> None:
    """Raises RenderError where another Sync holds what the plan declares."""
    conflicts = state.conflicts(sync, plan.put)
    if conflicts:
        first = conflicts[0]
        raise RenderError(
            f"{first.loser.key} is declared by two Syncs: {first.holder.sync} ({first.holder.origin}) keeps it, "
            f"{sync} declares it again"
            + (f"; and {naming.plural(len(conflicts) - 1, 'more object')}" if len(conflicts) > 1 else ""),
            where=str(first.loser.origin),
            hint="remove it from one of them; what moves from one Sync to another takes two commits",
        )


class Work(Struct, frozen=True, kw_only=True):
    """What there is to resolve of a revision: which of its groups (`fresh`), beside which plan, and which groups of that are gone
    (`lost`). Where it is `anew`, beside nothing.
    """

    groups: Groups
    before: Plan
    beside: Plan
    fresh: list[str]
    lost: list[str]
    coming: Mapping[tuple[str, str], Kind]
    definitions: Mapping[Kind, JsonObject]


def compare(groups: Groups, *, before: Plan = NOTHING, anew: bool = False) -> Work:
    """What was resolved in `before` of the same groups is taken from there, so that only groups that are new cost anything; where
    those define kinds, or with `anew`, all are resolved.
    """
    fresh = [name for name, manifests in groups.items() if before.groups.get(name) is not manifests]
    lost = [name for name in before.groups if name not in groups]
    touched = [manifest for name in fresh for manifest in groups[name]]
    touched += [manifest for name in (*fresh, *lost) for manifest in before.groups.get(name, ())]
    beside, coming, definitions = before, before.coming, before.definitions
    if anew or any(map(_defines, touched)):
        fresh, lost, beside = list(groups), [], NOTHING
        coming, definitions = _coming(groups)
    return Work(groups=groups, before=before, beside=beside, fresh=fresh, lost=lost, coming=coming, definitions=definitions)


def kinds_to_define(work: Work, *, find: Find) -> frozenset[Kind]:
    """The custom kinds of what `resolve` is about to resolve, those that the revision defines itself aside."""
    names = {_kind_name(manifest) for name in work.fresh for manifest in work.groups[name]} - work.coming.keys()
    return frozenset(kind for name in names if (kind := find(*name)) is not None and kind.group not in GROUPS)


def resolve(
    work: Work, *, find: Find, sync: str, label: str, namespace: str = "", define: Define = lambda _kind: UNKNOWN
) -> Plan:
    """The plan of a revision, whole or not at all.

    `find` maps (apiVersion, kind) to a served kind, `define` a kind that the revision does not define to what is known of it;
    `namespace` is that of objects that name none. Where another of these three counts than before, all has to be resolved anew.

    Raises RenderError, naming file and line, for unknown kinds, namespaces that are missing or out of place, and objects
    declared twice.
    """
    groups, before = work.groups, work.before

    @cache
    def definition(kind: Kind) -> Definition:
        return definition_of(work.definitions[kind], kind.version) if kind in work.definitions else define(kind)

    objects = {**work.beside.objects}
    dropped = [old for name in (*work.fresh, *work.lost) for old in work.beside.declared.get(name, ())]
    for old in dropped:
        del objects[old.key]
    declared = {name: found for name, found in work.beside.declared.items() if name in groups}
    faults: list[str] = []
    for name in work.fresh:
        found: list[Declared] = []
        for manifest in groups[name]:
            kind, fault = _kind_of(manifest, find=find, coming=work.coming, namespace=namespace)
            if kind is None:
                faults.append(f"{manifest.origin}: {fault}")
                continue
            one = _declared(manifest, kind, sync=sync, label=label, namespace=namespace, definition=definition(kind))
            twin = objects.get(one.key)
            if twin is not None:
                faults.append(f"{one.origin}: {one.key} is declared a second time, first at {twin.origin}")
                continue
            objects[one.key] = one = _as_before(one, before.objects.get(one.key))
            found.append(one)
        declared[name] = tuple(found)
    if faults:
        raise rejected(faults)
    put = (one for name in work.fresh for one in declared[name])
    gone = dropped if work.beside is before else before.objects.values()
    return Plan(
        groups=groups,
        declared=declared,
        objects=objects,
        put=tuple(one for one in put if before.objects.get(one.key) is not one),
        gone=tuple(old for old in gone if old.key not in objects),
        coming=work.coming,
        definitions=work.definitions,
        namespace=namespace,
    )


def rejected(faults: Sequence[str], *, hint: str = "") -> RenderError:
    """What keeps a revision out, in one line; each fault names its place."""
    more = f"; and {len(faults) - _MOST_NAMED} more" if len(faults) > _MOST_NAMED else ""
    return RenderError("; ".join(faults[:_MOST_NAMED]) + more, hint=hint)


def _kind_of(
    manifest: Manifest, *, find: Find, coming: Mapping[tuple[str, str], Kind], namespace: str
) -> tuple[Kind | None, str]:
    """The kind of a manifest, or what is wrong with it."""
    metadata = child(manifest.body, "metadata")
    api_version, name = _kind_name(manifest)
    named = str(metadata.get("name", ""))
    kind = find(api_version, name) or coming.get((api_version, name))
    if kind is None:
        return None, f"the cluster serves no {name} in {api_version}, nor does this revision define it"
    if kind.namespaced and not (metadata.get("namespace") or namespace):
        return None, f"{name} {named} has no metadata.namespace, nor has the Sync a targetNamespace"
    if not kind.namespaced and metadata.get("namespace"):
        return None, f"{name} {named} has a metadata.namespace, but its kind is cluster-scoped"
    wave = annotations_of(manifest.body).get(WAVE)
    if wave is not None and (fault := wave_fault(wave)):
        # The text of the annotation may be what was encrypted.
        return None, f"{name} {named}: {wave_fault(None) if manifest.confidential else fault}"
    return kind, ""


def _declared(manifest: Manifest, kind: Kind, *, sync: str, label: str, namespace: str, definition: Definition) -> Declared:
    body = prepare(manifest.body, label=label)
    metadata = body["metadata"]
    if kind.namespaced and not metadata.get("namespace"):
        metadata["namespace"] = namespace
    key = ObjectKey(group=kind.group, kind=kind.kind, namespace=str(metadata.get("namespace") or ""), name=str(metadata["name"]))
    return Declared(
        key=key,
        kind=kind,
        body=body,
        origin=manifest.origin,
        sync=sync,
        definition=definition,
        confidential=manifest.confidential,
    )


def _as_before(declared: Declared, before: Declared | None) -> Declared:
    """The one of before where nothing differs, and its body where that does not: what is known of it is known by that."""
    if before is None or before.body != declared.body:
        return declared
    return before if before == declared else structs.replace(declared, body=before.body)


def _kind_name(manifest: Manifest) -> tuple[str, str]:
    return str(manifest.body.get("apiVersion", "")), str(manifest.body.get("kind", ""))


def _defines(manifest: Manifest) -> bool:
    return manifest.body.get("kind") == "CustomResourceDefinition"


def _coming(groups: Groups) -> tuple[Mapping[tuple[str, str], Kind], Mapping[Kind, JsonObject]]:
    """The kinds that CustomResourceDefinitions among the manifests will serve, and the definition of each."""
    kinds: dict[tuple[str, str], Kind] = {}
    definitions: dict[Kind, JsonObject] = {}
    for manifest in (manifest for manifests in groups.values() for manifest in manifests if _defines(manifest)):
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
