from __future__ import annotations

import pytest

from guard.source import GitCredentials
from guard.source.command import Output
from guard.source.failures import failure


def told(text: str, *, status: int = 128, credentials: GitCredentials | None = None) -> str:
    return str(failure(Output(status=status, out=b"", err=text), credentials=credentials or GitCredentials()))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ssh: Could not resolve hostname git.invalid: Name or service not known\r\nfatal: x", "the host git.invalid is unknown"),
        ("fatal: unable to access 'https://x/': Could not resolve host: git.invalid", "the host git.invalid is unknown"),
        ("ssh: connect to host 127.0.0.1 port 1: Connection refused\r\nfatal: x", "the server cannot be reached"),
        (
            "No user exists for uid 65532\r\nfatal: Could not read from remote repository.",
            "ssh does not run for the user id 65532",
        ),
        ("ssh -F x: 1: ssh: not found\nfatal: Could not read from remote repository.", "ssh is not installed"),
        ("error: cannot run ssh: No such file or directory\nfatal: unable to fork", "ssh is not installed"),
        ("Unable to negotiate with 127.0.0.1 port 1: no matching host key type found.", "no algorithm in common"),
        ("kex_exchange_identification: Connection closed by remote host", "the server closed the connection"),
        ("fatal: Out of memory, malloc failed (tried to allocate 5 bytes)", "git needs more memory"),
        ("fatal: write error: No space left on device", "no room left"),
        ("fatal: mismatched algorithms: client sha1; server sha256", "SHA-256 objects are not supported"),
        ("fatal: Needed a single revision", "what the ref names is not a commit"),
    ],
)
def test_known_complaints_are_put_in_words(text: str, message: str) -> None:
    assert message in told(text)


def test_other_complaints_are_repeated_in_one_line() -> None:
    assert told("warning: a\nfatal: something new\nhelp\n") == "git failed: something new"
    assert told("only this\n\n") == "git failed: only this"
    assert told("") == "git failed: it gave no reason"
    assert told("", status=-11) == "git failed: ended by signal 11"
    assert told("fatal: x", status=-9) == "git failed: x, ended by signal 9"


def test_what_a_server_says_cannot_move_the_cursor_or_go_on_for_ever() -> None:
    text = told(f"fatal: \x1b[2J\rremote\u202e {'x' * 10_000}")

    assert text.isprintable()
    assert len(text) < 400


def test_what_a_server_puts_into_a_known_complaint_does_not_go_on_for_ever() -> None:
    assert len(told(f"fatal: Could not resolve host: {'x' * 10_000}")) < 400


def test_secrets_in_complaints_are_taken_out() -> None:
    credentials = GitCredentials(username="ada", password="s3cret")

    text = told("fatal: https://ada:s3cret@git.example.com/x YWRhOnMzY3JldA== s3cret", credentials=credentials)

    assert text == "git failed: https://git.example.com/x *** ***"
