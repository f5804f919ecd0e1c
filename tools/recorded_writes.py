"""The writes that `tools.record_reviews` makes: by whom, and what is to become of each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from guard.base import codec
from guard.base.codec import JsonObject
from guard.state.requesters import BREAK_GLASS_GROUP
from tools.controlplane import PERSON, Identity
from tools.recorded_git import LOGIN, POLICY, SETTINGS, WEB

_NOTHING: Mapping[str, str] = MappingProxyType({})

ALLOWED = "allow NothingDeclaredChanged"
CHANGED = "deny DeclaredFieldChanged"
ADDED = "deny Addition"
TAMPERED = "deny Tampering"
DELETED = "deny DeclaredObjectDeleted"

# Who else asks, impersonated by an admin: kubectl's flags.
HPA = ("--as=system:serviceaccount:kube-system:horizontal-pod-autoscaler", "--as-group=system:masters")
CONTROLLERS = ("--as=system:kube-controller-manager", "--as-group=system:masters")
NODE = ("--as=system:node:worker", "--as-group=system:nodes", "--as-group=system:masters")
COLLECTOR = ("--as=system:serviceaccount:kube-system:generic-garbage-collector", "--as-group=system:masters")
EXEMPTED = ("--as=deployer@example.com", "--as-group=system:masters")
PAST = (f"--as={PERSON}", f"--as-group={BREAK_GLASS_GROUP}", "--as-group=platform", "--as-group=system:authenticated")


class Write(msgspec.Struct, frozen=True):
    """One kubectl command, `words` as typed. `expected` is the verdict and the reason that DESIGN calls for; empty for a write
    that Guard is not to see, or that only prepares the next one (which then has no title).
    """

    title: str
    expected: str
    words: tuple[str, ...]
    identity: Identity = "person"
    text: str = ""
    environment: Mapping[str, str] = _NOTHING


def _person(title: str, expected: str, command: str, *more: str, text: str = "", editor: str = "") -> Write:
    environment = {"KUBE_EDITOR": editor} if editor else {}
    return Write(title, expected, (*command.split(), *more), text=text, environment=environment)


def _machine(title: str, expected: str, command: str, *more: str, text: str = "") -> Write:
    """A service account that writes under a name of its own: kubectl's would make it a person with a borrowed token."""
    return Write(title, expected, (*command.split(), *more, "--field-manager=shop-operator"), identity="operator", text=text)


def _as(who: tuple[str, ...], title: str, expected: str, command: str, *more: str, text: str = "") -> Write:
    return Write(title, expected, (*command.split(), *more, *who), identity="admin", text=text)


def _past(command: str, *more: str, text: str = "") -> Write:
    return _as(PAST, "", "", command, *more, text=text)


def _json(body: JsonObject) -> str:
    return codec.encode(body).decode()


_OWNER = '-p={"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"gone","uid":"7c1b8f6e"}]}}'
_LABEL = "gitopsguard.dev/sync"
_RED = '-p={"data":{"color":"red"}}'
_UNLABELLED = f'-p={{"metadata":{{"labels":{{"{_LABEL}":null}}}}}}'

