from __future__ import annotations

import pytest

from guard.api import Signature, Sync, parse_sync
from guard.base.codec import JsonObject
from guard.source import Signed, Trust
from guard.sync.trust import conditions, signature

REVISION = "main@sha1:3f2c"
SIGNED = Signed(revision=REVISION, by="Ada <ada@example.com>", key="SHA256:abc", at="2026-01-02T03:04:05Z")
KEYS: JsonObject = {"secretRef": {"name": "keys"}}
GIT: JsonObject = {"git": {"url": "https://git.example.com/deploy"}}
VERIFIED: JsonObject = {"git": {"url": "https://git.example.com/deploy", "verify": KEYS}}
BUCKET: JsonObject = {"bucket": {"name": "deploy"}}


def sync(source: JsonObject) -> Sync:
    body = {"apiVersion": "gitopsguard.dev/v1alpha1", "kind": "Sync", "metadata": {"name": "apps"}, "spec": {"source": source}}
    return parse_sync(body, where="test")


def said(source: JsonObject, trust: Trust, *, refused: str = "") -> dict[str, tuple[str, str, str] | None]:
    return dict(conditions(sync(source), trust, refused=refused))


def test_who_signed_is_said_where_signatures_are_asked_for() -> None:
    trust = Trust(is_fetched=True, signed=SIGNED)
    found = said(VERIFIED, trust)["SourceVerified"]
    assert found == ("True", "SignatureVerified", f"{REVISION} is signed by Ada <ada@example.com> (SHA256:abc)")
    assert said(GIT, Trust(is_fetched=True))["SourceVerified"] is None


def test_why_a_signature_does_not_count_is_said_whatever_was_signed_before() -> None:
    refused = said(VERIFIED, Trust(is_fetched=True, signed=SIGNED), refused="its key has expired")
    assert refused["SourceVerified"] == ("False", "SignatureRefused", "its key has expired")


def test_what_was_found_out_stays_where_the_source_cannot_be_asked() -> None:
    assert "SourceVerified" not in said(VERIFIED, Trust())
    assert "Versioned" not in said(BUCKET, Trust())


@pytest.mark.parametrize(("weakness", "status"), [("", "True"), ("an earlier revision cannot be fetched again", "False")])
def test_a_bucket_says_whether_its_revisions_are_immutable(weakness: str, status: str) -> None:
    found = said(BUCKET, Trust(is_fetched=True, weakness=weakness))["Versioned"]
    assert found is not None
    assert found[0] == status
    assert weakness in found[2]
    assert said(GIT, Trust(is_fetched=True))["Versioned"] is None


def test_the_signature_is_of_the_revision_in_force() -> None:
    made = signature(SIGNED, revision=REVISION, known=Signature())
    assert made == Signature(revision=REVISION, by="Ada <ada@example.com>", key="SHA256:abc", at="2026-01-02T03:04:05Z")
    assert signature(None, revision=REVISION, known=made) == made
    assert signature(SIGNED, revision="main@sha1:other", known=made) == Signature()
