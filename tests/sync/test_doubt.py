from __future__ import annotations

import pytest

from guard.api import HeldBack
from guard.base import codec
from guard.base.codec import JsonObject
from guard.state import DesiredState, Kind, ObjectKey
from guard.state.ids import DEFINITION, NAMESPACE
from guard.state.metadata import Metadata
from guard.sync import doubt
from guard.sync.doubt import NOTHING_HELD
from guard.sync.leftovers import GUARDS_OWN, Leftover, is_ours, left_of
from guard.sync.order import rank
from tests.state.samples import CONFIG_MAP, LABEL

LABELLED: JsonObject = {"f:metadata": {"f:labels": {"f:gitopsguard.dev/sync": {}}}}


def leftover(name: str, kind: Kind = CONFIG_MAP) -> Leftover:
    key = ObjectKey(group=kind.group, kind=kind.kind, namespace="shop" if kind.namespaced else "", name=name)
    return Leftover(key=key, kind=kind, uid="1", resource_version="1", rank=rank(kind, {}))


def some(number: int) -> list[Leftover]:
    return [leftover(f"m{count}") for count in range(number)]


def live(*, manager: str = "guard", operation: str = "Apply", owners: list[JsonObject] | None = None, **more: object) -> Metadata:
    entry = {"manager": manager, "operation": operation, "fieldsV1": LABELLED}
    body = {"managedFields": [entry], "ownerReferences": owners or [], "labels": {"gitopsguard.dev/sync": LABEL}, **more}
    return codec.decode_as(codec.encode(body), Metadata)


def test_ours_is_what_our_apply_labelled_and_no_controller_owns() -> None:
    assert is_ours(live())
    assert is_ours(live(owners=[{"kind": "ConfigMap"}]))
    assert not is_ours(live(operation="Update"))
    assert not is_ours(live(manager="kubectl-expose", operation="Update"))
    assert not is_ours(live(owners=[{"kind": "Service", "controller": True}]))


def test_guard_s_own_namespace_stays() -> None:
    found = left_of(live(name="guard-system"), NAMESPACE, label=LABEL, state=DesiredState())
    assert found is not None
    assert found.stays
    assert found.key in GUARDS_OWN


@pytest.mark.parametrize("name", ["syncs.gitopsguard.dev", "breakglasses.gitopsguard.dev"])
def test_guard_s_own_definitions_stay(name: str) -> None:
    found = left_of(live(name=name), DEFINITION, label=LABEL, state=DesiredState())
    assert found is not None
    assert found.stays


def test_a_prune_that_looks_like_an_accident_is_doubted() -> None:
    home = [leftover("shop", NAMESPACE)]
    assert not doubt.doubt(some(1), declared=3, namespaces_left=0, limit=50)
    assert not doubt.doubt(home, declared=3, namespaces_left=1, limit=50)
    assert "every namespace" in doubt.doubt(home, declared=3, namespaces_left=0, limit=50)
    assert "empty" in doubt.doubt(some(1), declared=0, namespaces_left=0, limit=50)
    assert not doubt.doubt([], declared=0, namespaces_left=0, limit=50)


def test_as_many_may_go_as_stay_and_a_handful_always() -> None:
    assert not doubt.doubt(some(20), declared=20, namespaces_left=0, limit=50)
    assert "21 of 41" in doubt.doubt(some(21), declared=20, namespaces_left=0, limit=50)
    assert not doubt.doubt(some(10), declared=1, namespaces_left=0, limit=50)
    assert doubt.doubt(some(11), declared=1, namespaces_left=0, limit=50)
    assert not doubt.doubt(some(99), declared=1, namespaces_left=0, limit=100)


def held(found: list[Leftover], before: HeldBack, *, reason: str = "", revision: str = "b", confirmed: str = "") -> HeldBack:
    return doubt.held(found, before=before, reason=reason, revision=revision, confirmed=confirmed)


def test_what_is_held_back_stays_so_until_it_is_confirmed_or_declared_again() -> None:
    first = held(some(12), NOTHING_HELD, reason="much", revision="a")
    assert (first.revision, first.objects) == ("a", 12)
    # A later commit leaves it as it is, and so does a share that is harmless by then.
    assert held(some(12), first) == first
    assert held(some(12), first, confirmed="a") == NOTHING_HELD
    assert held(some(12), first, confirmed="b") == NOTHING_HELD
    assert held(some(12), first, confirmed="c") == first
    # Of another set the old confirmation says nothing.
    assert held(some(13), first, confirmed="a").revision == "b"
    assert held([], first) == NOTHING_HELD