_WORKLOADS = (
    _person("set-image", CHANGED, "set image deployment/web web=nginx:1.26 -n shop"),
    _person("edit-image", CHANGED, "edit deployment/web -n shop", editor="sed -i s/nginx:1.25/nginx:1.26/"),
    _person(
        "json-patch-replicas",
        CHANGED,
        "patch deployment/web -n shop --type=json",
        '-p=[{"op":"replace","path":"/spec/replicas","value":7}]',
    ),
    _person("merge-patch-label", CHANGED, "patch deployment/web -n shop --type=merge", '-p={"metadata":{"labels":{"app":"x"}}}'),
    _person(
        "strategic-patch-limit",
        CHANGED,
        "patch deployment/web -n shop",
        '-p={"spec":{"template":{"spec":{"containers":[{"name":"web","resources":{"limits":{"memory":"1Gi"}}}]}}}}',
    ),
    _person(
        "quantity-in-another-notation",
        ALLOWED,
        "patch deployment/web -n shop --type=json",
        '-p=[{"op":"replace","path":"/spec/template/spec/containers/0/resources/requests/cpu","value":"1"}]',
    ),
    _person("set-env", CHANGED, "set env deployment/web -n shop -c web MODE=test"),
    _person("unset-env", CHANGED, "set env deployment/web -n shop -c web LEVEL-"),
    _person("add-env", ADDED, "set env deployment/web -n shop -c web EXTRA=1"),
    _person(
        "add-container",
        ADDED,
        "patch deployment/web -n shop",
        '-p={"spec":{"template":{"spec":{"containers":[{"name":"spy","image":"busybox"}]}}}}',
    ),
    _person("annotate-declared", CHANGED, "annotate --overwrite deployment/web -n shop team=other"),
    _person("remove-declared-annotation", CHANGED, "annotate deployment/web -n shop team-"),
    _person("add-annotation", ADDED, "annotate deployment/web -n shop note=hello"),
    _person("change-cause", ALLOWED, "annotate deployment/web -n shop kubernetes.io/change-cause=tidying"),
    _person("put-another-image", CHANGED, "replace -f -", text=WEB.replace("nginx:1.25", "nginx:1.27")),
    _person(
        "put-other-order",
        CHANGED,
        "replace -f -",
        text=WEB.replace(
            "- {name: MODE, value: production}\n            - {name: LEVEL, value: info}",
            "- {name: LEVEL, value: info}\n            - {name: MODE, value: production}",
        ),
    ),
    _person("put-without-label", TAMPERED, "replace -f -", text=WEB),
    _person("apply-the-file-in-git", ALLOWED, "apply -f -", text=WEB),
    _person("apply-server-side-the-file-in-git", ALLOWED, "apply --server-side --force-conflicts -f -", text=WEB),
    _person(
        "apply-server-side-another-image",
        CHANGED,
        "apply --server-side --force-conflicts -f -",
        text=WEB.replace("envoy:1.30", "envoy:1.31"),
    ),
    _person("rollout-restart", ALLOWED, "rollout restart deployment/web -n shop"),
    _person("rollout-pause", ADDED, "rollout pause deployment/web -n shop"),
    _person("dry-run", CHANGED, "set image deployment/web web=nginx:1.26 -n shop --dry-run=server"),
    _person("scale-declared", "deny ReplicasDeclared", "scale deployment/web --replicas=5 -n shop"),
    _person("scale-to-the-same", "allow SameAsGit", "scale deployment/web --replicas=2 -n shop"),
    _as(HPA, "autoscaler-on-declared-replicas", "deny ReplicasDeclared", "scale deployment/web --replicas=4 -n shop"),
    _person("scale-undeclared", "", "scale deployment/floating --replicas=3 -n shop"),
    _person("patch-undeclared-replicas", ALLOWED, "patch deployment/floating -n shop --type=merge", '-p={"spec":{"replicas":4}}'),
    _person("take-label-off", TAMPERED, f"label deployment/web -n shop {_LABEL}-"),
    _person("add-owner", TAMPERED, "patch deployment/web -n shop --type=merge", _OWNER),
    _person("add-finalizer", TAMPERED, "patch deployment/web -n shop --type=merge", '-p={"metadata":{"finalizers":["x.io/y"]}}'),
    _person(
        "wipe-managed-fields",
        "deny ManagedFieldsWiped",
        "patch deployment/web -n shop --type=merge",
        '-p={"metadata":{"managedFields":[{}]}}',
    ),
    _person("add-owner-through-status", TAMPERED, "patch deployment/web -n shop --subresource=status --type=merge", _OWNER),
    _machine(
        "operator-status-of-a-deployment",
        "",
        "patch deployment/web -n shop --subresource=status --type=merge",
        '-p={"status":{"observedGeneration":1}}',
    ),
    _machine("operator-annotates", ALLOWED, "annotate deployment/web -n shop operator.example.com/seen=yes"),
    _machine("operator-changes-image", CHANGED, "set image deployment/web web=nginx:1.26 -n shop"),
    Write(
        "script-with-kubectl",
        ADDED,
        ("annotate", "deployment/web", "-n", "shop", "ci.example.com/run=7"),
        identity="ci",
    ),
    _as(
        CONTROLLERS,
        "controller-annotates",
        "allow ControlPlane",
        "annotate deployment/web -n shop deployment.kubernetes.io/revision=2",
    ),
    _as(
        CONTROLLERS,
        "controller-changes-a-declared-field",
        "allow ControlPlane",
        "set image deployment/floating proxy=envoy:9 -n shop",
    ),
    _machine("operator-beside-drift", ALLOWED, "annotate deployment/floating -n shop operator.example.com/seen=yes"),
    _person("drifted-field-to-a-third-value", CHANGED, "set image deployment/floating proxy=envoy:10 -n shop"),
    _person("drifted-field-put-back", ALLOWED, "set image deployment/floating proxy=envoy:1.30 -n shop"),
    _person(
        "double-an-env-key",
        CHANGED,
        "patch deployment/web -n shop --type=json",
        '-p=[{"op":"add","path":"/spec/template/spec/containers/0/env/-","value":{"name":"MODE","value":"x"}}]',
    ),
    _person("under-our-field-manager", CHANGED, "set image deployment/web web=nginx:1.26 -n shop --field-manager=guard"),
    _person(
        "apply-under-our-field-manager",
        CHANGED,
        "apply --server-side --force-conflicts --field-manager=guard -f -",
        text=WEB.replace("nginx:1.25", "nginx:1.28"),
    ),
    Write("admin-sets-image", CHANGED, ("set", "image", "deployment/web", "web=nginx:1.26", "-n", "shop"), identity="admin"),
    _as(
        ("--as=eve@example.com", "--as-group=system:masters"),
        "impersonated-person",
        CHANGED,
        "set image deployment/web web=nginx:1.26 -n shop",
    ),
    _person("delete", DELETED, "delete deployment/web -n shop --wait=false"),
    _person("delete-orphaning", DELETED, "delete deployment/web -n shop --wait=false --cascade=orphan"),
    _machine("operator-scales-a-statefulset", CHANGED, "patch statefulset/db -n shop --type=merge", '-p={"spec":{"replicas":3}}'),
    _person("scale-a-statefulset", "deny ReplicasDeclared", "scale statefulset/db --replicas=3 -n shop"),
    _person("restart-a-statefulset", ALLOWED, "rollout restart statefulset/db -n shop"),
)

