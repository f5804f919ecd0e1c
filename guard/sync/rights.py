"""Whether a Sync's service account may touch what the Sync declares.

What is declared is refused to everybody else, so nothing is taken into force that the account may not change itself. A dry run
tells that too, but not of objects whose namespace or kind is still to come, and of each object by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from guard.base.codec import child
from guard.base.concurrency import for_each
from guard.base.errors import ApiStatusError, RenderError
from guard.cluster import Client, object_path
from guard.cluster.identity import SERVICE_ACCOUNT as ACCOUNT
from guard.state.desired import Declared
from guard.state.ids import Kind
from guard.state.requesters import SERVICE_ACCOUNT
from guard.sync.plan import rejected

REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
VERB = "patch"  # what an apply takes of an object that is there
ASKED_AT_ONCE = 10
NOT_FOUND = 404

HINT = "bind it a Role or ClusterRole that allows get, create, patch and delete, or leave the object out"


async def check(objects: Iterable[Declared], *, user: str, client: Client) -> None:
    """Raises RenderError, naming file and line, where the account may not patch an object, or is not there; ClusterError."""
    if user and not await _exists(user, client=client):
        raise RenderError(f"there is no {shown(user)}", hint="create it, or name another in spec.serviceAccountName")
    denied = await forbidden(objects, user=user, client=client)
    if denied:
        raise rejected([f"{one.origin}: {one.key}: {shown(user)} may not {VERB} {_what(one)}" for one in denied], hint=HINT)


async def forbidden(objects: Iterable[Declared], *, user: str, client: Client) -> list[Declared]:
    """Those of the objects that the account may not patch; all of them where it is not there. `client` asks, and is not the
    account's own. Nothing is forbidden to Guard itself, who is no `user`. Raises ClusterError.
    """
    if not user:
        return []
    if not await _exists(user, client=client):
        return list(objects)
    groups: dict[tuple[Kind, str], list[Declared]] = {}
    for one in objects:
        groups.setdefault((one.kind, one.key.namespace), []).append(one)

    async def denied(group: tuple[Kind, str]) -> Sequence[Declared]:
        kind, namespace = group
        # Most Roles name no objects, and the answer is that for all of them.
        if await _may(user, kind, namespace=namespace, client=client):
            return ()
        found = groups[group]
        return [one for one in found if not await _may(user, kind, namespace=namespace, name=one.key.name, client=client)]

    return [one for found in await for_each(tuple(groups), denied, at_once=ASKED_AT_ONCE) for one in found]


def shown(user: str) -> str:
    namespace, _, name = user.removeprefix(SERVICE_ACCOUNT).partition(":")
    return f"service account {namespace}/{name}"


def _what(one: Declared) -> str:
    where = f"in namespace {one.key.namespace}" if one.key.namespace else "of the cluster"
    return f"{one.kind.resource}{'.' if one.kind.group else ''}{one.kind.group} {where}"


async def _exists(user: str, *, client: Client) -> bool:
    """The API server takes any name for one that acts, and roles may still be bound to one that was deleted."""
    namespace, _, name = user.removeprefix(SERVICE_ACCOUNT).partition(":")
    try:
        await client.get(object_path(ACCOUNT, namespace=namespace, name=name))
    except ApiStatusError as error:
        if error.code != NOT_FOUND:
            raise
        return False
    return True


async def _may(user: str, kind: Kind, *, namespace: str, client: Client, name: str = "") -> bool:
    namespace_of = user.removeprefix(SERVICE_ACCOUNT).partition(":")[0]
    attributes = {"verb": VERB, "group": kind.group, "version": kind.version, "resource": kind.resource}
    review = await client.post(
        REVIEWS,
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": user,
                "groups": ["system:serviceaccounts", f"system:serviceaccounts:{namespace_of}", "system:authenticated"],
                "resourceAttributes": {**attributes, "namespace": namespace, "name": name},
            },
        },
    )
    return bool(child(review, "status").get("allowed"))
