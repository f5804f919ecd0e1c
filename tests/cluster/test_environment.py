"""What the environment says about connections, found out once and not before each request."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.base.errors import Unreachable
from guard.cluster import Client, connect
from tools.controlplane import ControlPlane
from tools.guardrun import free_port

VERSION = "/version"


async def asked(control_plane: ControlPlane) -> object:
    client = Client(await connect(kubeconfig=control_plane.kubeconfig("admin")))
    try:
        return (await client.get(VERSION))["gitVersion"]
    finally:
        await client.close()


async def test_passwords_that_the_user_keeps_for_other_tools_are_not_sent(
    control_plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login ada password correct-horse\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert await asked(control_plane)


async def test_the_proxy_that_the_environment_names_is_used_but_where_it_says_not_to(
    control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(Unreachable):
        await asked(control_plane)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert await asked(control_plane)
