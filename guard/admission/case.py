"""One request as the rules see it: who asks, about which object, what Git says of it and what would change.

Pure, as the rules are: no I/O, no clock, no randomness.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

import msgspec

from guard.admission.review import Request
from guard.base.codec import JsonObject, child, is_array, is_object
from guard.base.lazy import lazy
from guard.state import drift, fields
from guard.state.desired import Declared, View
from guard.state.drift import Change
from guard.state.equality import MISSING, same
from guard.state.fields import FieldSet, Path
from guard.state.ids import SYNC_LABEL, ObjectKey
from guard.state.managed import RawEntry, reaches, reaches_below
from guard.state.policy import NOTHING_LEFT, Enforcement, Left, Policy
from guard.state.requesters import Requester, classify, is_person_tool
from guard.state.taints import TAINTS, are_alike

Verdict = Literal["allow", "deny", "warn", "audit", "exempt"]

METADATA = "f:metadata"
FINALIZERS: Path = (METADATA, "f:finalizers")

# What the API server adds to containers, probes, volumes and ports that leave it out; none of it grants anything.
_COMPLETED = frozenset(
    f"f:{name}"
    for name in (
        "defaultMode",
        "failureThreshold",
        "imagePullPolicy",
        "periodSeconds",
        "protocol",
        "resources",
        "scheme",
        "successThreshold",
        "targetPort",
        "terminationMessagePath",
        "terminationMessagePolicy",
        "timeoutSeconds",
    )
)


# What the API server gives a Service whose type needs it.
_ALLOCATED = frozenset(
    f"f:{name}"
    for name in (
        "allocateLoadBalancerNodePorts",
        "clusterIP",
        "clusterIPs",
        "externalTrafficPolicy",
        "healthCheckNodePort",
        "internalTrafficPolicy",
        "ipFamilies",
        "ipFamilyPolicy",
        "nodePort",
        "sessionAffinity",
    )
)


class Decision(msgspec.Struct, frozen=True):
    """What becomes of a request, and why.

    `reason` is a stable code. `sync` is the Sync that has a say in it, `namespace/name`, empty where none has; `declared` the
    object that Git declares, where the rule looked it up. `changes` are what the request would do that it may not, `count` how
    many declared objects a cascade would take.
    """

    verdict: Verdict
    reason: str
    requester: Requester
    sync: str = ""
    declared: Declared | None = None
    changes: tuple[Change, ...] = ()
    count: int = 0

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

    # ---- who asks

    @lazy
    def requester(self) -> Requester:
        return classify(self.request.user_info.username, sync_user=self.policy.sync_user)

    @lazy
    def by_person(self) -> bool:
        """A person, or a machine that writes with a person's tool."""
        if self.requester is not Requester.MACHINE:
            return self.requester is Requester.PERSON
        return any(map(is_person_tool, self.managers))

    @lazy
    def managers(self) -> tuple[str, ...]:
        """The field manager that the request names. One without gets it from its User-Agent, which only its entry shows."""
        named = self.request.field_manager
        return (named,) if named else self.request.writers

    # ---- about which object

    @lazy
    def key(self) -> ObjectKey:
        """A subresource's review may carry the subresource's kind, so the resource names the object's."""
        request = self.request
        kind = request.kind.kind
        if request.sub_resource:
            known = self.view.state.kind_of_resource(group=request.resource.group, resource=request.resource.resource)
            kind = known.kind if known else kind
        return ObjectKey(group=request.resource.group, kind=kind, namespace=request.object_namespace, name=request.object_name)

    @lazy
    def declared(self) -> Declared | None:
        """The one lookup."""
        return self.view.state.get(self.key)

    @lazy
    def label_before(self) -> str | None:
        return _label(self.request.old_head.metadata.labels)

    @lazy
    def label_after(self) -> str | None:
        return _label(self.request.new_head.metadata.labels)

    @lazy
    def terminating(self) -> bool:
        return self.request.old_sections.is_terminating

    # ---- what Git says of it

    @lazy
    def git(self) -> JsonObject:
        return self.view.git(self.declared) if self.declared else {}

    @lazy
    def our_old_entry(self) -> RawEntry | None:
        return self.request.old_sections.ours

    @lazy
    def declared_fields(self) -> FieldSet:
        """What our Apply entry owns in the old object, joined with what our last apply was given. Paths of another API version
        are not compared: the same path may mean another field there.
        """
        if self.declared is None:
            return fields.EMPTY
        learned = self.view.fields(self.declared)
        entry = self.our_old_entry
        fits = entry is not None and entry.api_version == self.declared.kind.api_version
        known = learned.union(entry.fields) if entry and fits else learned
        return known if learned else FieldSet(drift.manifest_fields(self.declared.body, known.tree))

    @property
    def sync(self) -> str:
        """The Sync that declares the object; empty where none does."""
        return self.declared.sync if self.declared else ""

    @lazy
    def enforcement(self) -> Enforcement:
        return self.policy.of(self.sync)

    @lazy
    def left(self) -> Left:
        """What the Sync leaves to this requester's field manager."""
        left = self.enforcement.left(self.key)
        if not left:
            return NOTHING_LEFT
        # A person is nobody's field manager, whatever the request says.
        return left.of(self.managers if self.requester is Requester.MACHINE else ())

    # ---- what the request does to it

    @lazy
    def changes(self) -> tuple[Change, ...]:
        """All that the update changes, on declared fields and beside them, but for what is left to others.

        What is going may lose its finalizers, Git's too (the API server lets it gain none). A subresource other than /resize
        changes metadata at most: `.status`, approvals and ephemeral containers are not Git's.
        """
        old, new = self.request.difference
        if same(old, new):
            return ()
        found = drift.changes(old, new, git=self.git, declared=self.declared_fields.tree)
        if self.declared and (filled := self.view.filled(self.declared)):
            found = drift.refilled(found, filled)
        return tuple(
            change
            for change in drift.settled(found, granular=self.is_granular, default=self.is_default)
            if not (self.terminating and change.path[:2] == FINALIZERS)
            and not self.is_beside(change)
            and not (self.left and self.left.covers(change.path, change.old, change.new))
            and not self.is_node_condition(change)
        )

    def is_granular(self, path: Path) -> bool:
        """Whether the API server counts what the new object holds at `path` field by field: then somebody owns a field below it.
        An atomic value is owned whole.
        """
        return any(reaches_below(entry.fields, path) for entry in self.request.new_sections.managed)

    def is_beside(self, change: Change) -> bool:
        """Whether a subresource changes its own part of the object, which is not Git's."""
        return self.request.sub_resource not in {"", "resize"} and change.path[0] != METADATA

    def is_default(self, change: Change) -> bool:
        """Whether the API server itself put this into a part that comes back: nobody's entry holds it, or it is a plain value of
        a field that the API server completes in pods and services (an update's entry holds those, too).
        """
        if not any(reaches(entry.fields, change.path) for entry in self.request.new_sections.managed):
            return True
        is_plain = not change.new if is_object(change.new) else not is_array(change.new)
        return is_plain and change.path[-1] in _COMPLETED

    def is_node_condition(self, change: Change) -> bool:
        """Whether a node's taints are Git's but for those that come and go with its condition."""
        return change.path == TAINTS and (self.key.group, self.key.kind) == ("", "Node") and are_alike(change.new, change.git)

    def is_allocated(self, change: Change) -> bool:
        """Whether the API server gave a Service this because its type goes back to what Git says (another type is a change)."""
        if (self.key.group, self.key.kind) != ("", "Service") or change.old is not MISSING or change.path[-1] not in _ALLOCATED:
            return False
        old, new = self.request.difference
        return child(old, "spec").get("type") != child(new, "spec").get("type")

    def is_undone(self, change: Change) -> bool:
        """Whether the change takes away what people's tools alone had added."""
        if change.new is not MISSING:
            return False
        owners = [entry.manager for entry in self.request.old_sections.managed if reaches(entry.fields, change.path)]
        return bool(owners) and all(map(is_person_tool, owners))

    # ---- the answers

    def allow(self, reason: str) -> Decision:
        return Decision(verdict="allow", reason=reason, requester=self.requester, sync=self.sync, declared=self.declared)

    def refuse(self, reason: str, changes: Iterable[Change] = (), *, sync: str | None = None, count: int = 0) -> Decision:
        """Refuse, as far as the Sync's enforcement goes: its mode, and whom it exempts. Where no declared object says so, `sync`
        does whose matter it is; nobody's is refused.
        """
        if sync is None:
            sync = self.sync
        enforcement = self.policy.of(sync)
        verdicts: dict[str, Verdict] = {"Deny": "deny", "Warn": "warn", "Audit": "audit"}
        return Decision(
            verdict="exempt" if self._is_exempt(enforcement) else verdicts[enforcement.mode],
            reason=reason,
            requester=self.requester,
            sync=sync,
            declared=self.declared,
            changes=tuple(sorted(changes, key=lambda change: change.path)),
            count=count,
        )

    def _is_exempt(self, enforcement: Enforcement) -> bool:
        if not enforcement.exempt:
            return False
        user, key = self.request.user_info, self.key
        return any(
            exemption.fits(
                user=user.username,
                groups=user.groups or (),
                group=key.group,
                kind=key.kind,
                namespace=key.namespace,
                operation=self.request.operation,
            )
            for exemption in enforcement.exempt
        )


def _label(labels: dict[str, str | None] | None) -> str | None:
    """Our label; a review of a custom resource may show null for what is stored as empty text."""
    return (labels[SYNC_LABEL] or "") if labels and SYNC_LABEL in labels else None
