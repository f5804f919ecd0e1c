"""Files that SOPS has encrypted, from Git to a real cluster: applied, refused, healed, and their values nowhere else."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import pytest

from guard.base.codec import JsonObject
from tests.e2e.conftest import SYNCS, World, config_map
from tests.e2e.searching import Marks
from tests.e2e.test_renderers import says
from tests.e2e.test_secrets import quoted, told
from tests.render.locksmith import Key, Locksmith, edited
from tools import binaries
from tools.guardrun import Repository, eventually, sync_document

ONLY_DATA = ("--encrypted-regex", "^(data|stringData)$")


class Vault:
    """A Sync of its own, the namespace that it fills, and the Secret with the keys."""

    def __init__(self, world: World, name: str, repository: Repository, locksmith: Locksmith) -> None:
        self.world = world
        self.name = name
        self.repository = repository
        self.locksmith = locksmith
        self.key = locksmith.age()
        self.marks = Marks()
        self.value, self.setting = self.marks["password"], self.marks["setting"]

    def encrypted(self, name: str, text: str, *, key: Key | None = None) -> str:
        return self.locksmith.encrypt(name, text, key or self.key, options=ONLY_DATA)

    @property
    def files(self) -> dict[str, str | None]:
        login = f"apiVersion: v1\nkind: Secret\nmetadata: {{name: login, namespace: {self.name}}}\n"
        return {
            "login.yaml": self.encrypted("login.yaml", f"{login}stringData: {{password: {self.value}, port: '5432'}}\n"),
            "settings.yaml": self.encrypted("settings.yaml", config_map("settings", self.name, f"  token: {self.setting}")),
            "plain.yaml": config_map("plain", self.name, "  color: blue"),
        }

    async def keep(self, values: Mapping[str, bytes]) -> None:
        """Put these keys, and no others, into the Secret."""
        body: JsonObject = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": self.name, "namespace": "guard-system"},
            "data": {name: base64.b64encode(value).decode() for name, value in values.items()},
        }
        gone = ("delete", "secret", self.name, "-n", "guard-system", "--ignore-not-found")
        await self.world.plane.kubectl(*gone, identity="admin")
        await self.world.plane.call("POST", "/api/v1/namespaces/guard-system/secrets", body=body)

    async def follow(self, files: Mapping[str, str | None]) -> str:
        commit = self.repository.commit(files)
        decryption = {"secretRef": {"name": self.name}}
        body = sync_document(self.name, self.repository.directory, decryption=decryption)
        await self.world.plane.call("POST", SYNCS, body=body)
        return commit

    async def applied(self, commit: str) -> None:
        await self.world.guard.applied(commit, sync=self.name)

    async def value_of(self, name: str, field: str) -> str:
        found = (await self.world.get(f"secret/{name}", self.name))["data"][field]
        return base64.b64decode(found).decode()

    async def check_nowhere(self, *answers: str) -> None:
        """No value is in what people were told, in Guard's files, or in the memory of what it has started."""
        await self.check_untold(*answers)
        assert self.marks.in_files(self.world.guard.directory) == []
        assert self.marks.below(self.world.guard.process.pid) == []

    async def check_untold(self, *answers: str) -> None:
        assert self.marks.found("\n".join([*answers, await told(self.world)]).encode()) == ""


@pytest.fixture
def locksmith() -> Iterator[Locksmith]:
    made = Locksmith(binaries.locate(["sops", "age-keygen"]))
    yield made
    made.close()


@pytest.fixture
async def vault(world: World, fresh: str, tmp_path: Path, locksmith: Locksmith) -> AsyncIterator[Vault]:
    await world.plane.call("POST", "/api/v1/namespaces", body={"metadata": {"name": fresh}})
    found = Vault(world, fresh, Repository(tmp_path / "repository"), locksmith)
    await found.keep(found.key.values)
    yield found
    await world.plane.kubectl("delete", "sync", fresh, "-n", "guard-system", identity="admin")