_MAPS_AND_SECRETS = (
    _person("change-a-key", CHANGED, "patch configmap/settings -n shop --type=merge", _RED),
    _person("remove-a-key", CHANGED, "patch configmap/settings -n shop --type=merge", '-p={"data":{"color":null}}'),
    _person("add-a-key", ADDED, "patch configmap/settings -n shop --type=merge", '-p={"data":{"extra":"1"}}'),
    _person("make-immutable", ADDED, "patch configmap/settings -n shop --type=merge", '-p={"immutable":true}'),
    _person("change-nothing", ALLOWED, "annotate configmap/settings -n shop kubernetes.io/change-cause=none"),
    _machine("operator-adds-a-key", ALLOWED, "patch configmap/settings -n shop --type=merge", '-p={"data":{"operator":"1"}}'),
    _person("remove-an-operators-key", ADDED, "patch configmap/settings -n shop --type=merge", '-p={"data":{"operator":null}}'),
    _person("delete-a-map", DELETED, "delete configmap/settings -n shop"),
    _person("delete-collection", DELETED, "delete --raw /api/v1/namespaces/shop/configmaps"),
    _person("replace-by-force", DELETED, "replace --force -f -", text=SETTINGS.replace("blue", "red")),
    _person(
        "change-a-password", CHANGED, "patch secret/login -n shop --type=merge", '-p={"stringData":{"password":"battery-staple"}}'
    ),
    _person(
        "same-password", ALLOWED, "patch secret/login -n shop --type=merge", '-p={"stringData":{"password":"correct-horse"}}'
    ),
    _person("add-a-secret-key", ADDED, "patch secret/login -n shop --type=merge", '-p={"stringData":{"token":"battery-staple"}}'),
    _machine(
        "operator-changes-a-password", CHANGED, "patch secret/login -n shop --type=merge", '-p={"data":{"password":"eA=="}}'
    ),
    _person("delete-a-secret", DELETED, "delete secret/login -n shop"),
)

