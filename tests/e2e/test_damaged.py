"""A data folder that is damaged while Guard is down, with Git away as well: what was applied last stays enforced and healed."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import App, World
from tests.e2e.test_syncing import not_ready
from tools.guardrun import eventually


def _packs(data: Path) -> list[Path]:
    return [found for found in data.glob("sources/*.git/objects/**/*") if found.is_file()]


def corrupt_objects(data: Path) -> None:
    for found in _packs(data):
        found.chmod(0o600)
        found.write_bytes(os.urandom(max(found.stat().st_size, 64)))


def half_an_object(data: Path) -> None:
    for found in _packs(data):
        found.chmod(0o600)
        found.write_bytes(found.read_bytes()[: found.stat().st_size // 2])


def no_refs(data: Path) -> None:
    for repository in data.glob("sources/*.git"):
        shutil.rmtree(repository / "refs")
        (repository / "HEAD").unlink()


def torn_cache(data: Path) -> None:
    file = data / "cache" / "manifests.db"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 3])


def torn_journal(data: Path) -> None:
    with (data / "audit" / "journal.jsonl").open("ab") as journal:
        journal.write(b'{"time":"2026-01-02T03:04:05.678Z","id":"01M89PN0')


@pytest.mark.case(34, 35)
@pytest.mark.parametrize("damage", [corrupt_objects, half_an_object, no_refs, torn_cache, torn_journal])
async def test_a_damaged_data_folder_is_no_end_of_enforcement_and_healing(
    app: App, world: World, damage: Callable[[Path], None]
) -> None:
    refused = await world.refused("delete", "configmap/settings", "-n", app.namespace)
    reference = refused.stderr.rpartition("Reference: ")[2].split()[0]
    away, kept = world.repository.directory.with_name("away"), world.guard.data.with_name("kept")
    await world.guard.kill()
    shutil.copytree(world.guard.data, kept, ignore=lambda _folder, names: {name for name in names if name.endswith(".sock")})
    world.repository.directory.rename(away)
    try:
        damage(world.guard.data)
        await world.guard.start()
        await eventually(world.guard.ready, what=lambda: f"Guard is ready; its log ends:\n{world.guard.tail()}")
        await world.refused("delete", "configmap/settings", "-n", app.namespace)
        await world.past("patch", "configmap/settings", "-n", app.namespace, '-p={"data":{"color":"red"}}')

        async def blue() -> bool:
            return bool((await world.get("configmap/settings", app.namespace))["data"]["color"] == "blue")

        await eventually(blue, what=lambda: f"drift is healed; the log ends:\n{world.guard.tail()}")
        # What was recorded before is still there, and so is what came after.
        audit = await world.guard.guard("audit", "--reference", reference, "-o", "json")
        assert reference in audit.stdout
    finally:
        await world.guard.kill()
        away.rename(world.repository.directory)
        shutil.rmtree(world.guard.data)
        kept.rename(world.guard.data)
        await world.guard.start()
    await world.guard.applied(world.repository.git("rev-parse", "HEAD"))


@pytest.mark.case(34)
async def test_a_copy_that_is_damaged_mends_itself_when_git_is_there(app: App, world: World) -> None:
    await world.guard.kill()
    corrupt_objects(world.guard.data)
    await world.guard.start()
    text = app.text.replace("color: blue", "color: green")
    await world.declare({app.file: text})
    assert (await world.get("configmap/settings", app.namespace))["data"]["color"] == "green"


@pytest.mark.case(34, 35)
async def test_a_full_disk_is_no_end_of_enforcement_and_healing(app: App, world: World) -> None:
    """No file of Guard's, nor of the tools that it runs, can grow by a byte; its log among them."""
    pid = world.guard.process.pid
    assert pid is not None
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    try:
        await world.refused("delete", "configmap/settings", "-n", app.namespace)
        await world.past("patch", "configmap/settings", "-n", app.namespace, '-p={"data":{"color":"red"}}')

        async def is_blue() -> bool:
            return bool((await world.get("configmap/settings", app.namespace))["data"]["color"] == "blue")

        await eventually(is_blue, what=lambda: f"drift is healed; the log ends:\n{world.guard.tail()}")
        commit = world.repository.commit({app.file: app.text.replace("color: blue", "color: green")})
        await world.guard.reconcile()
        assert (await not_ready(world))["reason"] == "SourceFailed"
        await world.refused("delete", "configmap/settings", "-n", app.namespace)
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await world.guard.applied(commit, seconds=90)
    assert world.guard.process.pid == pid
