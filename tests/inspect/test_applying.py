from __future__ import annotations

from guard.base.codec import Json, JsonObject
from guard.inspect.applying import MERGE_KEYS, MERGED_SETS, RETAINED, applied, emptied, field_tree
from tools.controlplane import ControlPlane

Found = dict[str, set[str]]


def _lists(definitions: JsonObject) -> tuple[Found, set[str], set[str]]:
    """From OpenAPI, statuses aside: the merge keys of lists by field, fields that are merged sets, fields of unions."""
    keys: Found = {}
    sets: set[str] = set()
    retained: set[str] = set()
    for name, schema in definitions.items():
        if "Status" in name.rpartition(".")[2] or name.endswith("PodVolumeHealth"):
            continue
        for field, about in schema.get("properties", {}).items():
            strategy = about.get("x-kubernetes-patch-strategy", "")
            if "merge" in strategy and about.get("type") == "array" and field != "conditions":
                key = about.get("x-kubernetes-patch-merge-key")
                (keys.setdefault(field, set()).add(key) if key else sets.add(field))
            if "retainKeys" in strategy:
                retained.add(field)
    return keys, sets, retained


async def test_merge_keys_are_those_of_the_api_server(control_plane: ControlPlane) -> None:
    openapi: Json = await control_plane.call("GET", "/openapi/v2")
    keys, sets, retained = _lists(openapi["definitions"])
    # ResourceClaim's reservedFor is a status in all but name of its type.
    keys.pop("reservedFor", None)
    assert {field: set(known) for field, known in MERGE_KEYS.items()} == keys
    assert sets == MERGED_SETS
    assert retained == RETAINED


LIVE: JsonObject = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "labels": {"app": "web"}},
    "spec": {
        "replicas": 2,
        "template": {
            "spec": {
                "containers": [{"name": "web", "image": "web:1", "args": ["a", "b"]}, {"name": "side", "image": "side:1"}],
                "volumes": [{"name": "data", "emptyDir": {}}],
            }
        },
    },
}


def given(**spec: Json) -> JsonObject:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"template": {"spec": spec}}}


def pod(body: JsonObject, *, builtin: bool = True) -> JsonObject:
    found: JsonObject = applied(LIVE, body, builtin=builtin)["spec"]["template"]["spec"]
    return found


def test_what_the_manifest_does_not_name_stays() -> None:
    assert applied(LIVE, given(), builtin=True) == LIVE


def test_items_are_merged_by_their_key_and_keep_their_places() -> None:
    found = pod(given(containers=[{"name": "new", "image": "new:1"}, {"name": "side", "image": "side:2"}]))
    assert found["containers"] == [
        {"name": "web", "image": "web:1", "args": ["a", "b"]},
        {"name": "side", "image": "side:2"},
        {"name": "new", "image": "new:1"},
    ]


def test_another_order_is_that_of_the_manifest() -> None:
    found = pod(given(containers=[{"name": "side"}, {"name": "web"}]))
    assert [item["name"] for item in found["containers"]] == ["side", "web"]


def test_lists_without_a_key_are_replaced() -> None:
    found = pod(given(containers=[{"name": "web", "args": ["a"]}]))
    assert found["containers"][0]["args"] == ["a"]


def test_lists_of_custom_resources_are_replaced() -> None:
    found = pod(given(containers=[{"name": "side", "image": "side:1"}]), builtin=False)
    assert found["containers"] == [{"name": "side", "image": "side:1"}]


def test_one_port_number_in_two_protocols_is_no_key() -> None:
    ports = [{"containerPort": 53, "protocol": "TCP"}, {"containerPort": 53, "protocol": "UDP"}]
    live = applied(LIVE, given(containers=[{"name": "web", "ports": ports}]), builtin=True)
    assert applied(live, given(containers=[{"name": "web", "ports": ports}]), builtin=True) == live
    tree = field_tree(live, builtin=True)
    for element in ("f:spec", "f:template", "f:spec", "f:containers", 'k:{"name":"web"}'):
        tree = tree[element]
    assert tree["f:ports"] == {}


def test_a_volume_of_another_kind_replaces_the_old_one() -> None:
    found = pod(given(volumes=[{"name": "data", "configMap": {"name": "x"}}]))
    assert found["volumes"] == [{"name": "data", "configMap": {"name": "x"}}]


def test_null_takes_a_field_away_and_status_is_not_applied() -> None:
    body = {**given(), "spec": {"replicas": None}, "status": {"replicas": 5}}
    found = applied(LIVE, body, builtin=True)
    assert "replicas" not in found["spec"]
    assert "status" not in found


def test_what_is_set_to_nothing_is_taken_away_though_nothing_is_stored_of_it() -> None:
    body = given(containers=[{"name": "web", "args": [], "env": None, "ports": [], "resources": {}}])
    stored = given(containers=[{"name": "web"}])
    found = pod(emptied(stored, body))
    assert found["containers"][0] == {"name": "web", "image": "web:1"}
    assert emptied({}, {"env": [], "finalizers": [], "paused": False, "labels": {}}) == {"paused": None}


def test_a_null_in_what_is_replaced_is_nothing() -> None:
    found = pod(given(tolerations=[{"key": "a", "value": None}]))
    assert found["tolerations"] == [{"key": "a"}]