_PODS_AND_JOBS = (
    _person(
        "resize-a-pod",
        CHANGED,
        "patch pod/tool -n shop --subresource=resize",
        '-p={"spec":{"containers":[{"name":"tool","resources":{"limits":{"cpu":"1"},"requests":{"cpu":"1"}}}]}}',
    ),
    _person("change-a-pods-image", CHANGED, "set image pod/tool tool=busybox:2 -n shop"),
    _person(
        "debug-a-pod",
        "",
        "patch pod/tool -n shop --subresource=ephemeralcontainers",
        '-p={"spec":{"ephemeralContainers":[{"name":"debug","image":"busybox"}]}}',
    ),
    _person("token-of-an-account", "", "create token tool -n shop"),
    _person("delete-a-pod", DELETED, "delete pod/tool -n shop --wait=false"),
    _person("suspend-a-cron-job", ADDED, "patch cronjob/tidy -n shop --type=merge", '-p={"spec":{"suspend":true}}'),
    _person("reschedule-a-cron-job", CHANGED, "patch cronjob/tidy -n shop --type=merge", '-p={"spec":{"schedule":"* * * * *"}}'),
    _person("loosen-a-budget", CHANGED, "patch pdb/web -n shop --type=merge", '-p={"spec":{"maxUnavailable":"100%"}}'),
    _person(
        "redirect-an-ingress",
        CHANGED,
        "patch ingress/web -n shop --type=json",
        '-p=[{"op":"replace","path":"/spec/rules/0/host","value":"other.example.com"}]',
    ),
    _person("annotate-an-ingress", ADDED, "annotate ingress/web -n shop nginx.ingress.kubernetes.io/rewrite-target=/"),
)

_NETWORK_AND_RIGHTS = (
    _person(
        "retarget-a-service-port", ADDED, "patch service/web -n shop", '-p={"spec":{"ports":[{"port":80,"targetPort":8080}]}}'
    ),
    _person("rename-a-service-port", CHANGED, "patch service/web -n shop", '-p={"spec":{"ports":[{"port":80,"name":"web"}]}}'),
    _person("change-a-selector", CHANGED, "set selector service/web app=other -n shop"),
    _person("change-a-service-type", ADDED, "patch service/web -n shop --type=merge", '-p={"spec":{"type":"NodePort"}}'),
    _person(
        "take-label-off-a-service-through-status",
        TAMPERED,
        "patch service/web -n shop --subresource=status --type=merge",
        _UNLABELLED,
    ),
    _person("apply-a-network-policy-in-git", ALLOWED, "apply -f -", text=POLICY),
    _person(
        "open-a-network-policy",
        CHANGED,
        "patch networkpolicy/web -n shop --type=merge",
        '-p={"spec":{"ingress":[{"ports":[{"port":80,"protocol":"UDP"}],"from":[{"podSelector":{}}]}]}}',
    ),
    _person("raise-an-autoscaler", CHANGED, "patch hpa/web -n shop --type=merge", '-p={"spec":{"maxReplicas":50}}'),
    _person(
        "raise-an-autoscaler-in-another-version",
        CHANGED,
        "patch horizontalpodautoscalers.v1.autoscaling/web -n shop --type=merge",
        '-p={"spec":{"targetCPUUtilizationPercentage":20}}',
    ),
    _person(
        "widen-a-role",
        CHANGED,
        "patch role/reader -n shop --type=json",
        '-p=[{"op":"add","path":"/rules/0/verbs/-","value":"delete"}]',
    ),
    _as(
        CONTROLLERS,
        "aggregate-rules",
        "allow ControlPlane",
        "patch clusterrole/shop-admin --type=merge",
        '-p={"rules":[{"apiGroups":[""],"resources":["pods"],"verbs":["get"]}]}',
    ),
    _person(
        "aggregate-by-other-labels",
        CHANGED,
        "patch clusterrole/shop-admin --type=merge",
        '-p={"aggregationRule":{"clusterRoleSelectors":[{"matchLabels":{"shop":"other"}}]}}',
    ),
)

