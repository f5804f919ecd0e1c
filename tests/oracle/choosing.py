"""Edits of every kind that people make, at random places of a live object."""

from __future__ import annotations

import copy
from collections.abc import Callable
from random import Random

import msgspec

from guard.base.codec import Json, JsonObject, child, is_array, is_object
from guard.state.ids import SYNC_LABEL
from tests.oracle.edits import Edit, at, places
from tests.oracle.kinds import Path, Target, owner
from tests.oracle.pods import QUANTITIES, SIZES

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class Chooser:
    """Picks edits for one live object."""

    def __init__(self, random: Random, target: Target, live: JsonObject) -> None:
        self.random = random
        self.target = target
        self.live = live
        self.everything = list(places(live))
        self.declared = [(path, item) for path, _ in places(target.manifest) if (item := at(live, path)) is not None]

    def edits(self) -> tuple[Edit, ...]:
        number = self.random.choices([1, 2, 3], [7, 2, 1])[0]
        return tuple(self.one() for _ in range(number))

    def one(self) -> Edit:
        """One edit; of the sorts drawn, the first that the object has a place for."""
        while True:
            made = self.random.choices([*_SORTS], [weight for weight, _ in _SORTS.values()])[0]
            edit = _SORTS[made][1](self)
            if edit is not None:
                return msgspec.structs.replace(edit, sort=made)

    def addition(self) -> Edit:
        """Something beside what is there."""
        made = self.random.choice([Chooser.item, Chooser.entry, Chooser.extra, Chooser.label, Chooser.annotation])(self)
        return made or self.label()

    # ---- the sorts of edits

    def value(self) -> Edit | None:
        """Another value at a scalar; mostly one that Git declares."""
        found = self._pick(self.declared if self.random.random() < 0.6 else self.everything, _is_leaf)
        return found and Edit("", "set", found[0], self._other(*found))

    def notation(self) -> Edit | None:
        """The same quantity in another notation."""
        written = {stored: given for table in (QUANTITIES, SIZES) for given, stored in table.items() if given != stored}
        found = self._pick(self.declared, lambda value: isinstance(value, str) and value in written)
        return found and Edit("", "set", found[0], written[found[1]])

    def as_in_git(self) -> Edit | None:
        """The manifest's own words, a scalar or a whole part."""
        found = self._pick(self.declared, lambda _: True)
        return found and Edit("", "set", found[0], at(self.target.manifest, found[0]))

    def remove(self) -> Edit | None:
        found = self._pick(self.declared if self.random.random() < 0.6 else self.everything, lambda _: True)
        return found and Edit("", "remove", found[0])

    def entry(self) -> Edit | None:
        """Another key in a map."""
        found = self._pick(self.everything, lambda value: is_object(value) and all(isinstance(v, str) for v in value.values()))
        return found and Edit("", "set", (*found[0], "extra"), "ZXh0cmE=" if found[0] == ("data",) else "extra")

    def item(self) -> Edit | None:
        """Another item in a list, like one that is there."""
        found = self._pick(self.everything, lambda value: is_array(value) and len(value) > 0)
        if found is None:
            return None
        path, items = found
        return Edit("", "insert", (*path, self.random.randint(0, len(items))), _renamed(self.random.choice(items)))

    def order(self) -> Edit | None:
        found = self._pick(self.everything, lambda value: is_array(value) and len(value) > 1)
        if found is None:
            return None
        items = [*found[1]]
        if self.random.random() < 0.5:
            items.reverse()
        else:
            items.append(items.pop(0))
        return Edit("", "set", found[0], items)

    def duplicate(self) -> Edit | None:
        """A list item twice, the second one with other content at times."""
        found = self._pick(self.everything, lambda value: is_array(value) and len(value) > 0)
        if found is None:
            return None
        twin = copy.deepcopy(self.random.choice(found[1]))
        if is_object(twin) and self.random.random() < 0.5:
            twin |= {name: self._other((name,), value) for name, value in twin.items() if name in {"value", "image", "weight"}}
        return Edit("", "insert", (*found[0], len(found[1])), twin)

    def empty(self) -> Edit | None:
        found = self._pick(self.declared if self.random.random() < 0.6 else self.everything, lambda _: True)
        if found is None:
            return None
        fitting: list[Json] = [{}, None] if is_object(found[1]) else [[], None] if is_array(found[1]) else ["", None, 0]
        return Edit("", "set", found[0], self.random.choice(fitting))

    def type(self) -> Edit | None:
        found = self._pick(self.declared, lambda _: True)
        if found is None:
            return None
        value = found[1]
        other = [value] if is_object(value) else {"0": value} if is_array(value) else _other_type(value)
        return Edit("", "set", found[0], other)

    def extra(self) -> Edit | None:
        """A field of this kind that Git may not declare."""
        if not self.target.sort.extras:
            return None
        path, value = self.random.choice(self.target.sort.extras)
        there = at(self.live, path)
        return Edit("", "set", path, {**there, **value} if is_object(there) and is_object(value) else value)

    def label(self) -> Edit:
        return Edit(
            "", "set", ("metadata", "labels", self.random.choice(["extra", "app"])), self.random.choice(["x", "shop", ""])
        )

    def annotation(self) -> Edit:
        name = self.random.choice(["extra", "example.com/note"])
        return Edit("", "set", ("metadata", "annotations", name), self.random.choice(["x", "", "y"]))

    def finalizer(self) -> Edit:
        there = at(self.live, ("metadata", "finalizers"))
        more = self.random.choice(["example.com/extra", "example.com/hold"])
        value: Json = [*there, more] if is_array(there) else [more]
        return Edit("", "set", ("metadata", "finalizers"), self.random.choice([value, value, [], value[:1]]))

    def owner(self) -> Edit:
        there = at(self.live, ("metadata", "ownerReferences"))
        value = [*(there if is_array(there) else []), owner("extra")]
        return Edit("", "set", ("metadata", "ownerReferences"), self.random.choice([value, value, []]))

    def our_label(self) -> Edit:
        path = ("metadata", "labels", SYNC_LABEL)
        if self.random.random() < 0.5:
            return Edit("", "remove", path)
        return Edit("", "set", path, self.random.choice(["guard-system.other", "", at(self.live, path)]))

    def allowed(self) -> Edit | None:
        """What the documented list lets people do, on the kinds that have it and on others."""
        rollout: Path = ("spec", "template", "metadata", "annotations", "kubectl.kubernetes.io/restartedAt")
        found: list[tuple[Path, Json]] = [
            (("metadata", "annotations", _LAST_APPLIED), "{}\n"),
            (("metadata", "annotations", "kubernetes.io/change-cause"), "because"),
        ]
        if is_object(at(self.live, ("spec", "template"))):
            found += [(rollout, "2026-01-02T03:04:05Z")] * 2
        if self.target.sort.replicas:
            found += [(self.target.sort.replicas, self.random.choice([0, 1, 2, 7]))] * 2
        if self.target.sort.name == "Node":
            found += [(("spec", "unschedulable"), True), (("spec", "taints"), [{"key": "drained", "effect": "NoSchedule"}])]
        path, value = self.random.choice(found)
        return Edit("", "set", path, value)

    def secret_text(self) -> Edit | None:
        """stringData, of the value in Git or another."""
        if self.target.sort.name != "Secret":
            return None
        given = child(self.target.manifest, "stringData")
        name = self.random.choice(["password", "user", "extra"])
        return Edit("", "set", ("stringData", name), given.get(name, "x") if self.random.random() < 0.6 else "changed")

    def nothing(self) -> Edit:
        return Edit("", "set", ("metadata", "name"), self.target.name)

    # ---- helpers

    def _pick(self, among: list[tuple[Path, Json]], fits: Callable[[Json], bool]) -> tuple[Path, Json] | None:
        found = [(path, value) for path, value in among if fits(value)]
        return self.random.choice(found) if found else None

    def _other(self, path: Path, value: Json) -> Json:
        if isinstance(value, bool):
            return not value
        if isinstance(value, int):
            return value + self.random.choice([1, 1, -1])
        if isinstance(value, float):
            return value + 0.5
        if is_object(value):
            return {"extra": "x"}
        if is_array(value):
            return ["extra"]
        if not isinstance(value, str):
            return "x"
        if path[0] in {"data", "binaryData"} and self.target.sort.name == "Secret":
            return "b3RoZXI="
        return _OTHERS.get(value) or ("7" if value[:1].isdigit() else f"{value}x")


