"""The fence around what is Guard's own: its namespace, the Syncs of all namespaces, and what of the cluster's it stands on. Pure:
names in, ValidatingAdmissionPolicies and their bindings out.

A webhook cannot guard these: it would lock out whoever has to mend it, and the API server asks none about webhook configurations.
A policy is evaluated in the API server, and holds while Guard is down. It is never evaluated for policies themselves, so an
administrator who is locked out deletes the bindings while Guard is stopped.
"""

from __future__ import annotations

from collections.abc import Iterable

from guard.api import ACCEPT_REVISION, BREAK_GLASS, SYNC, written
from guard.base.codec import JsonObject
from guard.cluster.identity import ROLE_BINDING, ROLE_BINDING_NAME
from guard.registration.expressions import BELOW, GROUPS, RESOURCE, USER, any_of, condition, is_control_plane, quoted
from guard.registration.rules import CONFIGURATION, NAME
from guard.state.ids import DEFINITION, GUARD_NAMESPACE, Kind
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

# A working day's half: who needs longer changes Git, or makes another.
LONGEST_SECONDS = 4 * 3600.0

# Of the namespace; the other policy has Guard's own name.
NAMESPACE_POLICY = f"{NAME}-namespace"

# What controllers of others keep in any namespace: certificates, credentials, leases. No pods: one could run as Guard.
_OF_MACHINES = ("/configmaps", "/secrets", "coordination.k8s.io/leases")
# A drained node evicts Guard's pods; tokens are RBAC's matter, since whoever starts a Guard outside the cluster needs one.
_FREE_BELOW = ("binding", "eviction", "token")
_FREE = ("/events", "events.k8s.io/events")
# With one of these gone, nothing is enforced any more: the registration, Guard's rights, and the definition whose deletion takes
# every Sync with it.
_STANDING = tuple(
    f"{kind.group}/{kind.resource}/{name}"
    for kind, name in (
        (CONFIGURATION, NAME),
        (ROLE_BINDING, ROLE_BINDING_NAME),
        (DEFINITION, f"{SYNC.resource}.{SYNC.group}"),
        (DEFINITION, f"{BREAK_GLASS.resource}.{BREAK_GLASS.group}"),
    )
)
# RBAC decides who may make one and take it back; what it says cannot be changed, and what came of it Guard alone says.
_BREAK_GLASS = f"({RESOURCE} == {quoted(f'{BREAK_GLASS.group}/{BREAK_GLASS.resource}')} && !has({BELOW}))"
_ACCEPTED = f".?annotations[?{quoted(ACCEPT_REVISION)}]"
# A Sync but for its annotations, by which anybody who may update it asks for a look or confirms a prune. To have an older
# revision back is a decision like one on the spec.
_ANNOTATED = " && ".join(
    [
        "request.operation == 'UPDATE'",
        "request.resource.group == 'gitopsguard.dev'",
        f"!has({BELOW})",
        "object.spec == oldObject.spec",
        *(f"object.metadata.?{name} == oldObject.metadata.?{name}" for name in ("labels", "finalizers", "ownerReferences")),
        f"object.metadata{_ACCEPTED} == oldObject.metadata{_ACCEPTED}",
    ]
)


def fence(
    *, sync_user: str, admin_groups: Iterable[str], control_plane: Iterable[str] = (), longest: float = LONGEST_SECONDS
) -> tuple[tuple[Kind, JsonObject], ...]:
    """The policies and their bindings, every default written out. `control_plane` are the users that the installer adds to it,
    `longest` is how many seconds a BreakGlass may last.

    Two policies, since only one of them may be held to a namespace: the other names few resources, so that the API server has
    nothing to evaluate for the writes of the rest of the cluster.
    """
    groups = sorted({*ADMIN_GROUPS, *admin_groups, BREAK_GLASS_GROUP})
    named = f"has({GROUPS}) && {GROUPS}.exists(name, name in {any_of(groups)})"
    machines = f"{USER}.startsWith({quoted(SERVICE_ACCOUNT)}) && !has({BELOW}) && {RESOURCE} in {any_of(_OF_MACHINES)}"
    trusted = [f"{USER} == {quoted(sync_user)}", is_control_plane(control_plane), f"({named})", f"({machines})"]
    free = [
        f"{RESOURCE} in {any_of(_FREE)}",
        f"(has({BELOW}) && {BELOW} in {any_of(_FREE_BELOW)})",
        f"({_ANNOTATED})",
        _BREAK_GLASS,
    ]
    validation: JsonObject = {
        "expression": " || ".join([*trusted, *free]),
        "message": f"this is Guard's own: only the groups {', '.join(groups)} may change it",
        "reason": "Forbidden",
    }
    return (
        *_enforced(NAMESPACE_POLICY, [validation], rules=_in_the_namespace(), namespaces=_GUARDS),
        *_enforced(NAME, [validation, *_of_break_glass(longest)], rules=_in_the_cluster(), matches=[_STANDING_OR_SYNC]),
    )


