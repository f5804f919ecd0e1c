"""Namespaces of tenants, with an account and what it may do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from guard.base.codec import JsonObject
from tools.controlplane import ControlPlane

VERBS = ("get", "create", "patch", "delete")


async def make_namespace(plane: ControlPlane, name: str) -> None:
    await plane.call("POST", "/api/v1/namespaces", body={"metadata": {"name": name}})


async def make_account(plane: ControlPlane, namespace: str, name: str) -> str:
    """A service account; returns the user that it is."""
    await plane.call("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", body={"metadata": {"name": name}})
    return f"system:serviceaccount:{namespace}:{name}"


async def allow(
    plane: ControlPlane,
    namespace: str,
    user: str,
    resources: Mapping[str, Sequence[str]],
    *,
    role: str = "deployer",
    verbs: Sequence[str] = VERBS,
    names: Sequence[str] = (),
) -> None:
    """Let the user do this in the namespace with resources, given by API group."""
    root = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    rules: list[JsonObject] = [
        {"apiGroups": [group], "resources": [*found], "verbs": [*verbs], **({"resourceNames": [*names]} if names else {})}
        for group, found in resources.items()
    ]
    await plane.call("POST", f"{root}/roles", body={"metadata": {"name": role}, "rules": rules})
    binding = {
        "metadata": {"name": role},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }
    await plane.call("POST", f"{root}/rolebindings", body=binding)
