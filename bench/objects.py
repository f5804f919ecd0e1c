"""What is measured on: ConfigMaps and Deployments, large as in real clusters, as people write them, or small."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from guard.base.codec import Json, JsonObject, child, children
from guard.cluster import object_path
from guard.state.ids import Kind

NAMESPACE = "bench"

CONFIG_MAP = Kind(group="", version="v1", kind="ConfigMap", resource="configmaps", namespaced=True)
DEPLOYMENT = Kind(group="apps", version="v1", kind="Deployment", resource="deployments", namespaced=True)


class Sample(msgspec.Struct, frozen=True):
    """Objects of one kind and size.

    `make` gives the object of a name, `change` the strategic merge patch that sets a declared field to another value, and `read`
    that field's value in a live object; `git` is the value that `make` gives it.
    """

    kind: Kind
    make: Callable[[str], JsonObject]
    change: Callable[[str], JsonObject]
    read: Callable[[JsonObject], Json]
    git: str

    def path(self, name: str) -> str:
        return object_path(self.kind, namespace=NAMESPACE, name=name)

    def labelled(self, name: str, labels: Mapping[str, str]) -> JsonObject:
        body = self.make(name)
        return {**body, "metadata": {**body["metadata"], "labels": {**child(body["metadata"], "labels"), **labels}}}


def _object(kind: Kind, name: str, **content: Json) -> JsonObject:
    metadata = {"name": name, "namespace": NAMESPACE, "labels": {"app.kubernetes.io/name": "shop"}}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **content}


def _config_map(data: Mapping[str, str]) -> Sample:
    return Sample(
        kind=CONFIG_MAP,
        make=lambda name: _object(CONFIG_MAP, name, data={"color": "blue", **data}),
        change=lambda value: {"data": {"color": value}},
        read=lambda body: child(body, "data").get("color"),
        git="blue",
    )


def _deployment(*, containers: int, variables: int) -> Sample:
    def make(name: str) -> JsonObject:
        template = {
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": [_container(number, variables=variables) for number in range(containers)]},
        }
        spec = {"replicas": 2, "selector": {"matchLabels": {"app": name}}, "template": template}
        return _object(DEPLOYMENT, name, spec=spec)

    def read(body: JsonObject) -> Json:
        found = children(child(child(child(body, "spec"), "template"), "spec"), "containers")
        return found[0].get("image") if found else None

    return Sample(
        kind=DEPLOYMENT,
        make=make,
        change=lambda value: {
            "spec": {"template": {"spec": {"containers": [{"name": "container-0", "image": f"shop:{value}"}]}}}
        },
        read=read,
        git="shop:1",
    )


def _container(number: int, *, variables: int) -> JsonObject:
    container: JsonObject = {"name": f"container-{number}", "image": f"shop:{number + 1}"}
    if variables:
        container["env"] = [{"name": f"VARIABLE_{index:02}", "value": f"value {index}"} for index in range(variables)]
        container["ports"] = [{"containerPort": 8080 + number, "name": f"port-{number}"}]
        container["resources"] = {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}}
    return container


# As stored, with managedFields: 5 KB, and 9 KB with 3 containers of 20 variables each.
LARGE = {
    "ConfigMap": _config_map({f"setting-{index:02}": f"{index:02} {'x' * 184}" for index in range(20)}),
    "Deployment": _deployment(containers=3, variables=20),
}
# As Git has them mostly: 1 KB of YAML.
USUAL = {
    "ConfigMap": _config_map({f"setting-{index:02}": f"{index:02} {'x' * 100}" for index in range(6)}),
    "Deployment": _deployment(containers=1, variables=8),
}
SMALL = {"ConfigMap": _config_map({"size": "small"}), "Deployment": _deployment(containers=1, variables=0)}