@pytest.mark.case(39)
async def test_what_is_encrypted_in_git_is_applied_refused_and_healed_without_being_shown(vault: Vault) -> None:
    world, name = vault.world, vault.name
    await vault.applied(await vault.follow(vault.files))
    assert await vault.value_of("login", "password") == vault.value
    assert (await world.get("configmap/settings", name))["data"] == {"token": vault.setting}

    secret = await world.refused("patch", "secret/login", "-n", name, '-p={"stringData":{"password":"guess"}}')
    assert "data.password: differs from Git" in secret.stderr
    assert re.search(r"Change it in Git: login\.yaml:\d+ \(main@", secret.stderr)
    setting = await world.refused("patch", "configmap/settings", "-n", name, '-p={"data":{"token":"guess"}}')
    assert "data.token" in setting.stderr
    applied = await world.refused("apply", "-f", "-", text=config_map("settings", name, "  token: other"))
    for past in ("secret/login", '-p={"data":{"password":"Z3Vlc3M="}}'), ("configmap/settings", '-p={"data":{"token":"guess"}}'):
        await world.past("patch", past[0], "-n", name, past[1])

    async def healed() -> bool:
        found = (await world.get("configmap/settings", name))["data"]
        return await vault.value_of("login", "password") == vault.value and found == {"token": vault.setting}

    await eventually(healed, what=lambda: f"values are Git's again; the log ends:\n{world.guard.tail()}")
    explained = [await world.guard.guard("explain", kind, "-n", name) for kind in ("secret/login", "configmap/settings")]
    differs = await world.guard.guard("diff", name)
    answers = [setting.stderr, secret.stderr, quoted(applied), *(each.stdout for each in explained), differs.stdout]
    await vault.check_nowhere(*answers)


@pytest.mark.case(25, 39)
async def test_a_file_edited_by_hand_stays_out_and_says_no_value(vault: Vault) -> None:
    files = vault.files
    await vault.applied(await vault.follow(files))
    login = str(files["login.yaml"])
    vault.repository.commit({"login.yaml": edited(login, "name: login", "name: admin")})
    await says(vault.world, vault.name, "login.yaml: the checksum that sops keeps of the file does not fit")
    vault.repository.commit({"login.yaml": edited(login, "password: .*", f"password: {vault.value}")})
    await says(vault.world, vault.name, "login.yaml: a value of the file is not what sops made of it")
    assert await vault.value_of("login", "password") == vault.value
    # What the commit itself says in clear text is in Git's own folder below the data folder.
    await vault.check_untold()
    await vault.applied(vault.repository.commit({"login.yaml": login, "plain.yaml": None}))


async def test_kustomize_makes_secrets_of_encrypted_inputs_and_other_keys_count_at_once(vault: Vault) -> None:
    world, other = vault.world, vault.locksmith.pgp()
    commit = await vault.follow(
        {
            "kustomization.yaml": f"namespace: {vault.name}\nresources: [settings.yaml]\n"
            "secretGenerator: [{name: login, envs: [login.env]}]\n",
            "settings.yaml": vault.files["settings.yaml"],
            "login.env": vault.locksmith.encrypt("login.env", f"password={vault.value}\n", vault.key),
        }
    )
    await vault.applied(commit)
    found = await world.plane.kubectl("get", "secrets", "-n", vault.name, "-o", "name", identity="admin")
    name = found.stdout.strip().removeprefix("secret/")
    assert re.fullmatch(r"login-[a-z0-9]{10}", name)
    assert await vault.value_of(name, "password") == vault.value

    vault.value = vault.marks["other"]
    text = vault.locksmith.encrypt("login.env", f"password={vault.value}\n", other)
    commit = vault.repository.commit({"login.env": text})
    await says(world, vault.name, f"login.env: no key of the Secret guard-system/{vault.name} opens it, which is encrypted for")
    await vault.keep({**vault.key.values, **other.values})
    await vault.applied(commit)
    await vault.check_nowhere()


@pytest.mark.case(34, 35)
async def test_after_a_restart_without_the_repository_values_are_kept_and_healed(vault: Vault) -> None:
    world, name = vault.world, vault.name
    await vault.applied(await vault.follow(vault.files))
    await world.guard.kill()
    away = vault.repository.directory.with_name("away")
    vault.repository.directory.rename(away)
    try:
        await world.guard.start()
        await eventually(world.guard.ready, what=lambda: f"Guard is ready; its log ends:\n{world.guard.tail()}")
        refused = await world.refused("patch", "secret/login", "-n", name, '-p={"stringData":{"password":"guess"}}')
        await world.past("patch", "secret/login", "-n", name, '-p={"data":{"password":"Z3Vlc3M="}}')

        async def healed() -> bool:
            return await vault.value_of("login", "password") == vault.value

        await eventually(healed, what=lambda: f"the password is Git's again; the log ends:\n{world.guard.tail()}")
        await vault.check_nowhere(refused.stderr)
    finally:
        away.rename(vault.repository.directory)
