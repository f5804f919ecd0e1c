from __future__ import annotations

from guard.state import FieldSet
from guard.state.ids import ObjectKey
from guard.state.taken import KEPT_SECONDS, MOST_OBJECTS, NOTHING_TAKEN, Taken, Takings

KEY = ObjectKey(group="", kind="ConfigMap", namespace="shop", name="settings")
ONE = Taken(fields=FieldSet({"f:data": {"f:a": {}}}), entries=frozenset({("foo", "Apply", "", "v1")}))
OTHER = Taken(again=FieldSet({"f:data": {"f:b": {}}}), entries=frozenset({("bar", "Apply", "", "v1")}))


def test_what_several_writes_took_is_kept_together_until_it_is_given_back() -> None:
    takings = Takings()
    takings.note(KEY, ONE, at=0.0)
    takings.note(KEY, OTHER, at=1.0)
    assert takings.of(KEY, at=2.0) == Taken(fields=ONE.fields, again=OTHER.again, entries=ONE.entries | OTHER.entries)
    takings.settled(KEY)
    assert takings.of(KEY, at=2.0) == NOTHING_TAKEN
    takings.settled(KEY)


def test_what_never_came_is_forgotten() -> None:
    takings = Takings()
    takings.note(KEY, ONE, at=0.0)
    assert not takings.of(KEY, at=KEPT_SECONDS + 1)
    takings.note(KEY, OTHER, at=KEPT_SECONDS + 1)
    assert takings.of(KEY, at=KEPT_SECONDS + 1) == OTHER


def test_memory_is_bounded_and_the_oldest_goes_first() -> None:
    takings = Takings()
    keys = [ObjectKey(group="", kind="ConfigMap", namespace="shop", name=str(number)) for number in range(MOST_OBJECTS + 1)]
    for key in keys:
        takings.note(key, ONE, at=0.0)
    assert not takings.of(keys[0], at=0.0)
    assert takings.of(keys[1], at=0.0)
    assert takings.of(keys[-1], at=0.0)
