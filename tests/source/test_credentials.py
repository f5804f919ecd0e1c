from __future__ import annotations

import base64

import pytest

from guard.base.errors import SourceError
from guard.source import GitCredentials, credentials_of
from guard.source.credentials import KEYS, check_credentials

SECRETS = {key: f"s3cret {key}".encode() for key in KEYS}


def test_each_key_of_a_secret_is_a_field() -> None:
    credentials = credentials_of({key: value for key, value in SECRETS.items() if key != "bearerToken"} | {"other": b"\xff"})

    assert credentials == GitCredentials(
        username="s3cret username",
        password="s3cret password",
        ca_certificate="s3cret ca.crt",
        identity="s3cret identity",
        known_hosts="s3cret known_hosts",
    )
    assert credentials_of({"bearerToken": b"token"}) == GitCredentials(bearer_token="token")
    assert credentials_of({}) == GitCredentials()


def test_a_newline_behind_a_line_is_not_part_of_it() -> None:
    credentials = credentials_of({"username": b"ada\n", "password": b"word\r\n", "identity": b"key\n"})

    assert (credentials.username, credentials.password, credentials.identity) == ("ada", "word", "key\n")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"password": b"s3cret\xff"}, "password of the credentials is not text"),
        ({"bearerToken": b"s3cret\nX-Other: 1"}, "bearerToken of the credentials holds more than one line"),
        ({"username": b"s3cret\x1b"}, "username of the credentials holds .* control characters"),
        ({"bearerToken": b"s3cret", "password": b"s3cret"}, "bearerToken and username or password"),
    ],
)
def test_what_cannot_be_used_is_named_by_its_key(values: dict[str, bytes], told: str) -> None:
    with pytest.raises(SourceError, match=told) as caught:
        credentials_of(values)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("missing", ["identity", "known_hosts"])
def test_ssh_without_a_key_or_known_hosts_names_what_is_missing(missing: str) -> None:
    given = {"identity": b"key", "known_hosts": b"host key"} | {missing: b" \n"}

    with pytest.raises(SourceError, match=f"^{missing} is missing"):
        check_credentials(credentials_of(given), scheme="ssh")
    check_credentials(credentials_of(given), scheme="https")


def test_secrets_are_not_shown() -> None:
    credentials = GitCredentials(**{field: f"s3cret {field}" for field in KEYS.values()})

    assert repr(credentials) == f"GitCredentials({', '.join(f'{field}=***' for field in KEYS.values())})"
    assert repr(GitCredentials()) == "GitCredentials()"


def test_what_a_server_was_told_is_taken_out_of_what_it_says() -> None:
    credentials = GitCredentials(username="ada", password="pass word")
    basic = base64.b64encode(b"ada:pass word").decode()

    assert credentials.without_secrets(f"{basic} pass word pass%20word") == "*** *** ***"
    assert GitCredentials(bearer_token="token").without_secrets("Bearer token") == "Bearer ***"
    assert GitCredentials().without_secrets("text") == "text"


def test_credentials_are_something_to_log_in_with() -> None:
    assert not GitCredentials(ca_certificate="ca", known_hosts="hosts").log_in
    assert all(GitCredentials(**{field: "x"}).log_in for field in ("username", "password", "bearer_token", "identity"))
