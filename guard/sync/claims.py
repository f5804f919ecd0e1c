"""What Syncs want that others hold yet: what moves from one to another is not pruned on the way."""

from __future__ import annotations

from collections.abc import Iterable

from guard.state.ids import ObjectKey


class Claims:
    """An object that two Syncs declare stays with the first one, and the other's revision stays out. When the first lets go of
    it, it falls to the other, whose next attempt takes it.
    """

    def __init__(self) -> None:
        self._wanted: dict[str, frozenset[ObjectKey]] = {}

    def claim(self, sync: str, keys: Iterable[ObjectKey]) -> None:
        """The Sync wants these, and nothing else that others hold."""
        wanted = frozenset(keys)
        if wanted:
            self._wanted[sync] = wanted
        else:
            self._wanted.pop(sync, None)

    def claimant(self, key: ObjectKey) -> str:
        """The Sync that wants the object; empty where none does."""
        return next((sync for sync, wanted in self._wanted.items() if key in wanted), "")
