"""Guard's own identity.

Inside a cluster it is the pod's service account. Outside, Guard does not work as the kubeconfig's user, who may be the very
person to be refused: with that user's rights it creates a namespace, a service account and RBAC, writing only what differs, and
takes a first token; from then on it renews that itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from guard.base.clock import Clock
from guard.base.codec import JsonObject, child, children
from guard.base.errors import ApiStatusError, ClusterError, ConfigError
from guard.cluster.client import Client, collection_path, object_path
from guard.cluster.connection import Connection
from guard.state.ids import FIELD_MANAGER, GUARD_NAMESPACE, NAMESPACE, Kind
from guard.state.requesters import GUARD_USER

TOKEN_SECONDS = 3600
RENEW_AT = 0.8  # of a token's life, as the kubelet does for projected tokens
RETRY_SECONDS = 30.0
FORBIDDEN, NOT_FOUND = 403, 404

SERVICE_ACCOUNT = Kind(group="", version="v1", kind="ServiceAccount", resource="serviceaccounts", namespaced=True)
ROLE_BINDING = Kind(
    group="rbac.authorization.k8s.io",
    version="v1",
    kind="ClusterRoleBinding",
    resource="clusterrolebindings",
    namespaced=False,
)
ROLE_BINDING_NAME = "gitopsguard"


def identity_objects() -> list[tuple[Kind, JsonObject]]:
    """What Guard needs to be somebody. It may write everything that Git may declare, RBAC included, which nothing less than
    cluster-admin allows (the API server refuses to grant what the grantor lacks).
    """
    return [
        (NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": GUARD_NAMESPACE}}),
        (
            SERVICE_ACCOUNT,
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "guard", "namespace": GUARD_NAMESPACE}},
        ),
        (
            ROLE_BINDING,
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": ROLE_BINDING_NAME},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
                "subjects": [{"kind": "ServiceAccount", "name": "guard", "namespace": GUARD_NAMESPACE}],
            },
        ),
    ]


async def whoami(client: Client) -> str:
    """The name under which the API server knows this client: what admission will see in `userInfo.username`."""
    review = await client.post(
        "/apis/authentication.k8s.io/v1/selfsubjectreviews",
        {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"},
    )
    return str(child(child(review, "status"), "userInfo").get("username", ""))


class Identity:
    """Keeps `client` working as Guard's service account. Use `establish`, then run `keep` until cancelled."""

    def __init__(self, connection: Connection, *, clock: Clock, observe: Callable[[str, int], None] | None = None) -> None:
        self._clock = clock
        self._observe = observe
        self._connection = connection
        self._own: Connection | None = None
        self._founder = Client(connection, observe=observe)
        self.renew_at = 0.0
        self._lock = asyncio.Lock()
        self.client = self._founder
        self.username = ""

    @property
    def founded(self) -> bool:
        """Whether Guard works under an account that it made itself: it is outside a cluster."""
        return self._own is not None

    async def establish(self) -> None:
        """Become Guard. Raises ConfigError when the kubeconfig's user may not create what is missing."""
        user = await whoami(self._founder)
        if user == GUARD_USER:
            # The pod's account, or a kubeconfig made for Guard's: already who we have to be, renewed by whoever made it.
            self.username = user
            return
        try:
            for kind, body in identity_objects():
                await _ensure(self._founder, kind, body)
            token, seconds = await _request_token(self._founder)
        except ApiStatusError as error:
            if error.code == FORBIDDEN:
                raise ConfigError(
                    f"{user} may not set up Guard's own account: {error.message}",
                    hint="run once as a cluster admin, or use a kubeconfig of service account guard-system/guard",
                ) from error
            raise
        self._own = self._connection.with_token(token)
        self._plan_renewal(seconds)
        self.client = Client(self._own, renew=self._start_over, observe=self._observe)
        self.username = await whoami(self.client)

    async def keep(self) -> None:
        """Renew the token at 80 % of its life, with Guard's own right to do so."""
        if self._own is None:
            return
        while True:
            await asyncio.sleep(max(1.0, self.renew_at - self._clock.monotonic()))
            try:
                token, seconds = await _request_token(self.client)
            except ClusterError:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            self._own.replace_token(token)
            self._plan_renewal(seconds)

    async def close(self) -> None:
        await self.client.close()
        await self._founder.close()

    async def _start_over(self) -> None:
        """After a 401 (account deleted and made again, keys rotated, expired while asleep): found the identity anew."""
        own = self._own
        if own is None:
            return
        stale = await own.authorization()
        async with self._lock:
            if await own.authorization() != stale:
                return  # another request renewed it meanwhile
            for kind, body in identity_objects():
                await _ensure(self._founder, kind, body)
            token, seconds = await _request_token(self._founder)
            own.replace_token(token)
            self._plan_renewal(seconds)

    def _plan_renewal(self, seconds: float) -> None:
        self.renew_at = self._clock.monotonic() + seconds * RENEW_AT


async def _ensure(client: Client, kind: Kind, body: JsonObject) -> None:
    """Create the object, or mend it where it differs; write nothing otherwise."""
    namespace, name = body["metadata"].get("namespace", ""), body["metadata"]["name"]
    path = object_path(kind, namespace=namespace, name=name)
    try:
        live = await client.get(path)
    except ApiStatusError as error:
        if error.code != NOT_FOUND:
            raise
        await client.post(collection_path(kind, namespace=namespace), body)
        return
    if live.get("roleRef") != body.get("roleRef"):
        raise ConfigError(f"{kind.kind} {name} grants another role, which cannot be changed", hint="delete it, start Guard again")
    if any(subject not in children(live, "subjects") for subject in children(body, "subjects")):
        await client.apply(path, body, manager=FIELD_MANAGER, force=True)


async def _request_token(client: Client) -> tuple[str, float]:
    """A token for Guard's service account, and for how many seconds it was given: by the server's word, which may allow less than
    was asked for, and not by when it expires, which only a clock as the server's would tell.
    """
    answer = await client.post(
        object_path(SERVICE_ACCOUNT, namespace=GUARD_NAMESPACE, name="guard") + "/token",
        {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": TOKEN_SECONDS},
        },
    )
    return str(child(answer, "status")["token"]), float(child(answer, "spec").get("expirationSeconds", TOKEN_SECONDS))
