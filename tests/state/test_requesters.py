from __future__ import annotations

import pytest

from guard.state import Requester, classify, is_person_tool
from guard.state.requesters import GUARD_USER


@pytest.mark.parametrize(
    ("username", "expected"),
    [
        (GUARD_USER, Requester.SYNC),
        (f"{GUARD_USER}2", Requester.MACHINE),
        ("system:serviceaccount:other:guard", Requester.MACHINE),
        ("system:apiserver", Requester.CONTROL_PLANE),
        ("system:apiserver-but-not-quite", Requester.PERSON),
        ("system:node:worker-1", Requester.CONTROL_PLANE),
        ("system:serviceaccount:kube-system:generic-garbage-collector", Requester.CONTROL_PLANE),
        ("system:serviceaccount:kube-system-of-mine:builder", Requester.MACHINE),
        ("system:admin", Requester.PERSON),
        ("system:anonymous", Requester.PERSON),
        ("guard", Requester.PERSON),
        ("", Requester.PERSON),
    ],
)
def test_a_name_that_only_looks_like_anothers_is_not_taken_for_it(username: str, expected: Requester) -> None:
    assert classify(username, sync_user=GUARD_USER) is expected


def test_the_installer_adds_whole_names_to_the_control_plane() -> None:
    driver = "system:serviceaccount:calico-system:calico-node"
    assert classify(driver, sync_user=GUARD_USER, control_plane=(driver,)) is Requester.CONTROL_PLANE
    assert classify(f"{driver}2", sync_user=GUARD_USER, control_plane=(driver,)) is Requester.MACHINE
    assert classify(driver, sync_user=GUARD_USER) is Requester.MACHINE


def test_whoever_the_api_server_knows_guard_as_is_the_sync_controller() -> None:
    assert classify("someone@example.com", sync_user="someone@example.com") is Requester.SYNC
    assert classify(GUARD_USER, sync_user="someone@example.com") is Requester.MACHINE


@pytest.mark.parametrize(
    ("manager", "expected"),
    [
        ("kubectl", True),
        ("kubectl-client-side-apply", True),
        ("k9s", True),
        ("kubectl-argo-rollouts", True),
        ("oc", True),
        ("kubectlish", False),
        ("dashboard-operator", False),
        ("oc-mirror", False),
        ("octavia-ingress", False),
        ("guard", False),
        ("", False),
    ],
)
def test_a_persons_tool_is_known_by_its_whole_name_and_kubectls_by_its_verb_too(manager: str, *, expected: bool) -> None:
    assert is_person_tool(manager) is expected
