"""A Sync's source as its Secrets change."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.api import parse_sync
from guard.base.errors import SourceError
from guard.cluster import Client, Served
from guard.render.parse import Parser
from guard.state.desired import View
from guard.sync import Secrets, SourceFolder
from tools.guardrun import Repository


async def test_a_secret_that_is_wrong_and_put_right_again_is_as_before(client: Client, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    commit = repository.commit({"a.yaml": "# nothing\n"})
    secret = tmp_path / "secrets" / "guard-system" / "login"
    secret.mkdir(parents=True)
    (secret / "password").write_text("hunter2")
    git = {"url": str(repository.directory), "ref": {"branch": "main"}, "secretRef": {"name": "login"}}
    body = {
        "apiVersion": "gitopsguard.dev/v1alpha1",
        "kind": "Sync",
        "metadata": {"name": "apps"},
        "spec": {"source": {"git": git}},
    }
    sync = parse_sync(body, where="test")

    async def served() -> Served:
        raise AssertionError("no chart is rendered")

    folder = SourceFolder(
        sync=lambda: sync,
        secrets=Secrets(client, directory=tmp_path / "secrets"),
        served=served,
        view=View(),
        parser=Parser(),
        directory=tmp_path / "sources",
        scratch=tmp_path / "scratch",
    )
    assert await folder.fetch() == f"main@sha1:{commit}"
    (secret / "bearerToken").write_text("as well")
    with pytest.raises(SourceError, match="bearerToken and username or password"):
        await folder.fetch()
    (secret / "bearerToken").unlink()

    assert await folder.fetch() == f"main@sha1:{commit}"
    await folder.close()
