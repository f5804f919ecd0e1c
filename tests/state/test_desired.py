from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.state import Declared, DesiredState, FieldSet, Kind, ObjectKey
from guard.state.fields import EMPTY
from tests.state.samples import CONFIG_MAP, DEPLOYMENT, declared_as, lesson, object_of, owned, view_of

ONE = declared_as(CONFIG_MAP, object_of(CONFIG_MAP, data={"color": "blue"}), sync="guard-system/one")
TWO = declared_as(CONFIG_MAP, object_of(CONFIG_MAP, data={"color": "red"}), sync="guard-system/two")


@pytest.mark.case(28)
def test_the_sync_that_declared_an_object_first_keeps_it_until_it_lets_go() -> None:
    state = DesiredState().with_sync(ONE.sync, [ONE]).with_sync(TWO.sync, [TWO])
    assert state.get(ONE.key) is ONE
    assert [(conflict.loser, conflict.holder) for conflict in state.conflicts(TWO.sync, [TWO])] == [(TWO, ONE)]
    assert not state.of_sync(TWO.sync)
    renewed = state.with_sync(ONE.sync, [ONE])
    assert renewed.get(ONE.key) is ONE
    assert not renewed.conflicts(ONE.sync, [ONE])
    assert renewed.with_sync(ONE.sync, []).get(ONE.key) is TWO
    assert renewed.without_sync(ONE.sync).of_sync(TWO.sync) == {TWO.key: TWO}


@pytest.mark.parametrize("platform_first", [True, False])
def test_a_tenants_sync_gives_way_to_the_platforms(*, platform_first: bool) -> None:
    tenants = declared_as(CONFIG_MAP, object_of(CONFIG_MAP, data={"color": "green"}), sync="team-a/apps")
    pair = (ONE, tenants) if platform_first else (tenants, ONE)
    state = DesiredState()
    for declared in pair:
        state = state.with_sync(declared.sync, [declared])

    assert state.get(ONE.key) is ONE
    assert not state.conflicts(ONE.sync, [ONE])
    assert [conflict.holder for conflict in state.conflicts(tenants.sync, [tenants])] == [ONE]
    assert DesiredState().with_sync(tenants.sync, [tenants]).giving_way(ONE.sync, [ONE]) == {"team-a/apps"}
    assert not DesiredState().with_sync(ONE.sync, [ONE]).giving_way(tenants.sync, [tenants])
    assert not DesiredState().with_sync(TWO.sync, [TWO]).giving_way(ONE.sync, [ONE])
    assert state.without_sync(ONE.sync).get(ONE.key) is tenants


def test_an_index_never_changes_under_those_who_hold_it() -> None:
    before = DesiredState().with_sync(ONE.sync, [ONE])
    before.with_sync(ONE.sync, [])
    before.without_sync(ONE.sync)
    assert list(before) == [ONE]


def test_a_subresources_review_finds_its_kind_by_the_resource() -> None:
    state = DesiredState().with_sync("a/b", [declared_as(DEPLOYMENT, object_of(DEPLOYMENT))])
    assert state.kind_of_resource(group="apps", resource="deployments") == DEPLOYMENT
    assert state.kind_of_resource(group="", resource="deployments") is None


def test_what_was_learned_of_another_manifest_is_not_believed() -> None:
    stored = {"data": {"color": "blue", "defaulted": "x"}}
    view = view_of(ONE, learned={ONE.key: lesson(ONE, owned("f:data f:color"), stored)})
    assert view.fields(ONE) == FieldSet(owned("f:data f:color"))
    assert view.git(ONE) == stored
    changed = declared_as(CONFIG_MAP, object_of(CONFIG_MAP, data={"color": "green"}), sync=ONE.sync)
    view.replace(view.state.with_sync(ONE.sync, [changed]))
    assert view.fields(changed) == EMPTY
    assert view.git(changed) == changed.body


def test_what_was_learned_survives_a_revision_that_leaves_the_manifest_alone() -> None:
    view = view_of(ONE, learned={ONE.key: lesson(ONE, owned("f:data f:color"))})
    again = declared_as(CONFIG_MAP, object_of(CONFIG_MAP, data={"color": "blue"}), sync=ONE.sync)
    view.replace(view.state.with_sync(ONE.sync, [again]))
    assert view.fields(again) == FieldSet(owned("f:data f:color"))


def test_what_was_learned_is_forgotten_with_the_object() -> None:
    view = view_of(ONE, learned={ONE.key: lesson(ONE, owned("f:data f:color"))})
    view.replace(DesiredState())
    view.replace(DesiredState().with_sync(ONE.sync, [ONE]))
    assert view.fields(ONE) == EMPTY


def _objects(sync: str, names: Iterable[str], *, kind: Kind = CONFIG_MAP) -> list[Declared]:
    return [
        declared_as(kind, object_of(kind, name=name, namespace=f"n{len(name)}", data={"of": sync}), sync=sync) for name in names
    ]


def _seen(state: DesiredState) -> object:
    """All that an index answers."""
    return (
        {declared.key: declared for declared in state},
        {name: (state.of_sync(name), state.kinds_of(name), state.count_of(name), state.revision(name)) for name in state.syncs()},
        {name: state.in_namespace(name) for name in state.namespaces()},
        {name: state.of_definition(name) for name in state.definitions()},
        state.kinds(),
        {declared.key for declared in state.scaled()},
        [state.kind_of_resource(group=kind.group, resource=kind.resource) for kind in (CONFIG_MAP, DEPLOYMENT)],
    )


_SYNCS = ("guard-system/one", "guard-system/two", "team-a/apps")
_NAMES = st.sets(st.sampled_from(["a", "b", "cc", "dd", "eee"]))


@given(st.lists(st.tuples(st.sampled_from(_SYNCS), st.sampled_from([CONFIG_MAP, DEPLOYMENT]), _NAMES), max_size=8))
def test_an_index_that_was_changed_is_the_one_that_is_made_anew(steps: list[tuple[str, Kind, set[str]]]) -> None:
    """Whatever Syncs declare one after the other, the same objects among it."""
    state, syncs, revisions = DesiredState(), dict[str, dict[ObjectKey, Declared]](), dict[str, str]()
    for number, (sync, kind, names) in enumerate(steps):
        objects = _objects(sync, sorted(names), kind=kind)
        if kind is DEPLOYMENT and objects:
            spec = {"replicas": number}
            objects[0] = declared_as(kind, object_of(kind, name=objects[0].key.name, namespace="n1", spec=spec), sync=sync)
        state = state.with_sync(sync, objects, revision=str(number))
        syncs[sync], revisions[sync] = {declared.key: declared for declared in objects}, str(number)
        assert _seen(state) == _seen(DesiredState(dict(syncs), dict(revisions)))
        assert len(state) == len(state.keys())


def test_a_change_of_one_object_takes_the_others_over() -> None:
    objects = _objects("guard-system/one", [f"n{number}" for number in range(1000)])
    state = DesiredState().with_sync("guard-system/one", objects, revision="1")
    (other,) = _objects("guard-system/one", ["n7"])

    changed = state.with_changes("guard-system/one", [other], [objects[9].key], revision="2")

    assert changed.get(other.key) is other
    assert changed.get(objects[9].key) is None
    assert all(changed.get(each.key) is each for each in objects if each.key.name not in {"n7", "n9"})
    assert (len(state), len(changed), changed.revision("guard-system/one")) == (1000, 999, "2")
