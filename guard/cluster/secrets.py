"""What Secrets hold."""

from __future__ import annotations

import base64

from guard.base.codec import child
from guard.base.errors import ApiStatusError, SourceError
from guard.cluster.client import Client, object_path
from guard.state.ids import Kind

SECRET = Kind(group="", version="v1", kind="Secret", resource="secrets", namespaced=True)
FORBIDDEN, NOT_FOUND = 403, 404


async def read_secret(client: Client, namespace: str, name: str) -> dict[str, bytes]:
    """The values of a Secret by their keys. Raises SourceError where there is none or Guard may not read it, ClusterError where
    the API server does not say.
    """
    try:
        secret = await client.get(object_path(SECRET, namespace=namespace, name=name))
    except ApiStatusError as error:
        if error.code == NOT_FOUND:
            raise SourceError(f"there is no Secret {namespace}/{name}") from error
        if error.code == FORBIDDEN:
            hint = "let ClusterRoleBinding gitopsguard bind service account guard-system/guard to cluster-admin again"
            raise SourceError(f"Guard may not read Secret {namespace}/{name}", hint=hint) from error
        raise
    return {key: base64.b64decode(value) for key, value in child(secret, "data").items()}
