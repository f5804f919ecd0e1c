"""A tenant whose repository is signed, encrypted and made of a kustomization, with the tenant's own Secrets."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import pytest

from guard.base.codec import JsonObject, child
from guard.cluster import Client, connect
from tests.e2e.conftest import World, config_map
from tests.e2e.searching import Marks
from tests.e2e.tenants import Tenant, tenancy
from tests.render.locksmith import Key, Locksmith
from tests.source.signing import SshKey
from tests.sync.tenants import allow
from tools import binaries
from tools.guardrun import eventually

KUSTOMIZATION = """resources: [settings.yaml]
generatorOptions: {disableNameSuffixHash: true}
secretGenerator:
  - name: login
    envs: [login.env]
"""


@pytest.fixture
def locksmith() -> Iterator[Locksmith]:
    made = Locksmith(binaries.locate(["sops", "age-keygen"]))
    yield made
    made.close()


@pytest.fixture
async def tenant(world: World, fresh: str, tmp_path: Path) -> AsyncIterator[Tenant]:
    client = Client(await connect(kubeconfig=world.plane.kubeconfig("admin")))
    async with tenancy(world, client, fresh, tmp_path) as found:
        await allow(world.plane, fresh, found.user, {"": ["secrets"]}, role="secrets")
        yield found
    await client.close()


async def keep(tenant: Tenant, name: str, values: Mapping[str, bytes]) -> None:
    data = {entry: base64.b64encode(value).decode() for entry, value in values.items()}
    path = f"/api/v1/namespaces/{tenant.namespace}/secrets"
    await tenant.world.plane.call("POST", path, body={"metadata": {"name": name}, "data": data})


def files(tenant: Tenant, locksmith: Locksmith, key: Key, *, password: str, color: str) -> dict[str, str | None]:
    return {
        "kustomization.yaml": f"namespace: {tenant.namespace}\n{KUSTOMIZATION}",
        "login.env": locksmith.encrypt("login.env", f"PASSWORD={password}\n", key),
        "settings.yaml": config_map("settings", tenant.namespace, f"  color: {color}"),
    }


def signing(tenant: Tenant, key: SshKey) -> None:
    for name, value in (("commit.gpgSign", "true"), ("gpg.format", "ssh"), ("user.signingKey", str(key.path))):
        tenant.repository.git("config", name, value)


@pytest.mark.case(39)
async def test_a_tenant_takes_what_its_own_people_signed_and_opens_it_with_its_own_keys(
    tenant: Tenant, locksmith: Locksmith, tmp_path: Path
) -> None:
    world, marks = tenant.world, Marks()
    ada, eve, key = SshKey(tmp_path / "keys", "ada"), SshKey(tmp_path / "keys", "eve"), locksmith.age()
    await keep(tenant, "signers", {"allowed_signers": ada.allowed()})
    await keep(tenant, "opening", key.values)
    signing(tenant, ada)
    commit = tenant.repository.commit(files(tenant, locksmith, key, password=marks["first"], color="blue"))
    await tenant.follow(signers="signers", decryption={"secretRef": {"name": "opening"}})
    await tenant.applied(commit)
    assert await password(tenant) == marks["first"]
    status = child(await tenant.sync(), "status")
    assert status["signature"]["key"] == ada.fingerprint

    # Somebody who may push, and may not sign.
    signing(tenant, eve)
    tenant.repository.commit(files(tenant, locksmith, key, password=marks["forged"], color="black"))
    said = await tenant.says("is signed with an unknown key")
    assert eve.fingerprint in said
    assert await password(tenant) == marks["first"]
    assert (await world.get("configmap/settings", tenant.namespace))["data"] == {"color": "blue"}
    refused = await world.refused("patch", "secret/login", "-n", tenant.namespace, "-p", '{"stringData": {"PASSWORD": "guess"}}')

    tenant.repository.git("reset", "--hard", commit)
    signing(tenant, ada)
    await tenant.declare(files(tenant, locksmith, key, password=marks["second"], color="green"))

    async def is_new() -> bool:
        return await password(tenant) == marks["second"]

    await eventually(is_new, what="the next password is applied")
    assert marks.found(f"{said}\n{refused.stderr}".encode()) == ""
    assert marks.in_files(world.guard.directory) == []


async def password(tenant: Tenant) -> str:
    secret: JsonObject = await tenant.world.get("secret/login", tenant.namespace)
    return base64.b64decode(secret["data"]["PASSWORD"]).decode()
