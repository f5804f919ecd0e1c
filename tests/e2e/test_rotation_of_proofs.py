"""The proofs by which Guard knows its own impersonated writes, made anew all the time while it writes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from guard.base.errors import ApiStatusError
from guard.cluster import Client, connect
from guard.cluster.impersonation import EXTRA_HEADER, USER_HEADER
from guard.state.requesters import ACTING_EXTRA
from tests.e2e.conftest import World, config_map
from tests.e2e.tenants import Tenant, tenancy
from tools.controlplane import ControlPlane
from tools.guardrun import GuardProcess, Repository, running, sync_document

ROTATE, GRACE = 0.1, 10.0
OBJECTS = 200


class Rotating(GuardProcess):
    """One that rotates after a tenth of a second."""

    def command(self) -> list[str]:
        setting = f"impersonation.ROTATE_SECONDS, impersonation.GRACE_SECONDS = {ROTATE}, {GRACE}"
        program = f"from guard.cluster import impersonation; {setting}; from guard.cli.main import main; main()"
        return [sys.executable, "-c", program, *self.arguments()]


@pytest.fixture
async def tenant(tmp_path: Path) -> AsyncIterator[Tenant]:
    repository = Repository(tmp_path / "platform")
    repository.commit({"apps/base.yaml": config_map("base", "default", "  greeting: hello")})
    syncs = [sync_document("apps", repository.directory, path="apps")]
    async with (
        ControlPlane.start(tmp_path / "plane") as plane,
        running(Rotating(plane, tmp_path / "guard", syncs=syncs)) as guard,
    ):
        client = Client(await connect(kubeconfig=plane.kubeconfig("admin")))
        async with tenancy(World(plane, guard, repository), client, "team-a", tmp_path / "tenant") as found:
            yield found
        await client.close()


def proofs(tenant: Tenant) -> list[str]:
    lines = tenant.world.plane.audited(about=tenant.user)
    found = [line["impersonatedUser"] for line in lines if "impersonatedUser" in line]
    return [user["extra"][ACTING_EXTRA][0] for user in found if user["username"] == tenant.user]


def files(color: str) -> dict[str, str | None]:
    return {f"{number}.yaml": config_map(f"map-{number}", "team-a", f"  color: {color}") for number in range(OBJECTS)}


async def test_no_write_is_lost_to_it_and_an_old_proof_ends(tenant: Tenant) -> None:
    commit = tenant.repository.commit(files("blue"))
    await tenant.follow()
    await tenant.applied(commit)
    await tenant.declare(files("green"))

    assert len(set(proofs(tenant))) > 5
    refusals = [found for found in tenant.world.guard.records() if found["event"] in {"denied", "sync-failed", "heal-failed"}]
    assert not refusals
    old, path = proofs(tenant)[-1], "/api/v1/namespaces/team-a/configmaps/map-0"
    acting = tenant.client.acting_as(lambda: {USER_HEADER: tenant.user, EXTRA_HEADER: old})
    await asyncio.sleep(ROTATE + GRACE)
    with pytest.raises(ApiStatusError, match="managed from Git"):
        await acting.merge_patch(path, {"data": {"color": "red"}}, manager="guard")
