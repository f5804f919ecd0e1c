"""Fields as ignore rules name them: JSON pointers (RFC 6901) with list items by their keys.

`/spec/replicas`, `/metadata/annotations/example.com~1team`, `/spec/template/spec/containers[name=web]/image`; `[*]` stands for
every item of a list, `[=value]` for a member of a set.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from guard.base import codec
from guard.base.codec import Json, JsonObject, child, is_array, is_object
from guard.state.fields import Path, item_keys, item_value
from guard.state.ids import SYNC_LABEL


class Field(msgspec.Struct, frozen=True):
    """A field of an object or a key of a map."""

    name: str

    def fits(self, element: str) -> bool:
        return element == f"f:{self.name}"


class Item(msgspec.Struct, frozen=True):
    """Items of a list: those whose `keys` have these values, written as text, or the member `value`; all where both are empty."""

    keys: tuple[tuple[str, str], ...] = ()
    value: str | None = None

    def fits(self, element: str) -> bool:
        if element.startswith("f:"):
            return False
        if self.value is not None:
            return element.startswith("v:") and _text(item_value(element)) == self.value
        if not self.keys:
            return True
        found = dict(item_keys(element)) if element.startswith("k:") else {}
        return all(name in found and _text(found[name]) == value for name, value in self.keys)

    def names(self, item: Json) -> bool:
        """Whether a list item as a manifest writes it is meant; keys that it leaves to their defaults count as fitting."""
        if self.value is not None:
            return _text(item) == self.value
        if not self.keys:
            return True
        written = [(item[name], value) for name, value in self.keys if name in item] if is_object(item) else []
        return bool(written) and all(_text(found) == value for found, value in written)


Pointer: TypeAlias = tuple[Field | Item, ...]

_STEP = re.compile(r"(?P<name>[^\[\]]*)(?P<items>(?:\[[^\[\]]*\])*)")
_ESCAPE = re.compile(r"~(?![01])")


def parse_pointer(text: str) -> Pointer:
    """Raises ValueError that says what is wrong with which part."""
    if not text.startswith("/"):
        raise ValueError(f"{text!r} has to begin with a slash, as /spec/replicas does")
    steps: list[Field | Item] = []
    for part in text[1:].split("/"):
        found = _STEP.fullmatch(part)
        if found is None:
            raise ValueError(f"{part!r} in {text!r} has a bracket that does not fit; items are written containers[name=web]")
        name = found["name"]
        if not name or _ESCAPE.search(name):
            raise ValueError(f"{part!r} in {text!r} is no field name; ~ is written ~0, and / in a name ~1")
        steps.append(Field(name.replace("~1", "/").replace("~0", "~")))
        steps += [_item(inner, text) for inner in re.findall(r"\[([^\[\]]*)\]", found["items"])]
    return tuple(steps)


def _item(inner: str, text: str) -> Item:
    if inner == "*":
        return Item()
    if inner.startswith("="):
        return Item(value=inner[1:].replace("~1", "/").replace("~0", "~"))
    keys: list[tuple[str, str]] = []
    for pair in inner.split(","):
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ValueError(f"[{inner}] in {text!r} names no item; write [name=web], [=member] or [*]")
        keys.append((name, value.replace("~1", "/").replace("~0", "~")))
    return Item(keys=tuple(keys))


def matches(pointer: Pointer, path: Path) -> bool:
    """Whether `path` is at or below what the pointer names."""
    return len(path) >= len(pointer) and all(step.fits(element) for step, element in zip(pointer, path, strict=False))


def reaches_below(pointer: Pointer, path: Path) -> bool:
    """Whether the pointer names something below `path`."""
    return len(pointer) > len(path) and all(step.fits(element) for step, element in zip(pointer, path, strict=False))


def pointer_of(path: Path) -> Pointer:
    """The pointer that names one field of a set."""
    return tuple(_step(element) for element in path)


def _step(element: str) -> Field | Item:
    if element.startswith("f:"):
        return Field(element[2:])
    if element.startswith("k:"):
        return Item(keys=tuple((name, _text(value)) for name, value in item_keys(element)))
    return Item(value=_text(item_value(element))) if element.startswith("v:") else Item()


def without(body: JsonObject, pointers: Sequence[Pointer]) -> JsonObject:
    """An object without the fields that the pointers name. What names it, and our label, stay."""
    metadata = child(body, "metadata")
    kept = _without(body, pointers)
    left = child(kept, "metadata")
    names = {name: metadata[name] for name in ("name", "namespace") if name in metadata}
    label = {name: value for name, value in child(metadata, "labels").items() if name == SYNC_LABEL}
    labels = {**child(left, "labels"), **label}
    kept["metadata"] = {**left, **names, **({"labels": labels} if labels else {})}
    return {"apiVersion": body["apiVersion"], "kind": body["kind"], **kept}


def _without(value: JsonObject, pointers: Sequence[Pointer]) -> JsonObject:
    kept: JsonObject = {}
    for name, item in value.items():
        below = [pointer[1:] for pointer in pointers if pointer and pointer[0].fits(f"f:{name}")]
        if () in below:
            continue
        left = _inside(item, below)
        # What nothing is left of is not declared any more: an empty map or list would be.
        if left or left == item:
            kept[name] = left
    return kept


def _inside(value: Json, pointers: Sequence[Pointer]) -> Json:
    if not pointers:
        return value
    if is_object(value):
        return _without(value, pointers)
    if not is_array(value):
        return value
    kept: list[Json] = []
    for item in value:
        below = [pointer[1:] for pointer in pointers if isinstance(step := pointer[0], Item) and step.names(item)]
        if () not in below:
            kept.append(_inside(item, below))
    return kept


def _text(value: Json) -> str:
    return value if isinstance(value, str) else codec.encode(value).decode()
