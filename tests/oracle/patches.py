"""Patches that make one object of another, as kubectl works them out."""

from __future__ import annotations

from random import Random

from guard.base import codec
from guard.base.codec import Json, JsonObject, is_array, is_object


def merge_difference(before: JsonObject, after: JsonObject) -> JsonObject:
    """RFC 7386: the patch that makes one of the other; null takes a field away."""
    found: JsonObject = {name: None for name in before if name not in after}
    for name, value in after.items():
        if name not in before:
            found[name] = value
        elif codec.canonical(before[name]) != codec.canonical(value):
            there = before[name]
            found[name] = merge_difference(there, value) if is_object(there) and is_object(value) and value else value
    return found


_MERGE_KEYS = {
    "containers": "name", "initContainers": "name", "env": "name", "volumes": "name", "volumeMounts": "mountPath",
    "imagePullSecrets": "name", "hostAliases": "ip", "topologySpreadConstraints": "topologyKey", "ownerReferences": "uid",
    "secrets": "name",
}  # fmt: skip


def strategic_difference(before: JsonObject, after: JsonObject, random: Random) -> JsonObject:
    """Lists that merge by key carry what changed; `$patch` deletes an item or replaces a map, an order may come along."""
    found: JsonObject = {name: None for name in before if name not in after}
    for name, value in after.items():
        there = before.get(name)
        if name in before and codec.canonical(there) == codec.canonical(value):
            continue
        if is_object(there) and is_object(value) and value:
            found[name] = strategic_difference(there, value, random)
            if random.random() < 0.05:
                found[name] = {**value, "$patch": "replace"}
        elif is_array(there) and is_array(value) and name in _MERGE_KEYS:
            found |= _strategic_list(name, there, value, random)
        else:
            found[name] = value
    return found


def _strategic_list(name: str, before: list[Json], after: list[Json], random: Random) -> JsonObject:
    key = _MERGE_KEYS[name]
    if not all(is_object(item) and key in item for item in [*before, *after]):
        return {name: after}
    if random.random() < 0.1:
        return {name: [*after, {"$patch": "replace"}]}
    there = {str(item[key]): item for item in before}
    kept = {str(item[key]) for item in after}
    changed = [
        {key: item[key], **strategic_difference(there[str(item[key])], item, random)} if str(item[key]) in there else item
        for item in after
        if str(item[key]) not in there or codec.canonical(there[str(item[key])]) != codec.canonical(item)
    ]
    gone = [{key: item[key], "$patch": "delete"} for item in before if str(item[key]) not in kept]
    found: JsonObject = {name: changed + gone} if changed or gone else {}
    if random.random() < 0.7:
        found[f"$setElementOrder/{name}"] = [{key: item[key]} for item in after]
    return found
