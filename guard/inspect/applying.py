"""What `kubectl apply` of a manifest would make of an object that Git declares, told without an API server.

Applied for the first time, it leaves alone what the manifest does not name. Lists of built-in kinds are merged by key where their
Go types say so (`patchMergeKey`), all others are replaced; those of custom resources always are.
"""

from __future__ import annotations

from guard.base.codec import Json, JsonObject, child, is_array, is_object
from guard.state.drift import METADATA, NOT_COMPARED
from guard.state.fields import SELF, Tree, key_element, value_element

# From the API server's OpenAPI (`x-kubernetes-patch-merge-key`), statuses aside; a test holds the two together.
MERGE_KEYS: dict[str, tuple[str, ...]] = {
    "containers": ("name",),
    "drivers": ("name",),
    "env": ("name",),
    "ephemeralContainers": ("name",),
    "evictionResponders": ("name",),
    "hostAliases": ("ip",),
    "imagePullSecrets": ("name",),
    "initContainers": ("name",),
    "matchConditions": ("name",),
    "ownerReferences": ("uid",),
    "ports": ("containerPort", "port"),
    "resourceClaims": ("name",),
    "schedulingGates": ("name",),
    "secrets": ("name",),
    "topologySpreadConstraints": ("topologyKey",),
    "variables": ("name",),
    "volumeDevices": ("devicePath",),
    "volumeMounts": ("mountPath",),
    "volumes": ("name",),
    "webhooks": ("name",),
    "x-kubernetes-validations": ("rule",),
}
MERGED_SETS = frozenset({"finalizers", "podCIDRs"})
# One of a union: what the manifest does not name of them goes (`retainKeys`).
RETAINED = frozenset({"resourceClaims", "strategy", "volumes"})

_LEAF: Tree = {}


def applied(live: JsonObject, given: JsonObject, *, builtin: bool) -> JsonObject:
    """`live` after an apply of `given`."""
    made = _merged(
        {name: value for name, value in live.items() if name not in NOT_COMPARED},
        {name: value for name, value in given.items() if name not in NOT_COMPARED},
        builtin=builtin,
    )
    metadata = {name: value for name, value in child(given, "metadata").items() if name in METADATA}
    return {
        "apiVersion": live["apiVersion"],
        "kind": live["kind"],
        **made,
        "metadata": _merged(child(live, "metadata"), metadata, builtin=True),
    }


def _merged(live: JsonObject, given: JsonObject, *, builtin: bool) -> JsonObject:
    made = dict(live)
    for name, value in given.items():
        if value is None:
            made.pop(name, None)
        else:
            made[name] = _value(name, live.get(name), value, builtin=builtin)
    return made


def _value(name: str, live: Json, given: Json, *, builtin: bool) -> Json:
    if is_object(live) and is_object(given):
        if builtin and name in RETAINED:
            live = {field: value for field, value in live.items() if field in given}
        return _merged(live, given, builtin=builtin)
    if builtin and is_array(live) and is_array(given):
        if name in MERGED_SETS:
            return [*live, *(item for item in given if item not in live)]
        key = _key(name, live, given)
        if key is not None:
            return _items(name, live, given, key=key)
    return _without_nulls(given)


def _without_nulls(value: Json) -> Json:
    if is_object(value):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if is_array(value) else value


def emptied(stored: Json, given: Json) -> Json:
    """A manifest in the form in which it would be stored, with a null for each field that `given`, the manifest itself, sets to
    null or to an empty value that is not stored: an apply takes those away, but for lists that it merges.
    """
    if is_object(stored) and is_object(given):
        gone = [name for name, value in given.items() if name not in stored and not value and not _is_merged(name, value)]
        return {**{name: emptied(value, given.get(name)) for name, value in stored.items()}, **dict.fromkeys(gone)}
    if is_array(stored) and is_array(given) and len(stored) == len(given):
        return [emptied(one, other) for one, other in zip(stored, given, strict=True)]
    return stored


def _is_merged(name: str, value: Json) -> bool:
    return is_object(value) or (is_array(value) and (name in MERGE_KEYS or name in MERGED_SETS))


def _items(name: str, live: list[JsonObject], given: list[JsonObject], *, key: str) -> list[JsonObject]:
    before = {str(item[key]): item for item in live}
    after: dict[str, JsonObject] = {}
    for item in given:
        after[str(item[key])] = _value(name, before.get(str(item[key]), {}), item, builtin=True)
    common = [found for found in before if found in after]
    if common == [found for found in after if found in before]:
        new = [item for found, item in after.items() if found not in before]
        return [*(after.get(found, item) for found, item in before.items()), *new]
    return [*after.values(), *(item for found, item in before.items() if found not in after)]


def _key(name: str, *lists: list[Json]) -> str | None:
    """The merge key of lists; None where they are replaced as a whole, as are those with a key twice (53/TCP and 53/UDP)."""

    def parts(key: str, items: list[Json]) -> bool:
        return all(is_object(item) and key in item for item in items) and len({str(item[key]) for item in items}) == len(items)

    return next((key for key in MERGE_KEYS.get(name, ()) if all(parts(key, items) for items in lists)), None)


def field_tree(body: JsonObject, *, builtin: bool) -> Tree:
    """The fields of an object as an apply would own them (FieldsV1), so that the decision can go by them."""
    tree = {
        f"f:{name}": _tree(name, value, builtin=builtin)
        for name, value in body.items()
        if name not in NOT_COMPARED and value is not None
    }
    metadata = child(body, "metadata")
    return {
        **tree,
        "f:metadata": {f"f:{name}": _tree(name, metadata[name], builtin=True) for name in METADATA if metadata.get(name)},
    }


def _tree(name: str, value: Json, *, builtin: bool) -> Tree:
    if is_object(value):
        return {f"f:{field}": _tree(field, below, builtin=builtin) for field, below in value.items() if below is not None}
    if builtin and is_array(value):
        if name in MERGED_SETS:
            return {value_element(item): _LEAF for item in value}
        key = _key(name, value)
        if key is not None:
            return {
                key_element(item, (key,)): {**_tree("", item, builtin=True), SELF: _LEAF} for item in value if is_object(item)
            }
    return _LEAF
