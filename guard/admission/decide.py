"""The decision: may this request pass?

A chain of small rules, tried in the order of RULES; the first that answers wins. Pure: no I/O, no clock, no randomness.
Who asks is known from `userInfo` alone, since managedFields are written by the client.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from types import MappingProxyType

from guard.admission.case import FINALIZERS, METADATA, Case, Decision
from guard.admission.creation import handed_over, unlike_git
from guard.admission.ownership import is_disowned, is_misplaced, is_wiped, padding
from guard.admission.review import Review
from guard.base.codec import child, children
from guard.state import drift, fields
from guard.state.additions import allowed_additions
from guard.state.desired import Declared, View
from guard.state.drift import Change, Nature
from guard.state.equality import MISSING, same
from guard.state.fields import Path
from guard.state.ids import FIELD_MANAGER, LABEL_PATH, NAMESPACE, REPAIR_MANAGER
from guard.state.managed import reaches
from guard.state.policy import Policy
from guard.state.requesters import BREAK_GLASS_GROUP, Requester

_STRICTEST_FIRST = ("deny", "warn", "audit", "exempt", "open")

# Nothing but the object of the request is at stake.
_THE_OBJECT: Mapping[str, str] = MappingProxyType({})

_OWNERS: Path = (METADATA, "f:ownerReferences")

# In a strict namespace people create these all the same: questions about rights and tokens, and notes of what happened.
_QUESTIONS = frozenset({"authentication.k8s.io", "authorization.k8s.io"})
_EVENTS = "events"


def sync_controller(case: Case) -> Decision | None:
    """Guard itself writes what Git says, in its own name or in that of a Sync's service account."""
    if case.requester is Requester.SYNC:
        return case.allow("SyncController")
    return None


def break_glass(case: Case) -> Decision | None:
    """The group that the registration keeps inside the API server; asked all the same, it gets the same answer."""
    if BREAK_GLASS_GROUP in (case.request.user_info.groups or ()):
        return case.allow("BreakGlass")
    return None


def scale(case: Case) -> Decision | None:
    """/scale sets the replicas of its parent. An autoscaler is held to Git as people are, where Git declares replicas."""
    if case.request.sub_resource != "scale":
        return None
    declared = case.declared
    if declared is None:
        return _not_loaded(case, "ScaleNotLoaded")
    if declared.scale is None or declared.replicas is None:
        return case.allow("ReplicasNotDeclared")
    if case.is_scale_left(declared.scale):
        return case.allow("LeftToOthers")
    old, new = (child(body, "spec").get("replicas", 0) for body in (case.request.old, case.request.new))
    if same(old, new) or same(new, declared.replicas):
        return case.allow("SameAsGit")
    change = Change(nature=Nature.DECLARED, path=declared.scale, git=declared.replicas, old=old, new=new)
    return case.refuse("ReplicasDeclared", [change])


def control_plane(case: Case) -> Decision | None:
    """Never in the way of the cluster's own controllers; what they should not have changed is healed."""
    if case.requester is Requester.CONTROL_PLANE:
        return case.allow("ControlPlane")
    return None


def cascade(case: Case) -> Decision | None:
    """Deleting a Namespace or a CustomResourceDefinition deletes what is in it, or of it, declared itself or not."""
    if case.request.operation != "DELETE" or case.request.sub_resource:
        return None
    return _taking_along(case, namespace="NamespaceHoldsDeclared", definition="DefinitionHasDeclared")


def owner_given(case: Case) -> Decision | None:
    """The garbage collector deletes them for whoever gives them an owner that is gone. (Of a declared one it is tampering.)"""
    if case.request.operation != "UPDATE" or not case.by_person or case.declared is not None:
        return None
    return _taking_along(case, namespace="NamespaceHandedOver", definition="DefinitionHandedOver")


