"""The kinds of objects that Git declares in these tests, and a random, valid manifest of each."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import msgspec

from guard.base.codec import Json, JsonObject
from guard.cluster import object_path
from guard.state.ids import NAMESPACE, Kind
from tests.oracle import custom
from tests.oracle.pods import maybe, some, template

NAMESPACES = tuple(f"oracle-{number}" for number in range(4))
# Quotas and limit ranges would reach into pods beside them.
LIMITED = "oracle-limited"

Path = tuple[str | int, ...]


class Sort(msgspec.Struct, frozen=True):
    """A kind with what can be done to its objects.

    `make` gives what follows the metadata. `extras` are fields that others may put beside what Git declares. `replicas` is what
    its /scale sets, `status` tells of a /status; `keep` that an object cannot be deleted and made anew between two changes.
    """

    kind: Kind
    make: Callable[[Random, str], JsonObject]
    extras: tuple[tuple[Path, Json], ...] = ()
    replicas: Path | None = None
    status: bool = False
    keep: bool = False
    limited: bool = False
    other_version: str = ""

    @property
    def name(self) -> str:
        return self.kind.kind

    @property
    def is_custom(self) -> bool:
        return self.kind.group == custom.GROUP


class Target(msgspec.Struct, frozen=True):
    """One declared object: the manifest as it stands in Git."""

    sort: Sort
    manifest: JsonObject

    @property
    def name(self) -> str:
        return str(self.manifest["metadata"]["name"])

    @property
    def namespace(self) -> str:
        return str(self.manifest["metadata"].get("namespace", ""))

    @property
    def path(self) -> str:
        return object_path(self.sort.kind, namespace=self.namespace, name=self.name)

    def __str__(self) -> str:
        return f"{self.sort.name} {self.namespace}/{self.name}" if self.namespace else f"{self.sort.name} {self.name}"


def declare(random: Random, sort: Sort, number: int) -> Target:
    """A manifest of this sort; the number makes its name."""
    name = f"{sort.name.lower()}-{number}"
    metadata: JsonObject = {"name": name}
    if sort.kind.namespaced:
        metadata["namespace"] = LIMITED if sort.limited else NAMESPACES[number % len(NAMESPACES)]
    metadata |= maybe(
        random,
        0.4,
        labels=lambda: dict.fromkeys(some(random, ["app", "team", "example.com/tier"], least=1), "shop"),
        annotations=lambda: random.choice([{"example.com/note": "x"}, {"note": "", "example.com/owner": "ada"}, {}]),
    )
    metadata |= maybe(random, 0.08, finalizers=lambda: ["example.com/hold", "example.com/archive"])
    metadata |= maybe(random, 0.05, ownerReferences=lambda: [owner("root")])
    content = sort.make(random, name)
    return Target(sort, {"apiVersion": sort.kind.api_version, "kind": sort.name, "metadata": metadata, **content})


def owner(name: str) -> JsonObject:
    """A reference to an owner that is not there; no collector runs to mind."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": f"00000000-0000-0000-0000-{sum(map(ord, name)):012}"}


def _selected(random: Random, name: str) -> JsonObject:
    labels: JsonObject = {"app": name}
    return {"selector": {"matchLabels": labels}, "template": template(random, labels)}


def _replicas(random: Random) -> JsonObject:
    return maybe(random, 0.6, replicas=lambda: random.choice([0, 1, 3]))


def _deployment(random: Random, name: str) -> JsonObject:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}}
    more = maybe(random, 0.3, strategy=lambda: random.choice([{"type": "Recreate"}, rolling]), minReadySeconds=lambda: 5)
    return {"spec": {**_replicas(random), **more, **_selected(random, name)}}


def _stateful_set(random: Random, name: str) -> JsonObject:
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1024Mi"}}},
    }
    more = maybe(random, 0.4, volumeClaimTemplates=lambda: [claim], podManagementPolicy=lambda: "Parallel")
    return {"spec": {"serviceName": name, **_replicas(random), **more, **_selected(random, name)}}


def _daemon_set(random: Random, name: str) -> JsonObject:
    more = maybe(random, 0.3, updateStrategy=lambda: {"type": "OnDelete"}, revisionHistoryLimit=lambda: 3)
    return {"spec": {**more, **_selected(random, name)}}


def _replica_set(random: Random, name: str) -> JsonObject:
    return {"spec": {**_replicas(random), **_selected(random, name)}}


def _job_spec(random: Random, name: str) -> JsonObject:
    more = maybe(random, 0.3, backoffLimit=lambda: 2, ttlSecondsAfterFinished=lambda: 60, parallelism=lambda: 2)
    return {**more, "template": template(random, {"app": name}, restart="Never")}


