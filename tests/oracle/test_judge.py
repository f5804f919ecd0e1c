"""The oracle by itself: a judge that lets everything pass would find no disagreement either."""

from __future__ import annotations

import copy

import msgspec
import pytest

from guard.base.codec import Json, JsonObject
from guard.state.ids import SYNC_LABEL
from tests.oracle.edits import Edit, Path, edited
from tests.oracle.judge import Facts, differences, judge
from tests.oracle.kinds import SORTS

DEPLOYMENT = next(sort for sort in SORTS if sort.name == "Deployment")
OURS: JsonObject = {"manager": "guard", "operation": "Apply", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
LIVE: JsonObject = {
    "metadata": {"name": "web", "labels": {SYNC_LABEL: "guard-system.apps"}, "managedFields": [OURS]},
    "spec": {
        "replicas": 2,
        "paused": False,
        "template": {"spec": {"containers": [{"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"}]}},
    },
}
CONTAINERS: Path = ("spec", "template", "spec", "containers")


def changed(*path: str | int, to: Json) -> JsonObject:
    return edited(LIVE, (Edit("", "set", path, to),))


def facts(after: JsonObject, *, by_person: bool = True, applied: JsonObject | None = None) -> Facts:
    """A change of an object without drift; `applied` is what Guard's apply makes of it, nothing else by default."""
    return Facts(
        sort=DEPLOYMENT,
        operation="UPDATE",
        by_person=by_person,
        before=LIVE,
        after=after,
        applied_before=LIVE,
        applied_after=after if applied is None else applied,
        replicas_declared=True,
    )


@pytest.mark.parametrize("by_person", [True, False])
def test_what_the_next_apply_would_put_right_is_refused_to_everyone(*, by_person: bool) -> None:
    verdict = judge(facts(changed("spec", "replicas", to=3), by_person=by_person, applied=LIVE))
    assert (verdict.expected, verdict.why) == ("refuse", "drift in spec.replicas")


def test_drift_that_was_there_before_is_nobodys_fault() -> None:
    drifted = changed("spec", "replicas", to=3)
    touched = edited(drifted, (Edit("", "set", ("metadata", "annotations", "a"), "b"),))
    both = msgspec.structs.replace(facts(touched, by_person=False), before=drifted, applied_after=edited(touched, (_HEALED,)))
    assert judge(both).expected == "allow"
    worse = edited(drifted, (Edit("", "set", ("spec", "replicas"), 4),))
    assert judge(msgspec.structs.replace(both, after=worse, applied_after=LIVE)).expected == "refuse"


_HEALED = Edit("", "set", ("spec", "replicas"), 2)


@pytest.mark.parametrize("path", [("spec", "paused"), ("metadata", "labels", "extra"), (*CONTAINERS, 0, "stdin")])
def test_people_add_nothing_and_machines_may(path: Path) -> None:
    after = changed(*path, to="x")
    assert judge(facts(after)).expected == "refuse"
    assert judge(facts(after, by_person=False)).expected == "allow"


def test_the_list_of_what_people_may_do_is_allowed() -> None:
    restarted = ("spec", "template", "metadata", "annotations", "kubectl.kubernetes.io/restartedAt")
    assert judge(facts(changed(*restarted, to="now"))).expected == "allow"


def test_wiping_our_entry_is_refused_to_people() -> None:
    assert judge(facts(changed("metadata", "managedFields", to=[]))).why == "our entry wiped"


def test_wiping_our_entry_is_refused_where_it_held_something_empty_alone() -> None:
    held: JsonObject = {**OURS, "fieldsV1": {"f:spec": {"f:tags": {}}}}
    before: JsonObject = {**LIVE, "metadata": {**LIVE["metadata"], "managedFields": [held]}, "spec": {**LIVE["spec"], "tags": []}}
    after: JsonObject = {**before, "metadata": {**before["metadata"], "managedFields": []}}
    wiped = msgspec.structs.replace(facts(after), before=before, applied_before=before)
    assert judge(wiped).why == "our entry wiped"


def test_a_map_that_was_gone_may_come_back_empty() -> None:
    drifted: JsonObject = {**LIVE, "spec": {}}
    begun: JsonObject = {**LIVE, "spec": {"template": {}}}
    coming = msgspec.structs.replace(facts(begun, applied=LIVE), before=drifted)
    assert judge(coming).expected == "allow"
    more: JsonObject = {**LIVE, "spec": {"volumes": {}}}
    assert judge(msgspec.structs.replace(coming, after=more)).expected == "refuse"


@pytest.mark.parametrize(("finalizers", "expected"), [([], "allow"), (["a"], "refuse")])
def test_what_is_going_may_lose_its_finalizers_and_nothing_else(finalizers: list[str], expected: str) -> None:
    """Guard cannot apply them any more then."""
    going: JsonObject = {
        **LIVE,
        "metadata": {**LIVE["metadata"], "deletionTimestamp": "2026-01-02T03:04:05Z", "finalizers": ["a"]},
    }
    after: JsonObject = {**going, "metadata": {**going["metadata"], "finalizers": finalizers}}
    lost = msgspec.structs.replace(facts(after), before=going, applied_before=going, applied_after=None)
    assert judge(lost).expected == expected


def test_losing_our_entry_to_somebody_who_took_every_field_is_harmless() -> None:
    theirs = {**OURS, "manager": "kubectl"}
    assert judge(facts(changed("metadata", "managedFields", to=[theirs]))).expected == "allow"


def test_another_order_of_declared_items_is_drift() -> None:
    turned = copy.deepcopy(LIVE)
    turned["spec"]["template"]["spec"]["containers"].reverse()
    assert judge(facts(turned, by_person=False, applied=LIVE)).why == "drift in spec.template.spec.containers.(order)"


@pytest.mark.parametrize(("left", "right"), [(True, 1), ("1", 1), ([], None), ({}, None)])
def test_values_that_json_tells_apart_differ(left: Json, right: Json) -> None:
    assert differences({"a": left}, {"a": right})
