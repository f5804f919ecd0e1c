"""What a Sync says of how far its source can be relied on. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from guard.api import Signature, Sync
from guard.api.conditions import ConditionStatus
from guard.source import Signed, Trust

# Status, reason and message of a condition; None where it is not to be there.
Wanted: TypeAlias = tuple[ConditionStatus, str, str] | None

REFUSED = "SignatureRefused"


def conditions(sync: Sync, trust: Trust, *, refused: str) -> Mapping[str, Wanted]:
    """SourceVerified where signatures are asked for: by whom what was fetched last is signed, or why it was `refused`. Versioned
    for a bucket: whether its revisions are immutable. What was found out before stays where nothing new is known.
    """
    source, wanted = sync.spec.source, dict[str, Wanted]()
    if source.named.verify is None:
        wanted["SourceVerified"] = None
    elif refused:
        wanted["SourceVerified"] = ("False", REFUSED, refused)
    elif trust.signed is not None:
        wanted["SourceVerified"] = ("True", "SignatureVerified", f"{trust.signed.revision} is signed by {trust.signed}")
    if source.bucket is None:
        wanted["Versioned"] = None
    elif trust.weakness:
        wanted["Versioned"] = ("False", "BucketNotVersioned", trust.weakness)
    elif trust.is_fetched:
        wanted["Versioned"] = ("True", "BucketVersioned", "revisions are made of version ids")
    return wanted


def signature(signed: Signed | None, *, revision: str, known: Signature) -> Signature:
    """Who signed the revision that is in force now; what is `known` counts for the same revision."""
    if signed is not None and signed.revision == revision:
        return Signature(revision=revision, by=signed.by, key=signed.key, at=signed.at)
    return known if known.revision == revision else Signature()
