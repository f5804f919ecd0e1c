"""Whether a plan may come into force: by the rights of its Sync's account, and beside what other Syncs declare."""

from __future__ import annotations

from collections.abc import Iterable

from guard.api import Sync
from guard.base.errors import RenderError
from guard.cluster import Client
from guard.state.desired import Declared
from guard.sync import plan, rights, tenancy
from guard.sync.plan import Plan
from guard.sync.ports import Index


async def check(found: Plan, *, sync: Sync, asked: Iterable[Declared], index: Index, client: Client) -> str:
    """Returns the user in whose name the Sync works, empty for Guard. Of the plan those objects are `asked` about whose rights
    are not known from before. What others hold is claimed for the Sync: not before it is known that the account may touch it,
    since what somebody claims is not pruned.

    Raises RenderError, naming file and line; ClusterError.
    """
    account = tenancy.account_of(sync)
    try:
        await rights.check(asked, user=account, client=client)
    except RenderError:
        index.claims.claim(sync.key, ())
        raise
    conflicts = index.state.conflicts(sync.key, found.put)
    index.claims.claim(sync.key, (conflict.loser.key for conflict in conflicts))
    plan.refuse_conflicts(found, state=index.state, sync=sync.key)
    return account
