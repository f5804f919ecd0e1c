from __future__ import annotations

import pytest

from guard.base.codec import JsonObject
from guard.base.errors import RenderError
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
