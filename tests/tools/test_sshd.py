"""The search for an SSH server, and its installation, with a small script in place of apt-get."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tools import sshd
from tools.binaries import ToolsError


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian as root, without systemd and without sshd."""
    for folder in ("bin", "sbin"):
        (tmp_path / folder).mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(sshd, "FOLDERS", (str(tmp_path / "sbin"),))
    monkeypatch.setattr(sshd, "POLICY", tmp_path / "policy-rc.d")
    monkeypatch.setattr(sshd, "BOOTED", tmp_path / "systemd")
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
        if [ "$1" = install ]; then echo '#!/bin/sh' > {tmp_path}/sbin/sshd; /bin/chmod +x {tmp_path}/sbin/sshd; fi
        """,
    )
    return calls


def test_the_one_on_path_is_taken(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _script(tmp_path / "bin" / "sshd", "true")
    _script(tmp_path / "sbin" / "sshd", "true")

    assert sshd.main() == 0
    assert capfd.readouterr().out.split() == ["sshd", str(tmp_path / "bin" / "sshd")]


def test_one_where_daemons_are_is_found(tmp_path: Path) -> None:
    _script(tmp_path / "sbin" / "sshd", "true")

    assert sshd.locate() == tmp_path / "sbin" / "sshd"


def test_a_missing_one_is_named_with_the_way_to_get_it() -> None:
    with pytest.raises(ToolsError, match="sshd not found; install your system's OpenSSH server"):
        sshd.locate()


def test_root_on_debian_gets_the_package_and_no_service_starts(
    tmp_path: Path, apt: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert sshd.main() == 0

    assert apt.read_text().splitlines() == ["101 update", "101 install --yes --no-install-recommends openssh-server"]
    said = capfd.readouterr().out.splitlines()
    assert said[0] == "sshd: installing Debian's openssh-server without starting it"
    assert said[1].split() == ["sshd", str(tmp_path / "sbin" / "sshd")]
    assert not sshd.POLICY.exists()


@pytest.mark.usefixtures("apt")
def test_installed_at_the_same_time_it_is_installed_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor() as pool:
        assert [each.result() for each in [pool.submit(sshd.main) for _ in range(3)]] == [0, 0, 0]

    assert (tmp_path / "calls").read_text().count("101 install") == 1


def test_a_policy_that_is_there_stays(apt: Path) -> None:
    _script(sshd.POLICY, "exit 101")

    assert sshd.main() == 0
    assert apt.read_text().startswith("101 update")
    assert sshd.POLICY.exists()


def test_a_policy_that_lets_services_start_is_not_worked_around(apt: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _script(sshd.POLICY, "exit 0")

    assert sshd.main() == 1
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
        sshd.BOOTED.mkdir()

    assert sshd.main() == 1
    assert capfd.readouterr().err.startswith("make tools: sshd not found; install your system's OpenSSH server")


def test_what_apt_says_last_is_shown_when_it_fails(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _script(tmp_path / "bin" / "apt-get", "echo first >&2; echo E: no such package >&2; exit 100")

    assert sshd.main() == 1
    assert capfd.readouterr().err == "make tools: openssh-server cannot be installed: E: no such package\n"
    assert not sshd.POLICY.exists()


def _script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
