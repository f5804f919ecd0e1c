"""What is open by break-glass: exactly that is let through, and what it was let through for is said."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from datetime import timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.admission import Decision, decide
from guard.base.codec import Json, JsonObject
from guard.state import DesiredState, Kind, ObjectKey, Policy, View
from guard.state.breakglass import Opened, Opening, Target, WholeNamespace, WholeSync
from guard.state.desired import Declared
from guard.state.policy import Enforcement, Mode
from guard.state.requesters import GUARD_USER
from tests.admission.asking import NOW, PERSON, review
from tests.state.samples import CONFIG_MAP, DEPLOYMENT, LABEL_FIELD, NAMESPACE, declared_as, object_of, ours, owned

SYNCS = ("guard-system/apps", "guard-system/more")
SPACES = ("shop", "till")
DEFINITION = Kind(
    group="apiextensions.k8s.io",
    version="v1",
    kind="CustomResourceDefinition",
    resource="customresourcedefinitions",
    namespaced=False,
)


def config(name: str, namespace: str, color: str = "blue") -> JsonObject:
    fields = {**LABEL_FIELD, **owned("f:data f:color")}
    return object_of(
        CONFIG_MAP, name=name, namespace=namespace, data={"color": color}, metadata={"managedFields": [ours(fields)]}
    )


def declared(name: str, namespace: str, sync: str) -> Declared:
    body = object_of(CONFIG_MAP, name=name, namespace=namespace, data={"color": "blue"})
    return declared_as(CONFIG_MAP, body, sync=sync)


# In each namespace one object of each Sync; the first namespace is declared as well.
DECLARED = [declared(sync[-4:], space, sync) for space in SPACES for sync in SYNCS]
SHOP = declared_as(NAMESPACE, object_of(NAMESPACE, name="shop"), sync=SYNCS[0])


def view_of(targets: Iterable[Target] = (), *, minutes: float = 30.0) -> View:
    state = DesiredState()
    for sync in SYNCS:
        state = state.with_sync(sync, [one for one in (*DECLARED, SHOP) if one.sync == sync])
    view = View()
    view.replace(state)
    until = NOW + timedelta(minutes=minutes)
    view.opened = Opened(Opening(f"ns/{n}", target, until) for n, target in enumerate(targets))
    return view


def judged(asked: str, one: Declared, view: View, *, mode: Mode = "Deny", user: str = PERSON) -> Decision:
    key = one.key
    live = config(key.name, key.namespace)
    policy = Policy(syncs={sync: Enforcement(mode=mode) for sync in SYNCS}, strict={"till": SYNCS[1]})
    match asked:
        case "edit":
            request = review("UPDATE", CONFIG_MAP, old=live, new=config(key.name, key.namespace, "red"), user=user)
        case "label":
            new = copy.deepcopy(live)
            new["metadata"]["labels"] = {}
            request = review("UPDATE", CONFIG_MAP, old=live, new=new, user=user)
        case "harmless":
            request = review("UPDATE", CONFIG_MAP, old=live, new=live, user=user)
        case "delete":
            request = review("DELETE", CONFIG_MAP, old=live, user=user)
        case "other":
            new = object_of(CONFIG_MAP, name="undeclared", namespace=key.namespace, label="", data={})
            request = review("CREATE", CONFIG_MAP, new=new, user=user)
        case _:
            request = review("CREATE", CONFIG_MAP, new=config(key.name, key.namespace, "red"), user=user)
    return decide(review=request, view=view, policy=policy, now=NOW)


def covers(target: Target, key: ObjectKey, sync: str) -> bool:
    """The same in other words: which object a target means."""
    match target:
        case ObjectKey():
            return target == key
        case WholeNamespace(name=name):
            return name in {key.namespace, key.name if key.kind == "Namespace" else ""}
        case WholeSync(name=name):
            return name == sync


REQUESTS = st.sampled_from(["edit", "label", "harmless", "delete", "create", "other"])
KEYS = [one.key for one in (*DECLARED, SHOP)]
TARGETS = st.lists(
    st.one_of(
        st.sampled_from(KEYS),
        st.builds(WholeNamespace, st.sampled_from([*SPACES, "elsewhere"])),
        st.builds(WholeSync, st.sampled_from([*SYNCS, "shop/apps"])),
        st.builds(ObjectKey, group=st.just(""), kind=st.just("ConfigMap"), namespace=st.sampled_from(SPACES), name=st.text("ab")),
    ),
    max_size=5,
)


# Judging costs a millisecond; the first time, and on a machine with other work, more.
@settings(deadline=None)
@given(asked=REQUESTS, one=st.sampled_from(DECLARED), targets=TARGETS, mode=st.sampled_from(["Deny", "Warn", "Audit"]))
def test_exactly_what_is_open_is_let_through(asked: str, one: Declared, targets: list[Target], mode: Mode) -> None:
    closed, found = (judged(asked, one, view, mode=mode) for view in (view_of(), view_of(targets)))
    key, sync = one.key, one.sync
    if asked == "other":
        # Nobody's object; the Sync that has the namespace strict has a say.
        key, sync = ObjectKey(group="", kind="ConfigMap", namespace=key.namespace, name="undeclared"), closed.sync
    if closed.verdict == "allow" or not any(covers(target, key, sync) for target in targets):
        assert found == closed
    else:
        assert found.opened
        assert found == msgspec.structs.replace(closed, verdict="open", opened=found.opened)


@settings(deadline=None)
@given(space=st.sampled_from(SPACES), targets=TARGETS)
def test_a_namespace_goes_only_when_all_that_would_go_with_it_is_open(space: str, targets: list[Target]) -> None:
    live = object_of(NAMESPACE, name=space, label="" if space != "shop" else "guard-system.apps")
    request = review("DELETE", NAMESPACE, old=live)
    found = decide(review=request, view=view_of(targets), policy=Policy(), now=NOW)
    taken = [one for one in (*DECLARED, SHOP) if covers(WholeNamespace(space), one.key, "")]
    assert found.reason == "NamespaceHoldsDeclared"
    assert found.allowed is all(any(covers(target, one.key, one.sync) for target in targets) for one in taken)


def test_a_definition_goes_only_when_all_of_its_instances_are_open() -> None:
    kind = Kind(group="example.com", version="v1", kind="Widget", resource="widgets", namespaced=True)
    instances = [
        declared_as(kind, object_of(kind, name=name, namespace=space), sync=SYNCS[0])
        for name, space in (("a", "shop"), ("b", "till"))
    ]
    request = review("DELETE", DEFINITION, old=object_of(DEFINITION, name="widgets.example.com", label=""))

    def allowed(*targets: Target) -> bool:
        view = view_of(targets)
        view.replace(DesiredState().with_sync(SYNCS[0], instances))
        return decide(review=request, view=view, policy=Policy(), now=NOW).allowed

    itself = ObjectKey(group=DEFINITION.group, kind=DEFINITION.kind, namespace="", name="widgets.example.com")
    assert not allowed()
    assert not allowed(itself)
    assert not allowed(instances[0].key, WholeNamespace("elsewhere"))
    assert allowed(instances[0].key, WholeNamespace("till"))
    assert allowed(WholeSync(SYNCS[0]))


@pytest.mark.parametrize("target", [SHOP.key, WholeNamespace("till"), WholeSync("guard-system/apps")])
def test_what_a_sync_that_is_not_loaded_may_hold_is_not_opened_by_the_namespace_object(target: Target) -> None:
    """Nobody knows what is in it."""
    view = View()
    view.opened = Opened([Opening("ns/0", target, NOW + timedelta(minutes=1))])
    policy = Policy(unloaded={"guard-system.more": SYNCS[1]}, staked=frozenset({SYNCS[1]}))
    request = review("DELETE", NAMESPACE, old=object_of(NAMESPACE, name="shop", label=""))
    assert decide(review=request, view=view, policy=policy, now=NOW).verdict == "deny"
    view.opened = Opened([Opening("ns/0", WholeNamespace("shop"), NOW + timedelta(minutes=1))])
    assert decide(review=request, view=view, policy=policy, now=NOW).verdict == "open"


def test_before_git_is_loaded_it_opens_as_well() -> None:
    view = View()
    policy = Policy(unloaded={"guard-system.apps": SYNCS[0]}, staked=frozenset({SYNCS[0]}))
    request = review("DELETE", CONFIG_MAP, old=config("apps", "shop"))
    assert decide(review=request, view=view, policy=policy, now=NOW).reason == "GitNotLoaded"
    for target in (DECLARED[0].key, WholeNamespace("shop"), WholeSync(SYNCS[0])):
        view.opened = Opened([Opening("ns/0", target, NOW + timedelta(minutes=1))])
        assert decide(review=request, view=view, policy=policy, now=NOW).verdict == "open"


@pytest.mark.parametrize("user", [PERSON, "system:serviceaccount:kube-system:horizontal-pod-autoscaler"])
def test_scaling_what_is_open_is_let_through_whoever_asks(user: str) -> None:
    body = object_of(DEPLOYMENT, spec={"replicas": 2})
    view = view_of()
    view.replace(DesiredState().with_sync(SYNCS[0], [declared_as(DEPLOYMENT, body, sync=SYNCS[0])]))
    scale: Json = {"metadata": {"name": "web", "namespace": "shop"}, "spec": {"replicas": 2}}
    asked = review("UPDATE", DEPLOYMENT, old=scale, new={**scale, "spec": {"replicas": 5}}, user=user, subResource="scale")
    assert decide(review=asked, view=view, policy=Policy(), now=NOW).reason == "ReplicasDeclared"
    view.opened = Opened([Opening("ns/0", ObjectKey("apps", "Deployment", "shop", "web"), NOW + timedelta(minutes=1))])
    assert decide(review=asked, view=view, policy=Policy(), now=NOW).verdict == "open"


def test_at_its_end_it_opens_nothing() -> None:
    view = view_of([WholeNamespace("shop")], minutes=0.0)
    assert judged("edit", DECLARED[0], view).verdict == "deny"


def test_guard_itself_needs_none() -> None:
    view = view_of([WholeNamespace("shop")])
    assert judged("edit", DECLARED[0], view, user=GUARD_USER).reason == "SyncController"