def _taking_along(case: Case, *, namespace: str, definition: str) -> Decision | None:
    """The answer to what takes along all that the object holds, where that is anything of Git's, with the reason for its kind."""
    request, held = case.request, case.held
    if held is None:
        return None
    reason, holds = (definition, _is_of) if request.resource.group else (namespace, _is_in)
    changes = tuple(_owners_given(case)) if request.operation == "UPDATE" else ()
    if case.terminating or (request.operation == "UPDATE" and not changes):
        return None
    # Each Sync with a stake in it has a say, that of the object itself too; the strictest answer counts.
    its_own = {case.sync, case.policy.unloaded.get(case.label_before or "", "")} - {""}
    if held:
        syncs = {*held, *its_own, *case.policy.staked}
        opened = {sync: _all_opened(case, sync, holds=holds, itself=sync in its_own) for sync in syncs}
        return _strictest(case, reason, syncs, changes, count=sum(held.values()), opened=opened)
    opened = {sync: _wholly_opened(case, sync) for sync in case.policy.staked}
    return None if its_own else _not_loaded(case, "CascadeNotLoaded", changes, opened=opened)


def _is_in(declared: Declared, namespace: str) -> bool:
    return declared.key.namespace == namespace


def _is_of(declared: Declared, definition: str) -> bool:
    return f"{declared.kind.resource}.{declared.kind.group}" == definition


def _wholly_opened(case: Case, sync: str) -> str:
    """The BreakGlass that opens all of a Sync's that the cascade could take, whatever that is."""
    opened, request = case.view.opened, case.request
    found = opened.of_sync(sync, now=case.now)
    if not found and request.resource.resource == NAMESPACE.resource:
        return opened.of_namespace(request.object_name, now=case.now)
    return found


def _all_opened(case: Case, sync: str, *, holds: Callable[[Declared, str], bool], itself: bool) -> str:
    """A BreakGlass, where break-glass opens all of a Sync's that a cascade would take, and `itself` if it is its own.
    It looks at each object only where something is open, and not the whole.
    """
    opened = case.view.opened
    if (found := _wholly_opened(case, sync)) or not opened or sync in case.policy.staked:
        return found  # what a Sync that is not loaded declares is not known
    inside = (one for one in case.view.state.of_sync(sync).values() if holds(one, case.request.object_name))
    openings = [opened.of(one.key, sync=sync, now=case.now) for one in inside]
    if itself:
        openings.append(case.opened(sync))
    return openings[0] if openings and all(openings) else ""


def _owners_given(case: Case) -> Iterable[Change]:
    old, new = (children(child(body, "metadata"), "ownerReferences") for body in case.request.difference)
    if any(owner not in old for owner in new):
        yield Change(nature=Nature.ADDITION, path=_OWNERS, git=MISSING, old=old or MISSING, new=new)


def _strictest(
    case: Case,
    reason: str,
    syncs: Iterable[str],
    changes: Iterable[Change] = (),
    *,
    count: int = 0,
    opened: Mapping[str, str] = _THE_OBJECT,
) -> Decision:
    """The strictest of several Syncs' answers. `opened` says by which BreakGlass each Sync's part in it is open; without, the
    object itself does.
    """
    answers = [case.refuse(reason, changes, sync=sync, count=count, opened=opened.get(sync)) for sync in sorted(syncs)]
    return min(answers, key=lambda answer: _STRICTEST_FIRST.index(answer.verdict))


def _not_loaded(
    case: Case, reason: str, changes: Iterable[Change] = (), *, opened: Mapping[str, str] = _THE_OBJECT
) -> Decision | None:
    """While a Sync that has applied something before has no revision, the API server asks about the names that were registered
    for it: neither a Scale nor a namespace says whose it is, so everyone but the control plane waits.
    """
    if not case.policy.staked or case.requester in {Requester.SYNC, Requester.CONTROL_PLANE}:
        return None
    return _strictest(case, reason, case.policy.staked, changes, opened=opened)


