from __future__ import annotations

from guard.apply import prepare
from guard.base.codec import JsonObject


def test_a_manifest_is_applied_with_our_label_and_without_what_an_apply_trips_over() -> None:
    body: JsonObject = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "creationTimestamp": None, "annotations": {}, "labels": {"app": "web"}, "managedFields": []},
        "spec": {
            "template": {"metadata": {"annotations": {}, "creationTimestamp": None}, "spec": {"volumes": [{"emptyDir": {}}]}}
        },
        "status": {},
    }
    assert prepare(body, label="ns.sync") == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "labels": {"app": "web", "gitopsguard.dev/sync": "ns.sync"}},
        "spec": {"template": {"metadata": {}, "spec": {"volumes": [{"emptyDir": {}}]}}},
    }
    assert "status" in body, "the manifest itself stays as it was"


def test_a_secrets_texts_become_data() -> None:
    body: JsonObject = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s"},
        "stringData": {"a": "hello"},
        "data": {"a": "eA==", "b": "eQ=="},
    }
    prepared = prepare(body, label="ns.sync")
    assert prepared["data"] == {"a": "aGVsbG8=", "b": "eQ=="}
    assert "stringData" not in prepared


def test_rules_beside_an_aggregation_rule_are_left_to_its_controller() -> None:
    body: JsonObject = {"kind": "ClusterRole", "metadata": {"name": "r"}, "aggregationRule": {}, "rules": []}
    assert "rules" not in prepare(body, label="ns.sync")


def test_an_absent_aggregation_rule_leaves_the_rules_alone() -> None:
    body: JsonObject = {"kind": "ClusterRole", "metadata": {"name": "r"}, "aggregationRule": None, "rules": [{"verbs": ["get"]}]}
    assert prepare(body, label="ns.sync")["rules"] == [{"verbs": ["get"]}]


def test_what_is_no_text_in_a_secret_is_left_for_the_api_server_to_refuse() -> None:
    texts = {"user": "ada", "empty": "", "port": 5432, "debug": True, "missing": None}
    prepared = prepare({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": texts}, label="ns.sync")
    assert prepared["data"] == {"user": "YWRh", "empty": "", "missing": ""}
    assert prepared["stringData"] == {"port": 5432, "debug": True}


def test_only_a_secret_of_the_core_group_has_texts() -> None:
    body: JsonObject = {"apiVersion": "example.com/v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "b"}}
    assert prepare(body, label="ns.sync")["stringData"] == {"a": "b"}
