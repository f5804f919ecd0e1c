from __future__ import annotations

from guard.heal.fights import HEALS, LONGEST_DELAY_SECONDS, UNSEEN, WHOLE, WINDOW_SECONDS, Fights
from guard.state.fields import Path
from guard.state.ids import ObjectKey

KEY = ObjectKey(group="apps", kind="Deployment", namespace="default", name="web")
IMAGE: frozenset[Path] = frozenset({("f:spec", "f:image")})
REPLICAS: frozenset[Path] = frozenset({("f:spec", "f:replicas")})


def heal(fights: Fights, paths: frozenset[Path], *, at: float, times: int = 1) -> None:
    for _ in range(times):
        fights.healed(KEY, dict.fromkeys(paths, ("scaler",)), way="changed", at=at)


def test_a_field_that_keeps_coming_back_is_backed_off_from_twice_as_long_each_time() -> None:
    fights = Fights()
    for second in range(HEALS):
        assert fights.delay(KEY, IMAGE, at=float(second)) == 0
        assert list(fights) == []
        heal(fights, IMAGE, at=float(second))
    ((key, fight),) = fights
    assert (key, fight.paths, fight.managers) == (KEY, IMAGE, ("scaler",))
    last = float(HEALS - 1)
    assert fights.delay(KEY, IMAGE, at=last) == 1
    heal(fights, IMAGE, at=last + 1)
    assert fights.delay(KEY, IMAGE, at=last + 1) == 2
    heal(fights, IMAGE, at=last + 1, times=40)
    assert fights.delay(KEY, IMAGE, at=last + 1) == LONGEST_DELAY_SECONDS


def test_it_ends_when_nobody_has_come_back_for_a_while() -> None:
    fights = Fights()
    heal(fights, IMAGE, at=0.0, times=HEALS)
    assert fights.end(at=WINDOW_SECONDS) == []
    ((key, fight),) = fights.end(at=WINDOW_SECONDS + 2)
    assert (key, fight.count) == (KEY, HEALS)
    assert fights.delay(KEY, IMAGE, at=WINDOW_SECONDS + 2) == 0
    assert len(fights) == 0


def test_what_has_ended_counts_no_more_although_nobody_asked_meanwhile() -> None:
    fights = Fights()
    heal(fights, IMAGE, at=0.0, times=HEALS)
    heal(fights, IMAGE, at=WINDOW_SECONDS + 2)
    assert list(fights) == []


def test_what_was_healed_now_and_then_is_forgotten_and_was_no_fight() -> None:
    fights = Fights()
    heal(fights, IMAGE, at=0.0)
    assert fights.end(at=WINDOW_SECONDS + 1) == []
    assert len(fights) == 0


def test_two_fields_changed_in_turn_are_a_fight() -> None:
    fights = Fights()
    for second in range(2 * HEALS - 1):
        heal(fights, IMAGE if second % 2 else REPLICAS, at=float(second))
    assert [fight.paths for _, fight in fights] == [REPLICAS]


def test_somebody_who_tries_one_field_after_another_is_healed_at_once() -> None:
    fights = Fights()
    for second in range(4 * HEALS):
        paths: frozenset[Path] = frozenset({("f:spec", f"f:field-{second}")})
        heal(fights, paths, at=float(second))
        assert fights.delay(KEY, paths, at=float(second)) == 0


def test_another_field_and_a_delete_do_not_wait_for_a_fight() -> None:
    fights = Fights()
    heal(fights, IMAGE, at=0.0, times=HEALS)
    for paths in (REPLICAS, IMAGE | REPLICAS, frozenset({WHOLE})):
        assert fights.delay(KEY, paths, at=0.0) == 0
    # What no metadata shows may be what it is about.
    assert fights.delay(KEY, frozenset({UNSEEN}), at=0.0) == 1


def test_an_object_that_keeps_being_deleted_is_fought_about() -> None:
    fights = Fights()
    heal(fights, frozenset({WHOLE}), at=0.0, times=HEALS)
    assert fights.delay(KEY, frozenset({WHOLE}), at=0.0) == 1
    assert fights.delay(KEY, IMAGE, at=0.0) == 0
