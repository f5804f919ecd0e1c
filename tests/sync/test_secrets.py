from __future__ import annotations

import base64
from pathlib import Path

import pytest

from guard.base.errors import SourceError
from guard.cluster import Client
from guard.sync import Secrets
from tools.controlplane import ControlPlane


async def test_files_count_before_the_cluster(
    control_plane: ControlPlane, client: Client, namespace: str, tmp_path: Path
) -> None:
    body = {"metadata": {"name": "deploy"}, "data": {"username": base64.b64encode(b"of-the-cluster").decode()}}
    await control_plane.call("POST", f"/api/v1/namespaces/{namespace}/secrets", body=body)
    secrets = Secrets(client, directory=tmp_path)
    assert await secrets.read(namespace, "deploy") == {"username": b"of-the-cluster"}

    # As a projected volume has it: links into a hidden folder.
    folder = tmp_path / namespace / "deploy"
    (folder / "..data").mkdir(parents=True)
    (folder / "..data" / "username").write_text("of-a-file")
    (folder / "username").symlink_to("..data/username")

    assert await secrets.read(namespace, "deploy") == {"username": b"of-a-file"}


@pytest.mark.parametrize("name", ["..", ".", "none", "../other/deploy"])
async def test_only_folders_of_the_namespace_count(client: Client, namespace: str, tmp_path: Path, name: str) -> None:
    for folder in (tmp_path / namespace, tmp_path / "other" / "deploy"):
        folder.mkdir(parents=True)
        (folder / "username").write_text("of another")

    with pytest.raises(SourceError, match="there is no Secret"):
        await Secrets(client, directory=tmp_path).read(namespace, name)


async def test_a_file_that_cannot_be_read_is_named(client: Client, namespace: str, tmp_path: Path) -> None:
    folder = tmp_path / namespace / "deploy"
    folder.mkdir(parents=True)
    (folder / "username").write_text("x")
    gone = tmp_path / "gone"
    gone.mkdir()
    (folder / "password").symlink_to(gone)  # a folder is no value

    assert await Secrets(client, directory=tmp_path).read(namespace, "deploy") == {"username": b"x"}
