"""What a commit costs, and the histories that a branch can have."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import Followed, config_map
from tools.guardrun import eventually

MANY = 240


async def test_a_commit_of_one_object_asks_about_that_object_alone(followed: Followed) -> None:
    world, name = followed.world, followed.name
    many = {f"{number}.yaml": config_map(f"{name}-{number}", "default", "  a: b") for number in range(MANY)}
    await followed.applied(followed.repository.commit({**many, "a/keep.yaml": config_map(f"{name}-keep", "default", "  a: b")}))
    since = world.asked()

    await followed.applied(
        followed.repository.commit({"7.yaml": config_map(f"{name}-7", "default", "  a: c"), "8.yaml": None, "9.yaml": "# none\n"})
    )

    assert await followed.data(f"{name}-7") == {"a": "c"}
    assert not await world.exists("configmap", f"{name}-8", "default")
    assert not await world.exists("configmap", f"{name}-9", "default")
    assert await world.exists("configmap", f"{name}-10", "default")
    assert {about for _, _, about in world.requests(f"{name}-", since=since)} == {f"{name}-{number}" for number in (7, 8, 9)}


async def test_what_could_not_be_applied_is_tried_again_and_the_rest_is_not(followed: Followed) -> None:
    world, name = followed.world, followed.name
    job = f"""apiVersion: batch/v1
kind: Job
metadata: {{name: {name}, namespace: default}}
spec:
  suspend: true
  template:
    spec:
      restartPolicy: Never
      containers: [{{name: main, image: busybox}}]
"""
    many = {f"{number}.yaml": config_map(f"{name}-{number}", "default", "  a: b") for number in range(MANY)}
    await followed.applied(followed.repository.commit({**many, "job.yaml": job}))
    since = world.asked()

    # What may not be changed is no reason to keep the rest of the commit out.
    followed.repository.commit(
        {"job.yaml": job.replace("busybox", "debian"), "map.yaml": config_map(name, "default", "  color: red")}
    )

    await followed.says(f"job.yaml:1: Job default/{name}: ")
    assert "immutable" in str((await followed.ready())["message"])
    assert await followed.data(name) == {"color": "red"}
    assert world.requests(f"{name}-", since=since) == []
    await followed.applied(followed.repository.commit({"job.yaml": job}))


@pytest.mark.case(30)
async def test_a_branch_that_is_rewound_rewritten_or_gone_is_followed(followed: Followed) -> None:
    world, repository, name = followed.world, followed.repository, followed.name
    first = repository.git("rev-parse", "HEAD")
    await followed.applied(repository.commit({"map.yaml": config_map(name, "default", "  color: red")}))
    assert await followed.data(name) == {"color": "red"}

    repository.git("reset", "--hard", first)
    await followed.applied(first)
    assert await followed.data(name) == {"color": "blue"}

    repository.git("checkout", "--orphan", "other")
    rewritten = repository.commit({"map.yaml": config_map(name, "default", "  color: green")})
    repository.git("branch", "-f", "main", rewritten)
    await followed.applied(rewritten)
    assert await followed.data(name) == {"color": "green"}

    repository.git("branch", "-D", "main")
    await followed.says("the repository has no branch 'main'")
    refused = await world.refused("patch", f"configmap/{name}", "--type=merge", '-p={"data":{"color":"black"}}')
    assert "data.color: Git has green, you asked for black" in refused.stderr
    assert f"Change it in Git: map.yaml:7 (main@{rewritten[:7]})" in refused.stderr
    await world.past("patch", f"configmap/{name}", "--type=merge", '-p={"data":{"color":"black"}}')

    async def healed() -> bool:
        return await followed.data(name) == {"color": "green"}

    await eventually(healed, what="healing goes on without the branch")
    repository.git("branch", "main", rewritten)

    async def well() -> bool:
        return (await followed.ready())["status"] == "True"

    await eventually(well, what="the branch is back")


@pytest.mark.case(25, 34)
async def test_a_bad_commit_stays_out_across_a_restart_and_so_does_git_that_is_gone(followed: Followed, tmp_path: Path) -> None:
    world, repository, name = followed.world, followed.repository, followed.name
    good = repository.git("rev-parse", "HEAD")
    repository.commit({"map.yaml": config_map(name, "default", "  color: red"), "bad.yaml": "a: [\n"})
    await followed.says("bad.yaml:2:1")

    await world.guard.stop()
    await world.guard.start()

    await followed.says("bad.yaml:2:1")
    assert await followed.data(name) == {"color": "blue"}
    refused = await world.refused("patch", f"configmap/{name}", "--type=merge", '-p={"data":{"color":"black"}}')
    assert f"Change it in Git: map.yaml:7 (main@{good[:7]})" in refused.stderr

    repository.directory.rename(tmp_path / "gone")
    await world.guard.stop()
    await world.guard.start()
    await followed.says("there is no Git repository here")
    assert await followed.data(name) == {"color": "blue"}
    refused = await world.refused("delete", f"configmap/{name}")
    assert f"Change it in Git: map.yaml:1 (main@{good[:7]})" in refused.stderr
    (tmp_path / "gone").rename(repository.directory)

    await followed.applied(repository.commit({"bad.yaml": None}))
    assert await followed.data(name) == {"color": "red"}
