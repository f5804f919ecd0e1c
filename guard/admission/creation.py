"""An object about to be created beside the one that Git declares. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from guard.admission.case import METADATA, Case
from guard.base.codec import Json, JsonObject, child, is_object
from guard.state import drift
from guard.state.desired import Declared
from guard.state.drift import Change, Nature
from guard.state.equality import MISSING, covers
from guard.state.fields import Path
from guard.state.ids import SYNC_LABEL
from guard.state.taints import apart

# Finalizers that the API server itself puts on claims, volumes and their classes as they are created.
_PROTECTION = ("kubernetes.io/pvc-protection", "kubernetes.io/pv-protection", "kubernetes.io/vac-protection")


def unlike_git(case: Case, declared: Declared) -> Iterator[Change]:
    """The declared fields that do not have Git's value, but for what is left to others. Our own label may be missing."""
    new = case.request.new
    git = case.git if SYNC_LABEL in child(child(new, "metadata"), "labels") else _unlabelled(case.git)
    known = case.view.fields(declared)

    def compared(old: JsonObject, new: JsonObject, git: JsonObject) -> Iterable[Change]:
        if known:
            return drift.settled(drift.changes(old, new, git=git, declared=known.tree), granular=case.is_granular)
        return _uncovered(new, git, ())

    for change in apart(declared.body, git, new, git, compared):
        if change.nature is not Nature.ADDITION and not case.left.covers(change.path, change.git, change.new):
            yield change


def handed_over(case: Case) -> Iterator[Change]:
    """The owners and finalizers that metadata names beside Git's: healing leaves what was there when Guard adopts an object."""
    new, git = child(case.request.new, "metadata"), child(case.git, "metadata")
    for name in ("finalizers", "ownerReferences"):
        known = [*(git.get(name) or ()), *_PROTECTION]
        more = [item for item in new.get(name) or () if item not in known]
        if more:
            yield Change(nature=Nature.ADDITION, path=(METADATA, f"f:{name}"), git=MISSING, old=MISSING, new=more)


def _unlabelled(body: JsonObject) -> JsonObject:
    metadata = child(body, "metadata")
    labels = {name: value for name, value in child(metadata, "labels").items() if name != SYNC_LABEL}
    rest = {name: value for name, value in metadata.items() if name != "labels"}
    return {**body, "metadata": {**rest, "labels": labels} if labels else rest}


def _uncovered(value: Json, git: JsonObject, path: Path) -> Iterable[Change]:
    """Git's fields that `value` does not hold, at the depth of maps."""
    for name, wanted in git.items():
        below = (*path, f"f:{name}")
        if below in {("f:apiVersion",), ("f:kind",)} or wanted is None:
            continue
        found = value.get(name, MISSING) if is_object(value) else MISSING
        if covers(found, wanted):
            continue
        if is_object(wanted) and is_object(found):
            yield from _uncovered(found, wanted, below)
        else:
            yield Change(nature=Nature.DECLARED, path=below, git=wanted, old=MISSING, new=found)
