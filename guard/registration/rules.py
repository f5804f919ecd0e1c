"""The webhook configuration that the declared kinds call for. Pure: kinds in, one ValidatingWebhookConfiguration out.

Closed to people, open to the control plane: what people and machines do fails when Guard is down, what the cluster's own
controllers do does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from guard.base.codec import JsonObject
from guard.state.desired import DesiredState
from guard.state.drift import METADATA
from guard.state.ids import DEFINITION, GUARD_NAMESPACE, NAMESPACE, SYNC_LABEL, Kind
from guard.state.requesters import BREAK_GLASS_GROUP, CONTROL_PLANE_PREFIXES, CONTROL_PLANE_USERS

NAME = "gitopsguard"
SUFFIX = "gitopsguard.dev"
TIMEOUT_SECONDS = 3
# An expression holds 100,000 code points; names are ASCII, and the rest of the expression is short.
EXPRESSION_CHARACTERS = 90_000

_LABELLED: JsonObject = {"matchExpressions": [{"key": SYNC_LABEL, "operator": "Exists"}]}
_UNLABELLED: JsonObject = {"matchExpressions": [{"key": SYNC_LABEL, "operator": "DoesNotExist"}]}
_ELSEWHERE: JsonObject = {
    "matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": [GUARD_NAMESPACE]}]
}


def quoted(value: str) -> str:
    """A CEL string. Names and users hold no quotes in practice; a quote or backslash is escaped all the same."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


RESOURCE = "request.resource.group + '/' + request.resource.resource"
USER, GROUPS = "request.userInfo.username", "request.userInfo.groups"
IS_CONTROL_PLANE = " || ".join(
    [f"{USER} in [{', '.join(quoted(user) for user in CONTROL_PLANE_USERS)}]"]
    + [f"{USER}.startsWith({quoted(prefix)})" for prefix in CONTROL_PLANE_PREFIXES]
)


# Subresources through which a whole object is sent, and its metadata may be changed (of custom resources only the status is
# taken, so the condition below holds back their requests). `deployments/*` would match the object itself as well.
_EVERY_KIND = ("status",)
_OF_KIND = {
    ("", "pods"): ("ephemeralcontainers", "resize"),
    ("", "namespaces"): ("finalize",),
    ("certificates.k8s.io", "certificatesigningrequests"): ("approval",),
}
# What else they change is theirs, but for /resize.
_METADATA_CHANGES: JsonObject = {
    "name": "changes-metadata",
    "expression": " || ".join(
        ["request.subResource == 'resize'"] + [f"object.metadata.?{name} != oldObject.metadata.?{name}" for name in METADATA]
    ),
}
_ANYTHING_CREATED: JsonObject = {
    "apiGroups": ["*"],
    "apiVersions": ["*"],
    "operations": ["CREATE"],
    "resources": ["*"],
    "scope": "Namespaced",
}


def client_config(*, url: str, service: bool, ca_bundle: str) -> JsonObject:
    """How the API server reaches Guard: by URL, or by the Service of the install manifests. `ca_bundle` is base64."""
    if service:
        return {
            "service": {"namespace": GUARD_NAMESPACE, "name": "guard", "port": 443, "path": url},
            "caBundle": ca_bundle,
        }
    return {"url": url, "caBundle": ca_bundle}


def configuration(
    *, client: JsonObject, state: DesiredState, kinds: Iterable[Kind], sync_user: str, strict: Iterable[str] = ()
) -> JsonObject:
    """The whole configuration. `kinds` may go past what the state declares: a kind is registered before its first object is
    applied, and until its last one is gone. `strict` are the namespaces in which people create only what Git declares.
    """
    conditions = [
        _condition("not-guard", f"{USER} != {quoted(sync_user)}"),
        _condition("not-break-glass", f"!has({GROUPS}) || !({quoted(BREAK_GLASS_GROUP)} in {GROUPS})"),
    ]
    outside, inside = _condition("not-control-plane", f"!({IS_CONTROL_PLANE})"), _condition("control-plane", IS_CONTROL_PLANE)

    def webhook(
        name: str,
        *,
        rules: list[JsonObject],
        fail: bool,
        match: list[JsonObject],
        objects: JsonObject | None = None,
        namespaces: JsonObject | None = None,
    ) -> JsonObject:
        return {
            "name": f"{name}.{SUFFIX}",
            "admissionReviewVersions": ["v1"],
            "clientConfig": client,
            "failurePolicy": "Fail" if fail else "Ignore",
            "matchConditions": [*conditions, *match],
            "matchPolicy": "Equivalent",
            "namespaceSelector": namespaces or _ELSEWHERE,
            "objectSelector": objects or {},
            "rules": rules,
            # The journal is Guard's own; nothing in the cluster changes because of a review.
            "sideEffects": "None",
            "timeoutSeconds": TIMEOUT_SECONDS,
        }

    entries: list[JsonObject] = []
    kinds = frozenset(kinds)
    # Most clusters declare each kind in one version. A second version of a kind gets entries of its own: in one entry the API
    # server would deliver an edit in the version it was made in, which may not know the declared fields.
    for number, group in enumerate(_by_single_version(kinds)):
        tag = f"-{number}" if number else ""
        changed = [_rule(kind, "UPDATE", "DELETE") for kind in group]
        below = [
            _rule(kind, "UPDATE", below=f"/{name}")
            for kind in group
            for name in (*_EVERY_KIND, *_OF_KIND.get((kind.group, kind.resource), ()))
        ]
        created = [_rule(kind, "CREATE") for kind in group]
        entries += [
            webhook(f"changes{tag}", rules=changed, fail=True, match=[outside], objects=_LABELLED),
            webhook(f"control-plane-changes{tag}", rules=changed, fail=False, match=[inside], objects=_LABELLED),
            webhook(f"subresources{tag}", rules=below, fail=True, match=[outside, _METADATA_CHANGES], objects=_LABELLED),
            webhook(f"creations{tag}", rules=created, fail=False, match=[outside]),
        ]
    for number, (rules, expression) in enumerate(_scales(state)):
        tag = f"-{number}" if number else ""
        pairs = _condition("declared", expression)
        entries += [
            webhook(f"scale{tag}", rules=rules, fail=True, match=[outside, pairs]),
            webhook(f"control-plane-scale{tag}", rules=rules, fail=False, match=[inside, pairs]),
        ]
    entries += [
        webhook(name, rules=[rule], fail=True, match=[outside, holding], objects=objects)
        for name, rule, holding, objects in _cascades(state, kinds)
    ]
    if strict := sorted(set(strict)):
        asked = [
            _condition(f"not-asked-already-{number}", f"!({RESOURCE} in [{chunk}])")
            for number, chunk in enumerate(_chunks(f"{kind.group}/{kind.resource}" for kind in kinds))
        ]
        among = _among_namespaces(strict)
        entries.append(webhook("strict", rules=[_ANYTHING_CREATED], fail=False, match=[outside, *asked], namespaces=among))
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": NAME, "labels": {"app.kubernetes.io/managed-by": "guard"}},
        "webhooks": entries,
    }


