"""What a refused person reads: what Git says, where it says so, and what to do.

kubectl prints the text after `admission webhook "..." denied the request: `, so the first line stands on its own and the rest is
indented under it. Values of Secrets are never shown.
"""

from __future__ import annotations

from guard.admission.decide import Case, Decision
from guard.audit import FieldChange
from guard.base import codec, naming
from guard.base.codec import Json
from guard.state import fields
from guard.state.drift import Change, Nature
from guard.state.equality import MISSING
from guard.state.ids import SYNC_LABEL

MOST_FIELDS = 10  # a screen holds them; the rest is a count
LONGEST_VALUE = 80  # characters; a value that is longer is cut, since the line in Git shows it whole
SHORT_COMMIT = 7

_LAST_APPLIED = "f:kubectl.kubernetes.io/last-applied-configuration"

_HEADLINES = {
    "DeclaredObjectDeleted": "{object} is managed from Git, so deleting it is refused.",
    "CreatedUnlikeGit": "{object} is managed from Git, so creating it with other content is refused.",
    "ReplicasDeclared": "{object} is managed from Git, so scaling it is refused.",
    "Tampering": "{object} is managed from Git, so its ownership cannot be changed by hand.",
    "ManagedFieldsWiped": "{object} is managed from Git, so its managedFields cannot be wiped.",
    "ForeignLabel": "{object} is not managed from Git, so it may not carry the label " + SYNC_LABEL + ".",
    "ForeignFieldManager": "{object} is not managed from Git, so the field managers guard and guard-repair may not write it.",
    "GitNotLoaded": "{object} is managed from Git, which Guard has not been able to load since it started.",
}
_HEADLINE = "{object} is managed from Git, so this change is refused."


def short_revision(revision: str) -> str:
    """`main@sha1:3f2c1ab...` as `main@3f2c1ab`."""
    name, at, digest = revision.rpartition("@")
    digest = digest.rpartition(":")[2][:SHORT_COMMIT]
    return f"{name}@{digest}" if at else digest


def shown_value(value: Json, *, secret: bool) -> str:
    if secret:
        return "another value (not shown)"
    text = value if isinstance(value, str) else codec.encode(value).decode()
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 3] + "..."


def field_changes(case: Case, decision: Decision) -> tuple[FieldChange, ...]:
    """The changes as texts, Secret values left out: what journal, message and warnings share."""
    secret = case.request.kind.kind == "Secret" and not case.request.kind.group
    return tuple(_field(change, secret=secret and not _public(change)) for change in decision.changes)


def _public(change: Change) -> bool:
    """Of a Secret, metadata may be shown; but for the annotation in which kubectl keeps the whole object."""
    return change.path[:1] == ("f:metadata",) and change.path[-1] != _LAST_APPLIED


def _field(change: Change, *, secret: bool) -> FieldChange:
    def text(value: Json) -> str:
        return "" if value is MISSING else shown_value(value, secret=secret)

    return FieldChange(path=fields.written(change.path), git=text(change.git), asked=text(change.new))


def _line(change: Change, shown: FieldChange) -> str:
    if change.nature is Nature.DUPLICATE:
        return f"{shown.path}: appears twice"
    if change.nature is Nature.ORDER:
        return f"{shown.path}: Git's order is {shown.git}, you asked for {shown.asked}"
    asked = "you asked to remove it" if change.new is MISSING else f"you asked for {shown.asked}"
    if change.git is not MISSING:
        if shown.git == shown.asked:
            return (
                f"{shown.path}: differs from Git (not shown)" if "not shown" in shown.git else f"{shown.path}: differs from Git"
            )
        return f"{shown.path}: Git has {shown.git}, {asked}"
    if change.old is MISSING:
        asked = f"you asked to add {shown.asked}"
    return f"{shown.path}: not in Git, {asked}"


def headline(case: Case, decision: Decision) -> str:
    known = decision.declared
    kind = known.key.kind if known else case.request.kind.kind
    named = naming.titled(kind=kind, namespace=case.request.object_namespace, name=case.request.object_name)
    return _HEADLINES.get(decision.reason, _HEADLINE).format(object=named)


def details(decision: Decision, shown: tuple[FieldChange, ...]) -> list[str]:
    lines = [_line(change, text) for change, text in zip(decision.changes, shown, strict=True)]
    if len(lines) > MOST_FIELDS:
        lines[MOST_FIELDS:] = [f"and {naming.plural(len(lines) - MOST_FIELDS, 'more field')}"]
    return lines


def refusal(case: Case, decision: Decision, shown: tuple[FieldChange, ...], *, reference: str) -> str:
    """The whole message of a denial."""
    lines = [headline(case, decision), *(f"  {line}" for line in details(decision, shown))]
    if decision.declared is not None:
        declared = decision.declared
        lines.append(f"Change it in Git: {declared.origin} ({short_revision(declared.revision)})")
        namespace, _, name = declared.sync.partition("/")
        loosen = """'{"spec":{"enforcement":{"mode":"Warn","heal":false}}}'"""
        lines.append(f"Emergency, for all of {declared.sync}: kubectl patch sync {name} -n {namespace} --type merge -p {loosen}")
    lines.append(f"Reference: {reference} (guard audit --reference {reference})")
    return "\n".join(lines)


def warnings(case: Case, decision: Decision, shown: tuple[FieldChange, ...]) -> tuple[str, ...]:
    """Under Warn the change passes; kubectl prints each of these on a line of its own."""
    first = headline(case, decision).replace("is refused", "would be refused under Deny")
    lines = [first, *details(decision, shown)]
    if decision.declared is not None:
        lines.append(f"Change it in Git: {decision.declared.origin} ({short_revision(decision.declared.revision)})")
    return tuple(lines)