def _is_leaf(value: Json) -> bool:
    return not (is_object(value) or is_array(value)) or not value


def _other_type(value: Json) -> Json:
    if isinstance(value, str):
        return int(value) if value.isdecimal() else {"text": value}
    return str(value).lower() if isinstance(value, bool) else str(value)


def _renamed(item: Json) -> Json:
    """Like the item, with another key."""
    if isinstance(item, str):
        return f"{item}x"
    if isinstance(item, int | float):
        return item + 1000
    if not is_object(item):
        return item
    found = copy.deepcopy(item)
    for name in ("name", "key", "host", "containerPort", "port", "mountPath", "ip", "uid", "topologyKey"):
        if name in found:
            found[name] = found[name] + 1000 if isinstance(found[name], int) else f"{found[name]}x"
    return found


_OTHERS = {
    "TCP": "UDP", "UDP": "TCP", "Always": "IfNotPresent", "IfNotPresent": "Always", "RollingUpdate": "Recreate",
    "Recreate": "RollingUpdate", "ClusterIP": "NodePort", "NodePort": "ClusterIP", "Prefix": "Exact", "Exact": "Prefix",
    "None": "ClientIP", "ClientIP": "None", "NoSchedule": "NoExecute", "NoExecute": "NoSchedule", "Ingress": "Egress",
    "Forbid": "Allow", "Allow": "Forbid", "ClusterFirst": "Default", "Default": "ClusterFirst", "Cluster": "Local",
    "Delete": "Retain", "Retain": "Delete", "In": "NotIn", "get": "list", "list": "watch", "User": "Group",
    "Max": "Min", "Exists": "DoesNotExist", "Never": "PreemptLowerPriority", "Memory": "", "Etc/UTC": "Europe/Berlin",
    "OnDelete": "RollingUpdate", "View": "Edit", "*/5 * * * *": "*/6 * * * *", "2026-01-02T03:04:05Z": "2027-01-02T03:04:05Z",
}  # fmt: skip

# How often, and which.
_SORTS: dict[str, tuple[int, Callable[[Chooser], Edit | None]]] = {
    "another value": (18, Chooser.value),
    "another notation": (5, Chooser.notation),
    "as in Git": (6, Chooser.as_in_git),
    "removed": (10, Chooser.remove),
    "another key": (6, Chooser.entry),
    "another item": (9, Chooser.item),
    "another order": (8, Chooser.order),
    "duplicate": (5, Chooser.duplicate),
    "empty": (6, Chooser.empty),
    "another type": (3, Chooser.type),
    "extra field": (6, Chooser.extra),
    "label": (3, Chooser.label),
    "annotation": (3, Chooser.annotation),
    "finalizer": (2, Chooser.finalizer),
    "owner": (2, Chooser.owner),
    "our label": (2, Chooser.our_label),
    "on the allowed list": (5, Chooser.allowed),
    "stringData": (6, Chooser.secret_text),
    "nothing": (1, Chooser.nothing),
}
