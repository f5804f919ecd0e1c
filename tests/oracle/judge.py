"""The oracle: what DESIGN section 5 says of a change, told from the objects before and after it and from what Guard's own apply
would make of each. Written anew on purpose: nothing of the decision under test is imported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

from guard.base import codec
from guard.base.codec import Json, JsonObject, child, children, is_array, is_object
from guard.state.ids import FIELD_MANAGER, SYNC_LABEL
from tests.oracle.edits import at
from tests.oracle.kinds import Sort

Path = tuple[str, ...]
ABSENT = "(absent)"

# What of the metadata somebody can declare; the rest is the API server's.
_METADATA = ("labels", "annotations", "finalizers", "ownerReferences")
_LABEL: Path = ("metadata", "labels", SYNC_LABEL)
_FINALIZERS: Path = ("metadata", "finalizers")
# What tells the items of a list apart, by the list's name; lists of other names go by their items' names, where those differ.
_KEYS: dict[str, tuple[str, ...]] = {
    "ownerReferences": ("uid",),
    "volumeMounts": ("mountPath",),
    "hostAliases": ("ip",),
    "taints": ("key", "effect"),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "manyKeys": ("host", "port", "protocol"),
}
# Lists of named items that are one value to the API server all the same.
_ATOMIC = frozenset({"subjects", "atomicList"})
_PORTS = ("containerPort", "port", "protocol")
_ORDER = "(order)"
# Of a DaemonSet the API server itself counts the templates.
_SERVERS_OWN = "deprecated.daemonset.template.generation"


class Verdict(msgspec.Struct, frozen=True):
    """What has to become of the request. `either` where the rules leave it open."""

    expected: Literal["allow", "refuse", "either"]
    why: str


class Facts(msgspec.Struct, frozen=True):
    """The live object before and after the request, and what a forced apply of the manifest by Guard makes of each. `after` is
    None when the object is gone, the applied ones when the apply fails. `by_person` holds for machines with a person's tool, too;
    `by_user_agent` when only managedFields name that tool. `person_added`: a person had added or changed something before.
    """

    sort: Sort
    operation: Literal["CREATE", "UPDATE"]
    by_person: bool
    before: JsonObject
    after: JsonObject | None
    applied_before: JsonObject | None
    applied_after: JsonObject | None
    replicas_declared: bool = False
    taints_declared: bool = False
    person_added: bool = False
    under_our_name: bool = False
    by_user_agent: bool = False


Differences = Mapping[Path, tuple[Json, Json]]


def judge(facts: Facts) -> Verdict:
    """The rules in DESIGN's order; the first that speaks counts."""
    if facts.operation == "CREATE":
        verdict = _creation(facts)
    elif open_question := _left_open(facts):
        verdict = Verdict("either", open_question)
    else:
        wrong = _declared(facts) or _tampering(facts) or _additions(facts)
        verdict = wrong or Verdict("allow", "no drift and nothing added")
    if verdict.expected == "allow" and facts.under_our_name:
        return Verdict("either", "harmless, but under the field manager of Guard's own")
    if verdict.expected == "allow" and set(_doubled(facts.after)) - set(_doubled(facts.before)):
        return Verdict("either", "a key twice, which does not trouble an apply")
    return verdict


def _left_open(facts: Facts) -> str:
    """Why nobody can say what is right, empty where somebody can."""
    if facts.after is None:
        # Its finalizers may go; what else the same request changed cannot be told any more.
        return "what was going is gone" if _is_terminating(facts) else ""
    if _label(facts.before) is None and _label(facts.after) is None:
        return "without our label the webhook is not asked; healing restores it"
    if facts.applied_before is None:
        return "Guard could not apply it before"
    if facts.by_user_agent and _our_entry(facts.after) is None:
        return "the tool is named in managedFields only, which the request itself rewrote"
    replicas = facts.sort.replicas
    if replicas is not None and at(facts.before, replicas) is None and at(facts.after, replicas) == 0:
        return "a Scale tells no replicas from none"
    return ""


