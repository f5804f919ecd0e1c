from __future__ import annotations

import secrets
from collections.abc import Iterable

import pytest

from guard.base.errors import RenderError
from guard.cluster import Client
from guard.state import Declared, DesiredState, ObjectKey
from guard.sync import entry
from guard.sync.plan import NOTHING, Plan
from tests.state.samples import CONFIG_MAP, declared_as, object_of
from tests.sync.pruning import sync_of
from tests.sync.reconcilers import Indexed
from tests.sync.tenants import allow, make_account, make_namespace
from tools.controlplane import ControlPlane

PLATFORM = "guard-system/platform"


@pytest.fixture
async def team(control_plane: ControlPlane) -> str:
    """A tenant's namespace, whose account may patch the ConfigMap `mine` in it and nothing else."""
    name = f"team-{secrets.token_hex(4)}"
    await make_namespace(control_plane, name)
    user = await make_account(control_plane, name, "default")
    await allow(control_plane, name, user, {"": ["configmaps"]}, names=["mine"])
    return name


def config_map(name: str, namespace: str, *, sync: str) -> Declared:
    return declared_as(CONFIG_MAP, object_of(CONFIG_MAP, name=name, namespace=namespace), sync=sync)


def plan_of(objects: Iterable[Declared]) -> Plan:
    put = tuple(objects)
    return Plan(
        groups=NOTHING.groups,
        declared=NOTHING.declared,
        objects={one.key: one for one in put},
        put=put,
        gone=(),
        coming=NOTHING.coming,
        definitions=NOTHING.definitions,
    )


async def claimed(client: Client, team: str, name: str) -> tuple[str, str]:
    """Who claims what the platform holds once a tenant's Sync has declared it, and what that Sync is told."""
    held = config_map(name, team, sync=PLATFORM)
    index = Indexed(DesiredState().with_sync(PLATFORM, [held]))
    found = plan_of([config_map(name, team, sync=f"{team}/apps")])
    with pytest.raises(RenderError) as raised:
        await entry.check(found, sync=sync_of("apps", namespace=team), asked=found.objects.values(), index=index, client=client)
    return index.claims.claimant(held.key), str(raised.value)


async def test_what_its_account_may_touch_a_sync_claims_of_others(client: Client, team: str) -> None:
    claimant, text = await claimed(client, team, "mine")
    assert claimant == f"{team}/apps"
    assert "is declared by two Syncs" in text


async def test_what_its_account_may_not_touch_it_keeps_nobody_from_pruning(client: Client, team: str) -> None:
    claimant, text = await claimed(client, team, "others")
    assert claimant == ""
    assert "may not patch configmaps" in text


async def test_only_what_is_new_is_asked_about(client: Client, team: str) -> None:
    index = Indexed(DesiredState())
    known, new = config_map("others", team, sync=f"{team}/apps"), config_map("mine", team, sync=f"{team}/apps")
    found = plan_of([known, new])
    user = await entry.check(found, sync=sync_of("apps", namespace=team), asked=[new], index=index, client=client)
    assert user == f"system:serviceaccount:{team}:default"
    assert index.claims.claimant(ObjectKey(group="", kind="ConfigMap", namespace=team, name="others")) == ""
