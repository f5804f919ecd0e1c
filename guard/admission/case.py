"""One request as the rules see it: who asks, about which object, what Git says of it and what would change.

Pure, as the rules are: no I/O, no clock, no randomness.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal

import msgspec

from guard.admission.review import Request
from guard.base.codec import JsonObject, child, is_object
from guard.base.lazy import lazy
from guard.state import drift, fields
from guard.state.additions import field_set
from guard.state.builtin import GROUPS
from guard.state.definition import defaulted
from guard.state.desired import Declared, View
from guard.state.drift import Change
from guard.state.equality import MISSING, same
from guard.state.fields import FieldSet, Path
from guard.state.ids import SYNC_LABEL, ObjectKey
from guard.state.managed import RawEntry, held_by, reaches, reaches_below
from guard.state.policy import NOTHING_LEFT, Enforcement, Left, Mode, Policy
from guard.state.requesters import Requester, is_person_tool
from guard.state.stored import completed
from guard.state.taints import apart
from guard.state.taken import NOTHING_TAKEN, Taken

Verdict = Literal["allow", "deny", "warn", "audit", "exempt", "open"]
_VERDICTS: dict[Mode, Verdict] = {"Deny": "deny", "Warn": "warn", "Audit": "audit"}

METADATA = "f:metadata"
FINALIZERS: Path = (METADATA, "f:finalizers")


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


# Maps of ConfigMaps and Secrets.
_DATA: frozenset[Path] = frozenset({("f:data",), ("f:binaryData",)})


# What the API server fills in, and takes away, as a field beside it says which of several ways is meant.
_FOLLOWS: Mapping[tuple[str, str, Path], tuple[str, JsonObject]] = {
    ("", "Service", ("f:spec", "f:sessionAffinityConfig")): ("sessionAffinity", {"clientIP": {"timeoutSeconds": 10800}}),
    ("apps", "DaemonSet", ("f:spec", "f:updateStrategy", "f:rollingUpdate")): ("type", {"maxSurge": 0, "maxUnavailable": 1}),
    ("apps", "Deployment", ("f:spec", "f:strategy", "f:rollingUpdate")): ("type", {"maxSurge": "25%", "maxUnavailable": "25%"}),
    ("apps", "StatefulSet", ("f:spec", "f:updateStrategy", "f:rollingUpdate")): ("type", {"partition": 0}),
}


class Decision(msgspec.Struct, frozen=True):
    """What becomes of a request, and why.

    `reason` is a stable code. `sync` is the Sync that has a say in it, `namespace/name`, empty where none has; `declared` the
    object that Git declares, where the rule looked it up. `changes` are what the request would do that it may not, `count` how
    many declared objects a cascade would take, `opened` the BreakGlass that lets it pass all the same.
    """

    verdict: Verdict
    reason: str
    requester: Requester
    sync: str = ""
    declared: Declared | None = None
    changes: tuple[Change, ...] = ()
    count: int = 0
    opened: str = ""

    @property
    def allowed(self) -> bool:
        return self.verdict != "deny"


class Case:
    """One request with what rules ask about it, each thing worked out once, and only when a rule asks."""

    def __init__(self, request: Request, *, view: View, policy: Policy, now: datetime, acting: bool = False) -> None:
        """`acting` says that the request carries the proof that Guard itself makes it, in the name of a Sync's account."""
        self.acting = acting
        self.request = request
        self.view = view
        self.policy = policy
        self.now = now

    # ---- who asks

    @lazy
    def requester(self) -> Requester:
        """Guard in the name of a Sync's account is the sync controller, but for what belongs to Syncs that have another."""
        username = self.request.user_info.username
        if self.acting and self.policy.acts_for(username, self._concerned):
            return Requester.SYNC
        return self.policy.requester(username)

    @property
    def _concerned(self) -> Iterable[str]:
        """The Syncs that have a stake in the object, or in what a deletion takes along."""
        unloaded = self.policy.unloaded.get(self.label_before or "", "") if self.policy.unloaded else ""
        found = {self.sync, unloaded} - {""}
        if self.request.operation == "DELETE" and self.held is not None:
            found |= {*self.held, *self.policy.staked}
        return found

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
    def held(self) -> Mapping[str, int] | None:
        """How many declared objects are in this Namespace, or instances of this CustomResourceDefinition, by Sync. None for what
        holds none by its kind.
        """
        match self.request.resource.group, self.request.resource.resource:
            case "", "namespaces":
                return self.view.state.in_namespace(self.request.object_name)
            case "apiextensions.k8s.io", "customresourcedefinitions":
                return self.view.state.of_definition(self.request.object_name)
            case _:
                return None

    @lazy
    def label_before(self) -> str | None:
        return _label(self.request.old_sections.labels)

    @lazy
    def label_after(self) -> str | None:
        return _label(self.request.new_sections.labels)

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
        return known if learned else FieldSet(drift.manifest_fields(self.git, known.tree))

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
        return left.of(() if self.requester is Requester.PERSON else self.managers)

    def is_scale_left(self, path: Path) -> bool:
        """Whether the replicas are left to whoever scales. A Scale carries no managedFields, so what is left to some managers is
        left to every controller, and to no person.
        """
        left = self.left if self.requester is Requester.PERSON else self.enforcement.left(self.key)
        return left.holds(path)

    # ---- what the request does to it

    @lazy
    def changes(self) -> tuple[Change, ...]:
        """All that the update changes, on declared fields and beside them, but for what is left to others. What a machine changes
        in sections of which Git declares nothing is nobody's business.
        """
        old, new = self.request.difference
        if same(old, new):
            return ()
        return tuple(
            change
            for change in self.compare(old, new)
            if not self.is_free(change) and not (self.left and self.left.covers(change.path, change.old, change.new))
        )

    def compare(self, old: JsonObject, new: JsonObject) -> Iterable[Change]:
        """From an object to another, along the declared fields; both without what they have in common. A node's taints are
        compared one by one, though the API server counts them as one value.
        """
        return apart(self.declared.body if self.declared else {}, old, new, self.git, self._compared)

    def _compared(self, old: JsonObject, new: JsonObject, git: JsonObject) -> Iterable[Change]:
        found = drift.changes(old, new, git=git, declared=self.declared_fields.tree, beside=self.by_person)
        if self.declared and (filled := self.view.filled(self.declared)):
            found = drift.refilled(found, filled)
        return drift.settled(found, granular=self.is_granular, default=self.is_default)

    @property
    def taken(self) -> Taken:
        """What a person's write takes into entries of others than Guard with its value as it is: a forced apply of what stands
        there. (A machine's entries are its own.)
        """
        if not self.by_person or not self.request.gained:
            return NOTHING_TAKEN
        old = self.request.old_sections.managed
        persons, others = (held_by(entry for entry in old if entry.is_person is wanted) for wanted in (True, False))
        added = persons.minus(others)
        found = NOTHING_TAKEN
        for entry, gained in self.request.gained:
            if not entry.is_guard and not entry.subresource:
                # With the maps that hold them: an entry that is left with nothing but such a map would own it all.
                leaves = (path for path in gained.paths() if not gained.below(path))
                kept = gained.minus(field_set(path for path in leaves if not self._is_unchanged(path)))
                again = kept.intersection(added)
                found = found.union(Taken(fields=kept.minus(again), again=again, entries=frozenset({entry.identity})))
        return found

    def _is_unchanged(self, path: Path) -> bool:
        value = fields.at(self.request.old, path)
        return value is not MISSING and same(value, fields.at(self.request.new, path))

    def is_granular(self, path: Path) -> bool:
        """Whether the API server counts what the new object holds at `path` field by field: then somebody owns a field below it,
        unless the request wiped managedFields. An atomic value is owned whole.
        """
        if path in _DATA and self.key.group == "" and self.key.kind in {"ConfigMap", "Secret"}:
            return True
        return any(reaches_below(entry.fields, path) for entry in self.request.new_sections.managed)

    def is_free(self, change: Change) -> bool:
        """Whether the change is none of Git's business. What is going may lose its finalizers, Git's too (the API server lets it
        gain none). A subresource other than /resize changes metadata at most: `.status`, approvals and ephemeral containers are
        its own.
        """
        if self.terminating and change.path[:2] == FINALIZERS:
            return True
        return self.request.sub_resource not in {"", "resize"} and change.path[0] != METADATA

    def is_default(self, change: Change) -> bool:
        """Whether the API server itself put this into a part that comes back: nobody's entry holds it, or it is the value with
        which the API server completes such a field (an update's entry holds that, too).
        """
        if not any(reaches(entry.fields, change.path) for entry in self.request.new_sections.managed):
            return True
        if self.key.group not in GROUPS:
            return same(change.new, fields.at(self._defaulted_git, change.path))
        above = fields.at(self.request.new, change.path[:-1])
        return same(change.new, completed(change.path[-1][2:], above if is_object(above) else {}))

    @lazy
    def _defaulted_git(self) -> JsonObject:
        """Git's custom resource with all that its schema fills in, whether Git's or not."""
        return defaulted(self.git, self.declared.definition.schema) if self.declared else {}

    def is_following(self, change: Change) -> bool:
        """Whether this came or went with a way that goes back to what Git says (to another is a change)."""
        beside, default = _FOLLOWS.get((self.key.group, self.key.kind, change.path), ("", {}))
        if not beside or not (change.new is MISSING or (change.old is MISSING and same(change.new, default))):
            return False
        path = (*change.path[:-1], f"f:{beside}")
        return not same(*(fields.at(body, path) for body in self.request.difference))

    def is_allocated(self, change: Change) -> bool:
        """Whether the API server gave a Service this because its type goes back to what Git says (another type is a change)."""
        is_service = (self.key.group, self.key.kind) == ("", "Service") and change.path[0] == "f:spec"
        if not is_service or change.old is not MISSING or change.path[-1] not in _ALLOCATED:
            return False
        old, new = self.request.difference
        return child(old, "spec").get("type") != child(new, "spec").get("type")

    def is_aggregated(self, change: Change) -> bool:
        """Whether rules are emptied that a controller fills from other ClusterRoles and fills again: an apply of the very file in
        Git does so, which has `rules: []` by custom.
        """
        is_filled = self.declared is not None and is_object(self.declared.body.get("aggregationRule"))
        return is_filled and change.path == ("f:rules",) and change.new in (MISSING, [])

    def is_undone(self, change: Change) -> bool:
        """Whether the change takes away what people's tools alone had added."""
        if change.new is not MISSING or change.old is MISSING:
            return False
        owners = [entry.manager for entry in self.request.old_sections.managed if reaches(entry.fields, change.path)]
        return bool(owners) and all(map(is_person_tool, owners))

    # ---- the answers

    def allow(self, reason: str) -> Decision:
        return Decision(verdict="allow", reason=reason, requester=self.requester, sync=self.sync, declared=self.declared)

    def opened(self, sync: str) -> str:
        """The BreakGlass that opens the object, or all of the Sync whose matter it is; empty where none does."""
        return self.view.opened.of(self.key, sync=sync, now=self.now)

    def refuse(
        self,
        reason: str,
        changes: Iterable[Change] = (),
        *,
        sync: str | None = None,
        count: int = 0,
        opened: str | None = None,
    ) -> Decision:
        """Refuse, unless break-glass has it `opened` (where None is given: the object itself), and as far as the Sync's
        enforcement goes: its mode, and whom it exempts. Where no declared object says so, `sync` does whose matter it is;
        nobody's is refused.
        """
        if sync is None:
            sync = self.sync
        if opened is None:
            opened = self.opened(sync)
        enforcement = self.policy.of(sync)
        closed: Verdict = "exempt" if self._is_exempt(enforcement) else _VERDICTS[enforcement.mode]
        return Decision(
            verdict="open" if opened else closed,
            reason=reason,
            requester=self.requester,
            sync=sync,
            declared=self.declared,
            changes=tuple(sorted(changes, key=lambda change: change.path)),
            count=count,
            opened=opened,
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


def _label(labels: dict[str, str | None]) -> str | None:
    """Our label; a review of a custom resource may show null for what is stored as empty text."""
    return (labels[SYNC_LABEL] or "") if SYNC_LABEL in labels else None
