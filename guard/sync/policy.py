"""The policy that decisions go by, from the Syncs that there are."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from msgspec import structs

from guard.api import Sync, label_value
from guard.state.policy import Policy
from guard.sync import tenancy


def compiled(
    syncs: Iterable[Sync],
    *,
    loaded: Collection[str],
    unread: Collection[str] = (),
    sync_user: str,
    control_plane: tuple[str, ...] = (),
) -> Policy:
    """`loaded` are the Syncs, as `namespace/name`, of which the index holds a revision; `unread` are those that cannot be read in
    the form that they have now. A namespace that several Syncs set strict is the first one's by name, the platform's before a
    tenant's.
    """
    by_name = {sync.key: sync for sync in syncs}
    unloaded = {*by_name, *unread}.difference(loaded)
    return Policy(
        sync_user=sync_user,
        control_plane=control_plane,
        syncs={name: structs.replace(sync.spec.enforcement.compiled, heal=sync.heals) for name, sync in by_name.items()},
        unloaded={label_value(*name.split("/")): name for name in unloaded},
        # What cannot be read may have applied anything.
        staked=frozenset(name for name in unloaded if name in unread or _has_applied(by_name[name])),
        strict={
            namespace: name
            for name in sorted(by_name, key=lambda name: (tenancy.is_tenant(by_name[name]), name), reverse=True)
            for namespace in tenancy.strict_namespaces(by_name[name])
        },
        accounts={name: account for name, sync in by_name.items() if (account := tenancy.account_of(sync))},
        decrypting=frozenset({*unread, *(name for name, sync in by_name.items() if sync.decrypts)}),
    )


def _has_applied(sync: Sync) -> bool:
    return bool(sync.status.last_applied_revision or sync.status.kinds)
