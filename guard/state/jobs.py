"""Jobs that end and are taken away by their time to live: they stay away until their manifest changes."""

from __future__ import annotations

from hashlib import blake2b

from guard.base import codec
from guard.base.codec import JsonObject, child
from guard.state.managed import entries, reaches

_CONDITIONS = ("f:status", "f:conditions")
_ENDED = ('k:{"type":"Complete"}', 'k:{"type":"Failed"}')
DIGEST_BYTES = 16


def goes_by_itself(manifest: JsonObject, metadata: JsonObject) -> bool:
    """Whether an object is a Job that has ended and whose manifest gives it a time to live: conditions show in the managedFields
    of `metadata`, the object or its metadata alone.
    """
    if manifest.get("kind") != "Job" or child(manifest, "spec").get("ttlSecondsAfterFinished") is None:
        return False
    for entry in entries(metadata):
        if entry.subresource == "status" and any(reaches(entry.fields, (*_CONDITIONS, ended)) for ended in _ENDED):
            return True
    return False


def manifest_digest(manifest: JsonObject) -> str:
    """Names a manifest: another one has another digest."""
    return blake2b(codec.canonical(manifest), digest_size=DIGEST_BYTES).hexdigest()
