"""Pod templates, random and valid: with lists of every kind that the API server merges, and with values in several notations."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TypeVar

from guard.base.codec import Json, JsonObject

T = TypeVar("T")

# The second of each pair is what the API server stores for the first.
QUANTITIES = {"1000m": "1", "0.5": "500m", "1": "1", "250m": "250m", "2000m": "2"}
SIZES = {"1024Mi": "1Gi", "128Mi": "128Mi", "1Gi": "1Gi", "1000000k": "1G", "1e3": "1e3", "0.5Gi": "512Mi"}


def some(random: Random, items: list[T], *, least: int = 0, most: int = 3) -> list[T]:
    """A few different items, in random order."""
    return random.sample(items, min(len(items), random.randint(least, most)))


def maybe(random: Random, chance: float, **fields: Callable[[], Json]) -> JsonObject:
    """Each field with this chance."""
    return {name: make() for name, make in fields.items() if random.random() < chance}


def template(random: Random, labels: JsonObject, *, restart: str | None = None) -> JsonObject:
    """A pod template with these labels. `restart` is the restartPolicy of Jobs."""
    volumes = some(random, [*_VOLUMES], most=2)
    containers = [_container(random, f"c{number}", volumes) for number in range(random.randint(1, 3))]
    spec: JsonObject = {
        "containers": containers,
        **maybe(
            random,
            0.15,
            initContainers=lambda: [_init(random, volumes), {"name": "setup", "image": "setup:1"}],
            tolerations=lambda: [{"key": "spot", "operator": "Exists", "effect": "NoSchedule"}, {"key": "b", "value": "c"}],
            nodeSelector=lambda: {"pool": "blue", "zone": "a"},
            imagePullSecrets=lambda: [{"name": "one"}, {"name": "two"}],
            hostAliases=lambda: [{"ip": "127.0.0.1", "hostnames": ["one.local", "two.local"]}],
            terminationGracePeriodSeconds=lambda: random.choice([0, 10, 30]),
            securityContext=lambda: random.choice([{}, {"runAsUser": 1000, "supplementalGroups": [1, 2]}]),
            topologySpreadConstraints=lambda: [_spread("zone", labels), _spread("host", labels)],
            affinity=lambda: _affinity(random, labels),
            serviceAccountName=lambda: "default",
            dnsConfig=lambda: {"searches": ["a.local", "b.local"], "options": [{"name": "ndots", "value": "2"}]},
            readinessGates=lambda: [{"conditionType": "example.com/ready"}],
        ),
    }
    if volumes:
        spec["volumes"] = [{"name": name, **_VOLUMES[name]} for name in volumes]
    if restart:
        spec["restartPolicy"] = restart
    metadata: JsonObject = {"labels": labels, **maybe(random, 0.2, annotations=lambda: {"example.com/checksum": "abc"})}
    return {"metadata": metadata, "spec": spec}


_VOLUMES: dict[str, JsonObject] = {
    "scratch": {"emptyDir": {}},
    "memory": {"emptyDir": {"medium": "Memory", "sizeLimit": "1024Mi"}},
    "config": {"configMap": {"name": "settings", "items": [{"key": "a", "path": "a"}, {"key": "b", "path": "b"}]}},
    "login": {"secret": {"secretName": "login"}},
    "host": {"hostPath": {"path": "/var/log"}},
    "mixed": {
        "projected": {
            "sources": [
                {"configMap": {"name": "settings"}},
                {"serviceAccountToken": {"path": "token"}},
                {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            ]
        }
    },
}


def _container(random: Random, name: str, volumes: list[str]) -> JsonObject:
    container: JsonObject = {
        "name": name,
        "image": f"registry.example.com/{name}:{random.randint(1, 9)}",
        **maybe(
            random,
            0.3,
            command=lambda: ["run", name],
            args=lambda: ["--verbose", "<a&b>", "--level=2"],
            env=lambda: some(random, _environment(random), least=1, most=4),
            ports=lambda: some(random, _ports(name), least=1),
            resources=lambda: _resources(random),
        ),
        **maybe(
            random,
            0.1,
            envFrom=lambda: [{"configMapRef": {"name": "settings"}}, {"prefix": "X_", "secretRef": {"name": "login"}}],
            imagePullPolicy=lambda: random.choice(["Always", "IfNotPresent"]),
            livenessProbe=lambda: {"httpGet": {"path": "/live", "port": random.choice([80, "http"])}},
            readinessProbe=lambda: {"tcpSocket": {"port": 80}, "periodSeconds": 5},
            securityContext=lambda: {"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE", "CHOWN"]}},
            lifecycle=lambda: {"preStop": {"exec": {"command": ["sleep", "5"]}}},
            workingDir=lambda: "/srv",
        ),
    }
    if volumes and random.random() < 0.7:
        container["volumeMounts"] = [{"name": volume, "mountPath": f"/mnt/{volume}"} for volume in volumes]
    return container


def _init(random: Random, volumes: list[str]) -> JsonObject:
    """An init container; one that stays beside the others may be probed."""
    found = {**_container(random, "init", volumes), "restartPolicy": "Always"}
    if random.random() < 0.5:
        return found
    return {
        name: value
        for name, value in found.items()
        if name not in {"restartPolicy", "lifecycle", "livenessProbe", "readinessProbe"}
    }


def _environment(random: Random) -> list[JsonObject]:
    return [
        {"name": "MODE", "value": "production"},
        {"name": "LEVEL", "value": str(random.randint(0, 5))},
        {"name": "EMPTY", "value": ""},
        {"name": "BARE"},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1000m"}}},
        {"name": "COLOR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "color", "optional": True}}},
    ]


def _ports(name: str) -> list[JsonObject]:
    number = 80 + sum(map(ord, name)) % 97 * 10
    return [
        {"containerPort": number},
        {"containerPort": number, "protocol": "UDP"},
        {"containerPort": number + 1, "name": f"p-{number}", "protocol": "TCP"},
    ]


def _resources(random: Random) -> JsonObject:
    cpu, memory = random.choice([*QUANTITIES]), random.choice([*SIZES])
    return {
        **maybe(random, 0.8, limits=lambda: {"cpu": "2000m", "memory": "2048Mi"}),
        **maybe(random, 0.7, requests=lambda: {"cpu": cpu, "memory": memory}),
    }


def _spread(key: str, labels: JsonObject) -> JsonObject:
    return {
        "maxSkew": 1,
        "topologyKey": key,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": labels},
    }


def _affinity(random: Random, labels: JsonObject) -> JsonObject:
    term = {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a", "b"]}]}
    node = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    away = {"labelSelector": {"matchLabels": labels}, "topologyKey": "host"}
    return {
        "nodeAffinity": node,
        **maybe(random, 0.5, podAntiAffinity=lambda: {"requiredDuringSchedulingIgnoredDuringExecution": [away]}),
    }
