"""What a change does to what Git declares: the old object, the new one and Git's, compared along a set of declared fields."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from operator import is_

import msgspec

from guard.base.codec import Json, JsonObject, child, is_array, is_object
from guard.state import fields
from guard.state.equality import MISSING, are_one, same
from guard.state.fields import SELF, FieldSet, Path, Tree

# The parts of an object that a change can touch and that somebody can declare. The rest of the metadata is the API server's.
METADATA = ("labels", "annotations", "finalizers", "ownerReferences")
# Two of them are lists, whose items the API server tells apart by value and by key.
_LISTS: Mapping[str, tuple[str, ...]] = {"finalizers": (), "ownerReferences": ("uid",)}
_ENTRIES = {("f:metadata", "f:labels"), ("f:metadata", "f:annotations")}
NOT_COMPARED = frozenset({"apiVersion", "kind", "metadata", "status"})

_DATA = frozenset({"data", "binaryData"})


class Nature(Enum):
    DECLARED = "declared"
    """A declared field was given a value that is not Git's."""
    ADDITION = "addition"
    """Something that Git does not declare was added, changed or taken away."""
    ORDER = "order"
    """Declared list items stand in an order that is not Git's."""
    DUPLICATE = "duplicate"
    """A list key appears twice."""
    RESTORED = "restored"
    """An addition that came along with a declared part that was gone: `settled` tells it from the API server's defaults."""
    FILLED = "filled"
    """Something was put into a map or list that Git declares empty: `settled` tells which of the first two it is."""


class Change(msgspec.Struct, frozen=True):
    """One difference that a request makes. `git`, `old` and `new` are values or MISSING."""

    nature: Nature
    path: Path
    git: Json
    old: Json
    new: Json


def changes(old: JsonObject, new: JsonObject, *, git: JsonObject, declared: Tree, beside: bool = True) -> Iterator[Change]:
    """Every change from `old` to `new`, `.status` aside; without `beside` not those of sections of which Git declares nothing.

    `git` holds Git's values, as far as possible in the form the API server stores them; `declared` is the tree of declared
    fields. A declared field that is changed to Git's value is no change, and neither is drift that was there before.
    """
    for name in {**old, **new}:
        element = f"f:{name}"
        if name not in NOT_COMPARED and (beside or element in declared):
            yield from _compare(_top(old, name), _top(new, name), _top(git, name), declared.get(element), (element,))
    before, after, wanted = child(old, "metadata"), child(new, "metadata"), child(git, "metadata")
    if not (before or after):
        return
    metadata = declared.get("f:metadata", fields.EMPTY.tree)
    for name in METADATA:
        if (name in before or name in after) and (beside or f"f:{name}" in metadata):
            path = ("f:metadata", f"f:{name}")
            # No labels are no labels, whether the map is there or not: name the entries that come and go, not the map.
            get = _texts if path in _ENTRIES else _get
            yield from _compare(get(before, name), get(after, name), get(wanted, name), metadata.get(f"f:{name}"), path)


def _texts(value: JsonObject, name: str) -> JsonObject:
    """Labels or annotations; reviews of custom resources may show null for what is stored as empty text."""
    return _filled(child(value, name))


def _filled(texts: JsonObject) -> JsonObject:
    return {key: "" if text is None else text for key, text in texts.items()} if None in texts.values() else texts


def _top(value: JsonObject, name: str) -> Json:
    """A top-level field; the data of Secrets and ConfigMaps may show null, too, for what is stored as empty text."""
    found = value.get(name)
    if found is None:
        return MISSING
    return _filled(found) if name in _DATA and is_object(found) else found


def _get(value: Json, name: str) -> Json:
    if not is_object(value):
        return MISSING
    found = value.get(name, MISSING)
    return MISSING if found is None else found


def _compare(old: Json, new: Json, git: Json, declared: Tree | None, path: Path) -> Iterable[Change]:
    return () if same(old, new) else _differing(old, new, git, declared, path)


def _differing(old: Json, new: Json, git: Json, declared: Tree | None, path: Path) -> Iterable[Change]:
    if declared is None:
        return _undeclared(old, new, path)
    found = _within(old, new, git, declared, path)
    return _restored(found) if old is MISSING and git is not MISSING and declared else found


def _restored(found: Iterable[Change]) -> Iterator[Change]:
    for change in found:
        is_addition = change.nature is Nature.ADDITION
        yield msgspec.structs.replace(change, nature=Nature.RESTORED) if is_addition else change


def _shape(value: object) -> type[object]:
    return type(value)


