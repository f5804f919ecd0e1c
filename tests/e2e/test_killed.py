"""Guard is killed at each single write of an attempt: before it reaches the API server, or done without Guard knowing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from guard.base.codec import JsonObject, child, children
from tests.e2e.conftest import config_map
from tests.e2e.gates import Gate, GatedGuard, When
from tools.controlplane import ControlPlane
from tools.guardrun import Repository, eventually, sync_document

# Of the attempt below: its status, the registration, three applies, a delete, the registration and the status again.
MOST_WRITES = 14
OBJECTS = "configmaps,secrets,serviceaccounts"


def files(number: int) -> dict[str, str | None]:
    """Each commit changes an object, adds one of a kind that comes and goes, and drops one."""
    kind = "Secret" if number % 2 else "ServiceAccount"
    other = {f"killed/other-{number - 1}.yaml": None, f"killed/short-{number - 1}.yaml": None} if number else {}
    return {
        "killed/stays.yaml": config_map("stays", "default", f"  v: v{number}"),
        f"killed/short-{number}.yaml": config_map(f"short-{number}", "default", "  a: b"),
        f"killed/other-{number}.yaml": f"apiVersion: v1\nkind: {kind}\nmetadata: {{name: other-{number}, namespace: default}}\n",
        **other,
    }


async def held(plane: ControlPlane) -> dict[str, JsonObject]:
    """What carries the Sync's label, as the API server has it."""
    listed = await plane.kubectl(
        "get", OBJECTS, "-n", "default", "-l", "gitopsguard.dev/sync=guard-system.killed", "-o", "json", identity="admin"
    )
    return {f"{item['kind']}/{item['metadata']['name']}": child(item, "data") for item in children(listed.json(), "items")}


@pytest.mark.case(35)
@pytest.mark.timeout(600)
@pytest.mark.parametrize("when", ["before", "after"])
async def test_killed_at_any_write_guard_ends_where_git_is(tmp_path: Path, when: When) -> None:
    repository = Repository(tmp_path / "repository")
    head = repository.commit(files(0))
    async with ControlPlane.start(tmp_path / "plane") as plane, Gate.before(plane, tmp_path) as gate:
        syncs = [sync_document("killed", repository.directory, path="killed", interval="1s")]
        guard = GatedGuard(plane, tmp_path / "guard", syncs=syncs)
        guard.kubeconfig = gate.kubeconfig(tmp_path / "kubeconfig")
        try:
            await guard.start()
            await guard.applied(head, sync="killed")
            number = 0
            while number < MOST_WRITES:
                number += 1
                gate.close_at(number, when)
                head = repository.commit(files(number))
                applied = asyncio.create_task(guard.applied(head, sync="killed"))
                closed = asyncio.create_task(gate.closed.wait())
                await asyncio.wait((applied, closed), return_when=asyncio.FIRST_COMPLETED)
                is_over = not closed.done()
                for task in (applied, closed):
                    task.cancel()
                await asyncio.gather(applied, closed, return_exceptions=True)
                if is_over:
                    break
                await guard.kill()
                gate.close_at(0, when)
                await guard.start()
                await guard.applied(head, sync="killed")
                kind = "Secret" if number % 2 else "ServiceAccount"
                wanted = {
                    "ConfigMap/stays": {"v": f"v{number}"},
                    f"ConfigMap/short-{number}": {"a": "b"},
                    f"{kind}/other-{number}": {},
                }

                async def is_like_git(wanted: dict[str, JsonObject] = wanted) -> bool:
                    return await held(plane) == wanted

                await eventually(is_like_git, what=f"after write {number} all is as Git says: {await held(plane)}")
            # Two of the status, three applies, a delete.
            assert 6 <= number < MOST_WRITES
        finally:
            await guard.kill()


@pytest.mark.case(35)
async def test_what_was_begun_is_gone_on_with_and_not_undone(tmp_path: Path) -> None:
    """Killed in the middle of a good revision, with a bad one behind it: the good one stays."""
    repository = Repository(tmp_path / "repository")
    await asyncio.to_thread(repository.commit, files(0))
    async with ControlPlane.start(tmp_path / "plane") as plane, Gate.before(plane, tmp_path) as gate:
        syncs = [sync_document("killed", repository.directory, path="killed", interval="1s")]
        guard = GatedGuard(plane, tmp_path / "guard", syncs=syncs)
        guard.kubeconfig = gate.kubeconfig(tmp_path / "kubeconfig")
        try:
            await guard.start()
            await guard.applied(repository.git("rev-parse", "HEAD"), sync="killed")

            async def changed() -> bool:
                return (await held(plane)).get("ConfigMap/stays") == {"v": "v1"}

            for number in range(1, MOST_WRITES):
                # The first write after which the cluster shows the revision.
                if number == 1:
                    gate.close_at(number, "after")
                    repository.commit(files(1))
                async with asyncio.timeout(60):
                    await gate.closed.wait()
                if await changed():
                    break
                await guard.kill()
                gate.close_at(number + 1, "after")
                await guard.launch()
            await guard.kill()
            gate.close_at(0, "after")
            repository.commit({"killed/bad.yaml": "a: [\n"})
            await guard.start()
            status = (await guard.sync("killed"))["status"]
            assert status["revisionInForce"].endswith(repository.git("rev-parse", "HEAD^"))
            assert await changed()
        finally:
            await guard.kill()
