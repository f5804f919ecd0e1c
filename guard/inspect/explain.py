"""All about one object: what Git says of it, what stands in the cluster and by whom, what people may change, what happened."""

from __future__ import annotations

import asyncio
from pathlib import Path as FilePath
from typing import Literal, TypeAlias

import msgspec

from guard.admission.message import Locate
from guard.apply import told, wanted
from guard.audit import Filter, Record, read
from guard.base.codec import JsonObject, child, children
from guard.base.errors import ApiStatusError, ConfigError
from guard.cluster import Client, object_path
from guard.inspect.compared import Compared, DeclaredField, OtherField, leaves, written
from guard.inspect.resources import find_kind
from guard.state import fields
from guard.state.additions import ALLOWED_ADDITIONS
from guard.state.desired import Declared, View
from guard.state.fields import FieldSet
from guard.state.ids import FIELD_MANAGER, LABEL_PATH, SYNC_LABEL, Kind, ObjectKey
from guard.state.managed import entries, our_fields, reaches
from guard.state.pointers import Field, Pointer
from guard.state.policy import Enforcement, Policy
from guard.state.secrecy import Secrecy, secrecy_of

NOT_FOUND = 404
NEWEST_RECORDS = 10
# Records of other groups' kinds of the same name are read, too, and left out.
MOST_RECORDS = 200

State: TypeAlias = Literal["same", "drifted", "missing", "unknown", "undeclared"]


class Manager(msgspec.Struct, frozen=True, rename="camel"):
    """An entry of managedFields: who wrote, how and when, and the fields that are his, as people write them."""

    manager: str
    operation: str
    subresource: str
    api_version: str
    time: str
    fields: tuple[str, ...]


class Changeable(msgspec.Struct, frozen=True):
    """What people may change without Git, and with which command or by which rule."""

    what: str
    why: str


class Enforced(msgspec.Struct, frozen=True):
    mode: str
    additions: str
    heal: bool