_CLUSTER = (
    _person("cordon", ALLOWED, "cordon worker"),
    _person("uncordon", ALLOWED, "uncordon worker"),
    _person("taint", ALLOWED, "taint node worker maintenance=yes:NoSchedule"),
    _person("relabel-a-node", CHANGED, "label --overwrite node/worker pool=green"),
    _person("add-a-node-label", ADDED, "label node/worker zone=a"),
    _person("take-label-off-a-node-through-status", TAMPERED, "patch node/worker --subresource=status --type=merge", _UNLABELLED),
    _as(
        NODE,
        "kubelet-heartbeat",
        "",
        "patch node/worker --subresource=status --type=merge",
        '-p={"status":{"capacity":{"cpu":"4"}}}',
    ),
    _as(
        CONTROLLERS, "node-controller-taints", "allow ControlPlane", "taint node worker node.kubernetes.io/unreachable:NoExecute"
    ),
    _person("add-a-namespace-label", ADDED, "label namespace/shop extra=yes"),
    _person("delete-a-declared-namespace", "deny NamespaceHoldsDeclared", "delete namespace/shop --wait=false"),
    _person("delete-a-node", DELETED, "delete node/worker --wait=false"),
    _person("delete-a-definition", "deny DefinitionHasDeclared", "delete crd/widgets.shop.example.com --wait=false"),
    _person(
        "change-a-definition",
        CHANGED,
        "patch crd/widgets.shop.example.com --type=json",
        '-p=[{"op":"replace","path":"/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/size/type",'
        '"value":"number"}]',
    ),
    _person("change-a-widget", CHANGED, "patch widget/gear -n shop --type=merge", '-p={"spec":{"cpu":"2"}}'),
    _person("custom-quantity-in-another-notation", CHANGED, "patch widget/gear -n shop --type=merge", '-p={"spec":{"cpu":"1"}}'),
    _person("reorder-a-set", CHANGED, "patch widget/gear -n shop --type=merge", '-p={"spec":{"tags":["steel","round"]}}'),
    _person("add-a-member", ADDED, "patch widget/gear -n shop --type=merge", '-p={"spec":{"tags":["round","steel","big"]}}'),
    _person(
        "change-a-part",
        CHANGED,
        "patch widget/gear -n shop --type=json",
        '-p=[{"op":"replace","path":"/spec/parts/0/count","value":13}]',
    ),
    _person("scale-a-widget", "deny ReplicasDeclared", "scale widget/gear --replicas=5 -n shop"),
    _person(
        "apply-another-widget",
        CHANGED,
        "apply --server-side --force-conflicts -f -",
        text="apiVersion: shop.example.com/v1\nkind: Widget\nmetadata: {name: gear, namespace: shop}\nspec: {size: 4}\n",
    ),
    _machine(
        "operator-status-of-a-widget",
        "",
        "patch widget/gear -n shop --subresource=status --type=merge",
        '-p={"status":{"size":3}}',
    ),
    _person("delete-a-widget", DELETED, "delete widget/gear -n shop"),
)

