"""With what Guard gets into a bucket: keys of a Secret, or what its surroundings give."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from guard.base.errors import SourceError
from guard.source import BucketCredentials, bucket_credentials_of
from tests.source import sts
from tests.source.between import Between
from tests.source.conftest import Opened
from tests.source.sts import Sts
from tests.source.test_bucket import contents
from tools.s3client import Bucket
from tools.s3server import S3Server

FLUX = {"accesskey": b"AKIA1\n", "secretkey": b"s3cret/+\r\n"}
AWS = {"AWS_ACCESS_KEY_ID": b"AKIA1", "AWS_SECRET_ACCESS_KEY": b"s3cret/+"}


@pytest.mark.parametrize("values", [FLUX, AWS])
def test_keys_as_flux_and_as_aws_names_them(values: Mapping[str, bytes]) -> None:
    found = BucketCredentials(access_key="AKIA1", secret_key="s3cret/+")

    assert bucket_credentials_of({**values, "other": b"\xff"}) == found


def test_session_token_and_authority() -> None:
    found = bucket_credentials_of({**FLUX, "sessiontoken": b"token", "ca.crt": b"-----BEGIN\n"})

    assert (found.session_token, found.ca_certificate) == ("token", "-----BEGIN\n")
    assert bucket_credentials_of({"ca.crt": b"-----BEGIN\n"}) == BucketCredentials(ca_certificate="-----BEGIN\n")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "lack accesskey"),
        ({"accessKey": b"AKIA1", "password": b"s3cret"}, "lack accesskey"),
        ({"secretkey": b"s3cret"}, "lack accesskey"),
        ({"accesskey": b"", "secretkey": b"", "ca.crt": b""}, "lack accesskey"),
        ({"ca.crt": b"-----BEGIN", "sessiontoken": b"s3cret"}, "lack accesskey"),
        ({"accesskey": b"AKIA1"}, "lack secretkey"),
        ({**FLUX, **AWS}, "hold AWS_ACCESS_KEY_ID under another name as well"),
        ({"accesskey": b"AKIA1", "secretkey": b"s3cret\nX: y"}, "secretkey of the credentials holds more than one line"),
        ({"accesskey": b"AKIA1", "secretkey": b"\xffs3cret"}, "secretkey of the credentials is not text"),
    ],
)
def test_what_cannot_be_credentials_is_named_and_never_stands_for_others(values: Mapping[str, bytes], said: str) -> None:
    with pytest.raises(SourceError, match=said) as caught:
        bucket_credentials_of(values)
    assert "s3cret" not in str(caught.value)


def test_they_are_not_shown() -> None:
    shown = repr(BucketCredentials(access_key="AKIA1", secret_key="s3cret", session_token="t0ken"))

    assert shown == "BucketCredentials(access_key=***, secret_key=***, session_token=***)"


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Surroundings that give nothing."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ROLE_ARN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "BOTO_CONFIG"):
        monkeypatch.setenv(name, "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
async def identity(
    alone: None,  # noqa: ARG001 (comes first)
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    s3_server: S3Server,
) -> AsyncIterator[tuple[Sts, Path]]:
    """The token service, and the file of the token that is shown there."""
    file = tmp_path / "token"
    file.write_text(sts.TOKEN)
    async with Sts.start(s3_server.access_key, s3_server.secret_key) as service:
        monkeypatch.setenv("AWS_ROLE_ARN", sts.ROLE)
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(file))
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", service.url)
        yield service, file


async def test_a_web_identity(opened: Opened, bucket: Bucket, between: Between, identity: tuple[Sts, Path]) -> None:
    await bucket.put("a.yaml", "1")
    service, _ = identity
    source = opened(is_ambient=True)

    assert await contents(source, await source.fetch()) == {"a.yaml": "1"}
    await source.fetch()

    assert service.given == 1
    assert between.taken() == ["list", "a.yaml", "list"]


async def test_the_session_token_of_a_web_identity_is_sent(opened: Opened, between: Between, identity: tuple[Sts, Path]) -> None:
    service, _ = identity
    service.session_token = "the-session-token"
    with pytest.raises(SourceError, match="does not take the session token"):
        await opened(is_ambient=True).fetch()

    assert between.headers[0]["x-amz-security-token"] == service.session_token
    assert "x-amz-security-token" in between.headers[0]["authorization"]


async def test_a_web_identity_is_renewed_before_it_ends(opened: Opened, identity: tuple[Sts, Path]) -> None:
    service, _ = identity
    service.minutes = 1
    source = opened(is_ambient=True)
    for _ in range(3):
        await source.fetch()

    assert service.given >= 3


async def test_a_token_that_is_not_taken_is_told_and_a_new_one_is_shown(opened: Opened, identity: tuple[Sts, Path]) -> None:
    _, file = identity
    file.write_text("an-old-t0ken")
    source = opened(is_ambient=True)
    with pytest.raises(SourceError, match=r"surroundings give it no credentials:.*InvalidIdentityToken") as caught:
        await source.fetch()
    assert "an-old-t0ken" not in str(caught.value)
    file.write_text(sts.TOKEN)

    await source.fetch()


@pytest.mark.usefixtures("alone")
async def test_keys_of_the_environment(
    opened: Opened, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, s3_server: S3Server
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_key)
    await bucket.put("a.yaml", "1")
    source = opened(is_ambient=True)

    assert await contents(source, await source.fetch()) == {"a.yaml": "1"}


@pytest.mark.usefixtures("alone")
async def test_no_credentials_at_all(opened: Opened) -> None:
    with pytest.raises(SourceError, match=r"there are no credentials for the bucket.*secretRef"):
        await opened(is_ambient=True).fetch()


async def test_keys_of_a_secret_never_give_way_to_what_the_surroundings_give(
    opened: Opened, between: Between, monkeypatch: pytest.MonkeyPatch, s3_server: S3Server
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_key)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of-the-surroundings")

    with pytest.raises(SourceError, match="does not know the access key"):
        await opened(credentials=BucketCredentials(access_key="AKIA1", secret_key="wrong")).fetch()

    assert all("AKIA1/" in headers["authorization"] for headers in between.headers)
    assert not any("x-amz-security-token" in headers for headers in between.headers)


async def test_a_session_token_is_sent_and_signed(opened: Opened, between: Between, s3_server: S3Server) -> None:
    credentials = BucketCredentials(
        access_key=s3_server.access_key, secret_key=s3_server.secret_key, session_token="the-session-token"
    )
    with pytest.raises(SourceError, match="does not take the session token"):
        await opened(credentials=credentials).fetch()

    assert between.headers[0]["x-amz-security-token"] == "the-session-token"
    assert "x-amz-security-token" in between.headers[0]["authorization"]


async def test_secrets_reach_neither_the_disk_nor_the_wire(
    opened: Opened, bucket: Bucket, between: Between, tmp_path: Path, s3_server: S3Server
) -> None:
    await bucket.put("a.yaml", "1")
    await opened().fetch()

    secret = s3_server.secret_key.encode()
    for path in (tmp_path / "data").rglob("*"):
        assert secret not in path.read_bytes()
    assert s3_server.secret_key not in repr(between.headers)


def test_a_guard_without_buckets_does_not_pay_for_them() -> None:
    """Botocore takes 6 MB, 10 where Guard's surroundings give the credentials."""
    code = "import sys, guard.runtime, guard.source; print([name for name in sys.modules if 'botocore' in name])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout == "[]\n"