class Explanation(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`state` is `same` (as Git says), `drifted`, `missing` (declared, and not in the cluster), `unknown` with the reason in
    `problem` (the API server would not say), or `undeclared`.

    `label` is the value of our label on the live object, and `labelled_by_guard` whether Guard itself put it there.
    `declared_in_namespace` counts what Git declares in the object's namespace. `records` are the newest, oldest first.
    """

    group: str
    kind: str
    namespace: str
    name: str
    state: State
    problem: str = ""
    sync: str = ""
    revision: str = ""
    file: str = ""
    line: int = 0
    via: str = ""
    url: str = ""
    enforcement: Enforced | None = None
    terminating: bool = False
    label: str = ""
    labelled_by_guard: bool = False
    waiting_for: str = ""
    strict: str = ""
    declared_in_namespace: int = 0
    fields: tuple[DeclaredField, ...] = ()
    others: tuple[OtherField, ...] = ()
    managers: tuple[Manager, ...] = ()
    may_change: tuple[Changeable, ...] = ()
    records: tuple[Record, ...] = ()


async def explain(
    client: Client,
    kind: str,
    name: str,
    *,
    namespace: str,
    view: View,
    policy: Policy,
    locate: Locate,
    journal: FilePath,
) -> Explanation:
    """Explain the object `name` of a kind as kubectl takes it. Reads only: a dry-run apply says what Git's values would be stored
    as. Raises ConfigError for a kind or an object that is not there, ClusterError.
    """
    served = await find_kind(client, kind)
    key = ObjectKey(group=served.group, kind=served.kind, namespace=namespace if served.namespaced else "", name=name)
    declared = view.state.get(key)
    records = await asyncio.to_thread(_records, journal, key)
    if declared is None:
        return await _undeclared(client, served, key, view=view, policy=policy, records=records)
    return await _declared(client, declared, view=view, policy=policy, locate=locate, records=records)


async def _live(client: Client, kind: Kind, key: ObjectKey) -> JsonObject | None:
    try:
        return await client.get(object_path(kind, namespace=key.namespace, name=key.name))
    except ApiStatusError as error:
        if error.code == NOT_FOUND:
            return None
        raise


async def _undeclared(
    client: Client, kind: Kind, key: ObjectKey, *, view: View, policy: Policy, records: tuple[Record, ...]
) -> Explanation:
    live = await _live(client, kind, key)
    if live is None:
        elsewhere = sorted(
            found.key.namespace
            for found in view.state
            if (found.key.group, found.key.kind, found.key.name) == (key.group, key.kind, key.name)
        )
        hint = f"Git declares one in {', '.join(elsewhere)}" if elsewhere else "neither in the cluster nor in Git"
        raise ConfigError(f"there is no {key}", hint=hint)
    # What a Sync declared once, or is about to, may be encrypted in its source, which nobody can tell here.
    label = str(child(child(live, "metadata"), "labels").get(SYNC_LABEL) or "")
    return Explanation(
        group=key.group,
        kind=key.kind,
        namespace=key.namespace,
        name=key.name,
        state="undeclared",
        terminating=_is_terminating(live),
        label=label,
        labelled_by_guard=_is_ours(live),
        waiting_for=policy.unloaded.get(label, ""),
        strict=policy.strict.get(key.namespace, ""),
        declared_in_namespace=sum(view.state.in_namespace(key.namespace or _own_namespace(key)).values()),
        managers=_managers(live, secrecy_of(key, confidential=bool(label))),
        records=records,
    )


def _own_namespace(key: ObjectKey) -> str:
    return key.name if (key.group, key.kind) == ("", "Namespace") else ""


async def _declared(
    client: Client, declared: Declared, *, view: View, policy: Policy, locate: Locate, records: tuple[Record, ...]
) -> Explanation:
    key, enforcement = declared.key, policy.of(declared.sync)
    place = locate(declared, ())
    problem, git = "", None
    live = await _live(client, declared.kind, key)
    try:
        body = wanted(declared.body, live, enforcement.left(key))
        path = object_path(declared.kind, namespace=key.namespace, name=key.name)
        git = await client.apply(path, body, manager=FIELD_MANAGER, force=True, dry_run=True)
    except ApiStatusError as error:
        problem = told(error, declared.secrecy)
    compared = Compared(declared, live, git, view=view, left=enforcement.left(key))
    return Explanation(
        group=key.group,
        kind=key.kind,
        namespace=key.namespace,
        name=key.name,
        state="missing" if live is None else "unknown" if git is None else "drifted" if compared.is_drifted else "same",
        problem=problem,
        sync=declared.sync,
        revision=view.state.revision(declared.sync),
        file=declared.origin.file,
        line=declared.origin.line,
        via=declared.origin.via,
        url=place.url,
        enforcement=Enforced(mode=enforcement.mode, additions=enforcement.additions, heal=enforcement.heal),
        terminating=_is_terminating(live or {}),
        label=str(child(child(live or {}, "metadata"), "labels").get(SYNC_LABEL) or ""),
        labelled_by_guard=_is_ours(live or {}),
        strict=policy.strict.get(key.namespace, ""),
        declared_in_namespace=sum(view.state.in_namespace(key.namespace or _own_namespace(key)).values()),
        fields=compared.declared_fields(locate),
        others=compared.other_fields(),
        managers=_managers(live or {}, declared.secrecy),
        may_change=_may_change(declared, enforcement, compared.ours, opened=view.opened.holder(key, sync=declared.sync)),
        records=records,
    )


def _is_terminating(live: JsonObject) -> bool:
    return bool(child(live, "metadata").get("deletionTimestamp"))


def _is_ours(live: JsonObject) -> bool:
    """Our Apply entry owns the label, and no controller owns the object."""
    controlled = any(owner.get("controller") for owner in children(child(live, "metadata"), "ownerReferences"))
    return not controlled and LABEL_PATH in our_fields(live)


def _managers(live: JsonObject, secrecy: Secrecy) -> tuple[Manager, ...]:
    return tuple(
        Manager(
            manager=entry.manager,
            operation=entry.operation,
            subresource=entry.subresource,
            api_version=entry.api_version,
            time=entry.time or "",
            fields=tuple(dict.fromkeys(written(path, secrecy) for path in leaves(entry.fields))),
        )
        for entry in entries(live)
    )


def _may_change(declared: Declared, enforcement: Enforcement, ours: FieldSet, *, opened: str) -> tuple[Changeable, ...]:
    """What the decision lets people change: the documented list where Git does not declare the field, ignore rules, and what the
    BreakGlass `opened` opens.
    """
    key = declared.key
    found = [
        Changeable(what=fields.written(allowed.path), why=allowed.command)
        for allowed in ALLOWED_ADDITIONS
        if (not allowed.kinds or (key.group, key.kind) in allowed.kinds) and not reaches(ours, allowed.path)
    ]
    if declared.scale is not None and declared.replicas is None:
        found.append(Changeable(what=fields.written(declared.scale), why="kubectl scale"))
    if enforcement.additions == "Allow":
        found.append(Changeable(what="whatever Git does not declare", why="additions: Allow"))
    for rule in enforcement.left(key).rules:
        whom = f", for {', '.join(sorted(rule.managers))}" if rule.managers else ""
        found += [Changeable(what=_pointed(pointer), why=f"ignored by {declared.sync}{whom}") for pointer in rule.paths]
        if not rule.paths:
            found.append(Changeable(what="everything", why=f"ignored by {declared.sync}{whom}"))
    if opened:
        found.append(Changeable(what="everything", why=f"break-glass {opened}, and it is left so until that ends"))
    if enforcement.mode != "Deny":
        healed = ", but it is healed" if enforcement.heal else ""
        found.append(Changeable(what="everything", why=f"mode: {enforcement.mode}{healed}"))
    return tuple(found)


def _pointed(pointer: Pointer) -> str:
    """A pointer of an ignore rule, as people write paths."""
    text = ""
    for step in pointer:
        if isinstance(step, Field):
            element = fields.written((f"f:{step.name}",))
            text += f".{element}" if text and not element.startswith("[") else element
        elif step.value is not None:
            text += f"[{step.value}]"
        else:
            text += "[" + (",".join(f"{name}={value}" for name, value in step.keys) or "*") + "]"
    return text


def _records(journal: FilePath, key: ObjectKey) -> tuple[Record, ...]:
    wanted_records = Filter(kind=key.kind, namespace=key.namespace, name=key.name, limit=MOST_RECORDS)
    found = [record for record in read(journal, wanted_records) if (record.group, record.namespace) == (key.group, key.namespace)]
    return tuple(found[-NEWEST_RECORDS:])
