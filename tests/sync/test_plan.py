from __future__ import annotations

import pytest

from guard.base.codec import Json, JsonObject
from guard.base.errors import RenderError
from guard.state.definition import Definition
from guard.state.ids import DEFINITION, NAMESPACE, Kind, Manifest, Origin
from guard.sync.plan import resolve, stages

CONFIG_MAP = Kind(group="", version="v1", kind="ConfigMap", resource="configmaps", namespaced=True)
SERVED = {(kind.api_version, kind.kind): kind for kind in (CONFIG_MAP, NAMESPACE, DEFINITION)}


def manifest(kind: str, name: str, *, line: int, api_version: str = "v1", namespace: str = "", **more: object) -> Manifest:
    metadata: JsonObject = {"name": name, **({"namespace": namespace} if namespace else {})}
    return Manifest(
        body={"apiVersion": api_version, "kind": kind, "metadata": metadata, **more}, origin=Origin(file="a.yaml", line=line)
    )


def complaint(*manifests: Manifest) -> str:
    with pytest.raises(RenderError) as raised:
        resolve(manifests, find=lambda version, kind: SERVED.get((version, kind)), sync="ns/s", label="ns.s", revision="r")
    return str(raised.value)


def test_every_fault_is_named_with_its_line() -> None:
    text = complaint(
        manifest("ConfigMap", "a", line=1),
        manifest("Namespace", "b", line=5, namespace="x"),
        manifest("Gizmo", "c", line=9),
        manifest("ConfigMap", "d", line=13, namespace="x"),
        manifest("ConfigMap", "d", line=17, namespace="x"),
    )
    assert "a.yaml:1: ConfigMap a has no metadata.namespace" in text
    assert "a.yaml:5: Namespace b has a metadata.namespace, but its kind is cluster-scoped" in text
    assert "a.yaml:9: the cluster serves no Gizmo in v1" in text
    assert "a.yaml:17: ConfigMap x/d is declared a second time, first at a.yaml:13" in text


def test_a_kind_may_come_with_the_revision_and_its_definition_goes_first() -> None:
    spec = {
        "group": "example.com",
        "scope": "Cluster",
        "names": {"kind": "Gizmo", "plural": "gizmos"},
        "versions": [{"name": "v1", "served": True}, {"name": "v0", "served": False}],
    }
    gizmo = manifest("Gizmo", "g", line=1, api_version="example.com/v1")
    definition = manifest(
        "CustomResourceDefinition", "gizmos.example.com", line=5, api_version="apiextensions.k8s.io/v1", spec=spec
    )
    objects = resolve(
        (gizmo, definition), find=lambda version, kind: SERVED.get((version, kind)), sync="ns/s", label="ns.s", revision="r"
    )
    assert [[declared.key.name for declared in stage] for stage in stages(objects)] == [["gizmos.example.com"], ["g"]]
    old = manifest("Gizmo", "g", line=1, api_version="example.com/v0")
    assert "serves no Gizmo in example.com/v0" in complaint(old, definition)


def test_the_revisions_own_definition_of_a_kind_counts_before_the_clusters() -> None:
    gizmo = Kind(group="example.com", version="v1", kind="Gizmo", resource="gizmos", namespaced=False)
    gadget = Kind(group="example.com", version="v1", kind="Gadget", resource="gadgets", namespaced=False)
    served = {**SERVED, (gizmo.api_version, "Gizmo"): gizmo, (gadget.api_version, "Gadget"): gadget}
    names = {"kind": "Gizmo", "plural": "gizmos"}
    version = {"name": "v1", "served": True, "subresources": {"scale": {"specReplicasPath": ".spec.size"}}}
    spec = {"group": "example.com", "scope": "Cluster", "names": names, "versions": [version]}
    manifests = (
        manifest("CustomResourceDefinition", "gizmos.example.com", line=1, api_version="apiextensions.k8s.io/v1", spec=spec),
        manifest("Gizmo", "a", line=5, api_version="example.com/v1"),
        manifest("Gadget", "b", line=9, api_version="example.com/v1"),
    )
    theirs = Definition(scale=("f:spec", "f:other"))
    asked: list[str] = []

    def define(kind: Kind) -> Definition:
        asked.append(kind.kind)
        return theirs

    found = resolve(
        manifests, find=lambda version, kind: served.get((version, kind)), sync="ns/s", label="ns.s", revision="r", define=define
    )
    assert [declared.scale for declared in found[1:]] == [("f:spec", "f:size"), ("f:spec", "f:other")]
    assert asked == ["CustomResourceDefinition", "Gadget"]


def _version(schema: Json) -> JsonObject:
    return {"name": "v1", "served": True, "schema": {"openAPIV3Schema": schema}}


_ODD: list[Json] = [None, {"properties": [], "items": [{}], "default": 1}, {"default": 1, "x-kubernetes-list-map-keys": 5}]


@pytest.mark.parametrize("version", [{"served": True}, *map(_version, _ODD)], ids=["no-name", "no-schema", "lists", "no-keys"])
def test_a_definition_that_makes_no_sense_is_the_api_servers_to_refuse(version: JsonObject) -> None:
    spec = {"group": "example.com", "scope": "Cluster", "names": {"kind": "Gizmo", "plural": "gizmos"}, "versions": [version]}
    definition = manifest(
        "CustomResourceDefinition", "gizmos.example.com", line=1, api_version="apiextensions.k8s.io/v1", spec=spec
    )
    api_version = f"example.com/{version.get('name', '')}"
    gizmo = manifest("Gizmo", "a", line=5, api_version=api_version)
    found = resolve(
        (definition, gizmo), find=lambda version, kind: SERVED.get((version, kind)), sync="ns/s", label="ns.s", revision="r"
    )
    assert [declared.key.name for declared in found] == ["gizmos.example.com", "a"]
