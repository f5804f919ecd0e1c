from __future__ import annotations

import gc
import math
import weakref
from collections.abc import Iterator

import pytest

from guard.base import garbage


class Node:
    """Can be part of a cycle, and be looked for."""

    def __init__(self) -> None:
        self.other: Node | None = None


@pytest.fixture(autouse=True)
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In which each full collection counts as a long one; as it was before, for the tests that come after."""
    thresholds, callbacks = gc.get_threshold(), list(gc.callbacks)
    monkeypatch.setattr(garbage, "_LONG_SECONDS", 0.0)
    garbage.set_survivors_aside()
    yield
    gc.callbacks[:] = callbacks
    gc.set_threshold(*thresholds)
    gc.unfreeze()


def test_what_survives_a_long_collection_is_not_looked_at_again() -> None:
    held = [Node() for _ in range(1000)]
    before = gc.get_freeze_count()
    gc.collect()
    assert gc.get_freeze_count() >= before + len(held)
    assert not any(isinstance(one, Node) for one in gc.get_objects())


def test_after_a_short_collection_everything_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "_LONG_SECONDS", math.inf)
    held = Node()
    gc.collect()
    assert any(one is held for one in gc.get_objects())


def test_a_cycle_that_nobody_holds_when_it_is_looked_at_goes() -> None:
    gc.collect()
    one = Node()
    one.other = Node()
    one.other.other = one
    gone = weakref.ref(one)
    del one
    gc.collect()
    assert gone() is None


def test_what_was_set_aside_goes_when_nobody_refers_to_it() -> None:
    held = Node()
    gc.collect()
    gone = weakref.ref(held)
    del held
    assert gone() is None
