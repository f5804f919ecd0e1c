"""What a refused person reads: what Git says, where it says so, and what to do.

kubectl prints the text after `admission webhook "..." denied the request: `, and desktop tools may show one line only, so the
first line stands on its own. Values of Secrets, and of what is encrypted in Git, are never shown.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from functools import cached_property
from typing import TypeAlias

import msgspec
from msgspec import structs

from guard.admission.case import Case, Decision
from guard.admission.values import HIDDEN, cut_middle, hidden, shown_pair, shown_path
from guard.audit import FieldChange
from guard.base import naming
from guard.base.codec import JsonObject
from guard.base.naming import printable
from guard.state.builtin import GROUPS
from guard.state.desired import Declared
from guard.state.drift import Change, Nature
from guard.state.equality import MISSING
from guard.state.fields import Path
from guard.state.ids import LABEL_PATH, SYNC_LABEL, UNREAD
from guard.state.secrecy import Secrecy, secrecy_of

MOST_FIELDS = 10  # a screen holds them; the rest is a count
MOST_RECORDED = 100  # more than anybody reads; a ConfigMap may hold ten thousand keys

LONGEST_HEADLINE = 100  # characters, unless the words alone are longer: what one line of a terminal or a toast holds
LONGEST_LINE = 360  # of a field: a path of 160 with two values
SHORTEST_PATH = 30  # to which a path is cut, whatever stands behind it

# Past 4,096 characters in all the API server cuts every warning to 256 (apiserver, endpoints/filters/warning.go). Lines of at
# most 256 are never cut, and 14 of them (headline, fields, a count, place, hint) stay below the sum.
LONGEST_WARNING = 256

# Of a path in an audit annotation: the API server limits none, but who keeps its log may limit the event. Ten are below 1 KiB.
LONGEST_NOTED = 96


_HEADLINES = {
    "Addition": "{object} is managed from Git, which does not declare this, so it {refused}.",
    "CascadeNotLoaded": "{object} may hold what is in Git, not loaded yet, so this {refused}.",
    "CreatedUnlikeGit": "{object} is managed from Git, so creating it with other content {refused}.",
    "DeclaredObjectDeleted": "{object} is managed from Git, so deleting it {refused}.",
    "DefinitionHasDeclared": "{object} has {instances} managed from Git, so deleting it {refused}.",
    "DefinitionHandedOver": "{object} has {instances} managed from Git, so giving it an owner {refused}.",
    "ForeignFieldManager": "{object} {may_not} be written in the name of Guard's own field managers.",
    "ForeignLabel": "{object} is not managed from Git, so it {may_not} carry the label " + SYNC_LABEL + ".",
    "GitNotLoaded": "{object} is managed from Git, which Guard has not loaded yet, so this change {refused}.",
    "JobHasEnded": "{object} has run as Git says and gone by its time to live, so creating it {refused}.",
    "ManagedFieldsWiped": "{object} is managed from Git, so its managedFields {cannot} be wiped.",
    "NamespaceHoldsDeclared": "{object} holds {objects} managed from Git, so deleting it {refused}.",
    "NamespaceHandedOver": "{object} holds {objects} managed from Git, so giving it an owner {refused}.",
    "ReplicasDeclared": "{object} is managed from Git, so scaling it {refused}.",
    "ScaleNotLoaded": "{object} may be managed from Git, not loaded yet, so scaling it {refused}.",
    "StrictNamespace": "{object} is not in Git, so creating it in this namespace {refused}.",
    "Tampering": "{object} is managed from Git, so its ownership {cannot} be changed by hand.",
}
_HEADLINE = "{object} is managed from Git, so this change {refused}."

_REFUSED = {"refused": "is refused", "cannot": "cannot", "may_not": "may not"}
_TOLERATED = {"refused": "would be refused under Deny", "cannot": "should not", "may_not": "should not"}
_EXEMPTED = {**_TOLERATED, "refused": "would be refused without an exemption"}
_OPENED = {**_TOLERATED, "refused": "would be refused without break-glass"}

# What the objects that would go along have to be open for.
_CASCADES = frozenset(
    {"CascadeNotLoaded", "DefinitionHasDeclared", "DefinitionHandedOver", "NamespaceHoldsDeclared", "NamespaceHandedOver"}
)

# What people set to get something done, for which Git is the way as well.
_ANY = ""
_HINTS: dict[tuple[str, Path], str] = {
    ("Deployment", ("f:spec", "f:paused")): "to pause a rollout, declare it in Git",
    ("Job", ("f:spec", "f:suspend")): "to suspend it, declare it in Git",
    ("CronJob", ("f:spec", "f:suspend")): "to suspend it, declare it in Git",
    ("PersistentVolumeClaim", ("f:spec", "f:resources", "f:requests", "f:storage")): "to grow it, declare the size in Git",
    (_ANY, ("f:metadata", "f:labels", "f:app.kubernetes.io/managed-by")): "for Helm to take it over, remove it from Git first",
    (_ANY, ("f:metadata", "f:annotations", "f:meta.helm.sh/release-name")): "for Helm to take it over, remove it from Git first",
}


class Located(msgspec.Struct, frozen=True):
    """Where Git says so: the line (from 1) of each path that was asked for, and a web link to the first of them, or to the
    object where none was; empty where there is none.
    """

    lines: tuple[int, ...] = ()
    url: str = ""


Locate: TypeAlias = Callable[[Declared, tuple[Path, ...]], Located]


def at_the_object(declared: Declared, paths: tuple[Path, ...]) -> Located:
    """Where nothing is known but the line in which the object begins."""
    return Located(lines=(declared.origin.line,) * len(paths))


def field_changes(case: Case, decision: Decision) -> tuple[FieldChange, ...]:
    """The first MOST_RECORDED changes as texts, without values that are shown to nobody: what journal, message and warnings
    share.
    """
    secrecy = _secrecy(case, decision)
    return tuple(_field(change, secrecy) for change in decision.changes[:MOST_RECORDED])


def _secrecy(case: Case, decision: Decision) -> Secrecy:
    if decision.declared is not None:
        return decision.declared.secrecy
    # Before Git is loaded nobody knows which of a Sync's objects are encrypted in it.
    resource, unknown = case.request.resource, decision.sync in case.policy.decrypting
    kind = "Secret" if resource.resource == "secrets" else case.request.kind.kind
    return secrecy_of(structs.replace(case.key, group=resource.group, kind=kind), confidential=unknown)


def _field(change: Change, secrecy: Secrecy) -> FieldChange:
    path = shown_path(secrecy.shown(change.path))
    # Annotations, too: tools keep copies of the data there (kubectl's last-applied-configuration, OpenShift's token-secret).
    if secrecy.hides(change.path):
        return FieldChange(path=path, git=hidden(change.git), asked=hidden(change.new))
    git, asked = shown_pair(change.git, change.new)
    return FieldChange(path=path, git=git, asked=asked)


def headline(case: Case, decision: Decision) -> str:
    """The first line, which says it all. Long names lose their middle."""
    named = printable(cut_middle(_named(case, decision), 2 * LONGEST_HEADLINE))
    words = {
        "deny": _REFUSED,
        "exempt": _EXEMPTED,
        "open": _OPENED,
    }.get(decision.verdict, _TOLERATED) | {
        "objects": naming.plural(decision.count, "object"),
        "instances": naming.plural(decision.count, "instance"),
    }
    source = naming.source_of(case.view.state.revision(decision.sync))
    template = _HEADLINES.get(decision.reason, _HEADLINE).replace("Git", source)
    room = LONGEST_HEADLINE - len(template.format(object="", **words))
    return template.format(object=cut_middle(named, max(room, LONGEST_HEADLINE // 2)), **words)


def _named(case: Case, decision: Decision) -> str:
    kind = decision.declared.key.kind if decision.declared else case.key.kind
    name = case.request.object_name or "(name to be generated)"
    return naming.titled(kind=kind, namespace=case.request.object_namespace, name=name)


class Wording:
    """One decision in words: a denial's text, its causes for tools, warnings, notes for the API server's audit log."""

    def __init__(
        self,
        case: Case,
        decision: Decision,
        shown: tuple[FieldChange, ...],
        *,
        reference: str,
        revision: str,
        locate: Locate = at_the_object,
    ) -> None:
        self._case = case
        self._revision = revision
        self._source = naming.source_of(revision)
        self._decision = decision
        self._shown = shown
        self._reference = reference
        self._headline = headline(case, decision)
        self._changes = list(zip(decision.changes[:MOST_FIELDS], shown, strict=False))
        self._locate = locate

    @cached_property
    def _located(self) -> Located:
        declared = self._decision.declared
        return self._locate(declared, tuple(change.path for change, _ in self._changes)) if declared else Located()

    def refusal(self) -> str:
        """The whole message of a denial."""
        lines = [self._headline, *(f"  {line}" for line in self._details(LONGEST_LINE))]
        if place := self._place(most=0):
            lines.append(place)
        if self._decision.sync:
            lines.append(f'Emergency: guard break-glass {self._to_open()} --for 30m --reason "..."')
        lines.append(f"Reference: {self._reference} (guard audit --reference {self._reference})")
        return "\n".join(lines)

    def _to_open(self) -> str:
        """What `guard break-glass` has to be told, so that the same request passes."""
        key, decision = self._case.key, self._decision
        kind = decision.declared.key.kind if decision.declared else key.kind
        is_cascade = decision.reason in _CASCADES
        if is_cascade and key.group:
            return f"--sync {shlex.quote(decision.sync)}"
        if is_cascade or not key.name:
            return f"--namespace-wide -n {shlex.quote(key.namespace or key.name)}"
        kind = kind if key.group in GROUPS else f"{kind}.{key.group}"
        of = f" -n {shlex.quote(key.namespace)}" if key.namespace else ""
        return printable(shlex.quote(f"{kind.lower()}/{key.name}") + of)

    def causes(self) -> list[JsonObject]:
        """`status.details.causes` for tools that read the answer: one for each field shown, and the reason code with the place in
        Git and the reference.
        """
        where = self._place(most=0) or self._headline
        causes: list[JsonObject] = [{"reason": self._decision.reason, "message": f"{where} Reference: {self._reference}"}]
        for change, shown in self._changes:
            reason = "FieldValueDuplicate" if change.nature is Nature.DUPLICATE else "FieldValueForbidden"
            causes.append({"reason": reason, "field": shown.path, "message": self._said(change, shown)})
        return causes

    def warnings(self) -> tuple[str, ...]:
        """Under Warn and by break-glass the change passes; kubectl prints each of these on a line of its own."""
        if self._decision.opened:
            opened = (
                f"Open by break-glass {self._decision.opened}: this is recorded, and what {self._source} says comes back "
                "when that ends."
            )
            return (cut_middle(opened, LONGEST_WARNING),)
        lines = [self._headline, *self._details(LONGEST_WARNING), self._place(most=LONGEST_WARNING)]
        # Clients decode what looks like an encoded word of a mail header, and it may stand for anything.
        return tuple(cut_middle(line.replace("=?", "= ?"), LONGEST_WARNING) for line in lines if line)

    def notes(self) -> dict[str, str]:
        """For the API server's audit log, which puts the webhook's name before each: names of fields, no values."""
        decision = self._decision
        notes = {"reason": decision.reason, "reference": self._reference}
        if decision.opened:
            notes["breakGlass"] = decision.opened
        if decision.sync:
            notes["sync"] = decision.sync
        if decision.declared is not None:
            notes["revision"] = self._revision
        if self._changes:
            paths = (cut_middle(shown.path, LONGEST_NOTED) for _, shown in self._changes)
            notes["fields"] = ", ".join([*paths, *self._rest()])
        return notes

    def _details(self, most: int) -> list[str]:
        lines = [self._line(place, most) for place in range(len(self._changes))] + [f"and {rest}" for rest in self._rest()]
        match self._decision.reason:
            case "NamespaceHandedOver" | "DefinitionHandedOver":
                lines.append("An owner that is gone would take them along.")
            case "NamespaceHoldsDeclared" | "DefinitionHasDeclared":
                lines.append(f"Deleting it would delete them, too. Remove them from {self._source} first.")
            case "JobHasEnded":
                lines.append("To have it run again, change its manifest.")
            case "StrictNamespace":
                lines.append(
                    f"{self._decision.sync} has the namespace among its strictNamespaces. Declare the object in {self._source}."
                )
            case "GitNotLoaded" | "CascadeNotLoaded" | "ScaleNotLoaded":
                lines.append(f"What keeps {self._source} from being loaded: guard status {self._decision.sync}".rstrip())
            case _:
                pass
        return lines

    def _rest(self) -> list[str]:
        more = len(self._decision.changes) - len(self._changes)
        return [naming.plural(more, "more field")] if more else []

    def _line(self, place: int, most: int) -> str:
        change, shown = self._changes[place]
        text = f": {self._said(change, shown)}"
        if len(set(self._located.lines)) > 1 and change.git is not MISSING:
            text += f" (line {self._located.lines[place]})"
        return cut_middle(shown.path, max(most - len(text), SHORTEST_PATH)) + text

    def _said(self, change: Change, shown: FieldChange) -> str:
        """What Git says of a field and what was asked for, without its path."""
        if change.nature is Nature.DUPLICATE:
            return "appears twice"
        if change.nature is Nature.ORDER:
            return f"{self._source}'s order is {shown.git}, you asked for {shown.asked}"
        asked = "you asked to remove it" if change.new is MISSING else f"you asked for {shown.asked}"
        if change.new is MISSING and change.path == LABEL_PATH:
            asked += ", as kubectl replace of a file does, and kubectl apply does not"
        if change.git is MISSING:
            if change.old is MISSING:
                asked = "you asked to add it" if shown.asked == HIDDEN else f"you asked to add {shown.asked}"
            said = f"not in {self._source}, {asked}"
        elif shown.git == HIDDEN and shown.asked:
            said = f"differs from {self._source} {HIDDEN}"
        else:
            # Before Git is loaded, the values that it had stand in for it.
            said = f"{self._source} {'had' if self._is_unread else 'has'} {shown.git}, {asked}"
        kind = self._case.key.kind
        hint = _HINTS.get((kind, change.path)) or _HINTS.get((_ANY, change.path))
        return f"{said} ({hint.replace('Git', self._source)})" if hint else said

    @property
    def _is_unread(self) -> bool:
        declared = self._decision.declared
        return self._decision.reason == "GitNotLoaded" or (declared is not None and declared.origin == UNREAD)

    def _place(self, *, most: int) -> str:
        """The line in the source to change, with a link to it, unless that makes it longer than `most`, where that is not 0."""
        declared = self._decision.declared
        if declared is None:
            return ""
        if declared.origin == UNREAD:
            applied = f"; {naming.short_revision(self._revision)} was applied last" if self._revision else ""
            what = f"{self._source}, which Guard could not read since it started{applied}"
            return f"Change it in {what} (guard status {declared.sync})"
        line = self._located.lines[0] if self._located.lines else declared.origin.line
        place = naming.place(declared.origin.file, line)
        made = naming.listed(declared.origin.via, naming.short_revision(self._revision))
        text = f"Change it in {self._source}: {printable(place)} ({printable(made)})"
        linked = f"{text} {self._located.url}" if self._located.url else text
        return text if most and len(linked) > most else linked
