from __future__ import annotations

import pytest

from guard.apply import is_denied, told
from guard.base.errors import ApiStatusError, Unreachable
from guard.state.secrecy import Secrecy

USER = "system:serviceaccount:team-a:deployer"


def forbidden(message: str, *, code: int = 403) -> ApiStatusError:
    return ApiStatusError(message, code=code, reason="Forbidden")


_GRANTING = (
    f'rolebindings.rbac.authorization.k8s.io "all" is forbidden: user "{USER}" (groups=["system:authenticated"]) is attempting '
    "to grant RBAC permissions not currently held:\n{APIGroups:[*]}"
)
DENIED = (
    f'secrets "login" is forbidden: User "{USER}" cannot patch resource "secrets" in API group "" in the namespace "team-a"',
    f'secrets is forbidden: User "{USER}" cannot create resource "secrets" in API group "" in the namespace "team-a"',
    _GRANTING,
)


@pytest.mark.case(39)
def test_the_rules_of_a_role_that_is_encrypted_in_git_are_not_repeated() -> None:
    error = forbidden(_GRANTING)
    assert "APIGroups" in told(error, Secrecy.OPEN)
    assert told(error, Secrecy.CONFIDENTIAL).endswith(
        "grant RBAC permissions not currently held (bind this user a Role or ClusterRole that allows it)"
    )


@pytest.mark.parametrize("message", DENIED)
def test_who_has_not_the_right_is_told_what_to_do(message: str) -> None:
    error = forbidden(message)
    assert is_denied(error)
    assert told(error, Secrecy.OPEN) == f"{message} (bind this user a Role or ClusterRole that allows it)"


@pytest.mark.parametrize(
    "message",
    [
        'pods "web" is forbidden: exceeded quota: small',
        f'admission webhook "x" denied the request: secrets "login" is forbidden: User "{USER}" cannot patch resource',
        "secrets \"login\" is forbidden: ValidatingAdmissionPolicy 'p' denied request: correct-horse",
    ],
)
def test_what_policies_and_quotas_forbid_is_no_matter_of_rights(message: str) -> None:
    assert not is_denied(forbidden(message))
    assert "details of Secrets are not shown" in told(forbidden(message), Secrecy.SECRET)


def test_only_the_api_server_denies() -> None:
    assert not is_denied(Unreachable(DENIED[0]))
    assert not is_denied(forbidden(DENIED[0], code=500))


@pytest.mark.case(39)
@pytest.mark.parametrize(("secrecy", "excuse"), [(Secrecy.SECRET, "Secrets"), (Secrecy.CONFIDENTIAL, "what is encrypted")])
def test_the_api_servers_words_about_a_value_are_not_repeated(secrecy: Secrecy, excuse: str) -> None:
    error = ApiStatusError('Widget "a" is invalid: spec.size: Invalid value: "hunter2"', code=422, reason="Invalid")
    assert told(error, Secrecy.OPEN) == error.message
    assert told(error, secrecy).startswith("the API server refused it: 422 Invalid (details of ")
    assert excuse in told(error, secrecy)
    assert "hunter2" not in told(error, secrecy)
