"""Jobs that end and are taken away by their time to live: they stay away until their manifest changes."""

from __future__ import annotations

from guard.base import codec
from guard.base.codec import JsonObject, child
from guard.state.fields import FieldSet
from guard.state.metadata import Metadata

# Conditions are one atomic value to managedFields. A Job that succeeded has a completion time; one that failed has failures and
# conditions, and nothing active. (One that somebody suspended after a failure looks like that, too.)
_COMPLETED = ("f:status", "f:completionTime")
_FAILED = (("f:status", "f:failed"), ("f:status", "f:conditions"))
_ACTIVE = ("f:status", "f:active")


def goes_by_itself(manifest: JsonObject, metadata: Metadata) -> bool:
    """Whether an object is a Job that has ended and whose manifest gives it a time to live: that shows in its managedFields."""
    spec = child(manifest, "spec")
    if manifest.get("kind") != "Job" or spec.get("ttlSecondsAfterFinished") is None or spec.get("suspend"):
        return False
    return any(entry.subresource == "status" and _is_of_ended(entry.fields) for entry in metadata.entries)


def _is_of_ended(status: FieldSet) -> bool:
    return _COMPLETED in status or (all(path in status for path in _FAILED) and _ACTIVE not in status)


def manifest_digest(manifest: JsonObject) -> str:
    """Names a manifest: another one has another digest."""
    return codec.digest(manifest).hex()
