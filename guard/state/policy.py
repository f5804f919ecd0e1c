"""Enforcement, compiled from the Syncs: what a decision needs to know besides the desired state."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import msgspec

from guard.state.requesters import GUARD_USER

Mode = Literal["Deny", "Warn", "Audit"]


class Enforcement(msgspec.Struct, frozen=True):
    """What one Sync asks for."""

    mode: Mode = "Deny"
    heal: bool = True
    additions: Literal["Deny", "Allow"] = "Deny"


STRICTEST = Enforcement()


class Policy(msgspec.Struct, frozen=True):
    """`syncs` maps a Sync's `namespace/name` to its enforcement. `unloaded` are the label values of Syncs of which no revision is
    known yet (a cold start with Git down): until then their label alone protects an object.
    """

    sync_user: str = GUARD_USER
    syncs: Mapping[str, Enforcement] = MappingProxyType({})
    unloaded: frozenset[str] = frozenset()

    def of(self, sync: str) -> Enforcement:
        """A Sync that is not known (any more) is enforced strictly: never let drift in by accident."""
        return self.syncs.get(sync, STRICTEST)
