"""What to apply to an object as it stands: Git's manifest but for what is left to others."""

from __future__ import annotations

from guard.base.codec import JsonObject
from guard.state.additions import field_set
from guard.state.fields import FieldSet
from guard.state.ids import LABEL_PATH
from guard.state.managed import entries, our_fields
from guard.state.pointers import Pointer, pointer_of, without
from guard.state.policy import Left
from guard.state.taints import TAINTS, beside, has_taints, holds, is_control_plane, taints_of, with_taints


def depends_on_live(manifest: JsonObject, left: Left) -> bool:
    """Whether what to apply can only be told from the object as it stands."""
    return bool(left) or has_taints(manifest)


def wanted(manifest: JsonObject, live: JsonObject | None, left: Left) -> JsonObject:
    """The manifest as it is to be applied to `live`, None where there is no such object yet: a new one gets all of it, also what
    is left to others from then on.
    """
    if live is None:
        return manifest
    body = manifest
    pointers = list(_left_fields(live, left))
    if pointers:
        body = without(body, pointers)
    return _with_taints(body, live) if has_taints(body) else body


def _left_fields(live: JsonObject, left: Left) -> list[Pointer]:
    found: list[Pointer] = []
    for rule in left.rules:
        if not rule.managers:
            found += rule.paths
            continue
        one = Left((rule,))
        for entry in entries(live):
            if entry.manager in rule.managers:
                found += [pointer_of(path) for path in entry.fields.paths() if one.holds(path)]
    return found


def handed_over(live: JsonObject, left: Left) -> FieldSet:
    """Of our own fields, those that are left to everyone: ours to give up before an apply without them would take them away."""
    if not left:
        return field_set(())
    everyone = Left(tuple(rule for rule in left.rules if not rule.managers))
    return field_set(path for path in our_fields(live).paths() if path != LABEL_PATH and everyone.holds(path))


def _with_taints(body: JsonObject, live: JsonObject) -> JsonObject:
    """Taints are one atomic list, so Git's are applied together with those that stand there. Where nothing is wrong with the list
    it is left as it is, whoever owns it by now. A list that a person's tool has written keeps of the others only what the node
    controllers put there: whose the rest is nobody can tell.
    """
    standing = taints_of(live)
    others = beside(standing, taints_of(body))
    kept = [taint for taint in others if is_control_plane(taint)] if _is_persons(live) else others
    if len(kept) < len(others) or not holds(standing, taints_of(body)):
        return with_taints(body, [*taints_of(body), *kept])
    if TAINTS in our_fields(live):
        return with_taints(body, standing)
    return without(body, [pointer_of(TAINTS)])


def _is_persons(live: JsonObject) -> bool:
    owners = [entry for entry in entries(live) if TAINTS in entry.fields]
    return bool(owners) and all(entry.is_person for entry in owners)
