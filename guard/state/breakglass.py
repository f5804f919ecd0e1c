"""What is open by break-glass at the moment: objects, namespaces and Syncs that are neither enforced nor healed for a while."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TypeAlias

import msgspec

from guard.state.ids import NAMESPACE, ObjectKey


class WholeNamespace(msgspec.Struct, frozen=True):
    """A namespace, with everything in it."""

    name: str


class WholeSync(msgspec.Struct, frozen=True):
    """Everything that a Sync (`namespace/name`) declares or claims."""

    name: str


Target: TypeAlias = ObjectKey | WholeNamespace | WholeSync


class Opening(msgspec.Struct, frozen=True):
    """One BreakGlass in force: its `namespace/name`, what it opens, and until when."""

    name: str
    target: Target
    until: datetime


_EVER = datetime.min.replace(tzinfo=UTC)
_NOTHING: Mapping[Target, Opening] = MappingProxyType({})


class Opened:
    """All that is open, a lookup for each question. Immutable. Where several open the same, the one that lasts longest counts."""

    __slots__ = ("_by_target",)

    def __init__(self, openings: Iterable[Opening] = ()) -> None:
        by_target: dict[Target, Opening] = {}
        for opening in openings:
            known = by_target.get(opening.target)
            if known is None or known.until < opening.until:
                by_target[opening.target] = opening
        self._by_target = by_target or _NOTHING

    def __bool__(self) -> bool:
        return bool(self._by_target)

    def __len__(self) -> int:
        return len(self._by_target)

    def __iter__(self) -> Iterator[Opening]:
        return iter(self._by_target.values())

    def of(self, key: ObjectKey, *, sync: str, now: datetime) -> str:
        """The BreakGlass that opens this object, which is the Sync's (empty: nobody's); empty where none does."""
        if not self._by_target:
            return ""
        namespace = key.name if (key.group, key.kind) == (NAMESPACE.group, NAMESPACE.kind) else key.namespace
        return (
            self._at(key, now) or (namespace and self.of_namespace(namespace, now=now)) or (sync and self.of_sync(sync, now=now))
        )

    def holder(self, key: ObjectKey, *, sync: str) -> str:
        """The BreakGlass for which nothing is to be written to this object: it is open, or was until this moment."""
        return self.of(key, sync=sync, now=_EVER)

    def of_sync(self, sync: str, *, now: datetime) -> str:
        """The BreakGlass that opens all of a Sync."""
        return self._at(WholeSync(sync), now)

    def of_namespace(self, name: str, *, now: datetime) -> str:
        """The BreakGlass that opens a namespace with all in it."""
        return self._at(WholeNamespace(name), now)

    def _at(self, target: Target, now: datetime) -> str:
        opening = self._by_target.get(target)
        return opening.name if opening is not None and now < opening.until else ""


NOTHING_OPEN = Opened()
