from __future__ import annotations

import msgspec

from guard.base.codec import JsonObject
from guard.registration import client_config
from guard.registration.asked import Asked, asked_of
from guard.registration.expressions import EXPRESSION_CHARACTERS
from guard.registration.rules import configuration
from guard.state.definition import Definition
from guard.state.desired import Declared, DesiredState
from guard.state.ids import DEFINITION, NAMESPACE, REPLICAS, Kind, ObjectKey
from tests.state.samples import declared_as

DEPLOYMENT = Kind(group="apps", version="v1", kind="Deployment", resource="deployments", namespaced=True)
CONFIG_MAP = Kind(group="", version="v1", kind="ConfigMap", resource="configmaps", namespaced=True)
CLIENT = client_config(url="https://127.0.0.1:1/admission", service=False, ca_bundle="YQ==")


def declared(name: str, *, replicas: int | None = None, kind: Kind = DEPLOYMENT) -> Declared:
    spec = {} if replicas is None else {"replicas": replicas}
    return declared_as(kind, {"metadata": {"name": name, "namespace": "default"}, "spec": spec}, sync="ns/s", scale=REPLICAS)


def built(*objects: Declared, strict: tuple[str, ...] = (), control_plane: tuple[str, ...] = ()) -> dict[str, JsonObject]:
    state = DesiredState().with_sync("ns/s", objects)
    user = "system:serviceaccount:guard-system:guard"
    asked = asked_of(state, kinds=state.kinds())
    body = configuration(client=CLIENT, asked=asked, sync_user=user, control_plane=control_plane, strict=strict)
    return entries_of(body)


def entries_of(body: JsonObject) -> dict[str, JsonObject]:
    return {entry["name"].removesuffix(".gitopsguard.dev"): entry for entry in body["webhooks"]}


def test_people_are_refused_when_guard_is_down_and_the_control_plane_goes_on() -> None:
    entries = built(declared("web", replicas=1))
    assert {name: entry["failurePolicy"] for name, entry in entries.items()} == {
        "changes": "Fail",
        "control-plane-changes": "Ignore",
        "subresources": "Fail",
        "creations": "Ignore",
        "scale": "Fail",
        "control-plane-scale": "Ignore",
        "namespaces": "Fail",
        "namespaces-owners": "Fail",
        "customresourcedefinitions": "Fail",
        "customresourcedefinitions-owners": "Fail",
        "breakglasses": "Ignore",
    }


def test_whom_the_installer_adds_goes_on_as_the_control_plane_does() -> None:
    driver = "system:serviceaccount:calico-system:calico-node"
    entries = built(declared("web"), control_plane=(driver,))
    for name, condition_name in (("changes", "not-control-plane"), ("control-plane-changes", "control-plane")):
        assert f"'{driver}'" in condition(entries[name], condition_name)
        assert f"'{driver}'" not in condition(built(declared("web"))[name], condition_name)


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
    body = configuration(client=CLIENT, asked=asked_of(state, kinds=state.kinds()), sync_user="me")
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
    asked = asked_of(DesiredState(), kinds=[DEPLOYMENT])
    body = configuration(client=CLIENT, asked=asked, sync_user="o'neil\\' || true || '")
    conditions = {found["name"]: found["expression"] for found in body["webhooks"][0]["matchConditions"]}
    assert conditions["not-guard"] == r"request.userInfo.username != 'o\'neil\\\' || true || \''"


def condition(entry: JsonObject, name: str) -> str:
    (found,) = [found["expression"] for found in entry["matchConditions"] if found["name"] == name]
    return found


def test_deletions_that_cascade_are_asked_about_by_the_names_that_hold_something() -> None:
    entries = built(declared("web"))
    assert condition(entries["namespaces"], "holds-declared") == "oldObject.metadata.name in ['default']"
    assert "'deployments.apps'" in condition(entries["customresourcedefinitions"], "holds-declared")
    (rule,) = entries["namespaces"]["rules"]
    assert (rule["operations"], rule["resources"], rule["scope"]) == (["DELETE"], ["namespaces"], "Cluster")
    assert not entries["namespaces"]["objectSelector"]


def test_another_owner_is_asked_about_by_the_same_names_as_a_deletion() -> None:
    names = [f"{number:05}-{'n' * 50}" for number in range(2500)]
    asked = Asked(namespaces=frozenset(names), definitions=None)
    entries = entries_of(configuration(client=CLIENT, asked=asked, sync_user="me"))
    for deleted, owned in (("namespaces", "namespaces-owners"), ("namespaces-1", "namespaces-owners-1")):
        assert condition(entries[owned], "holds-declared") == condition(entries[deleted], "holds-declared")
    assert "holds-declared" not in str(entries["customresourcedefinitions-owners"])
    for name, below in (("namespaces", {"status", "finalize"}), ("customresourcedefinitions", {"status"})):
        entry = entries[f"{name}-owners"]
        assert {rule["resources"][0] for rule in entry["rules"]} == {name, *(f"{name}/{found}" for found in below)}
        assert all(rule["operations"] == ["UPDATE"] for rule in entry["rules"])
        assert condition(entry, "changes-owners") == "object.metadata.?ownerReferences != oldObject.metadata.?ownerReferences"


def test_what_is_declared_itself_is_asked_about_once() -> None:
    for kind in (NAMESPACE, DEFINITION):
        itself = msgspec.structs.replace(
            declared("n", kind=kind), key=ObjectKey(group=kind.group, kind=kind.kind, namespace="", name="n")
        )
        for name in (kind.resource, f"{kind.resource}-owners"):
            (expression,) = built(declared("web"), itself)[name]["objectSelector"]["matchExpressions"]
            assert expression["operator"] == "DoesNotExist"


def test_subresources_are_asked_about_when_they_change_metadata() -> None:
    entries = built(declared("web"), declared("pod", kind=Kind("", "v1", "Pod", "pods", namespaced=True)))
    resources = {resource for rule in entries["subresources"]["rules"] for resource in rule["resources"]}
    assert resources == {"deployments/status", "pods/status", "pods/resize", "pods/ephemeralcontainers"}
    assert entries["subresources"]["objectSelector"]
    assert "object.metadata.?labels != oldObject.metadata.?labels" in condition(entries["subresources"], "changes-metadata")


def test_everything_created_in_a_strict_namespace_is_asked_about_but_what_is_asked_about_anyway() -> None:
    assert "strict" not in built(declared("web"))
    entry = built(declared("web"), strict=("shop", "bank"))["strict"]
    among, outside = entry["namespaceSelector"]["matchExpressions"]
    assert (among["operator"], among["values"]) == ("In", ["bank", "shop"])
    assert (outside["operator"], outside["values"]) == ("NotIn", ["guard-system"])
    assert condition(entry, "not-asked-already-0").endswith("in ['apps/deployments'])")
    assert entry["failurePolicy"] == "Ignore"


def test_a_custom_resources_scale_is_asked_about_where_git_declares_its_own_path() -> None:
    widget = msgspec.structs.replace(
        declared("gear"), definition=Definition(scale=("f:spec", "f:size")), body={"spec": {"size": 3}}
    )
    assert "'default/gear'" in condition(built(widget)["scale"], "declared")
    assert "scale" not in built(msgspec.structs.replace(widget, body={"spec": {"replicas": 3}}))
