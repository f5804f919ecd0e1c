from __future__ import annotations

from guard.base.codec import JsonObject
from guard.state.additions import ADOPTED_MANAGER, additions, allowed_additions, shared_entries
from guard.state.fields import FieldSet, written
from guard.state.ids import REPLICAS, ObjectKey

ALLOWED = allowed_additions(ObjectKey(group="apps", kind="Deployment", namespace="shop", name="web"), scale=REPLICAS)
OURS = FieldSet({"f:spec": {"f:containers": {'k:{"name":"web"}': {".": {}, "f:name": {}, "f:image": {}}}}})


def entry(manager: str, tree: JsonObject, *, operation: str = "Update", subresource: str = "") -> JsonObject:
    return {"manager": manager, "operation": operation, "apiVersion": "v1", "subresource": subresource, "fieldsV1": tree}


def body(*entries: JsonObject) -> JsonObject:
    web = {"name": "web", "image": "nginx", "tty": True}
    listed = [{"name": "first"}, web, {"name": "second"}, {"name": "agent"}]
    return {"metadata": {"managedFields": list(entries)}, "spec": {"containers": listed, "replicas": 3, "paused": True}}


PERSON = entry(
    "kubectl-edit",
    {
        "f:spec": {
            "f:replicas": {},
            "f:paused": {},
            "f:containers": {
                'k:{"name":"first"}': {".": {}, "f:name": {}},
                'k:{"name":"second"}': {".": {}, "f:name": {}},
                'k:{"name":"agent"}': {".": {}, "f:name": {}},
                'k:{"name":"web"}': {"f:image": {}, "f:tty": {}},
            },
        }
    },
)
INJECTOR = entry("injector", {"f:spec": {"f:containers": {'k:{"name":"agent"}': {".": {}, "f:name": {}}}}})


def test_only_what_people_alone_own_is_removed_from_the_end_of_lists_to_their_start() -> None:
    removals = additions(body(PERSON, INJECTOR), OURS, allowed=ALLOWED)
    assert {written(removal.path) for removal in removals} == {
        "spec.containers[name=second]",
        "spec.containers[name=web].tty",
        "spec.containers[name=first]",
        "spec.paused",
    }
    places = [removal.pointer for removal in removals if len(removal.pointer) == 3]
    assert places == [("spec", "containers", 2), ("spec", "containers", 0)]
    first = next(removal for removal in removals if removal.pointer == ("spec", "containers", 0))
    assert first.tests == ((("spec", "containers", 0, "name"), "first"),)


def test_people_give_up_what_we_declare_and_keep_the_rest() -> None:
    entries = shared_entries(body(PERSON), OURS, adopting=False)
    assert entries is not None
    (left,) = entries
    assert left["manager"] == "kubectl-edit"
    assert left["fieldsV1"]["f:spec"]["f:containers"]['k:{"name":"web"}'] == {"f:tty": {}}


def test_what_people_owned_before_the_adoption_stays_theirs_under_another_name() -> None:
    applied = entry("kubectl-client-side-apply", {"f:data": {"f:a": {}}})
    created = entry("kubectl-create", {"f:data": {"f:b": {}}})
    entries = shared_entries(body(applied, created, INJECTOR), OURS, adopting=True)
    assert entries is not None
    # Two entries under one identity would be refused, so they became one.
    assert [(found["manager"], found["fieldsV1"]) for found in entries] == [
        (ADOPTED_MANAGER, {"f:data": {"f:a": {}, "f:b": {}}}),
        ("injector", INJECTOR["fieldsV1"]),
    ]


def test_nothing_to_share_changes_nothing() -> None:
    assert shared_entries(body(INJECTOR), OURS, adopting=True) is None
    assert additions(body(INJECTOR), OURS, allowed=ALLOWED) == ()
