"""The fence around what is Guard's own: its namespace, and the webhook configuration. Pure: names in, one
ValidatingAdmissionPolicy and its binding out.

A webhook cannot guard these: it would lock out whoever has to mend it, and the API server asks none about webhook configurations.
A policy is evaluated in the API server, and holds while Guard is down. It is never evaluated for policies themselves, so an
administrator who is locked out deletes the binding while Guard is stopped.
"""

from __future__ import annotations

from collections.abc import Iterable

from guard.base.codec import JsonObject
from guard.registration.rules import GROUPS, IS_CONTROL_PLANE, NAME, RESOURCE, USER, quoted
from guard.state.ids import GUARD_NAMESPACE, Kind
from guard.state.requesters import BREAK_GLASS_GROUP, SERVICE_ACCOUNT

# Who may change Guard's own; more of them with --admin-group.
ADMIN_GROUPS = ("gitopsguard:admins", "kubeadm:cluster-admins", "system:masters")

_API_GROUP = "admissionregistration.k8s.io"
POLICY = Kind(
    group=_API_GROUP,
    version="v1",
    kind="ValidatingAdmissionPolicy",
    resource="validatingadmissionpolicies",
    namespaced=False,
)
BINDING = Kind(
    group=_API_GROUP,
    version="v1",
    kind="ValidatingAdmissionPolicyBinding",
    resource="validatingadmissionpolicybindings",
    namespaced=False,
)

# What controllers of others keep in any namespace: certificates, credentials, leases. No pods: one could run as Guard.
_OF_MACHINES = ("/configmaps", "/secrets", "coordination.k8s.io/leases")
# A drained node evicts Guard's pods; tokens are RBAC's matter, since whoever starts a Guard outside the cluster needs one.
_FREE_BELOW = ("binding", "eviction", "token")
_FREE = ("/events", "events.k8s.io/events", "gitopsguard.dev/breakglasses")
BELOW = "request.subResource"
# A Sync but for its annotations, by which anybody who may update it asks for a look or confirms a prune.
_ANNOTATED = " && ".join(
    [
        "request.operation == 'UPDATE'",
        "request.resource.group == 'gitopsguard.dev'",
        f"!has({BELOW})",
        "object.spec == oldObject.spec",
        *(f"object.metadata.?{name} == oldObject.metadata.?{name}" for name in ("labels", "finalizers", "ownerReferences")),
    ]
)


def fence(*, sync_user: str, admin_groups: Iterable[str]) -> tuple[JsonObject, JsonObject]:
    """The policy and its binding, every default written out."""
    groups = sorted({*ADMIN_GROUPS, *admin_groups, BREAK_GLASS_GROUP})
    named = f"has({GROUPS}) && {GROUPS}.exists(name, name in [{', '.join(map(quoted, groups))}])"
    machines = f"{USER}.startsWith({quoted(SERVICE_ACCOUNT)}) && !has({BELOW}) && {RESOURCE} in {list(_OF_MACHINES)}"
    trusted = [f"{USER} == {quoted(sync_user)}", IS_CONTROL_PLANE, f"({named})", f"({machines})"]
    free = [
        f"{RESOURCE} in {list(_FREE)}",
        f"(has({BELOW}) && {BELOW} in {list(_FREE_BELOW)})",
        f"({_ANNOTATED})",
    ]
    policy: JsonObject = {
        "apiVersion": POLICY.api_version,
        "kind": POLICY.kind,
        "metadata": {"name": NAME, "labels": {"app.kubernetes.io/managed-by": "guard"}},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "matchPolicy": "Equivalent",
                "namespaceSelector": {
                    "matchExpressions": [
                        {"key": "kubernetes.io/metadata.name", "operator": "In", "values": [GUARD_NAMESPACE]},
                    ]
                },
                "objectSelector": {},
                "resourceRules": [
                    _rule("*", ["CREATE", "UPDATE", "DELETE"], "*/*", scope="Namespaced"),
                    _rule("", ["UPDATE", "DELETE"], "namespaces", scope="Cluster", name=GUARD_NAMESPACE),
                    _rule(_API_GROUP, ["UPDATE", "DELETE"], "validatingwebhookconfigurations", scope="Cluster", name=NAME),
                ],
            },
            "validations": [
                {
                    "expression": " || ".join([*trusted, *free]),
                    "message": f"this is Guard's own: only the groups {', '.join(groups)} may change it",
                    "reason": "Forbidden",
                }
            ],
        },
    }
    binding: JsonObject = {
        "apiVersion": BINDING.api_version,
        "kind": BINDING.kind,
        "metadata": {"name": NAME, "labels": {"app.kubernetes.io/managed-by": "guard"}},
        "spec": {"policyName": NAME, "validationActions": ["Deny"]},
    }
    return policy, binding


def _rule(group: str, operations: list[str], resource: str, *, scope: str, name: str = "") -> JsonObject:
    rule: JsonObject = {
        "apiGroups": [group],
        "apiVersions": ["*"],
        "operations": operations,
        "resources": [resource],
        "scope": scope,
    }
    return {**rule, "resourceNames": [name]} if name else rule
