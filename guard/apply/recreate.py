"""What cannot be changed where it stands: saying which field it is, and making the object anew where the manifest asks for it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

from guard import telemetry
from guard.apply.errors import TERMINATING
from guard.base import codec
from guard.base.backoff import Backoff
from guard.base.codec import Json, JsonObject, child, children
from guard.base.errors import ApiStatusError, ImmutableField
from guard.base.naming import printable
from guard.cluster import Client
from guard.state.desired import Declared
from guard.state.drift import Change, changes, manifest_fields
from guard.state.equality import MISSING
from guard.state.managed import our_fields
from guard.state.notation import written

RECREATE = "gitopsguard.dev/recreate"
ENABLED = "Enabled"
# With them goes what Git does not hold: all that is in a namespace, all objects of a kind, the data of a volume.
NEVER = frozenset(
    {
        ("", "Namespace"),
        ("apiextensions.k8s.io", "CustomResourceDefinition"),
        ("", "PersistentVolume"),
        ("", "PersistentVolumeClaim"),
    }
)
# Until its pods are gone, an object of these stays: two runs of one Job, or two daemons of a node, would get in each other's way.
_FOREGROUND = frozenset({("batch", "Job"), ("apps", "DaemonSet"), ("apps", "StatefulSet")})
# As long as pods get to end by default. What takes longer is reported, and looked at again with the next attempt.
GONE_SECONDS = 30.0
NOT_FOUND = 404
_NAMED, _LENGTH = 3, 120  # fields and letters of a value that are shown

# `updates to statefulset spec for fields other than 'replicas', ... are forbidden`; pods write the fields in backticks.
_BUT_FOR = re.compile(r"other than (.*)")
_QUOTED = re.compile(r"['`]([^'`]+)['`]")

_log = telemetry.get("apply")


def asks_for_it(declared: Declared) -> bool:
    return child(child(declared.body, "metadata"), "annotations").get(RECREATE) == ENABLED


def objection(declared: Declared, live: JsonObject) -> str:
    """Why Guard does not make the object anew, whatever the manifest asks for; empty where it may."""
    name = (declared.key.group, declared.key.kind)
    if name in NEVER:
        return f"a {declared.key.kind} takes with it what Git does not hold, so Guard never deletes it for that"
    if any(owner.get("controller") for owner in children(child(live, "metadata"), "ownerReferences")):
        return "a controller owns it, and would make it anew by itself"
    retention = child(child(live, "spec"), "persistentVolumeClaimRetentionPolicy")
    if name == ("apps", "StatefulSet") and retention.get("whenDeleted") == "Delete" and not _keeps_pods(declared, live):
        return "its volume claims would be deleted with it (persistentVolumeClaimRetentionPolicy)"
    return ""


def immutable(declared: Declared, live: JsonObject, refused: ApiStatusError) -> ImmutableField:
    """The API server's refusal in terms of Git."""
    differences = list(_differences(declared, live, refused))
    if differences:
        named = "; ".join(_shown(declared, change) for change in differences[:_NAMED])
        more = f"; and {len(differences) - _NAMED} more" if len(differences) > _NAMED else ""
    else:
        # Git has dropped the field, or the API server names another.
        is_open = declared.secrecy.is_open
        named = refused.message if is_open else f"{', '.join(refused.fields) or 'a field'} is immutable"
        more = ""
    why = objection(declared, live)
    hint = f"annotate it {RECREATE}: {ENABLED} in Git to have it deleted and made anew, or delete it by hand under break-glass"
    if why:
        hint = f"{why}; delete it by hand under break-glass, or put Git back"
    return ImmutableField(named + more, code=refused.code, reason=refused.reason, fields=refused.fields, hint=hint)