def _job(random: Random, name: str) -> JsonObject:
    return {"spec": {**_job_spec(random, name), **maybe(random, 0.3, suspend=lambda: random.choice([True, False]))}}


def _cron_job(random: Random, name: str) -> JsonObject:
    more = maybe(random, 0.3, suspend=lambda: False, concurrencyPolicy=lambda: "Forbid", timeZone=lambda: "Etc/UTC")
    return {"spec": {"schedule": "*/5 * * * *", **more, "jobTemplate": {"spec": _job_spec(random, name)}}}


def _pod(random: Random, name: str) -> JsonObject:
    return {"spec": template(random, {"app": name})["spec"]}


def _service(random: Random, name: str) -> JsonObject:
    ports: list[JsonObject] = [
        {"name": "http", "port": 80},
        {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": "dns"},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
        {"name": "metrics", "port": 9100, "targetPort": 9100, "appProtocol": "http"},
    ]
    more = maybe(
        random,
        0.3,
        type=lambda: random.choice(["ClusterIP", "NodePort", "LoadBalancer"]),
        sessionAffinity=lambda: "ClientIP",
        externalIPs=lambda: ["192.0.2.1", "192.0.2.2"],
        publishNotReadyAddresses=lambda: True,
    )
    return {"spec": {"selector": {"app": name}, "ports": some(random, ports, least=1, most=4), **more}}


def _rules(random: Random) -> JsonObject:
    rules: list[JsonObject] = [
        {"apiGroups": [""], "resources": ["pods", "services"], "verbs": ["get", "list"]},
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["*"], "resourceNames": ["web"]},
        {"apiGroups": ["", "batch"], "resources": ["jobs"], "verbs": ["get"]},
    ]
    return {"rules": some(random, rules, least=0)}


def _cluster_role(random: Random, _name: str) -> JsonObject:
    selectors = [{"matchLabels": {"example.com/aggregate": "yes"}}, {"matchLabels": {"other": "x"}}]
    if random.random() < 0.4:
        return {"aggregationRule": {"clusterRoleSelectors": some(random, selectors, least=1)}, **maybe(random, 0.5, rules=list)}
    return _rules(random)


def _binding(random: Random, kind: str) -> JsonObject:
    subjects: list[JsonObject] = [
        {"kind": "User", "name": "bob@example.com"},
        {"kind": "Group", "name": "developers", "apiGroup": "rbac.authorization.k8s.io"},
        {"kind": "ServiceAccount", "name": "default", "namespace": NAMESPACES[0]},
    ]
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": "view"}
    return {"roleRef": reference, **maybe(random, 0.9, subjects=lambda: some(random, subjects))}


def _service_account(random: Random, _name: str) -> JsonObject:
    return maybe(
        random,
        0.5,
        automountServiceAccountToken=lambda: False,
        imagePullSecrets=lambda: [{"name": "registry"}, {"name": "mirror"}],
        secrets=lambda: [{"name": "token-a"}, {"name": "token-b"}],
    )


def _config_map(random: Random, _name: str) -> JsonObject:
    data = lambda: {name: random.choice(["blue", "", "a\nb\n", "1000m"]) for name in some(random, ["a", "b", "c.txt"])}  # noqa: E731
    return maybe(random, 0.8, data=data) | maybe(random, 0.2, binaryData=lambda: {"blob": "AAEC"}, immutable=lambda: False)


def _secret(random: Random, _name: str) -> JsonObject:
    found = maybe(random, 0.6, data=lambda: {"user": "YWRh", "token": "AAEC"}, type=lambda: "Opaque")
    return found | maybe(random, 0.6, stringData=lambda: {"password": random.choice(["hunter2", ""]), "user": "ada"})


def _ingress(random: Random, name: str) -> JsonObject:
    backend = {"service": {"name": name, "port": {"number": 80}}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}, {"path": "/x", "pathType": "Exact", "backend": backend}]
    rules: list[JsonObject] = [{"host": "a.example.com", "http": {"paths": paths}}, {"host": "b.example.com"}]
    more = maybe(
        random,
        0.4,
        tls=lambda: [{"hosts": ["a.example.com"], "secretName": "tls"}],
        ingressClassName=lambda: "nginx",
        defaultBackend=lambda: backend,
    )
    return {"spec": {"rules": some(random, rules, least=1), **more}}


def _autoscaler(random: Random, name: str) -> JsonObject:
    metrics: list[JsonObject] = [
        {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}},
        {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1024Mi"}}},
    ]
    policy = {"type": "Percent", "value": 50, "periodSeconds": 60}
    more = maybe(
        random,
        0.5,
        minReplicas=lambda: 2,
        metrics=lambda: some(random, metrics, least=1),
        behavior=lambda: {"scaleDown": {"policies": [policy], "stabilizationWindowSeconds": 60}},
    )
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    return {"spec": {"scaleTargetRef": reference, "maxReplicas": 5, **more}}


