"""Which objects hold a value that was encrypted, where a tool has made them. Pure."""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import starmap

from msgspec import Struct, structs

from guard.base.codec import Json, leaves
from guard.state.ids import Manifest

# Shorter ones stand for too much within other texts, and count only as a whole.
_SHORTEST_WITHIN = 4
_BETWEEN = "\0"


class _Sought(Struct, frozen=True):
    """`lengths` has those of the texts `within` by their first characters. To look for each value of 1,000 files in each of 1,000
    objects takes a minute; to go through the objects once, two seconds.
    """

    within: frozenset[str]
    lengths: Mapping[str, tuple[int, ...]]
    whole: frozenset[str]


def marked(
    groups: Mapping[str, tuple[Manifest, ...]], *, values: Collection[str], files: Collection[str]
) -> dict[str, tuple[Manifest, ...]]:
    """The same, confidential where a manifest was made of one of `files`, or a text or number in it holds one of `values` or its
    base64. What is so already is the same tuple.
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
    within = frozenset(_without_extensions(form for form in forms if len(form) >= _SHORTEST_WITHIN))
    lengths: dict[str, set[int]] = {}
    for form in within:
        lengths.setdefault(form[:_SHORTEST_WITHIN], set()).add(len(form))
    return _Sought(
        within=within,
        lengths={beginning: tuple(sorted(found)) for beginning, found in lengths.items()},
        whole=frozenset(form for form in forms if len(form) < _SHORTEST_WITHIN),
    )


def _without_extensions(forms: Iterable[str]) -> Iterator[str]:
    """Without those that begin with another one: where they are, that is as well."""
    last = None
    for form in sorted(forms):
        if last is None or not form.startswith(last):
            last = form
            yield form


def _encoded(value: str) -> str:
    return base64.b64encode(value.encode(errors="replace")).decode()


def _holds(body: Json, sought: _Sought) -> bool:
    texts = list(_texts(body))
    if not sought.whole.isdisjoint(texts):
        return True
    together = _BETWEEN.join(texts)
    # Kustomize breaks base64 into lines.
    return _holds_within(together, sought) or ("\n" in together and _holds_within(together.replace("\n", ""), sought))


def _holds_within(text: str, sought: _Sought) -> bool:
    lengths, within = sought.lengths, sought.within
    if not within:
        return False
    for at in range(len(text) - _SHORTEST_WITHIN + 1):
        for length in lengths.get(text[at : at + _SHORTEST_WITHIN], ()):
            if text[at : at + length] in within:
                return True
    return False


def _texts(body: Json) -> Iterator[str]:
    for part in leaves(body):
        if isinstance(part, str):
            yield part
        elif isinstance(part, int | float) and len(told := str(part)) >= _SHORTEST_WITHIN and not isinstance(part, bool):
            yield told
