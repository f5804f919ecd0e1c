"""Asking for a look, stopping, going on, and waiting for what comes of it; the tests answer for Guard."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from guard.api import REQUESTED_AT, SUSPEND_REASON
from guard.base.codec import JsonObject
from guard.cli import waiting
from guard.cluster import Client
from guard.state.ids import FIELD_MANAGER
from tests.cli.conftest import Synced, ready
from tests.cli.terminal import Session, on_terminal
from tools.guardrun import eventually


def command(name: str, sync: Synced, *more: str) -> tuple[str, ...]:
    return (name, sync.key, *more, "--kubeconfig", str(sync.kubeconfig))


async def requested(sync: Synced) -> str:
    """What was asked for last, as soon as anything was."""

    async def asked() -> str:
        return str((await sync.body())["metadata"].get("annotations", {}).get(REQUESTED_AT, ""))

    await eventually(asked, what="a request")
    return await asked()


@pytest.fixture(params=["reconcile", "resume"])
async def waited(request: pytest.FixtureRequest, apps: Synced) -> AsyncIterator[Session]:
    """Either command, waiting."""
    await apps.says(ready(message="before"), lastHandledReconcileAt="earlier")
    async with Session.of(*command(request.param, apps, "--wait"), terminal=False) as session:
        yield session


async def test_waiting_ends_well_when_the_sync_is_ready_and_not_before(waited: Session, apps: Synced) -> None:
    asked = await requested(apps)
    generation = (await apps.body())["metadata"]["generation"]
    await apps.says(ready(message="of the request before"), observedGeneration=generation)
    await apps.says(ready("Unknown", reason="Progressing", message="applying"), progress={"done": 5, "total": 10})
    await waited.until("Applying: 5 of 10 objects")
    await apps.says(
        ready("False", reason="DependencyNotReady", message="waits for infra"),
        lastHandledReconcileAt=asked,
        observedGeneration=generation,
        progress={"done": 0, "total": 0},
    )
    await waited.until("waits for infra")
    await apps.says(ready(message="all applied"), observedGeneration=generation)
    assert await waited.ended() == 0
    assert waited.sent.splitlines()[-1].endswith(f"{apps.key}: Ready: all applied")
    assert "of the request before" not in waited.sent


async def test_waiting_ends_with_1_and_the_reason_when_it_failed(waited: Session, apps: Synced) -> None:
    asked = await requested(apps)
    generation = (await apps.body())["metadata"]["generation"]
    failed = ready("False", reason="RevisionRejected", message="web.yaml:3: no such kind")
    await apps.says(failed, lastHandledReconcileAt=asked, observedGeneration=generation)
    assert await waited.ended() == 1
    assert f"guard: {apps.key}: web.yaml:3: no such kind (guard status {apps.key} says more)" in waited.sent


async def test_a_later_request_of_somebody_else_answers_for_this_one(waited: Session, apps: Synced) -> None:
    await requested(apps)
    await apps.client.merge_patch(apps.path, {"metadata": {"annotations": {REQUESTED_AT: "later"}}}, manager="kubectl")
    generation = (await apps.body())["metadata"]["generation"]
    await apps.says(ready(message="all applied"), lastHandledReconcileAt="later", observedGeneration=generation)
    assert await waited.ended() == 0


async def test_waiting_ends_when_the_sync_is_suspended(waited: Session, apps: Synced) -> None:
    await requested(apps)
    await apps.client.merge_patch(apps.path, {"spec": {"suspend": True}}, manager="kubectl")
    assert await waited.ended() == 1
    assert f"{apps.key}: it is suspended" in waited.sent


async def test_waiting_ends_when_the_sync_is_deleted(waited: Session, apps: Synced) -> None:
    await requested(apps)
    await apps.delete()
    assert await waited.ended() == 1
    assert f"{apps.key}: the Sync was deleted" in waited.sent


async def test_waiting_is_over_after_the_timeout_and_says_for_what_it_waited(apps: Synced) -> None:
    code, sent = await on_terminal(*command("reconcile", apps, "--wait", "--timeout", "2s"))
    assert (code, sent) == (1, f"guard: not within 2 s: {apps.key}: Guard has not answered yet\n")


async def test_a_guard_that_is_not_there_is_suspected_after_a_while(
    apps: Synced, client: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(waiting, "QUIET_SECONDS", 0.5)
    assert await waiting.wait_for(client, apps.key, requested="now", seconds=3.0) == 1
    told = capsys.readouterr().err.splitlines()
    assert [("it is not running" in line, "not within" in line) for line in told] == [(True, False), (False, True)]


async def test_a_guard_that_has_begun_is_not_suspected(
    apps: Synced, client: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(waiting, "QUIET_SECONDS", 1.0)
    await apps.says(ready("Unknown"), progress={"done": 1, "total": 10})
    assert await waiting.wait_for(client, apps.key, requested="now", seconds=3.0) == 1
    assert "not running" not in (told := capsys.readouterr().err)
    assert "1 of 10 objects are applied" in told


async def test_on_a_terminal_the_apply_is_a_bar(apps: Synced) -> None:
    async with Session.of(*command("reconcile", apps, "--wait"), terminal=True, COLUMNS="120") as session:
        asked = await requested(apps)
        await apps.says(ready("Unknown"), progress={"done": 250, "total": 1000})
        await session.until(" 250/1000")
        await apps.says(ready(message="all applied"), lastHandledReconcileAt=asked, progress={"done": 0, "total": 0})
        assert await session.ended() == 0
        assert "Ready: all applied" in session.sent


# ---- without waiting


async def test_each_request_is_another_one(apps: Synced) -> None:
    found: set[str] = set()
    for _ in range(2):
        code, sent = await on_terminal(*command("reconcile", apps))
        assert (code, sent) == (0, f"requested; guard status {apps.key} says what came of it\n")
        found.add(await requested(apps))
    assert len(found) == 2


async def test_a_suspended_sync_is_not_asked_for_a_look(apps: Synced) -> None:
    assert (await on_terminal(*command("suspend", apps)))[0] == 0
    code, sent = await on_terminal(*command("reconcile", apps, "--wait"))
    said = f"guard: Sync {apps.key}: is suspended, so nothing is fetched (guard resume {apps.key})\n"
    assert (code, sent) == (2, said)
    assert REQUESTED_AT not in (await apps.body())["metadata"].get("annotations", {})


async def test_suspending_and_resuming_change_the_sync_and_nothing_else(apps: Synced) -> None:
    before = await apps.body()

    async def state() -> tuple[JsonObject, str]:
        body = await apps.body()
        return body["spec"], body["metadata"].get("annotations", {}).get(SUSPEND_REASON, "")

    code, sent = await on_terminal(*command("suspend", apps, "--reason", "moving house"))
    assert (code, sent) == (0, f"{apps.key} is suspended; guard resume {apps.key} goes on\n")
    assert await state() == ({**before["spec"], "suspend": True}, "moving house")
    code, sent = await on_terminal(*command("suspend", apps))
    assert (code, sent) == (0, f"{apps.key} is suspended already; guard resume {apps.key} goes on\n")
    assert await state() == ({**before["spec"], "suspend": True}, "")
    code, sent = await on_terminal(*command("resume", apps))
    assert (code, sent) == (0, f"{apps.key} is resumed\n")
    assert await state() == ({**before["spec"], "suspend": False}, "")
    code, sent = await on_terminal(*command("resume", apps))
    assert (code, sent) == (0, f"{apps.key} was not suspended; Guard looks at it now\n")


async def test_where_a_file_holds_the_sync_it_is_said_that_the_file_may_win(apps: Synced) -> None:
    body = await apps.body()
    manifest = {name: body[name] for name in ("apiVersion", "kind", "spec")} | {
        "metadata": {"name": apps.name, "namespace": apps.namespace}
    }
    await apps.client.apply(apps.path, manifest, manager=FIELD_MANAGER, force=True)
    for name in ("suspend", "resume"):
        code, sent = await on_terminal(*command(name, apps))
        assert code == 0
        assert "applied this Sync from a file" in sent.splitlines()[1]
