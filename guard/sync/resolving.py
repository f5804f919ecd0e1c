"""What a revision of a Sync's source says, and what was in force last."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from guard import telemetry
from guard.api import Sync, SyncStatus
from guard.base.errors import ClusterError, NothingDeclared, RenderError
from guard.cluster import Client
from guard.sync.doubt import CONFIRM
from guard.sync.goal import manifests_from
from guard.sync.inforce import InForce, Resolved
from guard.sync.plan import Groups
from guard.sync.ports import Index, Source
from guard.sync.rebuild import Rebuilt, rebuilt

_log = telemetry.get("sync")


class AtHand(Struct, frozen=True):
    """What was in force last. `read_off` is where it is no revision but what the cluster says of one."""

    revision: str
    resolved: Resolved
    read_off: Rebuilt | None = None


class Resolver:
    """Of one Sync; `sync` and `status` give both as they are now."""

    def __init__(
        self,
        *,
        sync: Callable[[], Sync],
        status: Callable[[], SyncStatus],
        source: Source,
        in_force: InForce,
        index: Index,
        client: Client,
    ) -> None:
        self._sync = sync
        self._status = status
        self._source = source
        self._in_force = in_force
        self._index = index
        self._client = client

    async def resolve(self, revision: str) -> Resolved:
        """The plan of a revision. Raises RenderError, SourceError or ClusterError."""
        sync = self._sync()
        groups: Groups = {}
        nothing = check = ""
        try:
            groups = await self._source.groups(revision)
        except NothingDeclared as error:
            nothing, check = error.message, f"{error.hint}; " if error.hint else ""
        if not any(groups.values()) and not self._may_be_empty(revision):
            raise NothingDeclared(
                nothing or f"the revision declares nothing below {sync.spec.path}",
                hint=f"{check}nothing is changed or pruned; to have all pruned, annotate the Sync with {CONFIRM}={revision}",
            )
        return await self._in_force.resolve(groups, namespace=sync.spec.target_namespace)

    async def at_hand(self) -> AtHand | None:
        """What was in force last: the revision, from the copy of the source that is left of it, or else what the objects that are
        ours say of it. Raises ClusterError.
        """
        sync, status = self._sync(), self._status()
        revision = status.revision_in_force or status.last_applied_revision
        confidential = sync.decrypts
        try:
            if revision and status.manifests_from in ("", manifests_from(sync.spec)):
                return AtHand(revision=revision, resolved=await self.resolve(revision))
        except ClusterError:
            raise
        except Exception as error:  # noqa: BLE001 (a copy may be damaged in any way)
            # It was rendered before. What it was made of cannot be opened any more, so some of it may be encrypted.
            confidential = confidential or isinstance(error, RenderError)
            said = telemetry.told(error)
            _log.warning("the copy of what was in force last cannot be read", sync=sync.key, revision=revision, error=said)
        if not status.kinds:
            return None
        found = await rebuilt(
            self._client,
            status.kinds,
            sync=sync.key,
            label=sync.label,
            served=await self._index.served(fresh=False),
            confidential=confidential,
        )
        _log.warning("what is in force was read off the cluster", sync=sync.key, objects=len(found.resolved.plan.objects))
        return AtHand(revision=revision, resolved=found.resolved, read_off=found)

    def _may_be_empty(self, revision: str) -> bool:
        """Whether somebody has confirmed it, or there is nothing to lose since it was so before."""
        status = self._status()
        is_empty = not (status.objects.declared or self._in_force.plan.objects)
        was_empty = bool(status.last_applied_revision) and is_empty
        return was_empty or self._sync().metadata.annotations.get(CONFIRM) == revision