def _declared(facts: Facts) -> Verdict | None:
    """What Guard's next apply would have to put right, and would not have had to before."""
    if facts.after is None or facts.applied_before is None:
        return Verdict("refuse", "deleted by an update")
    if facts.applied_after is None:
        if _is_terminating(facts) and _is_fewer(facts, "finalizers"):
            # It takes no finalizer back.
            changed = differences(comparable(facts.before), comparable(facts.after))
            others = any(path[:2] != _FINALIZERS for path in changed)
            return Verdict("either", "what is going, and more than its finalizers") if others else None
        return Verdict("refuse", "Guard cannot apply any more")
    before, after = ({*map(_of_fields, _doubled(comparable(body)))} for body in (facts.before, facts.after))
    doubled = before & after
    was = differences(comparable(facts.before), comparable(facts.applied_before))
    now = differences(comparable(facts.after), comparable(facts.applied_after))
    drift = {
        path: pair for path, pair in now.items() if was.get(path) != pair and not _may_go(path, facts) and not _is_order(path)
    }
    if drift and all(path[-1] == _ORDER and path in was for path in drift):
        return Verdict("either", "an order that was wrong before, of other items now")
    if drift and all(path in was and _of_fields(path) in doubled for path in drift):
        return Verdict("either", "a key that stood twice before, elsewhere now")
    if drift:
        return Verdict("refuse", f"drift in {_shown(drift)}")
    if any(_is_beside(path, now) for path in was.keys() - now.keys()):
        return Verdict("either", "back to Git in a part of what may be one value")
    return None


def _is_beside(path: Path, others: Differences) -> bool:
    """Whether another field of the same map differs: without a schema nobody knows whether the map is one value."""
    if path[:2] in {("metadata", "labels"), ("metadata", "annotations")} or path[0] == "data":
        return False
    return any(path[:-1] == other[:-1] for other in others)


def _tampering(facts: Facts) -> Verdict | None:
    """Changes of labels, owners and finalizers are additions as well; what is left is the record of who owns what. Losing it is
    harmless where somebody else took every field, as a forced apply does whose values are written differently.
    """
    if not facts.by_person or facts.after is None or _our_entry(facts.after) is not None:
        return None
    ours = _our_entry(facts.before)
    if ours is None:
        return None
    others = {path for entry in children(child(facts.after, "metadata"), "managedFields") for path in _owned(entry)}
    lost = any(path not in others and _holds(facts.after, path) for path in _owned(ours))
    return Verdict("refuse", "our entry wiped") if lost else None


def _additions(facts: Facts) -> Verdict | None:
    """What a person changes beside what Git declares, but for the list, and for what Guard's own apply would have done."""
    if not facts.by_person or facts.after is None or facts.applied_before is None:
        return None
    after = comparable(facts.after)
    unlike_git = differences(comparable(facts.applied_before), after)
    wrong = {
        path: pair
        for path, pair in differences(comparable(facts.before), after).items()
        if any(_touch(path, other) for other in unlike_git)
        and not _is_order(path)
        and not _is_begun(path, pair, facts)
        and not _is_allowed(path, facts)
        and not _may_go(path, facts)
        # The API server picks a node port for every port that comes back.
        and not (facts.sort.name == "Service" and path[-1] == "nodePort" and _is_absent(pair[0]))
    }
    if not wrong:
        return None
    if all(path[-1] == _ORDER for path in wrong):
        return Verdict("either", "the order of what Git does not declare")
    if facts.by_user_agent and all(_is_absent(new) for _, new in wrong.values()):
        return Verdict("either", "the tool is named in managedFields only, and taking away leaves no entry there")
    if facts.person_added and all(_is_absent(new) or new == [] for _, new in wrong.values()):
        return Verdict("either", "a person's addition taken away")
    return Verdict("refuse", f"addition in {_shown(wrong)}")


