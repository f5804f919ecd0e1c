"""Syncs that take signed revisions alone."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from guard.base.codec import JsonObject
from tests.e2e.conftest import SYNCS, Followed, World
from tests.source.signing import SshKey
from tools.guardrun import Repository, eventually, sync_document

SECRETS = "/api/v1/namespaces/guard-system/secrets"


class Signed(Followed):
    """A Sync whose repository is signed by one key, which a Secret of its name allows."""

    key: SshKey
    version = ""

    def signing(self, key: SshKey | None) -> None:
        self.repository.git("config", "commit.gpgSign", "true" if key else "false")
        if key:
            self.repository.git("config", "gpg.format", "ssh")
            self.repository.git("config", "user.signingKey", str(key.path))

    async def allow(self, key: SshKey) -> None:
        value = base64.b64encode(key.allowed()).decode()
        patch = f'{{"data": {{"allowed_signers": "{value}"}}}}'
        await self.world.plane.kubectl(
            "patch", "secret", self.name, "-n", "guard-system", "--type=merge", "-p", patch, identity="admin"
        )

    async def as_it_was(self) -> None:
        """Nothing was written, and Git's value is still enforced."""
        found = await self.world.get(f"configmap/{self.name}", "default")
        assert found["data"] == {"color": "blue"}
        assert found["metadata"]["resourceVersion"] == self.version
        await self.world.refused("patch", "configmap", self.name, "-n", "default", "-p", '{"data": {"color": "black"}}')


@pytest.fixture
async def signed(world: World, fresh: str, tmp_path: Path) -> AsyncIterator[Signed]:
    found = Signed(world, Repository(tmp_path / "repository"), fresh)
    found.key = SshKey(tmp_path / "keys", "ada")
    found.signing(found.key)
    commit = found.repository.commit({"map.yaml": found.colored("blue")})
    secret: JsonObject = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": fresh, "namespace": "guard-system"},
        "stringData": {"allowed_signers": found.key.allowed().decode()},
    }
    await world.plane.call("POST", SECRETS, body=secret)
    body = sync_document(fresh, found.repository.directory)
    body["spec"]["source"]["git"]["verify"] = {"secretRef": {"name": fresh}}
    await world.plane.call("POST", SYNCS, body=body)
    await world.guard.applied(commit, sync=fresh)
    found.version = (await world.get(f"configmap/{fresh}", "default"))["metadata"]["resourceVersion"]
    yield found
    await world.plane.kubectl("delete", "sync", fresh, "-n", "guard-system", identity="admin")
    await world.plane.kubectl("delete", "secret", fresh, "-n", "guard-system", identity="admin")


async def test_an_unsigned_commit_changes_nothing_and_a_signed_one_is_applied(signed: Signed) -> None:
    signed.signing(None)
    unsigned = signed.repository.commit({"map.yaml": signed.colored("red")})

    await signed.says(f"commit {unsigned[:10]} is not signed", reason="SignatureRefused")
    await signed.as_it_was()
    log = signed.world.guard.log.read_text().splitlines()
    assert any('"sync failed"' in line and f'"revision":"main@sha1:{unsigned}"' in line for line in log)

    signed.signing(signed.key)
    commit = signed.repository.commit({"map.yaml": signed.colored("green")})
    await signed.applied(commit)
    assert await signed.color() == "green"
    status = (await signed.world.guard.sync(signed.name))["status"]
    assert status["signature"]["revision"] == f"main@sha1:{commit}"
    assert (status["signature"]["by"], status["signature"]["key"]) == ("ada@example.com", signed.key.fingerprint)


async def test_somebody_elses_commit_changes_nothing(signed: Signed, tmp_path: Path) -> None:
    eve = SshKey(tmp_path / "keys", "eve")
    signed.signing(eve)
    commit = signed.repository.commit({"map.yaml": signed.colored("red")})

    await signed.says(f"is signed with an unknown key {eve.fingerprint}", reason="SignatureRefused")
    await signed.as_it_was()

    # The same commit counts once its key does.
    await signed.allow(eve)
    await signed.becomes("red")
    await signed.applied(commit)


@pytest.mark.case(30)
async def test_an_old_signed_commit_comes_back_only_if_an_admin_says_so(signed: Signed) -> None:
    old = signed.repository.git("rev-parse", "HEAD")
    await signed.applied(signed.repository.commit({"map.yaml": signed.colored("green")}))
    signed.repository.git("reset", "--hard", old)

    await signed.says("somebody may have put an old one back", reason="SignatureRefused")
    assert await signed.color() == "green"

    annotation = f"gitopsguard.dev/accept-revision=main@sha1:{old}"
    await signed.world.plane.kubectl("annotate", "sync", signed.name, "-n", "guard-system", annotation, identity="admin")
    await signed.applied(old)
    assert await signed.color() == "blue"

    # It was said of that one step.
    await signed.applied(signed.repository.commit({"map.yaml": signed.colored("yellow")}))
    signed.repository.git("reset", "--hard", old)
    await signed.says(f"main@sha1:{old} is signed by", reason="SignatureRefused")
    assert await signed.color() == "yellow"


async def test_a_key_that_counts_no_more_is_told_and_what_is_in_force_stays(signed: Signed, tmp_path: Path) -> None:
    bob = SshKey(tmp_path / "keys", "bob")
    await signed.allow(bob)

    await signed.says(f"is signed with an unknown key {signed.key.fingerprint}", reason="SignatureRefused")
    await signed.as_it_was()

    signed.signing(bob)
    await signed.applied(signed.repository.commit({"map.yaml": signed.colored("green")}))

    async def is_recorded() -> bool:
        return any(
            record["event"] == "revision-refused" and record.get("sync") == f"guard-system/{signed.name}"
            for record in signed.world.guard.records()
        )

    await eventually(is_recorded, what="the refusal is in the journal")