def _condition(name: str, expression: str) -> JsonObject:
    return {"name": name, "expression": expression}


def _among_namespaces(names: list[str]) -> JsonObject:
    key = "kubernetes.io/metadata.name"
    return {
        "matchExpressions": [
            {"key": key, "operator": "In", "values": names},
            {"key": key, "operator": "NotIn", "values": [GUARD_NAMESPACE]},
        ]
    }


def _rule(kind: Kind, *operations: str, below: str = "") -> JsonObject:
    """A rule for a kind, or for a subresource `below` it."""
    return {
        "apiGroups": [kind.group],
        "apiVersions": [kind.version],
        "operations": list(operations),
        "resources": [kind.resource + below],
        "scope": "Namespaced" if kind.namespaced else "Cluster",
    }


def _by_single_version(kinds: Iterable[Kind]) -> list[list[Kind]]:
    """The kinds in groups that hold each resource in one version only."""
    groups: list[dict[tuple[str, str], Kind]] = []
    for kind in sorted(set(kinds)):
        resource = (kind.group, kind.resource)
        for group in groups:
            if resource not in group:
                group[resource] = kind
                break
        else:
            groups.append({resource: kind})
    return [list(group.values()) for group in groups]


def _scales(state: DesiredState) -> list[tuple[list[JsonObject], str]]:
    """Rules for /scale, each with the expression that names the declared objects whose replicas Git declares: a Scale carries no
    labels, so nothing else could keep other objects' scaling away from Guard.
    """
    names: dict[Kind, list[str]] = {}
    for declared in state:
        if declared.replicas is not None:
            key = declared.key
            names.setdefault(declared.kind, []).append(f"{key.namespace}/{key.name}" if key.namespace else key.name)
    found: list[tuple[list[JsonObject], str]] = []
    for kind, called in sorted(names.items()):
        # The request of a cluster-scoped object has no namespace, not even an empty one.
        asked = "(request.namespace + '/' + request.name)" if kind.namespaced else "request.name"
        found += [([_rule(kind, "UPDATE", below="/scale")], f"{asked} in [{chunk}]") for chunk in _chunks(called)]
    return found


def _cascades(state: DesiredState, kinds: frozenset[Kind]) -> Iterator[tuple[str, JsonObject, JsonObject, JsonObject | None]]:
    """Deleting a namespace that holds declared objects, or a definition that has declared instances: name, rule, condition and
    object selector of each entry. Where the kind is declared as well, what carries our label is asked about as such.
    """
    for kind, names in ((NAMESPACE, state.namespaces()), (DEFINITION, state.definitions())):
        declared = any((known.group, known.resource) == (kind.group, kind.resource) for known in kinds)
        for number, chunk in enumerate(_chunks(names)):
            tag = f"-{number}" if number else ""
            holding = _condition("holds-declared", f"oldObject.metadata.name in [{chunk}]")
            yield f"{kind.resource}{tag}", _rule(kind, "DELETE"), holding, _UNLABELLED if declared else None


def _chunks(names: Iterable[str]) -> list[str]:
    """The names, sorted, as CEL list elements, in pieces that an expression can hold."""
    found: list[str] = []
    chunk: list[str] = []
    length = 0
    for name in sorted(names):
        chunk.append(quoted(name))
        length += len(chunk[-1]) + 2
        if length > EXPRESSION_CHARACTERS:
            found.append(", ".join(chunk))
            chunk, length = [], 0
    return [*found, ", ".join(chunk)] if chunk else found
