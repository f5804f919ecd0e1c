"""The desired state in force over time: what has to know of a change, and in which order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable

from guard import telemetry
from guard.base.errors import ClusterError
from guard.cluster import Client, Served, discover
from guard.heal import Watching
from guard.registration import Registration
from guard.state.desired import DesiredState, View
from guard.state.ids import Kind
from guard.state.policy import Policy
from guard.sync import Claims, Plan, Syncs, account_of, compiled, refuse_conflicts

_log = telemetry.get("index")


class Index:
    """As Reconcilers see it (`sync.ports`). The API server comes first: it is told what to ask Guard about before an object is
    declared, and goes on asking until what is declared no more is pruned. Then decisions go by the new state, and last come the
    watches: so nothing is applied that is not guarded. `syncs` are those that there are.
    """

    def __init__(
        self,
        client: Client,
        *,
        view: View,
        registration: Registration,
        watching: Watching,
        syncs: Callable[[], Syncs],
        sync_user: str,
        control_plane: tuple[str, ...],
    ) -> None:
        self._client = client
        self._view = view
        self._registration = registration
        self._watching = watching
        self._syncs = syncs
        self._sync_user = sync_user
        self._control_plane = control_plane
        self.claims = Claims()
        self.policy = Policy(sync_user=sync_user, control_plane=control_plane)
        # In whose name Guard acts for each Sync, empty for its own. One that is gone keeps its account: what is still under way
        # for it does not become Guard's own.
        self.accounts: dict[str, str] = {}
        self._served: Served | None = None
        self._lock = asyncio.Lock()

    @property
    def state(self) -> DesiredState:
        return self._view.state

    @property
    def unloaded(self) -> Collection[str]:
        return self.policy.staked

    async def served(self, *, fresh: bool) -> Served:
        if self._served is None or fresh:
            self._served = await discover(self._client)
        return self._served

    # ---- as revisions come

    async def take(self, sync: str, found: Plan, *, revision: str, also: Iterable[Kind]) -> None:
        async with self._lock:
            before, gone = self._view.state, [declared.key for declared in found.gone]
            # Another Sync may have been quicker while this one asked the API server.
            refuse_conflicts(found, state=before, sync=sync)
            losers = before.giving_way(sync, found.put)
            # Out of the loop: an index of 100,000 objects takes a fifth of a second, and reviews do not wait for it.
            state = await asyncio.to_thread(before.with_changes, sync, found.put, gone, revision=revision)
            # Kinds that the Sync is about to let go stay registered until what is left of them is pruned.
            self._registration.hold(sync, {*before.kinds_of(sync), *also})
            await self._register(state)
            self._view.replace(state, gone=[key for key in gone if state.get(key) is None])
            self.compile()
            await self._watching.follow(state.kinds())
        for name in losers & self._syncs().keys():
            # To say so.
            self._syncs()[name].resync()

    async def settle(self, sync: str) -> None:
        async with self._lock:
            self._registration.release(sync)
            await self._register(self._view.state)

    async def register(self) -> None:
        """Have the API server ask about all that is in force. Raises ClusterError."""
        async with self._lock:
            await self._register(self._view.state)

    # ---- as Syncs come, change and go

    async def dropped(self, name: str) -> None:
        """What it declared stays, declared by nobody."""
        self.claims.claim(name, ())
        async with self._lock:
            self._registration.release(name)
            self._view.replace(await asyncio.to_thread(self._view.state.without_sync, name))
            self.compile()
            await self._register_if_possible()
            await self._watching.follow(self._view.state.kinds())

    async def recompile(self) -> None:
        """The Syncs have changed: compile the policy anew, and register for what it asks of namespaces."""
        before = self.policy.strict
        self.compile()
        if self.policy.strict != before:
            async with self._lock:
                await self._register_if_possible()

    def compile(self) -> None:
        """The policy that decisions go by, from the Syncs as they are now."""
        # Where not all that is ours told what Git declared of it, the label goes on protecting the rest.
        syncs = self._syncs()
        partial = {name for name, found in syncs.items() if found.read_off is not None and not found.read_off.whole}
        self.accounts |= {name: account_of(found.sync) for name, found in syncs.items()}
        self.policy = compiled(
            [found.sync for found in syncs.values()],
            loaded=frozenset(self._view.state.syncs()) - partial,
            unread=syncs.unread,
            sync_user=self._sync_user,
            control_plane=self._control_plane,
        )

    async def _register(self, state: DesiredState) -> None:
        syncs = self._syncs()
        staked = {
            name: syncs[name].status.kinds if name in syncs else () for name in self.policy.staked.difference(state.syncs())
        }
        await self._registration.register(state, staked=staked, strict=self.policy.strict)

    async def _register_if_possible(self) -> None:
        """Where nothing hangs on it at once: what is too wide costs requests only, and the next revision registers again."""
        try:
            await self._register(self._view.state)
        except ClusterError as error:
            _log.warning("the change of Syncs was not registered", error=str(error))
