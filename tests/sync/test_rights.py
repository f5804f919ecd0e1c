from __future__ import annotations

import secrets
from collections.abc import Sequence

import pytest

from guard.base.errors import RenderError
from guard.cluster import Client
from guard.state import Declared
from guard.sync.rights import check, forbidden
from tests.state.samples import CONFIG_MAP, NAMESPACE, SECRET, declared_as, object_of
from tests.sync.tenants import allow, make_account, make_namespace
from tools.controlplane import ControlPlane


@pytest.fixture
async def team(control_plane: ControlPlane) -> str:
    name = f"team-{secrets.token_hex(4)}"
    await make_namespace(control_plane, name)
    return name


def declared(namespace: str, *, names: Sequence[str] = ("web",)) -> list[Declared]:
    return [declared_as(CONFIG_MAP, object_of(CONFIG_MAP, name=name, namespace=namespace)) for name in names]


async def test_what_the_account_may_patch_is_let_in(control_plane: ControlPlane, client: Client, team: str) -> None:
    user = await make_account(control_plane, team, "deployer")
    await allow(control_plane, team, user, {"": ["configmaps"]})

    await check(declared(team, names=["a", "b"]), user=user, client=client)


async def test_what_it_may_not_patch_is_named_with_the_account_and_its_place(
    control_plane: ControlPlane, client: Client, team: str
) -> None:
    user = await make_account(control_plane, team, "deployer")
    await allow(control_plane, team, user, {"": ["configmaps"]})
    objects = [
        *declared(team),
        declared_as(SECRET, object_of(SECRET, name="login", namespace=team)),
        *declared("kube-system", names=["coredns"]),
        declared_as(NAMESPACE, object_of(NAMESPACE, name=team)),
    ]

    assert await forbidden(objects, user=user, client=client) == objects[1:]
    with pytest.raises(RenderError) as raised:
        await check(objects, user=user, client=client)
    text = str(raised.value)
    assert f"Secret {team}/login: service account {team}/deployer may not patch secrets in namespace {team}" in text
    assert f"service account {team}/deployer may not patch configmaps in namespace kube-system" in text
    assert "may not patch namespaces of the cluster" in text
    assert str(objects[1].origin) in text
    assert "bind it a Role" in text


async def test_an_object_in_a_namespace_that_is_still_to_come_is_asked_about_too(
    control_plane: ControlPlane, client: Client, team: str
) -> None:
    user = await make_account(control_plane, team, "deployer")
    nowhere = declared("not-there-yet")
    assert await forbidden(nowhere, user=user, client=client) == nowhere


async def test_a_role_may_name_single_objects(control_plane: ControlPlane, client: Client, team: str) -> None:
    user = await make_account(control_plane, team, "deployer")
    await allow(control_plane, team, user, {"": ["configmaps"]}, names=["mine"])

    denied = await forbidden(declared(team, names=["mine", "others"]), user=user, client=client)
    assert [one.key.name for one in denied] == ["others"]


async def test_an_account_that_is_not_there_is_said_so(control_plane: ControlPlane, client: Client, team: str) -> None:
    user = f"system:serviceaccount:{team}:gone"
    await allow(control_plane, team, user, {"": ["configmaps"]})

    assert await forbidden(declared(team), user=user, client=client) == declared(team)
    with pytest.raises(RenderError, match=rf"there is no service account {team}/gone \(create it"):
        await check(declared(team), user=user, client=client)
