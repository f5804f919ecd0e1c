"""The webhook configuration that the declared kinds call for. Pure: kinds in, one ValidatingWebhookConfiguration out.

Closed to people, open to the control plane: what people and machines do fails when Guard is down, what the cluster's own
controllers do does not.
"""

from __future__ import annotations

from collections.abc import Iterable

from guard.base.codec import JsonObject, child
from guard.state.desired import DesiredState
from guard.state.ids import GUARD_NAMESPACE, SYNC_LABEL, Kind
from guard.state.requesters import BREAK_GLASS_GROUP, CONTROL_PLANE_PREFIXES, CONTROL_PLANE_USERS

NAME = "gitopsguard"
SUFFIX = "gitopsguard.dev"
TIMEOUT_SECONDS = 3
# An expression holds 100,000 code points; names are ASCII, and the rest of the expression is short.
EXPRESSION_CHARACTERS = 90_000

_LABELLED: JsonObject = {"matchExpressions": [{"key": SYNC_LABEL, "operator": "Exists"}]}
_ELSEWHERE: JsonObject = {
    "matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": [GUARD_NAMESPACE]}]
}


def _text(value: str) -> str:
    """A CEL string. Names and users hold no quotes in practice; a quote or backslash is escaped all the same."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


_USER = "request.userInfo.username"
_IS_CONTROL_PLANE = " || ".join(
    [f"{_USER} in [{', '.join(_text(user) for user in CONTROL_PLANE_USERS)}]"]
    + [f"{_USER}.startsWith({_text(prefix)})" for prefix in CONTROL_PLANE_PREFIXES]
)


def client_config(*, url: str, service: bool, ca_bundle: str) -> JsonObject:
    """How the API server reaches Guard: by URL, or by the Service of the install manifests. `ca_bundle` is base64."""
    if service:
        return {
            "service": {"namespace": GUARD_NAMESPACE, "name": "guard", "port": 443, "path": url},
            "caBundle": ca_bundle,
        }
    return {"url": url, "caBundle": ca_bundle}


def configuration(*, client: JsonObject, state: DesiredState, kinds: Iterable[Kind], sync_user: str) -> JsonObject:
    """The whole configuration. `kinds` may go past what the state declares: a kind is registered before its first object is
    applied, and until its last one is gone.
    """
    conditions = [
        {"name": "not-guard", "expression": f"{_USER} != {_text(sync_user)}"},
        {
            "name": "not-break-glass",
            "expression": f"!has(request.userInfo.groups) || !({_text(BREAK_GLASS_GROUP)} in request.userInfo.groups)",
        },
    ]
    outside = {"name": "not-control-plane", "expression": f"!({_IS_CONTROL_PLANE})"}
    inside = {"name": "control-plane", "expression": _IS_CONTROL_PLANE}

    def webhook(
        name: str,
        *,
        rules: list[JsonObject],
        fail: bool,
        match: list[JsonObject],
        labelled: bool = False,
    ) -> JsonObject:
        return {
            "name": f"{name}.{SUFFIX}",
            "admissionReviewVersions": ["v1"],
            "clientConfig": client,
            "failurePolicy": "Fail" if fail else "Ignore",
            "matchConditions": [*conditions, *match],
            "matchPolicy": "Equivalent",
            "namespaceSelector": _ELSEWHERE,
            "objectSelector": _LABELLED if labelled else {},
            "rules": rules,
            # The journal is Guard's own; nothing in the cluster changes because of a review.
            "sideEffects": "None",
            "timeoutSeconds": TIMEOUT_SECONDS,
        }

    entries: list[JsonObject] = []
    # Most clusters declare each kind in one version. A second version of a kind gets entries of its own: in one entry the API
    # server would deliver an edit in the version it was made in, which may not know the declared fields.
    for number, group in enumerate(_by_single_version(kinds)):
        tag = f"-{number}" if number else ""
        changed = [_rule(kind, "UPDATE", "DELETE") for kind in group]
        created = [_rule(kind, "CREATE") for kind in group]
        entries += [
            webhook(f"changes{tag}", rules=changed, fail=True, match=[outside], labelled=True),
            webhook(f"control-plane-changes{tag}", rules=changed, fail=False, match=[inside], labelled=True),
            webhook(f"creations{tag}", rules=created, fail=False, match=[outside]),
        ]
    for number, (rules, expression) in enumerate(_scales(state)):
        tag = f"-{number}" if number else ""
        pairs = {"name": "declared", "expression": expression}
        entries += [
            webhook(f"scale{tag}", rules=rules, fail=True, match=[outside, pairs]),
            webhook(f"control-plane-scale{tag}", rules=rules, fail=False, match=[inside, pairs]),
        ]
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": NAME, "labels": {"app.kubernetes.io/managed-by": "guard"}},
        "webhooks": entries,
    }


def _rule(kind: Kind, *operations: str) -> JsonObject:
    return {
        "apiGroups": [kind.group],
        "apiVersions": [kind.version],
        "operations": list(operations),
        "resources": [kind.resource],
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
    for declared in sorted(state, key=lambda declared: declared.key):
        if child(declared.body, "spec").get("replicas") is not None:
            names.setdefault(declared.kind, []).append(f"{declared.key.namespace}/{declared.key.name}")
    found: list[tuple[list[JsonObject], str]] = []
    for kind, pairs in sorted(names.items()):
        rule: JsonObject = {**_rule(kind, "UPDATE"), "resources": [f"{kind.resource}/scale"]}
        chunk: list[str] = []
        length = 0
        for pair in pairs:
            chunk.append(_text(pair))
            length += len(chunk[-1]) + 2
            if length > EXPRESSION_CHARACTERS:
                found.append(([rule], _among(chunk)))
                chunk, length = [], 0
        if chunk:
            found.append(([rule], _among(chunk)))
    return found


def _among(pairs: list[str]) -> str:
    return f"(request.namespace + '/' + request.name) in [{', '.join(pairs)}]"
