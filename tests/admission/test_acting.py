"""Guard at work in the name of a Sync's service account, and everybody else who comes as that account."""

from __future__ import annotations

import pytest

from guard import telemetry
from guard.admission import Decision, Judge, decide
from guard.audit import References
from guard.base import codec
from guard.base.clock import SystemClock
from guard.base.codec import Json
from guard.cluster import Impersonation
from guard.cluster.impersonation import EXTRA_HEADER
from guard.state import DesiredState, Policy, View
from guard.state.ids import DEFINITION
from guard.state.requesters import ACTING_EXTRA, Requester
from tests.admission.asking import NOW, config, review
from tests.state.samples import CONFIG_MAP, NAMESPACE, declared_as, object_of

MINE, OTHERS = "team-a/apps", "team-b/apps"
ACCOUNT = "system:serviceaccount:team-a:deployer"
POLICY = Policy(accounts={MINE: ACCOUNT, OTHERS: "system:serviceaccount:team-b:deployer"})

OLD, NEW = config(), object_of(CONFIG_MAP, data={"color": "green"})


def view(*syncs: str) -> View:
    found, state = View(), DesiredState()
    for sync in syncs:
        state = state.with_sync(sync, [declared_as(CONFIG_MAP, config(), sync=sync)])
    found.replace(state)
    return found


def judged(sync: str, *, acting: bool, user: str = ACCOUNT, policy: Policy = POLICY) -> Decision:
    asked = review("UPDATE", CONFIG_MAP, old=OLD, new=NEW, user=user, manager="guard")
    return decide(review=asked, view=view(sync), policy=policy, now=NOW, acting=acting)


def test_guard_in_the_name_of_a_syncs_account_is_the_sync_controller() -> None:
    decision = judged(MINE, acting=True)
    assert (decision.verdict, decision.reason, decision.requester) == ("allow", "SyncController", Requester.SYNC)


def test_the_same_account_without_the_proof_is_a_machine_like_any_other() -> None:
    decision = judged(MINE, acting=False)
    assert (decision.verdict, decision.reason, decision.requester) == ("deny", "DeclaredFieldChanged", Requester.MACHINE)


@pytest.mark.parametrize("holder", [OTHERS, "guard-system/platform"])
def test_in_the_name_of_one_account_guard_touches_nothing_of_a_sync_with_another(holder: str) -> None:
    assert judged(holder, acting=True).verdict == "deny"


def test_a_proof_for_an_account_of_no_sync_counts_for_nothing() -> None:
    assert judged(MINE, acting=True, policy=Policy()).verdict == "deny"


def test_what_another_sync_declared_before_it_is_loaded_is_not_touched_either() -> None:
    policy = Policy(accounts=POLICY.accounts, unloaded={"guard-system.apps": "guard-system/apps"})
    asked = review("DELETE", CONFIG_MAP, old=OLD, user=ACCOUNT)

    assert decide(review=asked, view=View(), policy=policy, now=NOW, acting=True).verdict == "deny"
    assert decide(review=asked, view=View(), policy=POLICY, now=NOW, acting=True).verdict == "allow"


@pytest.mark.parametrize(("syncs", "verdict"), [([MINE], "allow"), ([OTHERS], "deny")])
def test_a_namespace_is_pruned_unless_others_have_something_in_it(syncs: list[str], verdict: str) -> None:
    asked = review("DELETE", NAMESPACE, old=object_of(NAMESPACE, name="shop"), user=ACCOUNT)
    assert decide(review=asked, view=view(*syncs), policy=POLICY, now=NOW, acting=True).verdict == verdict


def test_nothing_that_may_hold_others_objects_is_deleted_while_one_of_them_is_not_loaded() -> None:
    policy = Policy(accounts=POLICY.accounts, staked=frozenset({"guard-system/platform"}))
    for kind in (NAMESPACE, DEFINITION):
        asked = review("DELETE", kind, old=object_of(kind, name="shop"), user=ACCOUNT)
        assert decide(review=asked, view=View(), policy=policy, now=NOW, acting=True).verdict == "deny"


def answered(extra: Json) -> bool:
    clock = SystemClock()
    impersonation = Impersonation(clock=clock)
    proof = impersonation.headers(ACCOUNT)[EXTRA_HEADER]
    lines: list[bytes] = []
    judge = Judge(
        view=view(MINE),
        policy=lambda: POLICY,
        write=lambda record: lines.append(record.line()),
        references=References(clock),
        clock=clock,
        meter=telemetry.Metrics(),
        proves=impersonation.is_proof,
    )
    asked = {
        "uid": "1",
        "kind": {"group": "", "version": "v1", "kind": "ConfigMap"},
        "resource": {"group": "", "version": "v1", "resource": "configmaps"},
        "operation": "UPDATE",
        "name": "web",
        "namespace": "shop",
        "userInfo": {"username": ACCOUNT, "extra": codec.decode(codec.encode(extra).replace(b"PROOF", proof.encode()))},
        "object": NEW,
        "oldObject": OLD,
    }
    answer = judge.respond(codec.encode({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": asked}))
    assert proof.encode() not in answer + b"".join(lines)
    allowed: bool = codec.decode(answer)["response"]["allowed"]
    return allowed


def test_a_review_is_believed_by_what_its_extra_holds() -> None:
    assert answered({ACTING_EXTRA: ["PROOF"]})


@pytest.mark.parametrize(
    "extra", [None, {}, {ACTING_EXTRA: None}, {ACTING_EXTRA: []}, {ACTING_EXTRA: ["made-up"]}, {"x": ["PROOF"]}]
)
def test_a_review_with_a_made_up_proof_is_judged_like_any_other(extra: Json) -> None:
    assert not answered(extra)