def _creation(facts: Facts) -> Verdict:
    """Every declared path has to have Git's value; extras are healed away, and our label comes with the next apply."""
    if facts.after is None or facts.applied_after is None:
        return Verdict("refuse", "Guard cannot apply it")
    found = differences(comparable(facts.after), comparable(facts.applied_after))
    drift = {path: pair for path, pair in found.items() if not (path == _LABEL and pair[0] == ABSENT) and not _is_order(path)}
    if drift:
        return Verdict("refuse", f"created unlike Git in {_shown(drift)}")
    handed_over = [name for name in ("finalizers", "ownerReferences") if facts.by_person and _named_more(facts, name)]
    return Verdict("refuse", f"created with {handed_over}") if handed_over else Verdict("allow", "created like Git")


def _is_fewer(facts: Facts, name: str) -> bool:
    """Whether the metadata has lost some of them."""
    there: list[Json] = child(facts.before, "metadata").get(name) or []
    left: list[Json] = child(facts.after or {}, "metadata").get(name) or []
    return any(item not in left for item in there)


def _named_more(facts: Facts, name: str) -> bool:
    """Whether the metadata names more of them than Git's object has."""
    known: list[Json] = child(facts.applied_before or {}, "metadata").get(name) or []
    named: list[Json] = child(facts.after or {}, "metadata").get(name) or []
    return any(item not in known for item in named)


def _is_allowed(path: Path, facts: Facts) -> bool:
    """The one list of what people may do (DESIGN section 5, rule 9)."""
    annotation = path[2] if path[:2] == ("metadata", "annotations") and len(path) > 2 else ""
    if annotation in {"kubectl.kubernetes.io/last-applied-configuration", "kubernetes.io/change-cause"}:
        return True
    if facts.sort.name in {"Deployment", "StatefulSet", "DaemonSet"}:
        restarted = ("spec", "template", "metadata", "annotations", "kubectl.kubernetes.io/restartedAt")
        if path == restarted:
            return True
    if facts.sort.replicas is not None and path == facts.sort.replicas and not facts.replicas_declared:
        return True
    if path[:2] == ("spec", "ephemeralContainers"):
        return True
    if facts.sort.name == "Node":
        return path == ("spec", "unschedulable") or (path[:2] == ("spec", "taints") and not facts.taints_declared)
    return False


def _touch(one: Path, other: Path) -> bool:
    """The same field, or one within the other: lists whose items nothing tells apart differ as a whole."""
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def _is_begun(path: Path, pair: tuple[Json, Json], facts: Facts) -> bool:
    """Whether a map of Git's that was gone comes back empty: nothing stands there yet."""
    return _is_absent(pair[0]) and pair[1] == {} and bool(is_object(there := at(facts.applied_before, path)) and there)


def _is_terminating(facts: Facts) -> bool:
    return "deletionTimestamp" in child(facts.before, "metadata")


def _may_go(path: Path, facts: Facts) -> bool:
    """Finalizers of what is going."""
    return path[:2] == _FINALIZERS and _is_terminating(facts)


def _is_order(path: Path) -> bool:
    """The order of taints, which means nothing."""
    return path == ("spec", "taints", _ORDER)


def _label(body: JsonObject) -> Json:
    return child(child(body, "metadata"), "labels").get(SYNC_LABEL)


def _our_entry(body: JsonObject) -> JsonObject | None:
    for entry in children(child(body, "metadata"), "managedFields"):
        if entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Apply":
            return entry
    return None


def _owned(entry: JsonObject) -> Iterator[Path]:
    """The leaves of an entry's FieldsV1."""

    def leaves(fields: JsonObject, path: Path) -> Iterator[Path]:
        for name, below in fields.items():
            yield from leaves(below, (*path, name)) if below else [(*path, name)]

    yield from leaves(child(entry, "fieldsV1"), ())


def _holds(value: Json, path: Path) -> bool:
    """Whether the object has anything there; what is below list items is taken to be."""
    for element in path:
        if not element.startswith("f:"):
            return True
        value = value.get(element[2:]) if is_object(value) else None
    return value is not None


def _shown(found: Differences) -> str:
    return ", ".join(".".join(path) for path in sorted(found)[:3])


