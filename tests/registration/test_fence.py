from __future__ import annotations

from guard.registration import ADMIN_GROUPS, fence

USER = "system:serviceaccount:guard-system:guard"


def expression(*groups: str) -> str:
    policy, _ = fence(sync_user=USER, admin_groups=groups)
    (validation,) = policy["spec"]["validations"]
    found: str = validation["expression"]
    return found


def test_guard_its_administrators_and_the_control_plane_are_let_through() -> None:
    found = expression("platform")
    assert f"request.userInfo.username == '{USER}'" in found
    assert "'system:kube-controller-manager'" in found
    for group in (*ADMIN_GROUPS, "platform", "gitopsguard:break-glass"):
        assert f"'{group}'" in found


def test_a_group_cannot_break_out_of_the_expression() -> None:
    assert r"'o\'neil'" in expression("o'neil")


def test_the_binding_denies_by_the_policy() -> None:
    policy, binding = fence(sync_user=USER, admin_groups=())
    assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}
