from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from guard.api import BreakGlass, find_condition, parse_break_glass
from guard.base.codec import Json, JsonObject
from guard.base.errors import ConfigError
from guard.breakglass.standing import Phase, opening, said, standing, status
from guard.state.breakglass import Target, WholeNamespace, WholeSync
from guard.state.ids import ObjectKey

MADE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HOUR = 3600.0
WEB: JsonObject = {"object": {"group": "apps", "kind": "Deployment", "name": "web"}}


def glass(target: JsonObject = WEB, *, namespace: str = "shop", duration: str = "30m", **more: Json) -> BreakGlass:
    body = {
        "apiVersion": "gitopsguard.dev/v1alpha1",
        "kind": "BreakGlass",
        "metadata": {
            "name": "glass",
            "namespace": namespace,
            "uid": "1",
            "generation": 1,
            "creationTimestamp": "2026-01-02T03:04:05Z",
        },
        "spec": {"target": target, "duration": duration, "reason": "why", "by": "ada", **more},
    }
    return parse_break_glass(body, where="here")


def at(found: BreakGlass, seconds: float, *, longest: float = HOUR) -> Phase:
    return standing(found, now=MADE + timedelta(seconds=seconds), longest=longest).phase


def later(found: BreakGlass, seconds: float) -> BreakGlass:
    """With the status that it has by then."""
    now = MADE + timedelta(seconds=seconds)
    return msgspec.structs.replace(found, status=status(found, standing(found, now=now, longest=HOUR), by="ada", now=now))


def test_it_counts_from_its_making_on() -> None:
    assert [at(glass(), seconds) for seconds in (0, 1799, 1800, 1801)] == [Phase.ACTIVE] * 2 + [Phase.EXPIRED] * 2
    assert opening(glass()).until == MADE + timedelta(minutes=30)


def test_one_that_seems_to_be_made_in_the_future_is_active() -> None:
    """The clocks of two API servers differ by a second."""
    assert at(glass(), -1) is Phase.ACTIVE


def test_what_is_over_stays_over_when_the_clock_is_set_back() -> None:
    over = later(glass(), 1800)
    assert said(over) is Phase.EXPIRED
    assert at(over, 10) is Phase.EXPIRED


def test_too_long_is_rejected_and_stays_so_when_the_longest_grows() -> None:
    found = glass(duration="61m")
    assert at(found, 0) is Phase.REJECTED
    rejected = later(found, 0)
    assert at(rejected, 0, longest=2 * HOUR) is Phase.REJECTED
    assert at(rejected, 4 * HOUR) is Phase.REJECTED
    assert at(glass(duration="1h"), 0) is Phase.ACTIVE
    assert at(glass(), 0, longest=0) is Phase.REJECTED


def test_the_longest_there_is_does_not_overflow() -> None:
    assert at(glass(duration="9999999999999h"), 0) is Phase.REJECTED
    assert glass(duration="9999999999999h").ends > MADE


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        (WEB, ObjectKey(group="apps", kind="Deployment", namespace="shop", name="web")),
        ({"object": {"kind": "Node", "name": "n"}}, ObjectKey(group="", kind="Node", namespace="shop", name="n")),
        ({"namespace": "shop"}, WholeNamespace("shop")),
        ({"sync": {"name": "apps"}}, WholeSync("shop/apps")),
        ({"sync": {"name": "apps", "namespace": "shop"}}, WholeSync("shop/apps")),
    ],
)
def test_in_a_namespace_it_opens_what_is_in_there(target: JsonObject, wanted: Target) -> None:
    assert glass(target).target == wanted
    assert at(glass(target), 0) is Phase.ACTIVE


@pytest.mark.parametrize(
    "target",
    [
        {"object": {"kind": "Secret", "name": "x", "namespace": "till"}},
        {"namespace": "till"},
        {"sync": {"name": "apps", "namespace": "guard-system"}},
    ],
)
def test_outside_guards_own_it_reaches_no_further(target: JsonObject) -> None:
    found = standing(glass(target), now=MADE, longest=HOUR)
    assert (found.phase, found.reason) == (Phase.REJECTED, "OutOfScope")
    assert at(glass(target, namespace="guard-system"), 0) is Phase.ACTIVE


def test_in_guards_own_namespace_no_namespace_is_that_of_the_cluster() -> None:
    node = glass({"object": {"kind": "Node", "name": "n"}}, namespace="guard-system")
    assert node.target == ObjectKey(group="", kind="Node", namespace="", name="n")


def test_the_status_says_what_when_and_who() -> None:
    found = later(glass(), 0).status
    assert (found.opens, found.by) == ("Deployment shop/web", "ada")
    assert (found.starts_at, found.expires_at) == ("2026-01-02T03:04:05Z", "2026-01-02T03:34:05Z")
    assert [(one.type, one.status) for one in found.conditions] == [("Active", "True")]
    expired = later(later(glass(), 0), 1800).status
    assert [(one.type, one.status) for one in expired.conditions] == [("Active", "False"), ("Expired", "True")]
    active = find_condition(expired.conditions, "Active")
    assert active is not None
    assert active.last_transition_time == "2026-01-02T03:34:05Z"


def test_a_status_that_says_it_all_is_not_written_again() -> None:
    once = later(glass(), 0)
    assert later(once, 100).status == once.status


@pytest.mark.parametrize("change", [{"duration": "1"}, {"duration": "10ms"}, {"reason": " "}, {"target": {}}, {"more": 1}])
def test_what_the_api_server_would_not_have_stored_is_not_believed(change: JsonObject) -> None:
    with pytest.raises(ConfigError, match="here"):
        glass(**change)
