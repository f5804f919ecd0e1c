from __future__ import annotations

import pytest

from guard.base.codec import JsonObject
from guard.inspect.kinds import OfflineKinds, define, plural
from guard.state.ids import REPLICAS, Kind, Manifest, Origin


def manifest(api_version: str, kind: str, *, namespace: str = "", **more: object) -> Manifest:
    metadata: JsonObject = {"name": "x", **({"namespace": namespace} if namespace else {})}
    return Manifest(body={"apiVersion": api_version, "kind": kind, "metadata": metadata, **more}, origin=Origin("a.yaml", 3))


def test_built_in_kinds_need_no_warning() -> None:
    kinds = OfflineKinds([])
    assert kinds.find("rbac.authorization.k8s.io/v1", "ClusterRole") == Kind(
        "rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", False
    )
    assert kinds.warnings == ()


def test_a_beta_version_of_a_built_in_kind_has_the_scope_of_the_others() -> None:
    kinds = OfflineKinds([])
    assert kinds.find("networking.k8s.io/v1beta1", "IPAddress") == Kind(
        "networking.k8s.io", "v1beta1", "IPAddress", "ipaddresses", False
    )
    assert kinds.warnings == ()


def test_what_the_folder_defines_is_left_to_its_definition() -> None:
    spec = {"group": "example.com", "names": {"kind": "Gizmo", "plural": "gizmoes"}}
    kinds = OfflineKinds([manifest("apiextensions.k8s.io/v1", "CustomResourceDefinition", spec=spec)])
    assert kinds.find("example.com/v1", "Gizmo") is None
    assert kinds.warnings == ()


@pytest.mark.parametrize(("namespace", "scope"), [("shop", "namespaced"), ("", "cluster-scoped")])
def test_an_unknown_kind_is_guessed_with_one_warning_that_says_where_it_stands(namespace: str, scope: str) -> None:
    kinds = OfflineKinds([manifest("example.com/v1", "Policy", namespace=namespace)])
    found = [kinds.find("example.com/v1", "Policy") for _ in range(2)]
    assert found == [Kind("example.com", "v1", "Policy", "policies", bool(namespace))] * 2
    (warning,) = kinds.warnings
    assert warning.startswith("a.yaml:3: Policy.example.com is not built in")
    assert f"taken as {scope}" in warning


def test_a_review_names_its_kind_better_than_a_guess() -> None:
    known = Kind("example.com", "v1", "Policy", "policys", True)
    kinds = OfflineKinds([], known=[known])
    assert kinds.find("example.com/v1", "Policy") == known
    assert kinds.warnings == ()


@pytest.mark.parametrize(("kind", "resource"), [("Gizmo", "gizmos"), ("Proxy", "proxies"), ("Class", "classes")])
def test_plurals_are_those_that_kubernetes_guesses(kind: str, resource: str) -> None:
    assert plural(kind) == resource


def test_only_what_has_a_scale_has_replicas_behind_it() -> None:
    kinds = OfflineKinds([])
    stateful, daemon = kinds.find("apps/v1", "StatefulSet"), kinds.find("apps/v1", "DaemonSet")
    assert stateful is not None
    assert daemon is not None
    assert (define(stateful).scale, define(daemon).scale) == (REPLICAS, None)
