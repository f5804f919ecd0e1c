"""Which objects hold a value that was encrypted, where a tool has made them. Pure."""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import starmap

from msgspec import structs

from guard.base.codec import Json, leaves
from guard.state.ids import Manifest

# Shorter ones stand for too much within other texts, and count only as a whole.
_SHORTEST_WITHIN = 4
# What begins as a longer value does is compared so far at first: certificates and keys all begin alike.
_HEAD = 32
# Characters that are compared, for all values and objects: two seconds of a core. Texts may be made for it (a value of a million
# times `a` and a `b`, an object with two million times `a`), and then it would be days, in which no other thread gets far.
_MOST_COMPARED = 1024**3
_BETWEEN = "\0"


def marked(
    groups: Mapping[str, tuple[Manifest, ...]], *, values: Collection[str], files: Collection[str]
) -> dict[str, tuple[Manifest, ...]]:
    """The same, confidential where a manifest was made of one of `files`, or a text or number in it holds one of `values` or its
    base64, or is past what can be looked through. What is so already is the same tuple.
    """
    search = _Search(values)

    def of(name: str, found: tuple[Manifest, ...]) -> tuple[str, tuple[Manifest, ...]]:
        are = [manifest.origin.file in files or search.holds(manifest.body) for manifest in found]
        if are == [manifest.confidential for manifest in found]:
            return name, found
        return name, tuple(structs.replace(each, confidential=is_so) for each, is_so in zip(found, are, strict=True))

    return dict(starmap(of, groups.items()))


class _Search:
    """Goes through the objects once: two seconds for 1,000 and the values of 1,000 files. Each in each would take a minute."""

    def __init__(self, values: Collection[str]) -> None:
        forms = {form for value in values for form in (value, value.strip(), *map(_encoded, (value, value.strip())))} - {""}
        self._whole = frozenset(form for form in forms if len(form) < _SHORTEST_WITHIN)
        self._within = frozenset(_without_extensions(form for form in forms if len(form) >= _SHORTEST_WITHIN))
        # How long the texts `within` are, or their heads, by their first characters; and the longer ones by their heads.
        self._lengths = _lengths((form[:_HEAD] for form in self._within), by=_SHORTEST_WITHIN)
        self._longer = _lengths((form for form in self._within if len(form) > _HEAD), by=_HEAD)
        self._left = _MOST_COMPARED

    def holds(self, body: Json) -> bool:
        texts = list(_texts(body))
        if not self._whole.isdisjoint(texts):
            return True
        together = _BETWEEN.join(texts)
        # Kustomize breaks base64 into lines.
        return self._holds_within(together) or ("\n" in together and self._holds_within(together.replace("\n", "")))

    def _holds_within(self, text: str) -> bool:
        if not self._within:
            return False
        for at in range(len(text) - _SHORTEST_WITHIN + 1):
            for length in self._lengths.get(text[at : at + _SHORTEST_WITHIN], ()):
                if self._begins(text, at, length):
                    return True
        return False

    def _begins(self, text: str, at: int, length: int) -> bool:
        """Whether a value of such a length, or with a head of it, stands at a place; also where nobody can tell any more."""
        self._left -= _HEAD
        found = text[at : at + length]
        if self._left < 0 or found in self._within:
            return True
        for longer in self._longer.get(found, ()):
            self._left -= longer
            if self._left < 0 or text[at : at + longer] in self._within:
                return True
        return False


def _lengths(forms: Iterable[str], *, by: int) -> dict[str, tuple[int, ...]]:
    found: dict[str, set[int]] = {}
    for form in forms:
        found.setdefault(form[:by], set()).add(len(form))
    return {beginning: tuple(sorted(lengths)) for beginning, lengths in found.items()}


def _without_extensions(forms: Iterable[str]) -> Iterator[str]:
    """Without those that begin with another one: where they are, that is as well."""
    last = None
    for form in sorted(forms):
        if last is None or not form.startswith(last):
            last = form
            yield form


def _encoded(value: str) -> str:
    return base64.b64encode(value.encode(errors="replace")).decode()


def _texts(body: Json) -> Iterator[str]:
    for part in leaves(body):
        if isinstance(part, str):
            yield part
        elif isinstance(part, int | float) and len(told := str(part)) >= _SHORTEST_WITHIN and not isinstance(part, bool):
            yield told
