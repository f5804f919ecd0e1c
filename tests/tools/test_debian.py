"""The search for an SSH server and GnuPG, and their installation, with a small script in place of apt-get."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tools import debian
from tools.binaries import ToolsError

PROGRAMS = ("sshd", "gpg", "gpg-agent", "gpgconf")


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian as root, without systemd, sshd and gpg."""
    for folder in ("bin", "sbin"):
        (tmp_path / folder).mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(debian, "FOLDERS", (str(tmp_path / "sbin"),))
    monkeypatch.setattr(debian, "POLICY", tmp_path / "policy-rc.d")
    monkeypatch.setattr(debian, "BOOTED", tmp_path / "systemd")
    monkeypatch.setattr(os, "geteuid", lambda: 0)


@pytest.fixture
def apt(tmp_path: Path) -> Path:
    """Puts an apt-get on PATH; what it is called with, and the answer to whether a service may start, are in the file."""
    calls = tmp_path / "calls"
    _script(
        tmp_path / "bin" / "apt-get",
        f"""
        shift 3
        {tmp_path}/policy-rc.d ssh start
        echo "$? $*" >> {calls}
        case "$*" in *openssh-server) names=sshd;; *gnupg) names="gpg gpg-agent gpgconf";; esac
        for name in $names; do echo '#!/bin/sh' > {tmp_path}/sbin/$name; /bin/chmod +x {tmp_path}/sbin/$name; done
        """,
    )
    return calls


def test_the_one_on_path_is_taken(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name in PROGRAMS:
        for folder in ("bin", "sbin"):
            _script(tmp_path / folder / name, "true")

    assert debian.main() == 0
    assert capfd.readouterr().out.split() == ["sshd", str(tmp_path / "bin" / "sshd"), "gpg", str(tmp_path / "bin" / "gpg")]


def test_one_where_daemons_are_is_found(tmp_path: Path) -> None:
    _script(tmp_path / "sbin" / "sshd", "true")

    assert debian.locate("sshd") == tmp_path / "sbin" / "sshd"


def test_a_missing_one_is_named_with_the_way_to_get_it() -> None:
    with pytest.raises(ToolsError, match="sshd not found; install your system's OpenSSH server"):
        debian.locate("sshd")


def test_gpg_without_its_agent_is_not_enough(tmp_path: Path) -> None:
    _script(tmp_path / "bin" / "gpg", "true")

    with pytest.raises(ToolsError, match="gpg not found; install your system's GnuPG"):
        debian.locate("gpg")


def test_root_on_debian_gets_the_package_and_no_service_starts(
    tmp_path: Path, apt: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert debian.main() == 0

    assert apt.read_text().splitlines() == [
        "101 update",
        "101 install --yes --no-install-recommends openssh-server",
        "101 update",
        "101 install --yes --no-install-recommends gnupg",
    ]
    said = capfd.readouterr().out.splitlines()
    assert said[0] == "sshd: installing Debian's openssh-server without starting it"
    assert said[1].split() == ["sshd", str(tmp_path / "sbin" / "sshd")]
    assert said[2] == "gpg: installing Debian's gnupg without starting it"
    assert said[3].split() == ["gpg", str(tmp_path / "sbin" / "gpg")]
    assert not debian.POLICY.exists()


@pytest.mark.usefixtures("apt")
def test_installed_at_the_same_time_it_is_installed_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor() as pool:
        assert [each.result() for each in [pool.submit(debian.main) for _ in range(3)]] == [0, 0, 0]

    assert (tmp_path / "calls").read_text().count("101 install") == 2


def test_a_policy_that_is_there_stays(apt: Path) -> None:
    _script(debian.POLICY, "exit 101")

    assert debian.main() == 0
    assert apt.read_text().startswith("101 update")
    assert debian.POLICY.exists()


def test_a_policy_that_lets_services_start_is_not_worked_around(apt: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _script(debian.POLICY, "exit 0")

    assert debian.main() == 1
    assert "lets services start; install openssh-server yourself" in capfd.readouterr().err
    assert not apt.exists()


@pytest.mark.usefixtures("apt")
@pytest.mark.parametrize("machine", ["no root", "no apt-get", "systemd"])
def test_elsewhere_people_are_told_to_install_it(
    tmp_path: Path, machine: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if machine == "no root":
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
    elif machine == "no apt-get":
        (tmp_path / "bin" / "apt-get").unlink()
    else:
        debian.BOOTED.mkdir()

    assert debian.main() == 1
    said = capfd.readouterr().err.splitlines()
    assert said[0].startswith("make tools: sshd not found; install your system's OpenSSH server")
    assert said[1].startswith("make tools: gpg not found; install your system's GnuPG")


def test_what_apt_says_last_is_shown_when_it_fails(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _script(tmp_path / "bin" / "apt-get", "echo first >&2; echo E: no such package >&2; exit 100")

    assert debian.main() == 1
    assert capfd.readouterr().err.startswith("make tools: openssh-server cannot be installed: E: no such package\n")
    assert not debian.POLICY.exists()


def _script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
