"""The policy that decisions go by, from the Syncs that there are."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from guard.api import Sync
from guard.state.policy import Policy


def compiled(syncs: Iterable[Sync], *, loaded: Collection[str], sync_user: str, control_plane: tuple[str, ...] = ()) -> Policy:
    """`loaded` are the Syncs, as `namespace/name`, of which the index holds a revision. A namespace that several Syncs set strict
    is the first one's by name.
    """
    by_name = {sync.key: sync for sync in syncs}
    return Policy(
        sync_user=sync_user,
        control_plane=control_plane,
        syncs={name: sync.spec.enforcement.compiled for name, sync in by_name.items()},
        unloaded={sync.label: name for name, sync in by_name.items() if name not in loaded},
        strict={
            namespace: name
            for name in sorted(by_name, reverse=True)
            for namespace in by_name[name].spec.enforcement.strict_namespaces
        },
    )
