"""What is done about what the API server answers; the texts are its own."""

from __future__ import annotations

import pytest

from guard.apply import policy, told
from guard.apply.errors import Policy
from guard.base.errors import ApiStatusError, ImmutableField, Unreachable
from guard.state.secrecy import Secrecy


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        (409, 'Operation cannot be fulfilled on configmaps "a": the object has been modified', "retry"),
        (429, "too many requests, please try again later", "retry"),
        (500, 'Internal error occurred: failed calling webhook "a.example.com": connection refused', "retry"),
        (503, "the server is currently unable to handle the request", "retry"),
        (404, "404 page not found", "retry"),
        (404, 'namespaces "x" not found', "report"),
        (405, "create not allowed while custom resource definition is terminating", "retry"),
        (403, 'configmaps "a" is forbidden: unable to create new content in namespace x because it is being terminated', "retry"),
        (403, 'pods "a" is forbidden: error looking up service account x/default: serviceaccount "default" not found', "retry"),
        (403, 'pods "a" is forbidden: exceeded quota: few, requested: pods=1, used: pods=1, limited: pods=1', "report"),
        (403, 'admission webhook "a.example.com" denied the request: no', "report"),
        (
            422,
            'Service "a" is invalid: spec.ports[0].nodePort: Invalid value: 30000: provided port is already allocated',
            "report",
        ),
        (403, 'roles.rbac.authorization.k8s.io is forbidden: User "a" cannot patch resource "roles"', "stall"),
        (422, 'Service "a" is invalid: spec.ports[0].port: Invalid value: 0', "stall"),
        (400, "strict decoding error: unknown field", "stall"),
        (500, "failed to create typed patch object (x/a; /v1, Kind=Service): .spec.prots: field not declared in schema", "stall"),
    ],
)
def test_each_error_has_its_policy(code: int, message: str, expected: Policy) -> None:
    assert policy(ApiStatusError(message, code=code, reason="")) == expected


def test_no_answer_is_worth_another_try_and_what_is_immutable_is_not() -> None:
    assert policy(Unreachable("refused")) == "retry"
    assert policy(ImmutableField("spec is immutable", code=422, reason="Invalid")) == "stall"


def test_an_immutable_field_of_a_secret_is_told_and_what_the_api_server_says_of_it_is_not() -> None:
    hint = "delete it by hand"
    assert told(ImmutableField("data is immutable", code=422, reason="Invalid", hint=hint), Secrecy.SECRET) == (
        "data is immutable (delete it by hand)"
    )
    assert "hunter2" not in told(ApiStatusError('data: Invalid value: "hunter2"', code=422, reason="Invalid"), Secrecy.SECRET)
