"""The role that lets people make BreakGlass objects; nobody has it by default, and no other role takes it up."""

from __future__ import annotations

from guard.api import BREAK_GLASS
from guard.base.codec import JsonObject
from guard.cluster import Client, object_path
from guard.state.ids import FIELD_MANAGER, Kind

CLUSTER_ROLE = Kind(
    group="rbac.authorization.k8s.io", version="v1", kind="ClusterRole", resource="clusterroles", namespaced=False
)
ROLE_NAME = "guard-break-glass"


def role() -> JsonObject:
    """Bound in a namespace, it is for what is in there; bound in guard-system, for anything."""
    return {
        "apiVersion": CLUSTER_ROLE.api_version,
        "kind": CLUSTER_ROLE.kind,
        "metadata": {"name": ROLE_NAME},
        "rules": [
            {
                "apiGroups": [BREAK_GLASS.group],
                "resources": [BREAK_GLASS.resource],
                "verbs": ["create", "delete", "get", "list", "watch"],
            }
        ],
    }


async def install_role(client: Client) -> None:
    """Raises ClusterError."""
    await client.apply(object_path(CLUSTER_ROLE, namespace="", name=ROLE_NAME), role(), manager=FIELD_MANAGER, force=True)
