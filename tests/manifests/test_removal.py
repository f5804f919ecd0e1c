"""docs/operations.md says how Guard is taken away: nothing of it stays."""

from __future__ import annotations

import re
import shlex
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.manifests.generate import MANIFESTS
from tests.manifests.incluster import DEPLOYMENT, colour, declare, install, make_repository
from tests.manifests.test_install import Pod
from tests.manifests.test_operations_page import PAGE
from tools.controlplane import ControlPlane
from tools.guardrun import eventually, running

REGISTRATION = "validatingwebhookconfigurations,validatingadmissionpolicies,validatingadmissionpolicybindings"
KINDS = f"{REGISTRATION},clusterrolebindings,customresourcedefinitions,namespaces"


def _commands() -> list[list[str]]:
    section = PAGE.partition("**Take it away.**")[2].partition("\n## ")[0]
    return [shlex.split(line) for line in re.findall(r"^    kubectl (.+)$", section, re.MULTILINE)]


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[ControlPlane]:
    """With the controllers that bring a namespace's deletion to its end."""
    async with ControlPlane.start(tmp_path / "plane", controller_manager=True) as plane:
        yield plane


async def test_taking_guard_away_leaves_nothing_but_what_git_declared(plane: ControlPlane, tmp_path: Path) -> None:
    token = await install(plane)
    await plane.kubectl("apply", "--filename", DEPLOYMENT, identity="admin")
    await declare(plane, repository=make_repository(tmp_path / "repository").directory)
    async with running(Pod(plane, tmp_path / "guard", token=token)) as pod:

        async def applied() -> bool:
            return await colour(plane) == "green"

        await eventually(applied, what=lambda: f"the ConfigMap is applied; the log ends:\n{pod.tail()}")
        first, *rest = _commands()
        await plane.kubectl(*first, identity="admin")
        # As the kubelet would.
        await pod.stop()
        for command in rest:
            await plane.kubectl(*(str(MANIFESTS) if word == "manifests/" else word for word in command), identity="admin")
    left = (await plane.kubectl("get", KINDS, "--output=name", identity="admin")).stdout.splitlines()
    assert [name for name in left if "guard" in name] == []
    assert await colour(plane) == "green"