def _within(old: Json, new: Json, git: Json, declared: Tree, path: Path) -> Iterable[Change]:
    """What is gone or was gone is judged field by field, as long as whatever is there is of one type."""
    if not declared:
        return () if same(new, git) else _leaf(old, new, git, path)
    shape = _shape(old if new is MISSING else new)
    if (old is MISSING or _shape(old) is shape) and (git is MISSING or _shape(git) is shape):
        if shape is dict and (new is not MISSING or SELF not in declared):
            return _map(old or {}, new or {}, git, declared, path)
        if shape is list:
            return _list(old or [], new or [], git, declared, path)
    return () if same(new, git) else (Change(nature=Nature.DECLARED, path=path, git=git, old=old, new=new),)


def _leaf(old: Json, new: Json, git: Json, path: Path) -> tuple[Change, ...]:
    """A leaf is an atomic value, or a map or list that was declared empty (which the API server may not even store)."""
    if new == [] and git is MISSING:
        return ()  # an empty list that the API server does not store (rules of a ClusterRole)
    is_filled = (is_object(new) and git in ({}, MISSING)) or (is_array(new) and git in ([], MISSING))
    nature = Nature.FILLED if is_filled else Nature.DECLARED
    return (Change(nature=nature, path=path, git=git, old=old, new=new),)


def refilled(found: Iterable[Change], filled: frozenset[Path]) -> Iterator[Change]:
    """The changes, with those of `filled` fields, which Git declares empty and the API server completed by defaults, as such that
    fill what is empty.
    """
    for change in found:
        if change.nature is Nature.DECLARED and change.path in filled and change.new is not MISSING:
            yield msgspec.structs.replace(change, nature=Nature.FILLED)
        else:
            yield change


def manifest_fields(manifest: JsonObject, known: Tree) -> Tree:
    """The set `known` with those fields of a manifest that it lacks: what Git declares, as far as that can be told before the API
    server has said what it holds us to. A list of which nothing is known counts as one value then.
    """
    found = dict(_fields_of({name: value for name, value in manifest.items() if name not in NOT_COMPARED}, known))
    metadata = {name: value for name, value in child(manifest, "metadata").items() if name in METADATA and value}
    if metadata:
        there = known.get("f:metadata", {})
        texts = {name: value for name, value in metadata.items() if name not in _LISTS}
        listed = {
            f"f:{name}": _listed(metadata[name], there.get(f"f:{name}", {}), keys)
            for name, keys in _LISTS.items()
            if name in metadata
        }
        found["f:metadata"] = {**_fields_of(texts, there), **listed}
    return found


def _fields_of(value: JsonObject, known: Tree) -> Tree:
    found: dict[str, Tree] = dict(known)
    for name, item in value.items():
        element = f"f:{name}"
        below = known.get(element)
        if item is None or (below is not None and not below):
            continue
        if is_object(item) and item:
            found[element] = _fields_of(item, below or {})
        elif is_array(item) and below:
            found[element] = _items_of(item, below)
        elif below is None:
            found[element] = {}
    return found


def _items_of(items: list[Json], known: Tree) -> Tree:
    """The known items of a list tell how the API server tells them apart."""
    names = _key_names(known)
    return _listed(items, known, names) if names or any(element.startswith("v:") for element in known) else known


def _listed(items: list[Json], known: Tree, names: tuple[str, ...]) -> Tree:
    found: dict[str, Tree] = dict(known)
    for item in items:
        element = _element(item, names)
        found[element] = {SELF: {}, **_fields_of(item, known.get(element, {}))} if names and is_object(item) else {}
    return found


def settled(
    found: Iterable[Change], *, granular: Callable[[Path], bool], default: Callable[[Change], bool] = lambda _change: False
) -> Iterator[Change]:
    """The changes with what is open told apart. Others may fill what Git declares empty where the API server counts it item by
    item (`granular`, asked for a path in the new object); an atomic value is Git's whole. What came along with a restored part is
    an addition unless it is a `default`.
    """
    for change in found:
        if change.nature is Nature.RESTORED:
            if not default(change):
                yield msgspec.structs.replace(change, nature=Nature.ADDITION)
        elif change.nature is not Nature.FILLED:
            yield change
        elif granular(change.path):
            yield from _undeclared(change.old, change.new, change.path)
        else:
            yield msgspec.structs.replace(change, nature=Nature.DECLARED)


