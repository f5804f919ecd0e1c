from __future__ import annotations

from guard.registration.fence import ADMIN_GROUPS, fence

USER = "system:serviceaccount:guard-system:guard"


def expression(*groups: str, control_plane: tuple[str, ...] = ()) -> str:
    found: set[str] = set()
    for _, body in fence(sync_user=USER, admin_groups=groups, control_plane=control_plane):
        # The others are about what a BreakGlass may say, whoever says it.
        found |= {validation["expression"] for validation in body["spec"].get("validations", ())[:1]}
    # Whatever is Guard's own is free to the same people.
    (same,) = found
    return same


def test_guard_its_administrators_and_the_control_plane_are_let_through() -> None:
    found = expression("platform")
    assert f"request.userInfo.username == '{USER}'" in found
    assert "'system:kube-controller-manager'" in found
    for group in (*ADMIN_GROUPS, "platform", "gitopsguard:break-glass"):
        assert f"'{group}'" in found


def test_whom_the_installer_adds_goes_on_as_the_control_plane_does() -> None:
    driver = "system:serviceaccount:calico-system:calico-node"
    assert f"'{driver}'" in expression(control_plane=(driver,))
    assert f"'{driver}'" not in expression()


def test_a_group_cannot_break_out_of_the_expression() -> None:
    assert r"'o\'neil'" in expression("o'neil")


def test_each_policy_has_a_binding_that_denies() -> None:
    objects = [body for _, body in fence(sync_user=USER, admin_groups=())]
    policies = {body["metadata"]["name"] for body in objects if body["kind"] == "ValidatingAdmissionPolicy"}
    bindings = [body["spec"] for body in objects if body["kind"] == "ValidatingAdmissionPolicyBinding"]
    assert {spec["policyName"] for spec in bindings} == policies
    assert all(spec["validationActions"] == ["Deny"] for spec in bindings)


def test_no_rule_goes_by_names_which_the_deletion_of_a_collection_does_not_carry() -> None:
    rules = [
        rule
        for _, body in fence(sync_user=USER, admin_groups=())
        for rule in body["spec"].get("matchConstraints", {}).get("resourceRules", ())
    ]
    assert rules
    assert not any(rule.get("resourceNames") for rule in rules)