async def remove(client: Client, path: str, declared: Declared, live: JsonObject) -> None:
    """Delete exactly this object, in order to make it anew; returns when it is gone. Raises ApiStatusError, also when something
    holds it.
    """
    metadata = live["metadata"]
    if not metadata.get("deletionTimestamp"):
        _log.info("recreating", object=str(declared.key), origin=str(declared.origin))
        try:
            await client.delete(
                path,
                uid=metadata["uid"],
                resource_version=metadata["resourceVersion"],
                propagation=propagation(declared, live),
            )
        except ApiStatusError as error:
            if error.code != NOT_FOUND:
                raise
            return
    await gone(client, path, live)


async def gone(client: Client, path: str, live: JsonObject) -> None:
    """Wait until this very object is gone. Raises ApiStatusError, naming what holds it."""
    end = asyncio.get_running_loop().time() + GONE_SECONDS
    backoff = Backoff(first=0.05, most=1.0)
    while True:
        try:
            found = await client.get(path)
        except ApiStatusError as error:
            if error.code != NOT_FOUND:
                raise
            return
        metadata = found["metadata"]
        if metadata["uid"] != live["metadata"]["uid"]:
            return
        if asyncio.get_running_loop().time() > end:
            holders = ", ".join(printable(str(name)) for name in metadata.get("finalizers") or ())
            raise ApiStatusError(
                f"it is being deleted, and {f'its finalizers hold it: {holders}' if holders else 'its end is waited for'}",
                code=409,
                reason=TERMINATING,
                hint="it is made anew once it is gone",
            )
        await asyncio.sleep(backoff.next())


def propagation(declared: Declared, live: JsonObject) -> str:
    """What becomes of an object's dependents. The pods of a StatefulSet are taken over by the new one where its selector finds
    them: nothing stops, and no claim is deleted with it.
    """
    if _keeps_pods(declared, live):
        return "Orphan"
    return "Foreground" if (declared.key.group, declared.key.kind) in _FOREGROUND else "Background"


def _keeps_pods(declared: Declared, live: JsonObject) -> bool:
    if (declared.key.group, declared.key.kind) != ("apps", "StatefulSet"):
        return False
    git, found = child(declared.body, "spec"), child(live, "spec")
    selector = child(git, "selector")
    labels = child(child(child(found, "template"), "metadata"), "labels")
    # Expressions would have to be evaluated.
    return set(selector) == {"matchLabels"} and child(selector, "matchLabels").items() <= labels.items()


def _differences(declared: Declared, live: JsonObject, refused: ApiStatusError) -> Iterator[Change]:
    """Where the live object is not as Git says, at and below the fields that the API server named."""
    git = declared.body
    known = _QUOTED.findall(found[1]) if (found := _BUT_FOR.search(refused.message)) else []
    for change in changes(git, live, git=git, declared=manifest_fields(git, our_fields(live).tree), beside=False):
        path = written(change.path)
        is_changeable = any(path == f"spec.{name}" or path.startswith(f"spec.{name}.") for name in known)
        # What Git does not have is derived from what it has, as `clusterIPs` is; the API server's words then say more.
        is_gits = change.old is not MISSING
        if is_gits and not is_changeable and any(_is_within(path, field) for field in refused.fields):
            yield change


def _is_within(path: str, field: str) -> bool:
    """The API server counts items, where paths name their keys, so lists are compared as far as they are fields. It may name less
    than what is one value, too.
    """
    field = field.partition("[")[0]
    return any(one == other or one.startswith((f"{other}.", f"{other}[")) for one, other in ((path, field), (field, path)))


def _shown(declared: Declared, change: Change) -> str:
    if not declared.secrecy.is_open:
        return f"{written(declared.secrecy.shown(change.path)[:2])} is immutable, and Git's differs"
    return f"{written(change.path)} is immutable: Git has {_value(change.old)}, the cluster has {_value(change.new)}"


def _value(value: Json) -> str:
    if value is MISSING:
        return "nothing"
    text = printable(value if isinstance(value, str) else codec.encode(value).decode())
    return text if len(text) <= _LENGTH else f"{text[:_LENGTH]}..."