def _undeclared(old: Json, new: Json, path: Path) -> Iterator[Change]:
    if path[-2:] in _ENTRIES:
        # The first label or annotation makes the map: name the entry, which rules speak of, and not the map.
        old, new = old or {}, new or {}
    if is_object(old) and is_object(new):
        for name in old.keys() | new.keys():
            before, after = _get(old, name), _get(new, name)
            if not same(before, after):
                yield from _undeclared(before, after, (*path, f"f:{name}"))
        return
    if all(value is MISSING or value == [] for value in (old, new)):
        return  # null, absent and an empty list (ClusterRole rules) are stored alike
    yield Change(nature=Nature.ADDITION, path=path, git=MISSING, old=old, new=new)


def _map(old: JsonObject, new: JsonObject, git: Json, declared: Tree, path: Path) -> Iterator[Change]:
    for name in _differing_names(old, new):
        before, after, element = old.get(name), new.get(name), f"f:{name}"
        before, after = MISSING if before is None else before, MISSING if after is None else after
        yield from _differing(before, after, _get(git, name), declared.get(element), (*path, element))


def _differing_names(old: JsonObject, new: JsonObject) -> list[str]:
    """The fields of which two maps hold something else; null is nothing. Most are the same: the cheap question first."""
    get = old.get
    found = [
        name
        for name, after in new.items()
        if (before := get(name)) != after or not (type(after) is str or are_one(before, after))
    ]
    found.extend(name for name, before in old.items() if name not in new and before is not None)
    return found


def _list(old: list[Json], new: list[Json], git: Json, declared: Tree, path: Path) -> Iterator[Change]:
    """A list of which some items are declared: by key, by value, or by place."""
    declared = fields.spelled(declared)
    names = _key_names(declared)
    theirs = _items(git, names) if is_array(git) else {}

    def item(one: Json, other: Json, element: str) -> Iterable[Change]:
        """An item that is another than it was."""
        twin = _twin(theirs, element, names)
        wanted = theirs[twin][0] if twin else MISSING
        return _differing(one, other, wanted, declared.get(element), (*path, element))

    if len(old) == len(new):
        pairs = [(one, other) for one, other in zip(old, new, strict=True) if not same(one, other)]
        if all(_have_one_key(one, other, names) for one, other in pairs):
            # The same items in the same places: nothing came, went or moved.
            for one, other in pairs:
                yield from item(one, other, _element(one, names))
            return
    before, after = _items(old, names), _items(new, names)
    for element in dict.fromkeys([*before, *after]):
        was, now = before.get(element, ()), after.get(element, ())
        if len(now) > max(1, len(was)):
            # What Git does not declare may stand twice for all it cares.
            nature = Nature.DUPLICATE if element in declared else Nature.ADDITION
            yield Change(nature=nature, path=(*path, element), git=MISSING, old=MISSING, new=MISSING)
            continue
        # Where a key stands twice, the last item counts (environment variables).
        pairs = (
            zip(was, now, strict=True) if len(was) == len(now) else [(was[-1] if was else MISSING, now[-1] if now else MISSING)]
        )
        for one, other in pairs:
            if not same(one, other):
                yield from item(one, other, element)
    yield from _order(list(before), list(after), declared, path, git=theirs)


def _have_one_key(one: Json, other: Json, names: tuple[str, ...]) -> bool:
    if not names or not is_object(one) or not is_object(other):
        return False
    return all((name in one) == (name in other) and same(one.get(name), other.get(name)) for name in names)


def _order(before: list[str], after: list[str], declared: Tree, path: Path, *, git: dict[str, list[Json]]) -> Iterator[Change]:
    """The API server's apply puts declared items back in Git's order, so another order is drift: of those that were there before
    and of one that comes back. An order that was wrong before, and is left so, is not this request's fault.
    """
    names = _key_names(declared)
    places = {element: place for place, element in enumerate(git)}
    twins = {
        element: places[twin] for element in after if element in declared and (twin := _twin(git, element, names)) is not None
    }
    now, wanted = list(twins), sorted(twins, key=lambda element: twins[element])
    if now == wanted:
        return
    stayed = [element for element in now if element in before]
    if stayed == [element for element in before if element in twins]:
        was_wrong = stayed != [element for element in wanted if element in before]
        if was_wrong or len(stayed) == len(now):
            return
    yield Change(nature=Nature.ORDER, path=path, git=[_label(e) for e in wanted], old=MISSING, new=[_label(e) for e in now])


def _label(element: str) -> str:
    return fields.written((element,)).strip("[]")


def _key_names(declared: Tree) -> tuple[str, ...]:
    for element in declared:
        if element.startswith("k:"):
            return tuple(name for name, _ in fields.item_keys(element))
    return ()