def git_not_loaded(case: Case) -> Decision | None:
    """While a Sync has no revision, an object's label and our entry on it say what Git declared: its values are as they were."""
    if case.declared is not None or not case.policy.unloaded or case.request.sub_resource == "scale":
        return None
    sync = case.policy.unloaded.get(case.label_before or "")
    if sync is None:
        return None
    if case.request.operation == "DELETE":
        return None if case.terminating else case.refuse("GitNotLoaded", sync=sync)
    ours = case.our_old_entry
    if case.by_person and ours is not None and is_wiped(ours, case.request):
        return case.refuse("GitNotLoaded", sync=sync)
    old, new = case.request.difference
    found = drift.changes(old, new, git=old, declared=ours.fields.tree if ours else fields.EMPTY.tree)
    allowed = allowed_additions(case.key, scale=None)
    strict = case.by_person and case.policy.of(sync).additions == "Deny"

    def may_not(change: Change) -> bool:
        if change.nature is not Nature.ADDITION:
            return True
        if case.by_person and _is_tampering(change):
            return True
        # Whose a value is that stood there before nobody can tell once our entry is gone.
        return (strict and change.path not in allowed) or (ours is None and change.old is not MISSING)

    settled = drift.settled(found, granular=case.is_granular)
    wrong = [change for change in settled if not case.is_free(change) and may_not(change)]
    return case.refuse("GitNotLoaded", wrong, sync=sync) if wrong else None


def not_declared(case: Case) -> Decision | None:
    """Nobody's business but its owner's, unless somebody else passes it off as Guard's, or puts it where only Git does."""
    if case.declared is not None:
        return None
    request = case.request
    if request.operation == "DELETE" or (request.sub_resource and request.operation != "UPDATE"):
        return case.allow("NotDeclared")
    if case.by_person and case.label_after is not None and case.label_after != case.label_before:
        old = case.label_before or MISSING
        label = Change(nature=Nature.ADDITION, path=LABEL_PATH, git=MISSING, old=old, new=case.label_after)
        return case.refuse("ForeignLabel", [label])
    if request.field_manager in {FIELD_MANAGER, REPAIR_MANAGER}:
        return case.refuse("ForeignFieldManager")
    if case.by_person and request.operation == "CREATE":
        sync = case.policy.strict.get(case.key.namespace)
        if sync is not None and case.key.group not in _QUESTIONS and request.resource.resource != _EVENTS:
            return case.refuse("StrictNamespace", sync=sync)
    return case.allow("NotDeclared")


def other_version(case: Case) -> Decision | None:
    """Where Git declares one kind in two versions, the API server asks in both; paths mean nothing in another version, and the
    question in Git's own gets the answer.
    """
    request = case.request
    # A subresource's review has a kind of its own.
    version = request.resource.version if request.sub_resource else request.kind.version
    if case.declared is not None and version != case.declared.kind.version:
        return case.allow("OtherVersion")
    return None


def subresource(case: Case) -> Decision | None:
    """What is made through a subresource is no change of the object: bindings, evictions, tokens."""
    if case.request.sub_resource and case.request.operation != "UPDATE":
        return case.allow("Subresource")
    return None


def deletion(case: Case) -> Decision | None:
    if case.request.operation != "DELETE":
        return None
    if case.terminating:
        return case.allow("AlreadyTerminating")
    return case.refuse("DeclaredObjectDeleted")


def creation(case: Case) -> Decision | None:
    """Creating what Git declares, before Guard does, takes Git's values in every declared field. Our own label is not asked
    for, since Guard puts it there, but another Sync's is refused.
    """
    if case.request.operation != "CREATE" or case.declared is None:
        return None
    if case.view.has_ended(case.declared):
        return case.refuse("JobHasEnded")
    wrong = list(unlike_git(case, case.declared))
    if case.by_person:
        wrong += handed_over(case)
    return case.refuse("CreatedUnlikeGit", wrong) if wrong else None