_MODES = (
    _person("warned", "warn DeclaredFieldChanged", "patch configmap/warned -n modes --type=merge", _RED),
    _person("warned-addition", "warn Addition", "label configmap/warned -n modes extra=yes"),
    _person("warned-delete", "warn DeclaredObjectDeleted", "delete configmap/warned -n modes --dry-run=server"),
    _person("audited", "audit DeclaredFieldChanged", "patch configmap/audited -n modes --type=merge", _RED),
    _person("addition-where-allowed", ALLOWED, "patch configmap/loose -n modes --type=merge", '-p={"data":{"extra":"1"}}'),
    _person(
        "change-where-additions-are-allowed",
        CHANGED,
        "patch configmap/loose -n modes --type=merge",
        _RED,
    ),
    _as(
        EXEMPTED,
        "exempt",
        "exempt DeclaredFieldChanged",
        "patch configmap/loose -n modes --type=merge",
        _RED,
    ),
    _person("field-left-to-others", ALLOWED, "set image deployment/loose web=nginx:2 -n modes"),
    _person("field-beside-one-left", CHANGED, "set image deployment/loose proxy=envoy:2 -n modes"),
    _person("scale-left-to-others", "allow LeftToOthers", "scale deployment/loose --replicas=4 -n modes"),
    _person("create-in-a-strict-namespace", "deny StrictNamespace", "create configmap stray -n vault --from-literal=a=b"),
    _machine("operator-creates-in-a-strict-namespace", "allow NotDeclared", "create configmap made -n vault --from-literal=a=b"),
    _person("delete-a-strict-namespace", "deny NamespaceHoldsDeclared", "delete namespace/vault --wait=false"),
)

_FOREIGN = (
    _person("create-an-undeclared-map", "allow NotDeclared", "create configmap free -n shop --from-literal=a=b"),
    _person("put-our-label-on-a-foreign-object", "deny ForeignLabel", f"label configmap/free -n shop {_LABEL}=guard-system.shop"),
    _person(
        "create-with-our-label",
        "deny ForeignLabel",
        "create -f -",
        text=_json(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "foreign", "namespace": "shop", "labels": {_LABEL: "guard-system.shop"}},
            }
        ),
    ),
    _person("create-under-our-manager", "deny ForeignFieldManager", "create configmap ours -n shop --field-manager=guard"),
    _past("delete configmap/settings secret/login networkpolicy/web -n shop"),
    _person("create-unlike-git", "deny CreatedUnlikeGit", "create -f -", text=SETTINGS.replace("blue", "red")),
    _person(
        "create-a-secret-unlike-git",
        "deny CreatedUnlikeGit",
        "create -f -",
        text=LOGIN.replace("correct-horse", "battery-staple"),
    ),
    _machine("operator-creates-unlike-git", "deny CreatedUnlikeGit", "create -f -", text=SETTINGS.replace("blue", "red")),
    _person("create-like-git", "allow CreatedLikeGit", "create -f -", text=SETTINGS),
    _person("create-a-secret-like-git", "allow CreatedLikeGit", "create -f -", text=LOGIN),
    _person("create-a-network-policy-like-git", "allow CreatedLikeGit", "apply -f -", text=POLICY),
    _past(
        "patch deployment/floating -n shop --type=merge", '-p={"metadata":{"finalizers":["example.com/wait","example.com/more"]}}'
    ),
    _past("delete deployment/floating -n shop --wait=false"),
    _person("delete-what-is-going", "allow AlreadyTerminating", "delete deployment/floating -n shop --wait=false"),
    _as(
        COLLECTOR,
        "collector-takes-a-finalizer",
        "allow ControlPlane",
        "patch deployment/floating -n shop --type=merge",
        '-p={"metadata":{"finalizers":["example.com/more"]}}',
    ),
    _person(
        "finalizers-of-what-is-going",
        ALLOWED,
        "patch deployment/floating -n shop --type=merge",
        '-p={"metadata":{"finalizers":null}}',
    ),
)

WRITES: tuple[Write, ...] = (
    *_WORKLOADS,
    *_PODS_AND_JOBS,
    *_MAPS_AND_SECRETS,
    *_NETWORK_AND_RIGHTS,
    *_CLUSTER,
    *_MODES,
    *_FOREIGN,
)