def _disruption_budget(random: Random, name: str) -> JsonObject:
    bound = random.choice([{"minAvailable": 1}, {"minAvailable": "50%"}, {"maxUnavailable": 1}])
    return {"spec": {**bound, **maybe(random, 0.7, selector=lambda: random.choice([{"matchLabels": {"app": name}}, {}]))}}


def _network_policy(random: Random, name: str) -> JsonObject:
    selector = random.choice([{}, {"matchLabels": {"app": name}}])
    peers: list[JsonObject] = [
        {"podSelector": {}},
        {"namespaceSelector": {"matchLabels": {"team": "a"}}},
        {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "10.2.0.0/16"]}},
    ]
    ports = [{"port": 80}, {"port": "dns", "protocol": "UDP"}]
    allowed: list[list[JsonObject]] = [[], [{}], [{"ports": ports}], [{"from": peers[:2]}, {"ports": ports, "from": peers}]]
    more = maybe(
        random,
        0.6,
        ingress=lambda: random.choice(allowed),
        egress=lambda: random.choice([[], [{"to": peers[2:]}]]),
        policyTypes=lambda: random.choice([["Ingress"], ["Ingress", "Egress"], ["Egress", "Ingress"]]),
    )
    return {"spec": {"podSelector": selector, **more}}


def _quota(random: Random, _name: str) -> JsonObject:
    hard = {"pods": "1000", "requests.cpu": "1000", "limits.memory": "1024Gi", "configmaps": "1e3"}
    scopes = maybe(random, 0.2, scopes=lambda: ["BestEffort"])
    return {
        "spec": {"hard": {"pods": "1e3"} if scopes else {name: hard[name] for name in some(random, [*hard], least=1)}, **scopes}
    }


def _limit_range(random: Random, _name: str) -> JsonObject:
    limit: JsonObject = {"type": "Container", "default": {"cpu": "0.5", "memory": "512Mi"}}
    bound: JsonObject = {"type": "PersistentVolumeClaim", "max": {"storage": "1024Gi"}}
    return {"spec": {"limits": some(random, [limit, bound], least=1)}}


