from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.base.codec import Json, JsonObject
from guard.state.stored import predicted

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda low: st.lists(low, max_size=3) | st.dictionaries(st.text(max_size=8), low, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["spec", "template", "containers", "ports", "limits", "resources", "cpu", "metadata", "labels", "data", "default"]
)
BODIES = st.dictionaries(
    NAMES, st.recursive(JSON, lambda low: st.dictionaries(NAMES, low, max_size=3) | st.lists(low, max_size=2))
)
KINDS = st.sampled_from(
    [
        ("v1", "Secret"),
        ("apps/v1", "StatefulSet"),
        ("v1", "LimitRange"),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
        ("resource.k8s.io/v1", "ResourceClaim"),
        ("rbac.authorization.k8s.io/v1", "RoleBinding"),
        ("storage.k8s.io/v1", "CSIStorageCapacity"),
    ]
)


def stored(kind: str, *, api_version: str = "v1", **body: Json) -> JsonObject:
    found = predicted({"apiVersion": api_version, "kind": kind, **body})
    return {name: value for name, value in found.items() if name not in {"apiVersion", "kind"}}


@pytest.mark.parametrize("api_version", ["example.com/v1", "snapshot.storage.k8s.io/v1", "gateway.networking.k8s.io/v1"])
def test_a_custom_resource_is_left_as_it_is(api_version: str) -> None:
    body: JsonObject = {
        "apiVersion": api_version,
        "kind": "Thing",
        "spec": {"resources": {"limits": {"cpu": "1000m"}}, "none": ""},
    }
    assert predicted(body) is body


def test_the_data_of_config_maps_is_text_whatever_it_looks_like() -> None:
    data = {"limits": "1000m", "cpu": "1000m", "timeAdded": "2026-01-01T00:00:00+01:00", "empty": ""}
    assert stored("ConfigMap", data=data) == {"data": data}


def test_labels_and_annotations_are_text_too() -> None:
    metadata = {"name": "a", "annotations": {"sizeLimit": "1000m", "empty": ""}, "labels": {"readOnly": ""}}
    assert stored("PersistentVolumeClaim", metadata=metadata) == {"metadata": metadata}


def test_defaults_inside_json_schemas_are_anybodys() -> None:
    schema: JsonObject = {
        "type": "object",
        "properties": {"limits": {"default": {"cpu": "1000m", "none": [], "no": False, "gone": None}}},
    }
    versions: list[JsonObject] = [{"name": "v1", "served": False, "storage": True, "schema": {"openAPIV3Schema": schema}}]
    crd: JsonObject = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "spec": {"versions": versions},
    }
    assert predicted(crd) == crd


def test_text_of_a_secret_becomes_data() -> None:
    assert stored("Secret", stringData={"a": "b"}, data={"a": "Yw==", "c": "ZA==\n"}) == {"data": {"a": "Yg==", "c": "ZA=="}}


def test_what_is_empty_counts_as_absent_only_where_the_api_server_does_not_store_it() -> None:
    spec: JsonObject = {
        "hostNetwork": False,
        "automountServiceAccountToken": False,
        "nodeSelector": {},
        "securityContext": {},
        "tolerations": [],
        "containers": [{"name": "a", "env": [{"name": "A", "value": ""}], "tty": None}],
    }
    assert stored("Pod", spec=spec) == {
        "spec": {
            "automountServiceAccountToken": False,
            "securityContext": {},
            "containers": [{"name": "a", "env": [{"name": "A"}]}],
        }
    }


def test_only_what_a_manifest_says_is_completed() -> None:
    ports = [{"port": 80}, {"port": 53, "protocol": "UDP"}]
    assert stored("Service", spec={"ports": ports}) == {"spec": {"ports": [{"port": 80, "protocol": "TCP"}, ports[1]]}}
    assert stored("Service", spec={"selector": {"a": "b"}}) == {"spec": {"selector": {"a": "b"}}}


def test_a_whole_number_is_an_integer_and_a_port_stays_text() -> None:
    spec = {"replicas": 1.0, "ports": [{"port": 80.0, "targetPort": "80", "protocol": "TCP"}]}
    found = stored("Service", spec=spec)["spec"]
    assert (type(found["replicas"]), type(found["ports"][0]["port"]), found["ports"][0]["targetPort"]) == (int, int, "80")


@given(KINDS, BODIES)
def test_any_body_is_read_and_read_again_alike(kind: tuple[str, str], body: JsonObject) -> None:
    body = {**body, "apiVersion": kind[0], "kind": kind[1]}
    once = predicted(body)
    assert predicted(once) == once
