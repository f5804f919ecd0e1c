"""A random, valid manifest of each built-in kind: what follows the metadata. `name` is the object's."""

from __future__ import annotations

from random import Random

from guard.base.codec import JsonObject
from tests.oracle.pods import maybe, some, template


def selected(random: Random, name: str) -> JsonObject:
    labels: JsonObject = {"app": name}
    return {"selector": {"matchLabels": labels}, "template": template(random, labels)}


def replicas(random: Random) -> JsonObject:
    return maybe(random, 0.6, replicas=lambda: random.choice([0, 1, 3]))


def deployment(random: Random, name: str) -> JsonObject:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}}
    more = maybe(random, 0.3, strategy=lambda: random.choice([{"type": "Recreate"}, rolling]), minReadySeconds=lambda: 5)
    return {"spec": {**replicas(random), **more, **selected(random, name)}}


def stateful_set(random: Random, name: str) -> JsonObject:
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1024Mi"}}},
    }
    more = maybe(random, 0.4, volumeClaimTemplates=lambda: [claim], podManagementPolicy=lambda: "Parallel")
    return {"spec": {"serviceName": name, **replicas(random), **more, **selected(random, name)}}


def daemon_set(random: Random, name: str) -> JsonObject:
    more = maybe(random, 0.3, updateStrategy=lambda: {"type": "OnDelete"}, revisionHistoryLimit=lambda: 3)
    return {"spec": {**more, **selected(random, name)}}


def replica_set(random: Random, name: str) -> JsonObject:
    return {"spec": {**replicas(random), **selected(random, name)}}


def job_spec(random: Random, name: str) -> JsonObject:
    more = maybe(random, 0.3, backoffLimit=lambda: 2, ttlSecondsAfterFinished=lambda: 60, parallelism=lambda: 2)
    return {**more, "template": template(random, {"app": name}, restart="Never")}


def job(random: Random, name: str) -> JsonObject:
    return {"spec": {**job_spec(random, name), **maybe(random, 0.3, suspend=lambda: random.choice([True, False]))}}


def cron_job(random: Random, name: str) -> JsonObject:
    more = maybe(random, 0.3, suspend=lambda: False, concurrencyPolicy=lambda: "Forbid", timeZone=lambda: "Etc/UTC")
    return {"spec": {"schedule": "*/5 * * * *", **more, "jobTemplate": {"spec": job_spec(random, name)}}}


def pod(random: Random, name: str) -> JsonObject:
    return {"spec": template(random, {"app": name})["spec"]}


def service(random: Random, name: str) -> JsonObject:
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


def rules(random: Random) -> JsonObject:
    rules: list[JsonObject] = [
        {"apiGroups": [""], "resources": ["pods", "services"], "verbs": ["get", "list"]},
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["*"], "resourceNames": ["web"]},
        {"apiGroups": ["", "batch"], "resources": ["jobs"], "verbs": ["get"]},
    ]
    return {"rules": some(random, rules, least=0)}


def cluster_role(random: Random, _name: str) -> JsonObject:
    selectors = [{"matchLabels": {"example.com/aggregate": "yes"}}, {"matchLabels": {"other": "x"}}]
    if random.random() < 0.4:
        return {"aggregationRule": {"clusterRoleSelectors": some(random, selectors, least=1)}, **maybe(random, 0.5, rules=list)}
    return rules(random)


def binding(random: Random, kind: str) -> JsonObject:
    subjects: list[JsonObject] = [
        {"kind": "User", "name": "bob@example.com"},
        {"kind": "Group", "name": "developers", "apiGroup": "rbac.authorization.k8s.io"},
        {"kind": "ServiceAccount", "name": "default", "namespace": "oracle-0"},
    ]
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": "view"}
    return {"roleRef": reference, **maybe(random, 0.9, subjects=lambda: some(random, subjects))}


def service_account(random: Random, _name: str) -> JsonObject:
    return maybe(
        random,
        0.5,
        automountServiceAccountToken=lambda: False,
        imagePullSecrets=lambda: [{"name": "registry"}, {"name": "mirror"}],
        secrets=lambda: [{"name": "token-a"}, {"name": "token-b"}],
    )


def config_map(random: Random, _name: str) -> JsonObject:
    data = lambda: {name: random.choice(["blue", "", "a\nb\n", "1000m"]) for name in some(random, ["a", "b", "c.txt"])}  # noqa: E731
    return maybe(random, 0.8, data=data) | maybe(random, 0.2, binaryData=lambda: {"blob": "AAEC"}, immutable=lambda: False)


def secret(random: Random, _name: str) -> JsonObject:
    found = maybe(random, 0.6, data=lambda: {"user": "YWRh", "token": "AAEC"}, type=lambda: "Opaque")
    return found | maybe(random, 0.6, stringData=lambda: {"password": random.choice(["hunter2", ""]), "user": "ada"})


def ingress(random: Random, name: str) -> JsonObject:
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


def autoscaler(random: Random, name: str) -> JsonObject:
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


def disruption_budget(random: Random, name: str) -> JsonObject:
    bound = random.choice([{"minAvailable": 1}, {"minAvailable": "50%"}, {"maxUnavailable": 1}])
    return {"spec": {**bound, **maybe(random, 0.7, selector=lambda: random.choice([{"matchLabels": {"app": name}}, {}]))}}


def network_policy(random: Random, name: str) -> JsonObject:
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


def quota(random: Random, _name: str) -> JsonObject:
    hard = {"pods": "1000", "requests.cpu": "1000", "limits.memory": "1024Gi", "configmaps": "1e3"}
    scopes = maybe(random, 0.2, scopes=lambda: ["BestEffort"])
    return {
        "spec": {"hard": {"pods": "1e3"} if scopes else {name: hard[name] for name in some(random, [*hard], least=1)}, **scopes}
    }


def limit_range(random: Random, _name: str) -> JsonObject:
    limit: JsonObject = {"type": "Container", "default": {"cpu": "0.5", "memory": "512Mi"}}
    bound: JsonObject = {"type": "PersistentVolumeClaim", "max": {"storage": "1024Gi"}}
    return {"spec": {"limits": some(random, [limit, bound], least=1)}}


def claim(random: Random, _name: str) -> JsonObject:
    more = maybe(random, 0.4, storageClassName=lambda: random.choice(["fast", ""]), volumeMode=lambda: "Filesystem")
    return {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1024Mi"}}, **more}}


def priority_class(random: Random, _name: str) -> JsonObject:
    return {"value": 1000, **maybe(random, 0.5, description=lambda: "shops first", preemptionPolicy=lambda: "Never")}


def node(random: Random, _name: str) -> JsonObject:
    taints = [{"key": "gpu", "effect": "NoSchedule"}, {"key": "team", "value": "a", "effect": "NoExecute"}]
    return maybe(random, 0.5, spec=lambda: {"taints": some(random, taints, least=1)})


def empty(_random: Random, _name: str) -> JsonObject:
    return {}
