"""The kinds of objects that Git declares in these tests, and what can be done to each."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import msgspec

from guard.base.codec import Json, JsonObject
from guard.cluster import object_path
from guard.state.ids import NAMESPACE, Kind
from tests.oracle import custom, manifests
from tests.oracle.pods import maybe, some

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
    Sort(_builtin("apps", "Deployment", "deployments"), manifests.deployment,
         extras=((("spec", "paused"), True), *_POD_EXTRAS), replicas=_REPLICAS, status=True),
    Sort(_builtin("apps", "StatefulSet", "statefulsets"), manifests.stateful_set,
         extras=((("spec", "minReadySeconds"), 3), *_POD_EXTRAS), replicas=_REPLICAS, status=True),
    Sort(_builtin("apps", "DaemonSet", "daemonsets"), manifests.daemon_set,
         extras=((("spec", "minReadySeconds"), 3), *_POD_EXTRAS), status=True),
    Sort(_builtin("apps", "ReplicaSet", "replicasets"), manifests.replica_set,
         extras=((("spec", "minReadySeconds"), 3), *_POD_EXTRAS), replicas=_REPLICAS, status=True),
    Sort(_builtin("batch", "Job", "jobs"), manifests.job,
         extras=((("spec", "suspend"), True), (("spec", "activeDeadlineSeconds"), 60)), status=True),
    Sort(_builtin("batch", "CronJob", "cronjobs"), manifests.cron_job,
         extras=((("spec", "suspend"), True), (("spec", "startingDeadlineSeconds"), 60)), status=True),
    Sort(_builtin("", "Pod", "pods"), manifests.pod, extras=((("spec", "activeDeadlineSeconds"), 600),), status=True),
    Sort(_builtin("", "Service", "services"), manifests.service,
         extras=((("spec", "externalTrafficPolicy"), "Local"), (("spec", "loadBalancerSourceRanges"), ["10.0.0.0/8"])),
         status=True),
    Sort(_builtin(_RBAC, "Role", "roles"), lambda random, _: manifests.rules(random)),
    Sort(_builtin(_RBAC, "RoleBinding", "rolebindings"), lambda random, _: manifests.binding(random, "ClusterRole")),
    Sort(_builtin(_RBAC, "ClusterRole", "clusterroles", namespaced=False), manifests.cluster_role,
         extras=((("rules",), [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}]),)),
    Sort(_builtin(_RBAC, "ClusterRoleBinding", "clusterrolebindings", namespaced=False),
         lambda random, _: manifests.binding(random, "ClusterRole")),
    Sort(_builtin("", "ServiceAccount", "serviceaccounts"), manifests.service_account,
         extras=((("automountServiceAccountToken",), True), (("secrets",), [{"name": "extra"}]))),
    Sort(_builtin("", "ConfigMap", "configmaps"), manifests.config_map,
         extras=((("data",), {"extra": "x"}), (("immutable",), True), (("binaryData",), {"extra": "AAEC"}))),
    Sort(_builtin("", "Secret", "secrets"), manifests.secret,
         extras=((("data",), {"extra": "eA=="}), (("stringData",), {"extra": "y"}))),
    Sort(_builtin("networking.k8s.io", "Ingress", "ingresses"), manifests.ingress,
         extras=((("spec", "ingressClassName"), "other"),), status=True),
    Sort(_builtin("autoscaling", "HorizontalPodAutoscaler", "horizontalpodautoscalers", version="v2"), manifests.autoscaler,
         extras=((("spec", "minReplicas"), 3), (("spec", "behavior"), {"scaleUp": {"selectPolicy": "Disabled"}})),
         status=True, other_version="v1"),
    Sort(_builtin("policy", "PodDisruptionBudget", "poddisruptionbudgets"), manifests.disruption_budget,
         extras=((("spec", "unhealthyPodEvictionPolicy"), "AlwaysAllow"),), status=True),
    Sort(_builtin("networking.k8s.io", "NetworkPolicy", "networkpolicies"), manifests.network_policy,
         extras=((("spec", "egress"), [{}]), (("spec", "podSelector"), {"matchLabels": {"x": "y"}}),
                 (("spec", "ingress"), [{}]))),
    Sort(_builtin("", "ResourceQuota", "resourcequotas"), manifests.quota,
         extras=((("spec", "hard"), {"secrets": "1000"}),), status=True, limited=True),
    Sort(_builtin("", "LimitRange", "limitranges"), manifests.limit_range, limited=True),
    Sort(_builtin("", "PersistentVolumeClaim", "persistentvolumeclaims"), manifests.claim,
         extras=((("spec", "volumeAttributesClassName"), "gold"),), status=True),
    Sort(_builtin("scheduling.k8s.io", "PriorityClass", "priorityclasses", namespaced=False), manifests.priority_class,
         extras=((("description",), "extra"),)),
    Sort(_builtin("", "Node", "nodes", namespaced=False), manifests.node,
         extras=((("spec", "unschedulable"), True), (("spec", "taints"), [{"key": "extra", "effect": "NoSchedule"}])),
         status=True),
    Sort(NAMESPACE, manifests.empty, status=True, keep=True),
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
