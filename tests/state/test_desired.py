from __future__ import annotations

import pytest

from guard.state import DesiredState, FieldSet
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
