"""Signatures made the way each host documents them."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import get_args

import pytest
from multidict import CIMultiDict

from guard.api import PushType
from guard.source.signatures import Host, Verification

SECRET = "correct-horse-battery"
BODY = '{"ref": "refs/heads/main", "author": "Ådá"}'.encode()
OTHER = BODY + b" "
NOW = 1_614_265_330.0

# The example of GitHub's page "Validating webhook deliveries", and that of Atlassian's for Bitbucket.
EVERYBODY = "It's a Secret to Everybody"
GITHUB_EXAMPLE = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
BITBUCKET_EXAMPLE = "a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9"

# The example of the Standard Webhooks specification.
SIGNING_TOKEN = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
STANDARD_BODY = b'{"test": 2432232314}'
STANDARD = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}

# The header of each host that signs the body, and what stands before the hexadecimal digits.
BY_BODY: list[tuple[Host, str, str]] = [
    ("GitHub", "X-Hub-Signature-256", "sha256="),
    ("Gitea", "X-Gitea-Signature", ""),
    ("Forgejo", "X-Forgejo-Signature", ""),
    ("Forgejo", "X-Gitea-Signature", ""),
    ("Bitbucket", "X-Hub-Signature", "sha256="),
    ("Generic", "X-Signature", "sha256="),
]
each_by_body = pytest.mark.parametrize(("host", "header", "prefix"), BY_BODY, ids=lambda value: str(value) or "bare")


def digits(body: bytes = BODY, *, secret: str = SECRET, algorithm: str = "sha256") -> str:
    return hmac.new(secret.encode(), body, algorithm).hexdigest()


def holds(
    host: Host,
    headers: Mapping[str, str] | CIMultiDict[str],
    *,
    body: bytes = BODY,
    secret: str = SECRET,
    now: float = NOW,
    step: int = 7,
) -> bool:
    verification = Verification(host, CIMultiDict(headers), secret=secret, now=now)
    for start in range(0, len(body), step):
        verification.update(body[start : start + step])
    return verification.holds()


def test_every_type_of_a_sync_is_known() -> None:
    assert set(get_args(PushType)) == set(get_args(Host))


def test_githubs_own_example_holds() -> None:
    headers = {"X-Hub-Signature-256": f"sha256={GITHUB_EXAMPLE}"}
    assert holds("GitHub", headers, body=b"Hello, World!", secret=EVERYBODY)


def test_bitbuckets_own_example_holds() -> None:
    headers = {"X-Hub-Signature": f"sha256={BITBUCKET_EXAMPLE}"}
    assert holds("Bitbucket", headers, body=b"Hello World!", secret=EVERYBODY)


@each_by_body
def test_a_signature_of_the_body_holds(host: Host, header: str, prefix: str) -> None:
    assert holds(host, {header: prefix + digits()})
    assert holds(host, {header.lower(): prefix + digits().upper()})
    assert holds(host, {header: prefix + digits(b"")}, body=b"")


@each_by_body
def test_another_body_secret_or_algorithm_does_not_hold(host: Host, header: str, prefix: str) -> None:
    assert not holds(host, {header: prefix + digits()}, body=OTHER)
    assert not holds(host, {header: prefix + digits(b"")})
    assert not holds(host, {header: prefix + digits(secret="wrong")})
    assert not holds(host, {header: prefix + digits(secret="")})
    for algorithm in ("sha1", "sha512", "md5"):
        assert not holds(host, {header: (f"{algorithm}=" if prefix else "") + digits(algorithm=algorithm)})
        assert not holds(host, {header: prefix + digits(algorithm=algorithm)})


@each_by_body
def test_a_malformed_signature_does_not_hold(host: Host, header: str, prefix: str) -> None:
    right = digits()
    malformed = (
        "",
        prefix,
        right if prefix else f"sha256={right}",
        f"SHA256={right}",
        f"{prefix}{right[:-1]}",
        f"{prefix}{right}0",
        f"{prefix}{right}\n",
        f"{prefix}{' '.join(right[i : i + 2] for i in range(0, 64, 2))}",
        f"{prefix}{'g' * 64}",
        f"{prefix}{right},{prefix}{right}",
        f"{prefix}{'٣' * 64}",
        f"{prefix}{base64.b64encode(bytes.fromhex(right)).decode()}",
        "\udcff" * 64,
    )
    for value in malformed:
        assert not holds(host, {header: value}), value


@each_by_body
def test_a_header_that_comes_twice_does_not_hold(host: Host, header: str, prefix: str) -> None:
    right, wrong = prefix + digits(), prefix + digits(secret="wrong")
    for values in ((right, right), (right, wrong), (wrong, right)):
        assert not holds(host, CIMultiDict([(header, value) for value in values]))


def test_every_host_looks_at_its_own_header_alone() -> None:
    bare = digits()
    told = {"X-Gitlab-Token": SECRET, "Authorization": f"Bearer {SECRET}"}
    everything = {header: prefix + bare for _, header, prefix in BY_BODY} | told | STANDARD
    for host in get_args(Host):
        own = {"GitLab": {"X-Gitlab-Token"}, "S3": {"Authorization"}}.get(
            host, {header for other, header, _ in BY_BODY if other == host}
        )
        assert holds(host, everything), host
        assert not holds(host, {name: value for name, value in everything.items() if name not in own}), host


def test_forgejos_own_header_counts_where_it_is_there() -> None:
    right, wrong = digits(), digits(secret="wrong")
    assert holds("Forgejo", {"X-Forgejo-Signature": right, "X-Gitea-Signature": wrong})
    assert not holds("Forgejo", {"X-Forgejo-Signature": wrong, "X-Gitea-Signature": right})
    assert not holds("Forgejo", {"X-Forgejo-Signature": "", "X-Gitea-Signature": right})


# ---- S3


def test_a_store_shows_the_secret_as_a_token_or_as_a_password() -> None:
    login = base64.b64encode(f"anyone:{SECRET}".encode()).decode()
    for shown in (f"Bearer {SECRET}", f"bearer {SECRET}", f"Basic {login}"):
        assert holds("S3", {"Authorization": shown}), shown
    colon = base64.b64encode(b"guard:a:b").decode()
    assert holds("S3", {"Authorization": f"Basic {colon}"}, secret="a:b")


def test_nothing_else_passes_for_a_stores_secret() -> None:
    only_user = base64.b64encode(SECRET.encode()).decode()
    for shown in ("", SECRET, f"Bearer {SECRET}x", "Bearer", "Bearer ", f"Basic {only_user}", "Basic ???", f"Digest {SECRET}"):
        assert not holds("S3", {"Authorization": shown}), shown
    for shown in ("Bearer ", "Basic Og==", "Basic "):
        assert not holds("S3", {"Authorization": shown}, secret=""), shown
    assert not holds("S3", CIMultiDict([("Authorization", f"Bearer {SECRET}")] * 2))


# ---- GitLab


def test_gitlabs_secret_token_holds_and_no_other_does() -> None:
    assert holds("GitLab", {"X-Gitlab-Token": SECRET})
    assert holds("GitLab", {"X-Gitlab-Token": "pässword"}, secret="pässword")
    for wrong in ("", SECRET[:-1], SECRET + "x", SECRET.upper(), digits(), "\udcff"):
        assert not holds("GitLab", {"X-Gitlab-Token": wrong}), wrong
    assert not holds("GitLab", {})
    assert not holds("GitLab", CIMultiDict([("X-Gitlab-Token", SECRET), ("X-Gitlab-Token", SECRET)]))


def test_the_example_of_standard_webhooks_holds() -> None:
    assert holds("GitLab", STANDARD, body=STANDARD_BODY, secret=SIGNING_TOKEN)


def standard(body: bytes, *, at: int = int(NOW), name: str = "6d0f5b9c", token: str = SIGNING_TOKEN) -> dict[str, str]:
    key = base64.b64decode(token.removeprefix("whsec_"))
    signature = hmac.new(key, f"{name}.{at}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": name,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
    }


def test_one_of_several_signatures_is_enough() -> None:
    headers = standard(BODY)
    right = headers["webhook-signature"]
    for signatures in (f"v1,AAAA {right}", f"{right} v1a,AAAA", f"v1,!!! {right}", f"v1 {right}"):
        assert holds("GitLab", {**headers, "webhook-signature": signatures}, secret=SIGNING_TOKEN), signatures


@pytest.mark.parametrize(
    "changed",
    [
        {"webhook-id": "another"},
        {"webhook-id": ""},
        {"webhook-timestamp": str(int(NOW) + 1)},
        {"webhook-timestamp": ""},
        {"webhook-timestamp": "soon"},
        {"webhook-timestamp": "9" * 5000},
        {"webhook-signature": ""},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1,AAAA"},
    ],
    ids=str,
)
def test_a_changed_standard_webhook_does_not_hold(changed: dict[str, str]) -> None:
    headers = standard(BODY)
    assert holds("GitLab", headers, secret=SIGNING_TOKEN)
    assert not holds("GitLab", headers | changed, secret=SIGNING_TOKEN)


def test_another_version_of_the_signature_does_not_hold() -> None:
    headers = standard(BODY)
    headers["webhook-signature"] = headers["webhook-signature"].replace("v1,", "v2,")
    assert not holds("GitLab", headers, secret=SIGNING_TOKEN)


@pytest.mark.parametrize(("off", "accepted"), [(-301, False), (-299, True), (299, True), (301, False)])
def test_a_standard_webhook_is_good_for_five_minutes(off: int, *, accepted: bool) -> None:
    assert holds("GitLab", standard(BODY, at=int(NOW) + off), secret=SIGNING_TOKEN) is accepted


def test_a_signing_token_is_never_taken_in_the_clear() -> None:
    assert not holds("GitLab", {"X-Gitlab-Token": SIGNING_TOKEN}, secret=SIGNING_TOKEN)


def test_a_signing_token_that_is_no_base64_verifies_nothing() -> None:
    for token in ("whsec_", "whsec_!", "whsec_ä"):
        empty = hmac.new(b"", b"6d0f5b9c.1614265330." + BODY, hashlib.sha256).digest()
        headers = standard(BODY) | {"webhook-signature": f"v1,{base64.b64encode(empty).decode()}"}
        assert not holds("GitLab", headers, secret=token), token


# ---- nobody


@pytest.mark.parametrize("host", get_args(Host))
def test_an_empty_secret_is_known_to_nobody(host: Host) -> None:
    """Anybody can make the HMAC of an empty key."""
    bare = digits(secret="")
    everything = {header: prefix + bare for _, header, prefix in BY_BODY} | {"X-Gitlab-Token": ""}
    assert not holds(host, everything, secret="")
    assert not holds(host, {}, secret="")
