"""What keeps a revision out: objects that the API server would never take, as a dry run of each tells."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from guard.apply import Writer, is_denied, told
from guard.base.concurrency import for_each
from guard.base.errors import ApiStatusError
from guard.state.desired import Declared, Learned
from guard.state.ids import DEFINITION, NAMESPACE, ObjectKey
from guard.sync.plan import rejected

ASKED_AT_ONCE = 10  # as many as are applied at once: nothing else of this Sync goes on meanwhile
_BAD_REQUEST, _NOT_FOUND, _UNPROCESSABLE = 400, 404, 422
# How the API server begins when a field or its type is not what the kind has; it calls that an error of its own (500).
_UNTYPED = "failed to create typed patch object"

# What depends on the cluster, and is reported when it is applied: other webhooks and policies (which may answer as if the object
# were invalid), and addresses and ports that another Service holds, and may give up in this very revision.
_OTHERS = re.compile(r'^admission webhook "|is forbidden: ValidatingAdmissionPolicy |is already allocated')


async def check(
    changed: Sequence[Declared],
    *,
    due: Iterable[Declared] = (),
    declared: Collection[ObjectKey] = (),
    writer: Writer,
    account: str = "",
    at_once: int = ASKED_AT_ONCE,
) -> dict[ObjectKey, Learned]:
    """What the API server would store of each object that it was asked about, of a revision that declares these. What of it is
    `due` was in force before, and has not been applied yet. `account` is the user in whose name the Sync works, empty for Guard.

    Raises RenderError, naming file and line, for objects with fields that their kind does not have, or of the wrong type, or
    without those that it needs, or in a namespace that is not there, or beyond the rights of the account; Unreachable when the
    API server is gone. Objects whose namespace or kind the revision itself changes are left to the apply, and so is whatever
    depends on what stands in the cluster: other webhooks, quotas, conflicts.
    """
    lessons: dict[ObjectKey, Learned] = {}

    async def one(found: Declared) -> str:
        try:
            lessons[found.key] = await writer.ask(found)
        except ApiStatusError as error:
            # What an account may not touch itself it keeps from nobody else.
            if account and is_denied(error):
                return told(error, found.secrecy)
            return await _fault(error, found, declared=declared, writer=writer)
        return ""

    asked = _askable(changed, due=due)
    said = await for_each(asked, one, at_once=at_once)
    faults = [f"{found.origin}: {found.key}: {fault}" for found, fault in zip(asked, said, strict=True) if fault]
    if faults:
        raise rejected(faults)
    return lessons


def _askable(changed: Sequence[Declared], *, due: Iterable[Declared]) -> list[Declared]:
    coming = (*changed, *due)
    namespaces = {declared.key.name for declared in coming if declared.kind == NAMESPACE}
    definitions = {declared.key.name for declared in coming if declared.kind == DEFINITION}
    return [
        declared
        for declared in changed
        if declared.key.namespace not in namespaces and f"{declared.kind.resource}.{declared.kind.group}" not in definitions
    ]


async def _fault(error: ApiStatusError, found: Declared, *, declared: Collection[ObjectKey], writer: Writer) -> str:
    """What keeps the object out, empty where that depends on what stands in the cluster."""
    name = found.key.namespace
    if error.code == _NOT_FOUND and f'namespaces "{name}" not found' in error.message:
        is_declared = ObjectKey(group="", kind="Namespace", namespace="", name=name) in declared
        return "" if is_declared else f"there is no namespace {name}, nor does this revision declare it"
    if _OTHERS.search(error.message):
        return ""
    if error.code == _BAD_REQUEST or error.message.startswith(_UNTYPED):
        return told(error, found.secrecy)
    if error.code == _UNPROCESSABLE and not await writer.could_be_new(found):
        return told(error, found.secrecy)
    return ""
