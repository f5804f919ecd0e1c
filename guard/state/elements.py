"""One element of a FieldsV1 path: `f:<name>`, `k:<json object>`, `v:<json>`, `i:<number>`.

The source of these rules is sigs.k8s.io/structured-merge-diff, `fieldpath/serialize-pe.go`. One spelling of each element is
needed to find it by comparing text: `spelled` makes it, and `key_element` and `value_element` write it. The API server's own
differs, since Go's JSON escapes `<`, `>` and `&`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from guard.base import codec
from guard.base.codec import Json, JsonObject, is_array, is_object

SELF = "."
REMEMBERED = 512  # characters: clients write elements, and what is kept of them has to stay small
EXACT = 2**53  # below this a float that is whole is one integer
_INDEX = re.compile(r"-?(0|[1-9][0-9]{0,17})")


def item_keys(element: str) -> tuple[tuple[str, Json], ...]:
    """The keys of a `k:` element, as (name, value) in the order written (the API server sorts them by name)."""
    return (_remembered_keys if len(element) <= REMEMBERED else _remembered_keys.__wrapped__)(element)


def item_value(element: str) -> Json:
    """The value of a `v:` element."""
    return (_remembered_value if len(element) <= REMEMBERED else _remembered_value.__wrapped__)(element)


@lru_cache(maxsize=4096)
def _remembered_keys(element: str) -> tuple[tuple[str, Json], ...]:
    return tuple(codec.decode(element[2:].encode()).items())


@lru_cache(maxsize=4096)
def _remembered_value(element: str) -> Json:
    return codec.decode(element[2:].encode())


def key_element(item: JsonObject, names: Iterable[str]) -> str:
    """The `k:` element that names a list item by those of its keys that it has."""
    return "k:" + codec.encode({name: _whole(item[name]) for name in names if name in item}).decode()


def value_element(value: Json) -> str:
    return "v:" + codec.encode(_whole(value)).decode()


def _whole(value: Json) -> Json:
    """JSON has one kind of number: 80.0 is 80."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < EXACT else value


def spelled(element: str) -> str | None:
    """The element in its one spelling; None where it is none. The API server ignores kinds of elements that it does not know, and
    takes no set that holds a broken one; here both are ignored, since clients write managedFields.
    """
    kind = element[:2]
    if kind == "f:" or element == SELF:
        return element
    if kind == "i:":
        return element if _INDEX.fullmatch(element, 2) else None
    if kind not in {"k:", "v:"}:
        return None
    return (_remembered_spelling if len(element) <= REMEMBERED else _remembered_spelling.__wrapped__)(element)


@lru_cache(maxsize=4096)
def _remembered_spelling(element: str) -> str | None:
    kind, rest = element[:2], element[2:]
    try:
        value = codec.decode(rest.encode())
        if kind == "v:":
            return value_element(value)
        return key_element(value, sorted(value)) if is_object(value) else None
    except (codec.DecodeError, RecursionError, UnicodeEncodeError):
        return None


def key_names(elements: Iterable[str]) -> tuple[str, ...]:
    """The keys by which the items of a list are told apart, read off the elements of a set; none where they have none."""
    names: dict[str, None] = {}
    for element in elements:
        if element.startswith("k:"):
            names |= dict.fromkeys(name for name, _ in item_keys(element))
    return tuple(names)


def find(value: Json, element: str) -> tuple[Json, ...]:
    """What an element names in a value: nothing, one field or item, or several items where a list key or member stands twice.

    An item may leave out keys that the API server fills in (a port's protocol): if no item has all the keys, those fit whose
    written keys agree.
    """
    kind = element[:2]
    if kind == "f:":
        return (value[element[2:]],) if is_object(value) and element[2:] in value else ()
    if not is_array(value):
        return ()
    if kind == "k:":
        keys = item_keys(element)
        items = [item for item in value if is_object(item)]
        exact = tuple(item for item in items if all(name in item and _equal(item[name], wanted) for name, wanted in keys))
        return exact or tuple(item for item in items if _agrees(item, keys))
    if kind == "v:":
        return tuple(item for item in value if value_element(item) == element)
    place = int(element[2:])
    return (value[place],) if 0 <= place < len(value) else ()


def _agrees(item: JsonObject, keys: tuple[tuple[str, Json], ...]) -> bool:
    written = [_equal(item[name], wanted) for name, wanted in keys if item.get(name) is not None]
    return bool(written) and all(written)


def _equal(left: Json, right: Json) -> bool:
    return left == right and isinstance(left, bool) == isinstance(right, bool)
