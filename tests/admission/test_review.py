from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.admission.review import Answer, Request, Review, encode, parse
from guard.base import codec
from guard.base.codec import DecodeError, Json, JsonObject

REQUEST: JsonObject = {
    "uid": "1",
    "kind": {"group": "", "version": "v1", "kind": "ConfigMap"},
    "resource": {"group": "", "version": "v1", "resource": "configmaps"},
    "operation": "UPDATE",
    "name": "web",
    "namespace": "shop",
    "userInfo": {"username": "ada", "groups": ["dev"], "extra": {"a": ["b"]}},
    "object": {"metadata": {"name": "web", "labels": {"a": "b"}}},
    "oldObject": {"metadata": {"name": "web"}},
    "options": {"kind": "UpdateOptions", "fieldManager": "kubectl-edit"},
    "dryRun": False,
}


def reviewed(**changed: Json) -> bytes:
    return codec.encode({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {**REQUEST, **changed}})


WHOLE = reviewed()


def read_all(data: bytes) -> None:
    """Everything that a rule may ask of a review."""
    request: Request = parse(data).request
    for name in ("new", "old", "difference", "writers", "stored_as", "object_name", "object_namespace", "field_manager"):
        getattr(request, name)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_review_are_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        parse(data)


@given(st.integers(0, len(WHOLE)), st.integers(0, 20), st.binary(max_size=8))
def test_a_damaged_review_is_read_or_refused_and_never_trips_a_rule(at: int, cut: int, put: bytes) -> None:
    with suppress(DecodeError):
        read_all(WHOLE[:at] + put + WHOLE[at + cut :])


_bodies: list[Json] = [None, True, 7, "", "text", [], [None], {}, {"metadata": []}, {"metadata": {"labels": {"a": None}}}]
_wrong = st.sampled_from(_bodies)


@given(st.dictionaries(st.sampled_from(sorted({*REQUEST, "subResource"})), _wrong, max_size=3))
def test_fields_of_the_wrong_type_are_read_or_refused(changed: JsonObject) -> None:
    with suppress(DecodeError):
        read_all(reviewed(**changed))


@pytest.mark.parametrize(
    "data",
    [
        b'{"request":' + b"[" * 200_000,
        reviewed().replace(b'"ada"', b'"\xff"'),
        reviewed(operation="PATCH"),
        reviewed().replace(b"admission.k8s.io/v1", b"admission.k8s.io/v1beta1"),
        reviewed().replace(b"AdmissionReview", b"Review"),
        b"null",
    ],
    ids=["deep", "not-utf8", "unknown-operation", "other-version", "other-kind", "null"],
)
def test_what_cannot_be_judged_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        parse(data)


@pytest.mark.parametrize("broken", [b"[" * 50_000 + b"]" * 50_000, b'{"metadata":{"name":"\xff"}}'], ids=["deep", "not-utf8"])
def test_a_body_that_cannot_be_read_is_refused_when_a_rule_asks_for_it(broken: bytes) -> None:
    with pytest.raises(DecodeError):
        read_all(WHOLE.replace(codec.encode(REQUEST["object"]), broken))


def test_a_null_body_is_an_empty_object() -> None:
    request = parse(reviewed(object=None, options=None)).request
    assert (request.new, request.object_name, request.field_manager) == ({}, "web", "")


def test_an_integer_past_what_a_float_holds_stays_exact() -> None:
    assert parse(reviewed(object={"spec": {"id": 2**64 + 1}})).request.new["spec"]["id"] == 2**64 + 1


def test_the_answer_echoes_the_uid_in_the_form_that_the_api_server_expects() -> None:
    assert codec.decode(encode(Answer(uid="7", allowed=False, status={"code": 403}))) == {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {"uid": "7", "allowed": False, "status": {"code": 403}},
    }
    assert isinstance(parse(WHOLE), Review)
