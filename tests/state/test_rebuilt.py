from __future__ import annotations

from guard.base.codec import JsonObject
from guard.state.rebuilt import is_others, is_ours, manifest_of
from tests.state.samples import CONFIG_MAP, DEPLOYMENT, LABEL, NODE, SYNC_LABEL, entry, object_of, ours, owned

LABELLED = f"f:metadata f:labels f:{SYNC_LABEL}"


def config_map(*entries: JsonObject, **data: str) -> JsonObject:
    return object_of(CONFIG_MAP, metadata={"managedFields": list(entries), "uid": "1", "resourceVersion": "7"}, data=data)


def test_it_is_what_our_entry_holds_with_the_values_that_are_there() -> None:
    live = config_map(
        ours(owned(LABELLED, "f:data f:color")), entry("kubectl-edit", owned("f:data f:size")), color="blue", size="1"
    )
    assert is_ours(live)
    assert manifest_of(live, CONFIG_MAP) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "web", "namespace": "shop", "labels": {SYNC_LABEL: LABEL}},
        "data": {"color": "blue"},
    }


def test_an_object_whose_label_is_a_copy_is_not_ours() -> None:
    copy = config_map(entry("endpoints-controller", owned(LABELLED)), color="blue")
    assert not is_ours(copy)
    assert is_others(copy)


def test_an_object_whose_label_nobody_owns_may_be_ours() -> None:
    for wiped in (config_map(), config_map(entry("before-first-apply", owned(LABELLED)))):
        assert not is_ours(wiped)
        assert not is_others(wiped)


def test_an_object_that_a_controller_owns_or_that_is_about_to_go_is_not_ours() -> None:
    live = config_map(ours(owned(LABELLED)))
    live["metadata"]["ownerReferences"] = [{"uid": "1", "controller": True}]
    assert not is_ours(live)
    live = config_map(ours(owned(LABELLED)))
    live["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    assert not is_ours(live)


def test_an_entry_of_another_version_tells_nothing() -> None:
    live = object_of(DEPLOYMENT, metadata={"managedFields": [ours(owned(LABELLED), apiVersion="apps/v1beta1")]})
    assert is_ours(live)
    assert manifest_of(live, DEPLOYMENT) is None


def test_taints_are_one_value_with_those_of_others() -> None:
    live = object_of(
        NODE,
        metadata={"managedFields": [ours(owned(LABELLED, "f:spec f:taints"))]},
        spec={"taints": [{"key": "a", "effect": "NoSchedule"}]},
    )
    assert manifest_of(live, NODE) is None


def test_what_others_put_into_a_map_that_git_declares_empty_is_not_gits() -> None:
    volume = 'f:spec f:volumes k:{"name":"v"}'
    mine = ours(owned(LABELLED, f"{volume} f:name", f"{volume} f:emptyDir"), apiVersion="apps/v1")
    theirs = entry("sizer", owned(f"{volume} f:emptyDir f:sizeLimit"), apiVersion="apps/v1")
    live = object_of(
        DEPLOYMENT,
        metadata={"managedFields": [mine, theirs]},
        spec={"volumes": [{"name": "other"}, {"name": "v", "emptyDir": {"sizeLimit": "1Gi"}}]},
    )
    found = manifest_of(live, DEPLOYMENT)
    assert found is not None
    assert found["spec"] == {"volumes": [{"name": "v", "emptyDir": {}}]}


def test_what_is_declared_as_nothing_stays_declared() -> None:
    live = object_of(
        DEPLOYMENT, metadata={"managedFields": [ours(owned(LABELLED, "f:spec f:paused"), apiVersion="apps/v1")]}, spec={}
    )
    found = manifest_of(live, DEPLOYMENT)
    assert found is not None
    assert found["spec"] == {"paused": None}