def _claim(random: Random, _name: str) -> JsonObject:
    more = maybe(random, 0.4, storageClassName=lambda: random.choice(["fast", ""]), volumeMode=lambda: "Filesystem")
    return {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1024Mi"}}, **more}}


def _priority_class(random: Random, _name: str) -> JsonObject:
    return {"value": 1000, **maybe(random, 0.5, description=lambda: "shops first", preemptionPolicy=lambda: "Never")}


def _node(random: Random, _name: str) -> JsonObject:
    taints = [{"key": "gpu", "effect": "NoSchedule"}, {"key": "team", "value": "a", "effect": "NoExecute"}]
    return maybe(random, 0.5, spec=lambda: {"taints": some(random, taints, least=1)})


def _empty(_random: Random, _name: str) -> JsonObject:
    return {}


_REPLICAS: Path = ("spec", "replicas")
_POD_EXTRAS: tuple[tuple[Path, Json], ...] = (
    (("spec", "template", "spec", "dnsPolicy"), "Default"),
    (("spec", "template", "spec", "priorityClassName"), "system-node-critical"),
    (("spec", "template", "spec", "nodeSelector"), {"disk": "ssd"}),
    (("spec", "template", "metadata", "annotations"), {"example.com/extra": "x"}),
    (("spec", "template", "spec", "containers", 0, "env"), [{"name": "EXTRA", "value": "x"}]),
    (("spec", "template", "spec", "containers", 0, "resources"), {"limits": {"cpu": "3"}}),
)


def _builtin(group: str, name: str, resource: str, *, version: str = "v1", namespaced: bool = True) -> Kind:
    return Kind(group=group, version=version, kind=name, resource=resource, namespaced=namespaced)


_RBAC = "rbac.authorization.k8s.io"

SORTS: tuple[Sort, ...] = (
    Sort(_builtin("apps", "Deployment", "deployments"), _deployment,
         extras=((("spec", "paused"), True), *_POD_EXTRAS), replicas=_REPLICAS, status=True),
    Sort(_builtin("apps", "StatefulSet", "statefulsets"), _stateful_set,
         extras=((("spec", "minReadySeconds"), 3), *_POD_EXTRAS), replicas=_REPLICAS, status=True),
    Sort(_builtin("apps", "DaemonSet", "daemonsets"), _daemon_set,
         extras=((("spec", "minReadySeconds"), 3), *_POD_EXTRAS), status=True),
    Sort(_builtin("apps", "ReplicaSet", "replicasets"), _replica_set,
         extras=((("spec", "minReadySeconds"), 3), *_POD_EXTRAS), replicas=_REPLICAS, status=True),
    Sort(_builtin("batch", "Job", "jobs"), _job,
         extras=((("spec", "suspend"), True), (("spec", "activeDeadlineSeconds"), 60)), status=True),
    Sort(_builtin("batch", "CronJob", "cronjobs"), _cron_job,
         extras=((("spec", "suspend"), True), (("spec", "startingDeadlineSeconds"), 60)), status=True),
    Sort(_builtin("", "Pod", "pods"), _pod, extras=((("spec", "activeDeadlineSeconds"), 600),), status=True),
    Sort(_builtin("", "Service", "services"), _service,
         extras=((("spec", "externalTrafficPolicy"), "Local"), (("spec", "loadBalancerSourceRanges"), ["10.0.0.0/8"])),
         status=True),
    Sort(_builtin(_RBAC, "Role", "roles"), lambda random, _: _rules(random)),
    Sort(_builtin(_RBAC, "RoleBinding", "rolebindings"), lambda random, _: _binding(random, "ClusterRole")),
    Sort(_builtin(_RBAC, "ClusterRole", "clusterroles", namespaced=False), _cluster_role,
         extras=((("rules",), [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}]),)),
    Sort(_builtin(_RBAC, "ClusterRoleBinding", "clusterrolebindings", namespaced=False),
         lambda random, _: _binding(random, "ClusterRole")),
    Sort(_builtin("", "ServiceAccount", "serviceaccounts"), _service_account,
         extras=((("automountServiceAccountToken",), True), (("secrets",), [{"name": "extra"}]))),
    Sort(_builtin("", "ConfigMap", "configmaps"), _config_map,
         extras=((("data",), {"extra": "x"}), (("immutable",), True), (("binaryData",), {"extra": "AAEC"}))),
    Sort(_builtin("", "Secret", "secrets"), _secret, extras=((("data",), {"extra": "eA=="}), (("stringData",), {"extra": "y"}))),
    Sort(_builtin("networking.k8s.io", "Ingress", "ingresses"), _ingress,
         extras=((("spec", "ingressClassName"), "other"),), status=True),
    Sort(_builtin("autoscaling", "HorizontalPodAutoscaler", "horizontalpodautoscalers", version="v2"), _autoscaler,
         extras=((("spec", "minReplicas"), 3), (("spec", "behavior"), {"scaleUp": {"selectPolicy": "Disabled"}})),
         status=True, other_version="v1"),
    Sort(_builtin("policy", "PodDisruptionBudget", "poddisruptionbudgets"), _disruption_budget,
         extras=((("spec", "unhealthyPodEvictionPolicy"), "AlwaysAllow"),), status=True),
    Sort(_builtin("networking.k8s.io", "NetworkPolicy", "networkpolicies"), _network_policy,
         extras=((("spec", "egress"), [{}]), (("spec", "podSelector"), {"matchLabels": {"x": "y"}}),
                 (("spec", "ingress"), [{}]))),
    Sort(_builtin("", "ResourceQuota", "resourcequotas"), _quota,
         extras=((("spec", "hard"), {"secrets": "1000"}),), status=True, limited=True),
    Sort(_builtin("", "LimitRange", "limitranges"), _limit_range, limited=True),
    Sort(_builtin("", "PersistentVolumeClaim", "persistentvolumeclaims"), _claim,
         extras=((("spec", "volumeAttributesClassName"), "gold"),), status=True),
    Sort(_builtin("scheduling.k8s.io", "PriorityClass", "priorityclasses", namespaced=False), _priority_class,
         extras=((("description",), "extra"),)),
    Sort(_builtin("", "Node", "nodes", namespaced=False), _node,
         extras=((("spec", "unschedulable"), True), (("spec", "taints"), [{"key": "extra", "effect": "NoSchedule"}])),
         status=True),
    Sort(NAMESPACE, _empty, status=True, keep=True),
    Sort(custom.GADGET, custom.gadget,
         extras=((("spec", "granularMap"), {"extra": "x"}), (("spec", "free"), {"extra": {"x": 1}}),
                 (("spec", "setList"), ["extra"]), (("spec", "oneKey"), [{"name": "extra"}]),
                 (("spec", "atomicMap"), {"extra": "x"}), (("spec", "title"), "extra")),
         replicas=("spec", "size"), status=True, other_version=custom.OTHER_VERSION),
    Sort(custom.BLOB, custom.blob,
         extras=((("spec",), {"extra": "x"}), (("extra",), [1, {"a": 2}]), (("config", "a"), {"extra": "x"}))),
    Sort(custom.BEACON, custom.gadget,
         extras=((("spec", "granularMap"), {"extra": "x"}), (("spec", "atomicStruct"), {"b": "extra"})), status=True),
)  # fmt: skip
