from __future__ import annotations

from demo.witness import Event, Sightings, content, holds
from guard.base.codec import JsonObject


def config(color: str, *, version: str = "1", **metadata: object) -> JsonObject:
    return {"kind": "ConfigMap", "metadata": {"name": "it", "resourceVersion": version, **metadata}, "data": {"color": color}}


def sightings(*events: tuple[float, str, JsonObject]) -> Sightings:
    seen = Sightings()
    seen.events = [Event(at=at, type=kind, body=body) for at, kind, body in events]
    return seen


GIT = content(config("green"))


def test_drift_lasts_from_the_first_event_that_shows_it_to_the_next_with_gits_value() -> None:
    seen = sightings((1.0, "MODIFIED", config("red")), (2.0, "MODIFIED", config("blue")), (5.0, "MODIFIED", config("green")))
    assert seen.healed_after(GIT) == 4.0


def test_a_deleted_object_is_drift_even_though_its_last_state_was_gits() -> None:
    assert sightings((1.0, "DELETED", config("green"))).healed_after(GIT) is None
    assert sightings((1.0, "DELETED", config("green")), (1.5, "ADDED", config("green"))).healed_after(GIT) == 0.5


def test_an_object_that_never_left_was_not_healed() -> None:
    seen = sightings((1.0, "MODIFIED", config("green", version="2")))
    assert not seen.left(GIT)
    assert seen.healed_after(GIT) is None


def test_a_lost_label_is_no_bookkeeping() -> None:
    assert content(config("green", labels={"app": "shop"})) != GIT
    assert content(config("green", uid="1", generation=3, managedFields=["anything"])) == GIT


def test_a_manifest_holds_when_the_live_object_has_all_its_values() -> None:
    assert holds({"spec": {"ports": [{"port": 80, "protocol": "TCP"}]}, "status": {}}, {"spec": {"ports": [{"port": 80}]}})
    assert not holds({"spec": {"ports": [{"port": 80}, {"port": 81}]}}, {"spec": {"ports": [{"port": 80}]}})
    assert not holds({"spec": {}}, {"spec": {"replicas": 0}})
