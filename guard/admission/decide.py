"""The decision: may this request pass?

A chain of small rules, tried in the order of RULES; the first that answers wins. Pure: no I/O, no clock, no randomness.
Who asks is known from `userInfo` alone, since managedFields are written by the client.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import cached_property
from typing import Literal

import msgspec

from guard.admission.review import Request, Review
from guard.base.codec import Json, JsonObject, child, is_object
from guard.state import drift, fields
from guard.state.additions import ALLOWED_ADDITIONS, REPLICAS
from guard.state.desired import Declared, View
from guard.state.drift import Change, Nature
from guard.state.equality import MISSING, covers, same
from guard.state.fields import FieldSet, Path
from guard.state.ids import FIELD_MANAGER, REPAIR_MANAGER, SYNC_LABEL, ObjectKey
from guard.state.managed import Entry, entries, our_entry
from guard.state.policy import Enforcement, Policy
from guard.state.requesters import Requester, classify, is_person_tool

Verdict = Literal["allow", "deny", "warn", "audit"]

LABEL_PATH: Path = ("f:metadata", "f:labels", f"f:{SYNC_LABEL}")
_OWNERS: Path = ("f:metadata", "f:ownerReferences")
_FINALIZERS: Path = ("f:metadata", "f:finalizers")


class Decision(msgspec.Struct, frozen=True):
    """What becomes of a request, and why.

    `reason` is a stable code. `declared` is the object that Git declares, where the rule looked it up. `changes` are what the
    request would do that it may not.
    """

    verdict: Verdict
    reason: str
    requester: Requester
    declared: Declared | None = None
    changes: tuple[Change, ...] = ()

    @property
    def allowed(self) -> bool:
        return self.verdict != "deny"


class Case:
    """One request with what rules ask about it, each thing worked out once, and only when a rule asks."""

    def __init__(self, request: Request, *, view: View, policy: Policy, now: datetime) -> None:
        self.request = request
        self.view = view
        self.policy = policy
        self.now = now

    @cached_property
    def requester(self) -> Requester:
        return classify(self.request.user_info.username, sync_user=self.policy.sync_user)

    @cached_property
    def declared(self) -> Declared | None:
        """One lookup. A subresource's review carries the subresource's kind, so the resource names the object's."""
        request = self.request
        kind = request.kind.kind
        if request.sub_resource:
            known = self.view.state.kind_of_resource(group=request.resource.group, resource=request.resource.resource)
            if known is None:
                return None
            kind = known.kind
        key = ObjectKey(
            group=request.resource.group,
            kind=kind,
            namespace=request.object_namespace,
            name=request.object_name,
        )
        return self.view.state.get(key)

    @cached_property
    def git(self) -> JsonObject:
        return self.view.git(self.declared) if self.declared else {}

    @cached_property
    def enforcement(self) -> Enforcement:
        return self.policy.of(self.declared.sync if self.declared else "")

    @cached_property
    def declared_fields(self) -> FieldSet:
        """What our Apply entry owns in the old object, joined with what our last apply was given. Paths of another API version
        are not compared: the same path may mean another field there.
        """
        if self.declared is None:
            return fields.EMPTY
        learned = self.view.fields(self.declared)
        entry = self.our_old_entry
        version = self.declared.kind.api_version
        return learned.union(entry.fields) if entry and entry.api_version == version else learned

    @cached_property
    def our_old_entry(self) -> Entry | None:
        return our_entry(self.request.old)

    @cached_property
    def by_person(self) -> bool:
        """A person, or a machine that writes with a person's tool."""
        if self.requester is Requester.PERSON:
            return True
        return self.requester is Requester.MACHINE and is_person_tool(self.request.field_manager)

    @cached_property
    def terminating(self) -> bool:
        return bool(child(self.request.old, "metadata").get("deletionTimestamp"))

    @cached_property
    def changes(self) -> tuple[Change, ...]:
        """All that the update changes, on declared fields and beside them; but what is going may lose its finalizers, Git's too
        (the API server lets it gain none).
        """
        found = drift.changes(self.request.old, self.request.new, git=self.git, declared=self.declared_fields.tree)
        return tuple(change for change in found if not (self.terminating and change.path[:2] == _FINALIZERS))

    def allow(self, reason: str) -> Decision:
        return Decision(verdict="allow", reason=reason, requester=self.requester, declared=self.declared)

    def refuse(self, reason: str, changes: Iterable[Change] = ()) -> Decision:
        """Refuse, as far as the Sync's enforcement mode goes."""
        verdicts: dict[str, Verdict] = {"Deny": "deny", "Warn": "warn", "Audit": "audit"}
        return Decision(
            verdict=verdicts[self.enforcement.mode],
            reason=reason,
            requester=self.requester,
            declared=self.declared,
            changes=tuple(sorted(changes, key=lambda change: change.path)),
        )


def sync_controller(case: Case) -> Decision | None:
    """Guard itself writes what Git says."""
    if case.requester is Requester.SYNC:
        return case.allow("SyncController")
    return None