def _items(items: list[Json], names: tuple[str, ...]) -> dict[str, list[Json]]:
    """List items by their element, in order of first appearance."""
    found: dict[str, list[Json]] = {}
    for item in items:
        found.setdefault(_element(item, names), []).append(item)
    return found


def _element(item: Json, names: tuple[str, ...]) -> str:
    return fields.key_element(item, names) if names and is_object(item) else fields.value_element(item)


def _twin(items: dict[str, list[Json]], element: str, names: tuple[str, ...]) -> str | None:
    """Git's element for one of the object. Git may leave out keys that the API server defaults (a port's protocol), so an item
    fits whose written keys agree.
    """
    if element in items:
        return element
    if element.startswith("k:") and len(names) > 1:
        keys = dict(fields.item_keys(element))
        for twin, (item, *_) in items.items():
            if is_object(item) and all(item[name] == value for name, value in keys.items() if name in item):
                return twin
    return None


def project(value: JsonObject, declared: Tree, *, manifest: JsonObject) -> JsonObject:
    """The part of an object that a set of fields names: what the API server made of an applied manifest. Where it says what the
    manifest says it is the manifest's own value, so that the two share their memory.
    """
    return _project(value, declared, manifest)


def _project(value: Json, declared: Tree, manifest: Json) -> Json:
    if not any(element != SELF for element in declared):
        # A leaf; or a node owned itself while all it holds belongs to others.
        if SELF in declared:
            return {} if is_object(value) else [] if is_array(value) else value
        return manifest if same(value, manifest) else value
    if is_object(value):
        given = manifest if is_object(manifest) else {}
        found = {
            name: _project(value[name], declared[element], given.get(name))
            for element in declared
            if element.startswith("f:") and (name := element[2:]) in value
        }
        return manifest if _are_same_things(found, given) else found
    if is_array(value):
        declared = fields.spelled(declared)
        names = _key_names(declared)
        given = _items(manifest, names) if is_array(manifest) else {}
        kept: list[Json] = []
        for item in value:
            element = _element(item, names)
            below = declared.get(element)
            if below is not None:
                twin = _twin(given, element, names)
                origin = given[twin][0] if twin else None
                part = _project(item, below, origin)
                # The keys name the item, also those that Git leaves to their defaults and that nobody owns.
                if is_object(part) and any(name in item and name not in part for name in names):
                    part = {**{name: item[name] for name in names if name in item}, **part}
                kept.append(part)
        if is_array(manifest) and len(kept) == len(manifest) and all(map(is_, kept, manifest)):
            return manifest
        return kept
    return value


def _are_same_things(found: JsonObject, given: JsonObject) -> bool:
    return found.keys() == given.keys() and all(value is given[name] for name, value in found.items())


def unowned_empties(manifest: Json, stored: Json, declared: Tree) -> Iterator[Path]:
    """The empty lists and maps of a manifest that the API server names in no set of fields."""
    for element, value, found in _parts(manifest, stored, declared):
        below = declared.get(element)
        if value in ({}, []):
            # Lists of built-in kinds are not even kept (rules of a ClusterRole).
            if below is None and (found == value or (value == [] and found is None)):
                yield (element,)
        elif below is None or below:
            for path in unowned_empties(value, found, below or {}):
                yield (element, *path)


def _parts(manifest: Json, stored: Json, declared: Tree) -> Iterator[tuple[str, Json, Json]]:
    """The fields of a manifest, or those items of a list that are declared by key, each with what is stored there."""
    if is_object(manifest) and is_object(stored):
        for name, value in manifest.items():
            yield f"f:{name}", value, stored.get(name)
    elif is_array(manifest) and is_array(stored) and (names := _key_names(declared)):
        given = _items(manifest, names)
        for element, items in _items(stored, names).items():
            twin = _twin(given, element, names)
            if twin and element in declared:
                yield element, given[twin][0], items[0]


def emptied(body: JsonObject, manifest: JsonObject, path: Path) -> JsonObject:
    """The object with what the manifest has at a path of fields."""
    name = path[0][2:]
    if len(path) == 1:
        return {**body, name: manifest[name]}
    return {**body, name: emptied(body[name], manifest[name], path[1:])}


def empties(manifest: Json, stored: Json, declared: Tree) -> Iterator[Path]:
    """The fields that the manifest leaves empty and that the API server completed by defaults."""
    for path in FieldSet(declared).paths():
        given, found = manifest, stored
        for element in path:
            if not (element.startswith("f:") and is_object(given) and is_object(found)):
                break
            given, found = given.get(element[2:], MISSING), found.get(element[2:], MISSING)
        else:
            if given in ({}, []) and found not in ({}, [], MISSING):
                yield path
