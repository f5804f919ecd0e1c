"""Which objects hold a value that was encrypted, where a tool has made them. Pure."""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterator, Mapping
from itertools import starmap

from msgspec import Struct, structs

from guard.base.codec import Json, is_array, is_object
from guard.state.ids import Manifest

# Shorter ones stand for too much within other texts, and count only as a whole.
_SHORTEST_WITHIN = 4
_BETWEEN = "\0"


class _Sought(Struct, frozen=True):
    within: tuple[str, ...]
    whole: frozenset[str]


def marked(
    groups: Mapping[str, tuple[Manifest, ...]], *, values: Collection[str], files: Collection[str]
) -> dict[str, tuple[Manifest, ...]]:
    """The same, confidential where a manifest was made of one of `files`, or a text in it holds one of `values` or its base64.
    What is so already is the same tuple.
    """
    sought = _sought(values)

    def of(name: str, found: tuple[Manifest, ...]) -> tuple[str, tuple[Manifest, ...]]:
        are = [manifest.origin.file in files or _holds(manifest.body, sought) for manifest in found]
        if are == [manifest.confidential for manifest in found]:
            return name, found
        return name, tuple(structs.replace(each, confidential=is_so) for each, is_so in zip(found, are, strict=True))

    return dict(starmap(of, groups.items()))


def _sought(values: Collection[str]) -> _Sought:
    forms = {form for value in values for form in (value, value.strip(), *map(_encoded, (value, value.strip())))} - {""}
    return _Sought(
        within=tuple(form for form in forms if len(form) >= _SHORTEST_WITHIN),
        whole=frozenset(form for form in forms if len(form) < _SHORTEST_WITHIN),
    )


def _encoded(value: str) -> str:
    return base64.b64encode(value.encode(errors="replace")).decode()


def _holds(body: Json, sought: _Sought) -> bool:
    texts = list(_texts(body))
    if not sought.whole.isdisjoint(texts):
        return True
    together = _BETWEEN.join(texts)
    return any(form in together for form in sought.within)


def _texts(body: Json) -> Iterator[str]:
    pending = [body]
    while pending:
        part = pending.pop()
        if is_object(part):
            pending.extend(part.values())
        elif is_array(part):
            pending.extend(part)
        elif isinstance(part, str):
            yield part
