"""What the API server makes of a manifest beside what it says, kept apart from it: a default here, another notation there.

Objects of one shape differ from their manifests in the same way, so they share it. As a whole, what is stored of a Deployment
whose ports name no protocol takes 2 KB, for that one word.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias
from weakref import WeakValueDictionary

from guard.base import codec
from guard.base.codec import Json, JsonObject, is_array, is_object

Steps: TypeAlias = tuple[str | int, ...]


class Difference:
    """Texts, numbers and the like that stand at these places instead of, or beside, what a manifest says. Immutable."""

    __slots__ = ("__weakref__", "added")

    def __init__(self, added: tuple[tuple[Steps, Json], ...]) -> None:
        self.added = added

    def on(self, manifest: JsonObject) -> JsonObject:
        """The manifest with it; what it does not touch is shared."""
        copied: dict[Steps, JsonObject | list[Json]] = {}
        whole = copied[()] = dict(manifest)
        for steps, value in self.added:
            for depth in range(1, len(steps)):
                here = steps[:depth]
                if here not in copied:
                    above, step = copied[here[:-1]], here[-1]
                    copied[here] = above[step] = _copy(above[step])  # pyright: ignore[reportArgumentType, reportCallIssue]
            copied[steps[:-1]][steps[-1]] = value  # pyright: ignore[reportArgumentType, reportCallIssue]
        return whole


def _copy(value: Json) -> JsonObject | list[Json]:
    return dict(value) if is_object(value) else list(value)  # pyright: ignore[reportArgumentType]


class _Another(Exception):
    """The two differ in more than single values."""


_shared: WeakValueDictionary[bytes, Difference] = WeakValueDictionary()


def difference(manifest: JsonObject, stored: JsonObject) -> Difference | None:
    """How what is stored differs from the manifest, which names the object besides; None where by more than single values."""
    try:
        added = tuple(_values(manifest, stored, ()))
    except _Another:
        return None
    key = codec.encode(added)
    known = _shared.get(key)
    if known is None:
        known = _shared[key] = Difference(added)
    return known


# What names an object, which no set of fields holds.
_NAMES = frozenset({("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace")})


def _values(one: Json, other: Json, steps: Steps) -> Iterator[tuple[Steps, Json]]:
    if one is other:
        return
    if is_object(one) and is_object(other):
        if any((*steps, name) not in _NAMES for name in one.keys() - other.keys()):
            raise _Another
        for name, value in other.items():
            if name in one:
                yield from _values(one[name], value, (*steps, name))
            else:
                yield from _single(value, (*steps, name))
    elif is_array(one) and is_array(other) and len(one) == len(other):
        for index, (mine, value) in enumerate(zip(one, other, strict=True)):
            yield from _values(mine, value, (*steps, index))
    elif type(one) is not type(other) or one != other:
        yield from _single(other, steps)


def _single(value: Json, steps: Steps) -> Iterator[tuple[Steps, Json]]:
    if is_object(value) or is_array(value):
        raise _Another
    yield steps, value
