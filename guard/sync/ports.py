"""What a Reconciler works with: where its manifests come from, and where they are put in force."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol

from guard.cluster import Served
from guard.state.desired import DesiredState
from guard.state.ids import Kind
from guard.sync.claims import Claims
from guard.sync.plan import Groups, Plan


class Source(Protocol):
    """Where one Sync's manifests come from."""

    async def fetch(self) -> str:
        """The newest revision. Raises SourceError."""
        ...

    async def groups(self, revision: str) -> Groups:
        """A revision's manifests; groups in which nothing changed are the same as before. Raises RenderError or SourceError."""
        ...

    async def keep(self, revision: str) -> None:
        """This revision is in force: keep it at hand, also without the source."""
        ...

    async def close(self) -> None: ...


class Index(Protocol):
    """The desired state in force, and who has to know when it changes. `guard.index` is behind it."""

    @property
    def state(self) -> DesiredState: ...

    @property
    def claims(self) -> Claims: ...

    @property
    def unloaded(self) -> Collection[str]:
        """The Syncs that have applied something before, and of which it is not known yet what they declare."""
        ...

    async def served(self, *, fresh: bool) -> Served: ...

    async def take(self, sync: str, found: Plan, *, revision: str, also: Iterable[Kind]) -> None:
        """Put what differs of a Sync's objects in force: index, registration and watches, before anything is applied. `also` are
        kinds that have to stay registered. Raises RenderError where another Sync holds one of them by now.
        """
        ...

    async def settle(self, sync: str) -> None:
        """Everything is applied and pruned: let go of kinds that nobody declares."""
        ...