def _of_break_glass(longest: float) -> list[JsonObject]:
    """What a BreakGlass may say, whoever makes it, and whether Guard is there or not."""
    made = (
        f"{RESOURCE} == {quoted(f'{BREAK_GLASS.group}/{BREAK_GLASS.resource}')} && !has({BELOW}) && request.operation == 'CREATE'"
    )

    def rule(expression: str, **said: str) -> JsonObject:
        return {"expression": f"!({made}) || ({expression})", **said, "reason": "Forbidden"}

    target = "object.spec.target"
    reached = f"[{target}.?object.?namespace, {target}.?namespace, {target}.?sync.?namespace]"
    return [
        rule(
            f"{USER} == object.spec.?by.orValue('')",
            message="spec.by has to be your own user name",
            messageExpression=f"'spec.by has to be your own user name: ' + {USER}",
        ),
        rule(
            f"duration(object.spec.duration) <= duration({quoted(f'{longest:.0f}s')})",
            message=f"break-glass may last {written(longest)} at most; delete it and make another when that is not enough",
        ),
        rule(
            f"request.namespace == {quoted(GUARD_NAMESPACE)} || "
            f"{reached}.all(found, found.orValue('') in ['', request.namespace])",
            message=f"outside {GUARD_NAMESPACE}, break-glass opens only what is in its own namespace",
        ),
    ]


_GUARDS: JsonObject = {
    "matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": [GUARD_NAMESPACE]}]
}
# Names stand here and not in the rules, whose `resourceNames` no deletion of a collection meets: its requests carry no name.
_STANDING_OR_SYNC = condition(
    "guards-own",
    f"request.resource.group == {quoted(SYNC.group)} || ({RESOURCE} + '/' + oldObject.metadata.name) in {any_of(_STANDING)}",
)


def _in_the_namespace() -> list[JsonObject]:
    return [
        # CONNECT: a shell in Guard's pod, or a way to its ports, is a way to its token.
        _rule("*", ["CREATE", "UPDATE", "DELETE", "CONNECT"], "*/*", scope="Namespaced"),
        # A selector of namespaces meets a namespace by its own labels. Through either subresource its metadata may be changed as
        # well: with an owner that is no more, the garbage collector takes it.
        _rule("", ["UPDATE", "DELETE"], "namespaces", "namespaces/status", "namespaces/finalize", scope="Cluster"),
    ]


def _in_the_cluster() -> list[JsonObject]:
    return [
        # Whoever makes a Sync has Guard's rights, or elsewhere those of any service account of the namespace.
        _rule(SYNC.group, ["CREATE", "UPDATE", "DELETE"], SYNC.resource, f"{SYNC.resource}/status", scope="Namespaced"),
        _rule(SYNC.group, ["CREATE", "UPDATE"], BREAK_GLASS.resource, f"{BREAK_GLASS.resource}/status", scope="Namespaced"),
        _rule(CONFIGURATION.group, ["UPDATE", "DELETE"], CONFIGURATION.resource, scope="Cluster"),
        _rule(ROLE_BINDING.group, ["UPDATE", "DELETE"], ROLE_BINDING.resource, scope="Cluster"),
        _rule(DEFINITION.group, ["UPDATE", "DELETE"], DEFINITION.resource, f"{DEFINITION.resource}/status", scope="Cluster"),
    ]


def _enforced(
    name: str,
    validations: list[JsonObject],
    *,
    rules: list[JsonObject],
    namespaces: JsonObject | None = None,
    matches: list[JsonObject] | None = None,
) -> tuple[tuple[Kind, JsonObject], tuple[Kind, JsonObject]]:
    """A policy and its binding."""
    metadata: JsonObject = {"name": name, "labels": {"app.kubernetes.io/managed-by": "guard"}}
    policy: JsonObject = {
        "apiVersion": POLICY.api_version,
        "kind": POLICY.kind,
        "metadata": metadata,
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "matchPolicy": "Equivalent",
                "namespaceSelector": namespaces or {},
                "objectSelector": {},
                "resourceRules": rules,
            },
            **({"matchConditions": matches} if matches else {}),
            "validations": validations,
        },
    }
    binding: JsonObject = {
        "apiVersion": BINDING.api_version,
        "kind": BINDING.kind,
        "metadata": metadata,
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    }
    return (POLICY, policy), (BINDING, binding)


def _rule(group: str, operations: list[str], *resources: str, scope: str) -> JsonObject:
    return {
        "apiGroups": [group],
        "apiVersions": ["*"],
        "operations": operations,
        "resources": list(resources),
        "scope": scope,
    }
