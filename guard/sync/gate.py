"""What keeps a revision out: objects that the API server would never take, as a dry run of each tells."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from guard.apply import Writer, told
from guard.base.concurrency import for_each
from guard.base.errors import ApiStatusError, RenderError
from guard.state.desired import Declared, Learned
from guard.state.ids import DEFINITION, NAMESPACE, ObjectKey

ASKED_AT_ONCE = 10  # as many as are applied at once: nothing else of this Sync goes on meanwhile
_BAD_REQUEST, _NOT_FOUND, _UNPROCESSABLE = 400, 404, 422
_MOST_NAMED = 5
# How the API server begins when a field or its type is not what the kind has; it calls that an error of its own (500).
_UNTYPED = "failed to create typed patch object"

# A change of what may not be changed depends on what stands in the cluster: that is reported when it is applied.
_IMMUTABLE = re.compile(r"immutable|[Ff]orbidden: updates to|may not be (?:changed|updated|unset)|cannot be changed")


async def check(changed: Sequence[Declared], *, writer: Writer) -> dict[ObjectKey, Learned]:
    """What the API server would store of each object that it was asked about.

    Raises RenderError, naming file and line, for objects with fields that their kind does not have, or of the wrong type, or
    without those that it needs, or in a namespace that is not there; Unreachable when the API server is gone. Objects whose
    namespace or kind the revision itself changes are left to the apply, and so is whatever depends on what stands in the
    cluster: other webhooks, quotas, conflicts.
    """
    lessons: dict[ObjectKey, Learned] = {}

    async def one(declared: Declared) -> str:
        try:
            lessons[declared.key] = await writer.ask(declared)
        except ApiStatusError as error:
            return _fault(error, declared)
        return ""

    asked = _askable(changed)
    said = await for_each(asked, one, at_once=ASKED_AT_ONCE)
    faults = [f"{declared.origin}: {declared.key}: {fault}" for declared, fault in zip(asked, said, strict=True) if fault]
    if faults:
        more = f"; and {len(faults) - _MOST_NAMED} more" if len(faults) > _MOST_NAMED else ""
        raise RenderError("; ".join(faults[:_MOST_NAMED]) + more)
    return lessons


def _askable(changed: Iterable[Declared]) -> list[Declared]:
    changed = tuple(changed)
    namespaces = {declared.key.name for declared in changed if declared.kind == NAMESPACE}
    definitions = {declared.key.name for declared in changed if declared.kind == DEFINITION}
    return [
        declared
        for declared in changed
        if declared.key.namespace not in namespaces and f"{declared.kind.resource}.{declared.kind.group}" not in definitions
    ]


def _fault(error: ApiStatusError, declared: Declared) -> str:
    """What keeps the object out, empty where that depends on what stands in the cluster."""
    namespace = declared.key.namespace
    if error.code == _NOT_FOUND and f'namespaces "{namespace}" not found' in error.message:
        return f"there is no namespace {namespace}, nor does this revision declare it"
    if error.code == _BAD_REQUEST or error.message.startswith(_UNTYPED):
        return told(error, declared.key)
    if error.code == _UNPROCESSABLE and not _IMMUTABLE.search(error.message):
        return told(error, declared.key)
    return ""
