from __future__ import annotations

import re

from guard.base.clock import SystemClock
from guard.base.codec import child
from guard.cluster import Client, Impersonation
from guard.cluster.impersonation import EXTRA_HEADER, GRACE_SECONDS, ROTATE_SECONDS
from guard.state.requesters import ACTING_EXTRA

ALICE, BOB = "system:serviceaccount:team-a:deployer", "system:serviceaccount:team-b:deployer"

WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


class Clock(SystemClock):
    def __init__(self) -> None:
        self.at = 1000.0

    def monotonic(self) -> float:
        return self.at


def proof(impersonation: Impersonation, username: str) -> str:
    return impersonation.headers(username)[EXTRA_HEADER]


async def test_a_request_is_made_in_the_name_of_the_account_and_its_groups(client: Client) -> None:
    impersonation = Impersonation(clock=SystemClock())
    acting = client.acting_as(lambda: impersonation.headers(ALICE))

    answer = await acting.post(WHO, {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"})

    user = child(child(answer, "status"), "userInfo")
    assert user["username"] == ALICE
    assert set(user["groups"]) == {"system:serviceaccounts", "system:serviceaccounts:team-a", "system:authenticated"}
    assert impersonation.is_proof(ALICE, user["extra"][ACTING_EXTRA])
    own = await client.post(WHO, {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"})
    assert child(child(own, "status"), "userInfo")["username"] != ALICE


def test_a_proof_cannot_be_guessed() -> None:
    impersonation = Impersonation(clock=SystemClock())

    assert re.fullmatch("[0-9a-f]{64}", proof(impersonation, ALICE))
    assert proof(impersonation, ALICE) != proof(Impersonation(clock=SystemClock()), ALICE)
    assert not impersonation.is_proof(ALICE, [])
    assert not impersonation.is_proof(ALICE, ["", "0" * 64, "ünicode", proof(impersonation, ALICE)[:-1]])


def test_the_proof_of_one_account_is_worth_nothing_for_another() -> None:
    impersonation = Impersonation(clock=SystemClock())

    assert not impersonation.is_proof(BOB, [proof(impersonation, ALICE)])


def test_a_process_that_never_acted_for_anybody_believes_nobody() -> None:
    assert not Impersonation(clock=SystemClock()).is_proof(ALICE, ["0" * 64])


def test_an_older_proof_is_accepted_for_a_while_and_then_no_more() -> None:
    clock = Clock()
    impersonation = Impersonation(clock=clock)
    old = proof(impersonation, ALICE)

    clock.at += ROTATE_SECONDS
    new = proof(impersonation, ALICE)
    assert new != old
    clock.at += GRACE_SECONDS - 1
    assert impersonation.is_proof(ALICE, [old])
    clock.at += 1
    assert not impersonation.is_proof(ALICE, [old])
    assert impersonation.is_proof(ALICE, [new])


def test_a_proof_is_accepted_for_as_long_as_a_request_may_take() -> None:
    clock = Clock()
    impersonation = Impersonation(clock=clock)
    for _ in range(1000):
        made = proof(impersonation, ALICE)
        before = clock.at
        for after in (0, 30, 60, GRACE_SECONDS - 1):
            clock.at = before + after
            proof(impersonation, BOB)
            assert impersonation.is_proof(ALICE, [made])
        clock.at = before + 7


def test_a_proof_that_nobody_asks_for_ends_as_well() -> None:
    clock = Clock()
    impersonation = Impersonation(clock=clock)
    old = proof(impersonation, ALICE)

    clock.at += ROTATE_SECONDS + GRACE_SECONDS
    assert not impersonation.is_proof(ALICE, [old])
