"""The webhook configuration that asks Guard about certain things. Pure: values in, one ValidatingWebhookConfiguration out.

Closed to people, open to the control plane: what people and machines do fails when Guard is down, what the cluster's own
controllers do does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from guard.api import BREAK_GLASS
from guard.base.codec import JsonObject
from guard.registration.asked import DECLARED, HOLDING, SUFFIX, Asked, Names, Resource, by_namespace
from guard.registration.expressions import GROUPS, RESOURCE, USER, among, condition, is_control_plane, quoted
from guard.state.drift import METADATA
from guard.state.ids import DEFINITION, GUARD_NAMESPACE, NAMESPACE, SYNC_LABEL, Kind
from guard.state.requesters import BREAK_GLASS_GROUP

CONFIGURATION = Kind(
    group="admissionregistration.k8s.io",
    version="v1",
    kind="ValidatingWebhookConfiguration",
    resource="validatingwebhookconfigurations",
    namespaced=False,
)
NAME = "gitopsguard"
TIMEOUT_SECONDS = 3

_LABELLED: JsonObject = {"matchExpressions": [{"key": SYNC_LABEL, "operator": "Exists"}]}
_UNLABELLED: JsonObject = {"matchExpressions": [{"key": SYNC_LABEL, "operator": "DoesNotExist"}]}
_ELSEWHERE: JsonObject = {
    "matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": [GUARD_NAMESPACE]}]
}


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
# Given an owner that is no more, an object is deleted by the garbage collector, as the control plane.
_OWNERS_CHANGE = condition("changes-owners", "object.metadata.?ownerReferences != oldObject.metadata.?ownerReferences")
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
    *, client: JsonObject, asked: Asked, sync_user: str, control_plane: Iterable[str] = (), strict: Iterable[str] = ()
) -> JsonObject:
    """The whole configuration. `control_plane` are the users that the installer adds to it, `strict` the namespaces in which
    people create only what Git declares.
    """
    conditions = [
        condition("not-guard", f"{USER} != {quoted(sync_user)}"),
        condition("not-break-glass", f"!has({GROUPS}) || !({quoted(BREAK_GLASS_GROUP)} in {GROUPS})"),
    ]
    controllers = is_control_plane(control_plane)
    outside, inside = condition("not-control-plane", f"!({controllers})"), condition("control-plane", controllers)

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
    # Most clusters declare each kind in one version. A second version of a kind gets entries of its own: in one entry the API
    # server would deliver an edit in the version it was made in, which may not know the declared fields.
    for number, group in enumerate(_by_single_version(asked.resources)):
        tag = f"-{number}" if number else ""
        changed = [_rule(found, "UPDATE", "DELETE") for found in group]
        below = [rule for found in group for rule in _below(found)]
        created = [_rule(found, "CREATE") for found in group]
        entries += [
            webhook(f"changes{tag}", rules=changed, fail=True, match=[outside], objects=_LABELLED),
            webhook(f"control-plane-changes{tag}", rules=changed, fail=False, match=[inside], objects=_LABELLED),
            webhook(f"subresources{tag}", rules=below, fail=True, match=[outside, _METADATA_CHANGES], objects=_LABELLED),
            webhook(f"creations{tag}", rules=created, fail=False, match=[outside]),
        ]
    for number, (rules, named) in enumerate(_scales(asked)):
        tag = f"-{number}" if number else ""
        entries += [
            webhook(f"scale{tag}", rules=rules, fail=True, match=[outside, *named]),
            webhook(f"control-plane-scale{tag}", rules=rules, fail=False, match=[inside, *named]),
        ]
    entries += [
        webhook(name, rules=rules, fail=True, match=[outside, *match], objects=objects)
        for name, rules, match, objects in _cascades(asked)
    ]
    entries.append(
        {
            # Who opened and who ended it, for the journal. It has to work while Guard is down, in Guard's namespace, too, and
            # whoever asks.
            **webhook(BREAK_GLASS.resource, rules=[_rule(Resource.of(BREAK_GLASS), "CREATE", "DELETE")], fail=False, match=[]),
            "matchConditions": conditions[:1],
            "namespaceSelector": {},
        }
    )
    if strict := sorted(set(strict)):
        known = among(RESOURCE, {f"{found.group}/{found.resource}" for found in asked.resources})
        elsewhere = [condition(f"not-asked-already-{number}", f"!({expression})") for number, expression in enumerate(known)]
        match = [outside, *elsewhere]
        entries.append(webhook("strict", rules=[_ANYTHING_CREATED], fail=False, match=match, namespaces=_within(strict)))
    return {
        "apiVersion": CONFIGURATION.api_version,
        "kind": CONFIGURATION.kind,
        "metadata": {"name": NAME, "labels": {"app.kubernetes.io/managed-by": "guard"}},
        "webhooks": entries,
    }


def _within(names: list[str]) -> JsonObject:
    key = "kubernetes.io/metadata.name"
    return {
        "matchExpressions": [
            {"key": key, "operator": "In", "values": names},
            {"key": key, "operator": "NotIn", "values": [GUARD_NAMESPACE]},
        ]
    }


def _rule(of: Resource, *operations: str, below: str = "") -> JsonObject:
    """A rule for a resource, or for a subresource `below` it."""
    return {
        "apiGroups": [of.group],
        "apiVersions": [of.version],
        "operations": list(operations),
        "resources": [of.resource + below],
        "scope": "Namespaced" if of.namespaced else "Cluster",
    }


def _below(of: Resource) -> list[JsonObject]:
    """Rules for what changes metadata through a subresource."""
    return [_rule(of, "UPDATE", below=f"/{name}") for name in (*_EVERY_KIND, *_OF_KIND.get((of.group, of.resource), ()))]


def _by_single_version(resources: Iterable[Resource]) -> list[list[Resource]]:
    """The resources in groups that hold each in one version only."""
    groups: list[dict[tuple[str, str], Resource]] = []
    for found in sorted(resources):
        name = (found.group, found.resource)
        for group in groups:
            if name not in group:
                group[name] = found
                break
        else:
            groups.append({name: found})
    return [list(group.values()) for group in groups]


def _scales(asked: Asked) -> Iterator[tuple[list[JsonObject], list[JsonObject]]]:
    """Rules for /scale, with the conditions that name the objects: a Scale carries no labels, so nothing else could keep other
    objects' scaling away from Guard.
    """
    for of, names in sorted(asked.scaled.items()):
        # The request of a cluster-scoped object has no namespace, not even an empty one.
        what = "(request.namespace + '/' + request.name)" if of.namespaced else "request.name"
        if of.namespaced and names is not None and not all("/" in name for name in names):
            matches = _matches(DECLARED, "request.namespace", by_namespace(names))
        else:
            matches = _matches(DECLARED, what, names)
        yield from (([_rule(of, "UPDATE", below="/scale")], match) for match in matches)


def _cascades(asked: Asked) -> Iterator[tuple[str, list[JsonObject], list[JsonObject], JsonObject | None]]:
    """Deleting a namespace that holds declared objects, or a definition that has declared instances, or giving it another owner:
    name, rules, conditions and object selector of each entry. Where the kind is declared as well, what carries our label is asked
    about as such.
    """
    for kind, names in ((NAMESPACE, asked.namespaces), (DEFINITION, asked.definitions)):
        of = Resource.of(kind)
        declared = any((found.group, found.resource) == (of.group, of.resource) for found in asked.resources)
        for number, match in enumerate(_matches(HOLDING, "oldObject.metadata.name", names)):
            tag, objects = f"-{number}" if number else "", _UNLABELLED if declared else None
            yield f"{kind.resource}{tag}", [_rule(of, "DELETE")], match, objects
            # On a deletion there is no `object` to compare, so this takes an entry of its own.
            yield f"{kind.resource}-owners{tag}", [_rule(of, "UPDATE"), *_below(of)], [*match, _OWNERS_CHANGE], objects


def _matches(name: str, what: str, names: Names) -> list[list[JsonObject]]:
    """The conditions of each entry that it takes to hold the names."""
    return [[]] if names is None else [[condition(name, expression)] for expression in among(what, names)]
