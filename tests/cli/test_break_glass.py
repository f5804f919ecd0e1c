from __future__ import annotations

import sys

import pytest

from guard.cli import main
from guard.cli.break_glass import _stem  # pyright: ignore[reportPrivateUsage] (what the API server makes names of)


def ended(*arguments: str) -> int | str | None:
    sys.argv = ["guard", "break-glass", *arguments]
    with pytest.raises(SystemExit) as raised:
        main()
    return raised.value.code


@pytest.fixture(autouse=True)
def _arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["guard"])


FOR = ("--for", "30m", "--reason", "why")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("deployment/web", "--for", "30m"), "Missing option '--reason'"),
        (("deployment/web", "--reason", "why"), "Missing option '--for'"),
        (("deployment/web", "--for", "soon", "--reason", "why"), "'soon' is not a duration like 30s or 10m"),
        (("web", *FOR), "'web' is not KIND/NAME, like deployment/web"),
        (("deployment/web/x", *FOR), "'deployment/web/x' is not KIND/NAME"),
        (FOR, "say one of KIND/NAME"),
        (("deployment/web", "--namespace-wide", *FOR), "say one of KIND/NAME"),
        (("--sync", "apps", "--namespace-wide", *FOR), "say one of KIND/NAME"),
        (("end",), "say one of KIND/NAME, the NAME of a BreakGlass"),
        (("end", "/web"), "'/web' is not KIND/NAME"),
        (("list", "--all"), "No such option '--all'"),
    ],
)
def test_a_wrong_use_says_what_is_wrong(arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(*arguments) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("web", "web-"),
        ("system:node-reader", "system-node-reader-"),
        ("::", "break-glass-"),
        ("a" * 80, "a" * 40 + "-"),
        ("Ä.b", "b-"),
    ],
)
def test_a_name_is_made_that_the_api_server_takes(name: str, stem: str) -> None:
    assert _stem(name) == stem