def comparable(body: JsonObject) -> JsonObject:
    """The object without what is the API server's: identity, `.status`, managedFields, versions."""
    metadata = {name: value for name in _METADATA if (value := child(body, "metadata").get(name))}
    if _SERVERS_OWN in child(metadata, "annotations"):
        metadata["annotations"] = {name: value for name, value in metadata["annotations"].items() if name != _SERVERS_OWN}
    rest = {name: value for name, value in body.items() if name not in {"apiVersion", "kind", "metadata", "status"}}
    return {**rest, "metadata": metadata}


def differences(left: Json, right: Json) -> Differences:
    """Where two objects differ: the value of each by path, ABSENT where there is none."""
    found: dict[Path, tuple[Json, Json]] = {}
    _compare(left, right, (), found)
    return found


def _compare(left: Json, right: Json, path: Path, found: dict[Path, tuple[Json, Json]]) -> None:
    if _same(left, right):
        return
    # What comes or goes is named field by field, so that an allowed field is told apart from others that came along.
    one: Json = {} if _is_absent(left) and is_object(right) and right else left
    other: Json = {} if _is_absent(right) and is_object(left) and left else right
    if is_array(one) and one and _is_absent(other):
        other = []
    elif is_array(other) and other and _is_absent(one):
        one = []
    if is_object(one) and is_object(other):
        for name in one.keys() | other.keys():
            _compare(one.get(name, ABSENT), other.get(name, ABSENT), (*path, name), found)
    elif is_array(one) and is_array(other) and (one or other):
        _compare_lists(one, other, path, found)
    else:
        found[path] = (ABSENT if _is_absent(left) else left, ABSENT if _is_absent(right) else right)


def _compare_lists(left: list[Json], right: list[Json], path: Path, found: dict[Path, tuple[Json, Json]]) -> None:
    """Item by item where a key or the value itself tells all of them apart; as a whole otherwise."""
    keys = _keys(path, [*left, *right])
    if keys is None or any(_are_doubled(items, keys) for items in (left, right)):
        found[path] = (left, right)
        return
    before, after = ({_key(item, keys): item for item in items} for items in (left, right))
    for key in before.keys() | after.keys():
        _compare(before.get(key, ABSENT), after.get(key, ABSENT), (*path, f"[{key}]"), found)
    was, now = [key for key in before if key in after], [key for key in after if key in before]
    if was != now:
        found[(*path, _ORDER)] = (was, now)


def _keys(path: Path, items: list[Json]) -> tuple[str, ...] | None:
    """The names of the keys; none for scalars, which stand for themselves; None where the items have none."""
    if not any(is_object(item) or is_array(item) for item in items):
        return ()
    name = path[-1] if path else ""
    if name in _ATOMIC:
        return None
    keys = _KEYS.get(name) or (_PORTS if name == "ports" else ("name",))
    fit = all(is_object(item) and any(key in item for key in keys) for item in items)
    return keys if fit else None


def _are_doubled(items: list[Json], keys: tuple[str, ...]) -> bool:
    return len({_key(item, keys) for item in items}) < len(items)


def _doubled(value: Json, path: Path = ()) -> Iterator[Path]:
    """The lists in which a key stands twice."""
    if is_object(value):
        for name, item in value.items():
            yield from _doubled(item, (*path, name))
    elif is_array(value):
        keys = _keys(path, value)
        if keys is not None and _are_doubled(value, keys):
            yield path
        for number, item in enumerate(value):
            yield from _doubled(item, (*path, str(number)))


def _of_fields(path: Path) -> Path:
    """The path without the steps that name list items."""
    return tuple(step for step in path if not step.startswith("[") and not step.isdigit())


def _key(item: Json, keys: tuple[str, ...]) -> str:
    if not keys:
        return codec.encode(item).decode()
    return ",".join(str(item.get(key, "")) for key in keys)


def _is_absent(value: Json) -> bool:
    return value is None or (isinstance(value, str) and value == ABSENT)


def _same(left: Json, right: Json) -> bool:
    if _is_absent(left) or _is_absent(right):
        return _is_absent(left) and _is_absent(right)
    return codec.canonical(left) == codec.canonical(right)  # unlike Python's ==, tells true from 1
