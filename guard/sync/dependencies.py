"""Which Syncs come first. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from guard.api import Sync, SyncStatus, find_condition
from guard.base.errors import DependencyCycle, DependencyError
from guard.state.desired import is_tenants

# A Sync by `namespace/name`, with its status; None where there is no such Sync.
Find: TypeAlias = Callable[[str], "tuple[Sync, SyncStatus] | None"]


def check(sync: Sync, revision: str, *, find: Find) -> None:
    """Raises DependencyError where a Sync that this one depends on is not there, or is not ready; and where both follow the same
    source, is not at this revision: otherwise one would be applied with what it needs still to come. Raises DependencyCycle where
    it depends on itself by way of others.
    """
    _refuse_cycle(sync, find=find)
    for name in sync.dependencies:
        found = find(name)
        if found is None:
            raise DependencyError(f"it depends on Sync {name}, which does not exist", where="spec.dependsOn")
        other, status = found
        ready = find_condition(status.conditions, "Ready")
        if ready is None or ready.status != "True" or status.observed_generation != other.metadata.generation:
            # What another namespace's Sync says names objects and files that are nobody else's to know.
            is_told = other.metadata.namespace == sync.metadata.namespace or not is_tenants(sync.key)
            why = f": {ready.message}" if is_told and ready is not None and ready.message else ""
            raise DependencyError(f"it waits for Sync {name}, which is not ready{why}", where="spec.dependsOn")
        if is_same_source(sync, other) and status.last_applied_revision != revision:
            raise DependencyError(f"it waits for Sync {name} to apply {revision}", where="spec.dependsOn")


def is_same_source(one: Sync, other: Sync) -> bool:
    """Whether both follow the same branch, tag, range or commit of the same repository, or the same bucket."""
    first, second = one.spec.source.named, other.spec.source.named
    return (first.identity, first.ref) == (second.identity, second.ref)


def _refuse_cycle(sync: Sync, *, find: Find) -> None:
    if sync.key in sync.dependencies:
        raise DependencyCycle("it depends on itself", where="spec.dependsOn", hint="take it out")
    # The way to each Sync that was met.
    ways: dict[str, tuple[str, ...]] = {name: (sync.key, name) for name in sync.dependencies}
    waiting = [*ways]
    while waiting:
        name = waiting.pop()
        found = find(name)
        for other in found[0].dependencies if found is not None else ():
            if other == sync.key:
                way = " -> ".join((*ways[name], other))
                raise DependencyCycle(f"Syncs depend on one another: {way}", where="spec.dependsOn", hint="take one of them out")
            if other not in ways:
                ways[other] = (*ways[name], other)
                waiting.append(other)
