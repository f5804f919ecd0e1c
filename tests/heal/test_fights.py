from __future__ import annotations

from guard.heal.fights import HEALS, LONGEST_DELAY_SECONDS, WINDOW_SECONDS, Fights
from guard.state.fields import Path
from guard.state.ids import ObjectKey

KEY = ObjectKey(group="apps", kind="Deployment", namespace="default", name="web")
IMAGE: frozenset[Path] = frozenset({("f:spec", "f:image")})
REPLICAS: frozenset[Path] = frozenset({("f:spec", "f:replicas")})


def test_a_field_that_keeps_coming_back_is_backed_off_from_twice_as_long_each_time() -> None:
    fights = Fights()
    for heal in range(HEALS):
        assert fights.delay(KEY, at=float(heal)) == 0
        assert not fights.begins(KEY)
        fights.healed(KEY, IMAGE, at=float(heal))
    assert fights.begins(KEY)
    last = float(HEALS - 1)
    assert fights.delay(KEY, at=last) == 1
    fights.healed(KEY, IMAGE, at=last + 1)
    assert fights.delay(KEY, at=last + 1) == 2
    for _ in range(40):
        fights.healed(KEY, IMAGE, at=last + 1)
    assert fights.delay(KEY, at=last + 1) == LONGEST_DELAY_SECONDS


def test_it_ends_when_nobody_has_come_back_for_a_while() -> None:
    fights = Fights()
    for _ in range(HEALS):
        fights.healed(KEY, IMAGE, at=0.0)
    assert fights.delay(KEY, at=WINDOW_SECONDS + 2) == 0
    fights.healed(KEY, IMAGE, at=WINDOW_SECONDS + 3)
    assert not fights.begins(KEY)


def test_somebody_who_tries_one_field_after_another_is_healed_at_once() -> None:
    fights = Fights()
    for heal in range(4 * HEALS):
        fights.healed(KEY, IMAGE if heal % 2 else REPLICAS, at=float(heal))
        assert fights.delay(KEY, at=float(heal)) == 0
