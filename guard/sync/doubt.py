"""When a prune looks like an accident, and how somebody confirms it. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

from guard.api import HeldBack
from guard.base import naming
from guard.state.ids import NAMESPACE
from guard.sync.leftovers import Leftover

CONFIRM = "gitopsguard.dev/confirm-prune"
NOTHING_HELD = HeldBack()

# An application of some parts comes and goes without anybody being asked, however small the Sync is.
HANDFUL = 10


def doubt(found: Collection[Leftover], *, declared: int, namespaces_left: int, limit: int) -> str:
    """Why this prune looks like an accident; empty when it does not. `limit` is the share, in percent, of what there is of a Sync
    that may go at once.
    """
    if not found:
        return ""
    if declared == 0:
        return f"the revision is empty, and {naming.plural(len(found), 'object')} would go"
    gone = sum(leftover.kind.group_kind == NAMESPACE.group_kind for leftover in found)
    if gone and not namespaces_left:
        return f"every namespace that was declared would go ({gone})"
    total = len(found) + declared
    if len(found) > HANDFUL and len(found) * 100 > total * limit:
        return f"{len(found)} of {total} objects would go, more than {limit} %"
    return ""


def held(found: Collection[Leftover], *, before: HeldBack, reason: str, revision: str, confirmed: str) -> HeldBack:
    """What is held back of what would go, nothing where it may. `before` is what was held back so far: it stays so until that
    very set is confirmed by the revision since which it has been held, or whatever there is by the one in force.
    """
    if not found or not (reason or before.revision):
        return NOTHING_HELD
    digest = digest_of(found)
    since = before.revision if before.digest == digest else revision
    if confirmed and confirmed in {since, revision}:
        return NOTHING_HELD
    return HeldBack(revision=since, objects=len(found), digest=digest)


def digest_of(found: Collection[Leftover]) -> str:
    """Names a set of objects."""
    keys = sorted(f"{one.key.group}/{one.key.kind}/{one.key.namespace}/{one.key.name}" for one in found)
    return hashlib.sha256("\n".join(keys).encode()).hexdigest()[:16]


def told(found: HeldBack, reason: str) -> str:
    """For the Sync's status."""
    why = reason or f"{naming.plural(found.objects, 'object')} would go, held back before"
    return f"nothing is pruned: {why}; to confirm, annotate the Sync with {CONFIRM}={found.revision}"
