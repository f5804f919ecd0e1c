"""The webhook configuration over time: what it has to ask about as Syncs come, change and go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct

from guard.base.codec import JsonObject
from guard.cluster import Client
from guard.registration.asked import Asked, asked_by, asked_of, within
from guard.registration.fence import LONGEST_SECONDS, fence
from guard.registration.keeper import Keeper
from guard.registration.rules import configuration
from guard.state.desired import DesiredState
from guard.state.ids import Kind


class _Wanted(Struct, frozen=True):
    """All that the configuration is made of, and that changes."""

    target: JsonObject
    asked: Asked
    strict: tuple[str, ...]


class Registration:
    """`register` returns when the API server asks about all that the index calls for; `run` keeps this and the fence as they are
    until cancelled. `target` is how the API server reaches Guard, `repaired` is told of what somebody changed (see Keeper).

    As long as a Sync that has applied something is not loaded, nothing is let go that an earlier Guard registered: what the Sync
    declares is known by its status and by the live configuration alone. Where that was deleted, the status gives back the kinds;
    whose scaling and which deletions were asked about stays unknown until the Sync is loaded. One that is new and does not load
    keeps nothing.
    """

    def __init__(
        self,
        client: Client,
        *,
        sync_user: str,
        admin_groups: Iterable[str],
        control_plane: Iterable[str],
        target: Callable[[], JsonObject],
        repaired: Callable[[str, str, str], None],
        longest_break_glass: float = LONGEST_SECONDS,
    ) -> None:
        self._control_plane = tuple(control_plane)
        self._keeper = Keeper(client, repaired=repaired)
        self._fence = [
            (Keeper(client, kind=kind, name=wanted["metadata"]["name"], repaired=repaired), wanted)
            for kind, wanted in fence(
                sync_user=sync_user,
                admin_groups=admin_groups,
                control_plane=self._control_plane,
                longest=longest_break_glass,
            )
        ]
        self._sync_user = sync_user
        self._target = target
        self._held: dict[str, frozenset[Kind]] = {}
        self._before = Asked()
        self._made: tuple[_Wanted, JsonObject] | None = None

    async def start(self) -> None:
        """Put the fence up, and read what an earlier Guard has registered. Raises ClusterError."""
        for keeper, wanted in self._fence:
            await keeper.ensure(wanted)
        live = await self._keeper.read()
        self._before = asked_by(live) if live is not None else Asked()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for keeper in (self._keeper, *(keeper for keeper, _ in self._fence)):
                group.create_task(keeper.run())

    def hold(self, sync: str, kinds: Iterable[Kind]) -> None:
        """Keep the kinds registered for this Sync, whatever the index says."""
        self._held[sync] = frozenset(kinds)

    def release(self, sync: str) -> None:
        self._held.pop(sync, None)

    async def register(self, state: DesiredState, *, staked: Mapping[str, Iterable[Kind]], strict: Iterable[str]) -> None:
        """`staked` are the Syncs that have applied something before and of which the index holds nothing yet, with the kinds that
        they applied. Raises ClusterError; what was registered is registered still.
        """
        before = self._before if staked else Asked()
        kinds = state.kinds().union(*self._held.values(), *staked.values())
        # Out of the loop: with 100,000 objects it takes a tenth of a second, and reviews do not wait for it.
        await self._keeper.ensure(await asyncio.to_thread(self._wanted, state, kinds, before, tuple(strict)))
        self._before = before

    def _wanted(self, state: DesiredState, kinds: frozenset[Kind], before: Asked, strict: tuple[str, ...]) -> JsonObject:
        wanted = _Wanted(target=self._target(), asked=asked_of(state, kinds=kinds).joined(before), strict=strict)
        # Most revisions ask for what the last one asked for.
        if self._made is None or self._made[0] != wanted:
            made = configuration(
                client=wanted.target,
                asked=within(wanted.asked),
                sync_user=self._sync_user,
                control_plane=self._control_plane,
                strict=strict,
            )
            self._made = (wanted, made)
        return self._made[1]
