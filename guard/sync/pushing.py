"""Who may push to Syncs, and whom a push wakes."""

from __future__ import annotations

from collections.abc import Mapping

from guard import telemetry
from guard.api import BucketSource, Source
from guard.source import Hook
from guard.source.repositories import repository
from guard.sync.reconcile import Reconciler

_log = telemetry.get("push")


def hook_of(syncs: Mapping[str, Reconciler], name: str) -> Hook | None:
    """None where there is no such Sync, or nobody may push to it."""
    if name not in syncs:
        return None
    sync = syncs[name].sync
    push = sync.spec.source.push
    return Hook(host=push.type, namespace=sync.metadata.namespace, secret=push.secret_ref.name) if push else None


def wake_all(syncs: Mapping[str, Reconciler], name: str) -> None:
    """Have a Sync look at its source now, and with it all others of the same repository: one webhook is enough for them. One that
    is at work looks once more afterwards.
    """
    if name not in syncs:
        return
    pushed = _place(syncs[name].sync.spec.source)
    woken = [other for other in syncs.values() if _place(other.sync.spec.source) == pushed]
    for reconciler in woken:
        reconciler.wake.set()
    _log.info("pushed", sync=name, woken=[reconciler.name for reconciler in woken])


def _place(source: Source) -> tuple[str, ...]:
    """The same for all that a push is news of: a repository, or a bucket, whatever of it is read."""
    named = source.named
    return (named.endpoint, named.name) if isinstance(named, BucketSource) else (repository(named.url),)