def tampering(case: Case) -> Decision | None:
    """People may not cut an object loose from Guard, nor hand it to another owner or the garbage collector."""
    if case.request.operation != "UPDATE" or not case.by_person:
        return None
    found = [change for change in case.changes if _is_tampering(change)]
    if found:
        # One answer for all that is wrong with the request: a PUT without our label usually changes more.
        wrong = [change for change in case.changes if change.nature is not Nature.ADDITION and change not in found]
        return case.refuse("DeclaredFieldChanged" if wrong else "Tampering", [*found, *wrong])
    if case.our_old_entry and is_wiped(case.our_old_entry, case.request):
        return case.refuse("ManagedFieldsWiped")
    return None


def _is_tampering(change: Change) -> bool:
    return change.path == LABEL_PATH or change.path[:2] in {_OWNERS, FINALIZERS}


def declared_fields(case: Case) -> Decision | None:
    """A declared field changed to something that is not Git's value."""
    if case.request.operation != "UPDATE":
        return None
    wrong = [change for change in case.changes if change.nature is not Nature.ADDITION]
    if wrong:
        return case.refuse("DeclaredFieldChanged", wrong)
    return None


def forged_entries(case: Case) -> Decision | None:
    """ManagedFields are written by the client, and healing goes by them: what our entry holds and Git does not declare would be
    taken away by our next apply, and what a person's tool holds as an addition. So nobody puts more into our entry, and people
    leave machines what they hold: what nobody or a person's tool holds would pass for a person's addition.
    """
    request = case.request
    # A map that only lost fields of ours shows as one itself.
    if any(not case.left.holds(path) and not reaches(case.declared_fields, path) for path in padding(request).paths()):
        return case.refuse("ForeignFieldManager")
    if request.operation != "UPDATE" or not case.by_person or not request.rewritten:
        return None
    return case.refuse("Tampering") if is_disowned(request, case.managers) or is_misplaced(request) else None


def additions(case: Case) -> Decision | None:
    """People add nothing to declared objects but what the list allows, nor change or remove what machines added; machines may."""
    if case.request.operation != "UPDATE" or not case.by_person or case.enforcement.additions == "Allow":
        return None
    allowed = allowed_additions(case.key, scale=case.declared.scale if case.declared else None)
    added = [
        change
        for change in case.changes
        if change.path not in allowed
        and not case.is_undone(change)
        and not case.is_allocated(change)
        and not case.is_following(change)
        and not case.is_aggregated(change)
    ]
    if added:
        return case.refuse("Addition", added)
    return None


# The numbers are those of the design's fifth chapter. What a rule refuses, break-glass, the Sync's mode and exemptions may still
# let through (3): `Case.refuse`.
RULES: tuple[Callable[[Case], Decision | None], ...] = (
    sync_controller,  # 1
    break_glass,  # 3
    scale,  # 11, before 2: the control plane is let through but for scaling what Git declares
    control_plane,  # 2
    cascade,  # 4
    owner_given,  # 4
    git_not_loaded,  # 5, of a Sync that has no revision yet
    not_declared,  # 5
    other_version,  # 8: paths are never compared across versions
    subresource,  # 9: what is made through a subresource
    deletion,  # 6
    creation,  # 7
    tampering,  # 10
    declared_fields,  # 8
    forged_entries,  # 10: managedFields that the client made up
    additions,  # 9
)


# The reason that lets an update pass.
HARMLESS = "NothingDeclaredChanged"


def harmless(case: Case) -> Decision:
    """What no rule has a word against."""
    return case.allow("CreatedLikeGit" if case.request.operation == "CREATE" else HARMLESS)


def decide(*, review: Review, view: View, policy: Policy, now: datetime, acting: bool = False) -> Decision:
    """Judge one review; `acting` says that it proves to be Guard's own, in the name of a Sync's service account. Raises
    DecodeError when an object that matters cannot be read; the caller denies then.
    """
    return answered(Case(review.request, view=view, policy=policy, now=now, acting=acting))


def answered(case: Case) -> Decision:
    """The same of a case, for who needs to know more of it."""
    for rule in RULES:
        decision = rule(case)
        if decision is not None:
            return decision
    return harmless(case)