def scale(case: Case) -> Decision | None:
    """/scale sets the replicas of its parent. An autoscaler is held to Git as people are, where Git declares replicas."""
    if case.request.sub_resource != "scale" or case.declared is None:
        return None
    wanted = child(case.git, "spec").get("replicas", MISSING)
    if wanted is MISSING or wanted is None:
        return case.allow("ReplicasNotDeclared")
    old, new = (child(body, "spec").get("replicas", 0) for body in (case.request.old, case.request.new))
    if same(old, new) or same(new, wanted):
        return case.allow("SameAsGit")
    change = Change(nature=Nature.DECLARED, path=REPLICAS, git=wanted, old=old, new=new)
    return case.refuse("ReplicasDeclared", [change])


def control_plane(case: Case) -> Decision | None:
    """Never in the way of the cluster's own controllers; what they should not have changed is healed."""
    if case.requester is Requester.CONTROL_PLANE:
        return case.allow("ControlPlane")
    return None


def not_declared(case: Case) -> Decision | None:
    """Nobody's business but its owner's, unless somebody else passes it off as Guard's."""
    if case.declared is not None:
        return None
    if case.request.sub_resource:
        return case.allow("NotDeclared")
    if (case.request.old_head.metadata.labels or {}).get(SYNC_LABEL) in case.policy.unloaded:
        return case.refuse("GitNotLoaded")
    if case.request.operation == "DELETE":
        return case.allow("NotDeclared")
    if case.by_person:
        before = (case.request.old_head.metadata.labels or {}).get(SYNC_LABEL)
        after = (case.request.new_head.metadata.labels or {}).get(SYNC_LABEL)
        if after is not None and after != before:
            label = Change(nature=Nature.ADDITION, path=LABEL_PATH, git=MISSING, old=before or MISSING, new=after)
            return case.refuse("ForeignLabel", [label])
    if case.request.field_manager in {FIELD_MANAGER, REPAIR_MANAGER}:
        return case.refuse("ForeignFieldManager")
    return case.allow("NotDeclared")


def subresource(case: Case) -> Decision | None:
    """Subresources other than /scale do not change what Git declares: status, eviction, tokens, approvals."""
    if case.request.sub_resource:
        return case.allow("Subresource")
    return None


def other_version(case: Case) -> Decision | None:
    """Where Git declares one kind in two versions, the API server asks in both; paths mean nothing in another version, and the
    question in Git's own gets the answer.
    """
    if case.declared is not None and case.request.kind.version != case.declared.kind.version:
        return case.allow("OtherVersion")
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
    if case.request.operation != "CREATE":
        return None
    new = case.request.new
    git = case.git if SYNC_LABEL in child(child(new, "metadata"), "labels") else _unlabelled(case.git)
    known = case.declared_fields
    if known:
        found = drift.changes(git, new, git=git, declared=known.tree)
        wrong = [change for change in found if change.nature is not Nature.ADDITION]
    else:
        wrong = list(_uncovered(new, git, ()))
    return case.refuse("CreatedUnlikeGit", wrong) if wrong else case.allow("CreatedLikeGit")


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


def tampering(case: Case) -> Decision | None:
    """People may not cut an object loose from Guard, nor hand it to another owner or the garbage collector."""
    if case.request.operation != "UPDATE" or not case.by_person:
        return None
    found = [change for change in case.changes if change.path == LABEL_PATH or change.path[:2] in {_OWNERS, _FINALIZERS}]
    if found:
        # One answer for all that is wrong with the request: a PUT without our label usually changes more.
        wrong = [change for change in case.changes if change.nature is not Nature.ADDITION and change not in found]
        return case.refuse("DeclaredFieldChanged" if wrong else "Tampering", [*found, *wrong])
    if case.our_old_entry and _wiped(case.our_old_entry, case.request.new):
        return case.refuse("ManagedFieldsWiped")
    return None


def _wiped(ours: Entry, new: JsonObject) -> bool:
    """Our entry is gone, and with it the only record of who owns some field. Losing it because somebody else took every field of
    it, unchanged, is harmless; fields that are gone themselves are judged as changes.
    """
    if our_entry(new) is not None:
        return False
    left = ours.fields
    for entry in entries(new):
        left = left.minus(entry.fields)
    return LABEL_PATH in left or not child(new, "metadata").get("managedFields")


def declared_fields(case: Case) -> Decision | None:
    """A declared field changed to something that is not Git's value."""
    if case.request.operation != "UPDATE":
        return None
    wrong = [change for change in case.changes if change.nature is not Nature.ADDITION]
    if wrong:
        return case.refuse("DeclaredFieldChanged", wrong)
    return None


def additions(case: Case) -> Decision | None:
    """People add nothing to declared objects but what the list allows; machines may."""
    if case.request.operation != "UPDATE" or not case.by_person or case.enforcement.additions == "Allow":
        return None
    added = [change for change in case.changes if change.path not in ALLOWED_ADDITIONS]
    if added:
        return case.refuse("Addition", added)
    return None


RULES: tuple[Callable[[Case], Decision | None], ...] = (
    sync_controller,
    scale,
    control_plane,
    not_declared,
    subresource,
    other_version,
    deletion,
    creation,
    tampering,
    declared_fields,
    additions,
)


def decide(*, review: Review, view: View, policy: Policy, now: datetime) -> Decision:
    """Judge one review. Raises DecodeError when an object that matters cannot be read; the caller denies then."""
    case = Case(review.request, view=view, policy=policy, now=now)
    for rule in RULES:
        decision = rule(case)
        if decision is not None:
            return decision
    return case.allow("NothingDeclaredChanged")
