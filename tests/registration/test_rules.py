from __future__ import annotations

import msgspec

from guard.base.codec import JsonObject
from guard.registration import client_config, configuration
from guard.registration.rules import EXPRESSION_CHARACTERS
from guard.state.desired import Declared, DesiredState
from guard.state.ids import Kind, ObjectKey, Origin

DEPLOYMENT = Kind(group="apps", version="v1", kind="Deployment", resource="deployments", namespaced=True)
CONFIG_MAP = Kind(group="", version="v1", kind="ConfigMap", resource="configmaps", namespaced=True)
CLIENT = client_config(url="https://127.0.0.1:1/admission", service=False, ca_bundle="YQ==")


def declared(name: str, *, replicas: int | None = None, kind: Kind = DEPLOYMENT) -> Declared:
    key = ObjectKey(group=kind.group, kind=kind.kind, namespace="default", name=name)
    spec = {} if replicas is None else {"replicas": replicas}
    return Declared(key=key, kind=kind, body={"spec": spec}, origin=Origin(file="f", line=1), sync="ns/s", revision="r")


def built(*objects: Declared) -> dict[str, JsonObject]:
    state = DesiredState().with_sync("ns/s", objects)
    body = configuration(client=CLIENT, state=state, kinds=state.kinds(), sync_user="system:serviceaccount:guard-system:guard")
    return {entry["name"].removesuffix(".gitopsguard.dev"): entry for entry in body["webhooks"]}


def test_people_are_refused_when_guard_is_down_and_the_control_plane_goes_on() -> None:
    entries = built(declared("web", replicas=1))
    assert {name: entry["failurePolicy"] for name, entry in entries.items()} == {
        "changes": "Fail",
        "control-plane-changes": "Ignore",
        "creations": "Ignore",
        "scale": "Fail",
        "control-plane-scale": "Ignore",
    }


def test_only_declared_kinds_are_registered_and_scale_only_where_git_declares_replicas() -> None:
    entries = built(declared("web", replicas=1), declared("free"))
    (rule,) = entries["changes"]["rules"]
    assert (rule["apiGroups"], rule["apiVersions"], rule["resources"]) == (["apps"], ["v1"], ["deployments"])
    assert rule["operations"] == ["UPDATE", "DELETE"]
    conditions = {found["name"]: found["expression"] for found in entries["scale"]["matchConditions"]}
    assert "'default/web'" in conditions["declared"]
    assert "'default/free'" not in conditions["declared"]
    assert "scale" not in built(declared("free"))


def test_no_entry_holds_two_versions_of_one_resource() -> None:
    beta = Kind(group="apps", version="v1beta1", kind="Deployment", resource="deployments", namespaced=True)
    entries = built(declared("new"), declared("old", kind=beta))
    for entry in entries.values():
        resources = [(rule["apiGroups"][0], rule["resources"][0]) for rule in entry["rules"]]
        assert len(resources) == len(set(resources))
    assert {"changes", "changes-1"} <= entries.keys()


def test_expressions_stay_within_what_the_api_server_takes() -> None:
    entries = built(*(declared(f"{number:05}-{'n' * 50}", replicas=1) for number in range(4000)))
    lengths = [len(found["expression"]) for entry in entries.values() for found in entry["matchConditions"]]
    assert max(lengths) <= EXPRESSION_CHARACTERS + 200
    assert len(entries) > 5


def test_the_same_state_gives_the_same_configuration_whatever_the_order() -> None:
    objects = [declared("web", replicas=1), declared("api", replicas=2), declared("map", kind=CONFIG_MAP)]
    assert built(*objects) == built(*reversed(objects))


def test_every_entry_has_a_name_of_its_own() -> None:
    many = [declared(f"{number:05}-{'n' * 50}", replicas=1) for number in range(2000)]
    state = DesiredState().with_sync("ns/s", many)
    body = configuration(client=CLIENT, state=state, kinds=state.kinds(), sync_user="me")
    names = [entry["name"] for entry in body["webhooks"]]
    assert len(names) == len(set(names))


def test_no_declared_object_is_lost_where_an_expression_is_split() -> None:
    names = [f"{number:05}-{'n' * 50}" for number in range(2500)]
    entries = built(*(declared(name, replicas=1) for name in names))
    named = "".join(
        found["expression"]
        for name, entry in entries.items()
        if name.startswith("scale")
        for found in entry["matchConditions"]
        if found["name"] == "declared"
    )
    assert all(named.count(f"'default/{name}'") == 1 for name in names)


def test_replicas_that_git_leaves_empty_are_not_declared() -> None:
    empty = msgspec.structs.replace(declared("web"), body={"spec": {"replicas": None}})
    assert "scale" not in built(empty)


def test_a_name_cannot_break_out_of_its_expression() -> None:
    state = DesiredState()
    body = configuration(client=CLIENT, state=state, kinds=[DEPLOYMENT], sync_user="o'neil\\' || true || '")
    conditions = {found["name"]: found["expression"] for found in body["webhooks"][0]["matchConditions"]}
    assert conditions["not-guard"] == r"request.userInfo.username != 'o\'neil\\\' || true || \''"
