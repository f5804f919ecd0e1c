"""What people do with Syncs from the command line, beside a real Guard."""

from __future__ import annotations

import os
from pathlib import Path

from guard.base.codec import JsonObject, child
from tests.cli.terminal import Session
from tests.e2e.conftest import SYNCS, Followed, World, config_map
from tools.guardrun import Repository, eventually, guard_command, sync_document

# Enough for an apply of some seconds.
MANY = 1500


async def status(world: World, name: str) -> JsonObject:
    return child(await world.guard.sync(name), "status")


async def test_reconcile_waits_until_the_commit_is_applied(world: World, followed: Followed) -> None:
    await followed.patch({"source": {"interval": "1h"}})
    commit = followed.repository.commit({"map.yaml": followed.colored("red")})
    done = await world.guard.guard("reconcile", followed.name, "--wait")
    assert (done.returncode, done.stderr) == (0, "")
    # At once, with nobody waiting any more.
    assert await followed.color() == "red"
    assert done.stdout.splitlines()[-1].endswith(
        f"guard-system/{followed.name}: Ready: 1 object as declared in main@sha1:{commit}"
    )


async def test_reconcile_says_what_keeps_a_commit_out(world: World, followed: Followed) -> None:
    followed.repository.commit({"map.yaml": followed.colored("red") + "  color: twice\n"})
    done = await world.guard.guard("reconcile", followed.name, "--wait")
    assert done.returncode == 1
    assert "map.yaml:8" in done.stderr
    shown = await world.guard.guard("status", followed.name)
    assert shown.returncode == 1
    assert "map.yaml:8" in shown.stdout
    assert "mend it in Git" in shown.stdout
    assert await followed.color() == "blue"


async def test_suspend_and_resume_by_command(world: World, followed: Followed) -> None:
    done = await world.guard.guard("suspend", followed.name, "--reason", "moving house")
    assert (done.returncode, done.stderr) == (0, "")
    await world.seen(followed.name)
    followed.repository.commit({"map.yaml": followed.colored("red")})
    asked = await world.guard.guard("reconcile", followed.name, "--wait")
    assert (asked.returncode, "is suspended" in asked.stderr) == (2, True)
    shown = await world.guard.guard("status", followed.name, "-o", "json")
    assert (shown.returncode, shown.json()["suspended"], shown.json()["suspendReason"]) == (0, True, "moving house")
    assert await followed.color() == "blue"
    resumed = await world.guard.guard("resume", followed.name, "--wait")
    assert (resumed.returncode, resumed.stderr) == (0, "")
    assert await followed.color() == "red"


async def test_who_may_not_change_syncs_is_told_who_may_and_how(world: World, followed: Followed) -> None:
    person = ("--kubeconfig", str(world.plane.kubeconfig("person")))
    for command, is_suspended in (("suspend", False), ("resume", True)):
        await followed.patch({"suspend": is_suspended})
        refused = await world.guard.guard(command, followed.name, *person)
        assert refused.returncode == 2
        assert refused.stderr.startswith(f"guard: Sync guard-system/{followed.name}: this is Guard's own: only the groups ")
        assert f"kubectl -n guard-system patch sync {followed.name} --type merge -p '" in refused.stderr
        assert (await world.guard.sync(followed.name))["spec"]["suspend"] is is_suspended
    await followed.patch({"suspend": False})
    # A look is everyone's.
    looked = await world.guard.guard("reconcile", followed.name, "--wait", *person)
    assert looked.returncode == 0, looked.stderr


async def test_a_sync_of_a_file_stays_suspended_through_a_restart(world: World) -> None:
    suspended = await world.guard.guard("suspend", "apps")
    assert "applied this Sync from a file" in suspended.stderr
    try:
        await world.guard.stop()
        await world.guard.launch()

        async def is_up() -> bool:
            return (await world.guard.guard("diff", "apps")).returncode == 0

        await eventually(is_up, what="Guard is back and has loaded the Sync")
        assert (await world.guard.sync("apps"))["spec"]["suspend"] is True
    finally:
        resumed = await world.guard.guard("resume", "apps", "--wait")
    assert resumed.returncode == 0, resumed.stderr


async def test_a_watch_outlives_the_api_server(world: World, followed: Followed) -> None:
    command = ("status", followed.name, "--watch", "--kubeconfig", world.plane.kubeconfig("admin"))
    async with Session.of(*command, terminal=False) as session:
        await session.until("Ready: 1 object as declared")
        await world.plane.stop_apiserver()
        await session.until("waiting for the API server")
        await world.plane.start_apiserver()
        commit = followed.repository.commit({"map.yaml": followed.colored("red")})
        await session.until(commit, seconds=90)
        assert await session.interrupt() == 0


async def test_a_large_sync_shows_how_far_it_is(world: World, fresh: str, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    text = "---\n".join(config_map(f"{fresh}-{number}", "default", "  a: b") for number in range(MANY))
    commit = repository.commit({"many.yaml": text})
    await world.plane.call("POST", SYNCS, body=sync_document(fresh, repository.directory, interval="1h"))
    command = ("status", fresh, "--watch", "--kubeconfig", world.plane.kubeconfig("admin"))
    async with Session.of(*command, terminal=True, COLUMNS="160") as session:
        await session.until(f"/{MANY}", seconds=90)
        await session.until(f"{MANY} objects as declared", seconds=120)
        assert await session.interrupt() == 0
    found = await status(world, fresh)
    assert (found["progress"], found["objects"]["applied"]) == ({"done": 0, "total": 0}, MANY)
    await world.guard.applied(commit, sync=fresh)
    await world.plane.kubectl("delete", "sync", fresh, "-n", "guard-system", identity="admin")


async def test_what_is_to_be_pruned_and_held_back_is_a_difference(world: World, followed: Followed) -> None:
    namespace = f"apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {followed.name}\n"
    await followed.commit({"namespace.yaml": namespace})
    same = await world.guard.guard("diff", followed.name)
    assert same.returncode == 0, same.stdout
    followed.repository.commit({"namespace.yaml": None})
    await followed.says("to confirm, annotate")
    found = await world.guard.guard("diff", followed.name)
    assert found.returncode == 1
    assert found.stdout.splitlines()[0] == f"Namespace {followed.name}: no longer in Git, to be pruned"
    assert found.stdout.endswith(", 1 to be pruned\n")
    told = await world.guard.guard("status", followed.name)
    assert "Held back:   1 object to be pruned, since main@sha1:" in told.stdout
    await followed.commit({"namespace.yaml": namespace})
    assert (await world.guard.guard("diff", followed.name)).returncode == 0


async def test_kubectl_finds_the_commands(world: World, followed: Followed) -> None:
    path = os.pathsep.join((str(Path(guard_command()[0]).parent), os.environ["PATH"]))
    found = await world.plane.kubectl("guard", "status", followed.name, identity="admin", environment={"PATH": path})
    assert found.stdout.startswith(f"guard-system/{followed.name}: Ready\n")
