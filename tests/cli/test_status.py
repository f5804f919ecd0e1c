"""How Syncs stand, on a real API server: at a glance, one of them, and as they go."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import yaml

from guard.base import codec
from tests.cli.conftest import REVISION, Synced, ready
from tests.cli.terminal import HARMLESS, HOSTILE, Session, obeyed, on_terminal, unstyled

COUNTS = {"declared": 10, "applied": 9, "drifted": 0, "failed": 0}


async def status(sync: Synced, *arguments: str) -> tuple[int, str]:
    return await on_terminal("status", *arguments, "--kubeconfig", sync.kubeconfig)


async def test_all_syncs_of_a_namespace_with_what_they_count(sync_of: Callable[[str], Synced], apps: Synced) -> None:
    infra = sync_of("infra")
    await infra.create(suspend=True)
    await apps.says(
        ready(message="as declared"),
        lastAppliedRevision=REVISION,
        objects=COUNTS,
        health={"healthy": 8, "progressing": 1, "unhealthy": 0},
    )
    code, sent = await status(apps, "-n", apps.namespace)
    heads, *rows = [line.split() for line in unstyled(sent).splitlines()]
    assert heads == ["SYNC", "READY", "SUSPENDED", "REVISION", "DECLARED", "DRIFTED", "FAILED", "HEALTHY", "MESSAGE"]
    assert rows[0] == [apps.key, *["True", "no", "main@3f2c1ab", "10", "0", "0", "8/9", "as", "declared"]]
    assert rows[1] == [infra.key, *["Unknown", "yes", "0", "0", "0", "-", "Guard", "has", "not", "looked", "at", "it", "yet"]]
    assert code == 1  # infra is not ready


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({}, 0),
        ({"objects": {**COUNTS, "drifted": 1}}, 1),
        ({"objects": {**COUNTS, "failed": 1}}, 1),
        ({"health": {"healthy": 1, "progressing": 0, "unhealthy": 1}}, 1),
        ({"health": {"healthy": 1, "progressing": 1, "unhealthy": 0}}, 0),
        ({"conditions": [ready("False", reason="SourceFailed")]}, 1),
        # Of an older Sync.
        ({"observedGeneration": 0}, 1),
    ],
)
async def test_the_exit_code_is_1_where_something_is_not_well(apps: Synced, more: codec.JsonObject, code: int) -> None:
    await apps.says(ready(), **{"objects": COUNTS, **more})
    assert [(await status(apps, *of))[0] for of in (("-n", apps.namespace), (apps.key,), ("apps", "-n", apps.namespace))] == [
        code
    ] * 3


async def test_wide_has_it_all_in_a_row(apps: Synced) -> None:
    await apps.says(ready(), lastAppliedRevision=REVISION, objects=COUNTS)
    _, sent = await status(apps, "-n", apps.namespace, "-o", "wide")
    assert all(text in sent for text in (REVISION, "https://git.example.com/apps branch main", "Deny", "APPLIED"))


@pytest.mark.parametrize("form", ["json", "yaml"])
async def test_for_programs_there_is_a_list_or_the_one_that_was_named(apps: Synced, form: str) -> None:
    await apps.says(ready(), lastAppliedRevision=REVISION, objects=COUNTS, progress={"done": 3, "total": 10})

    def read(text: str) -> codec.Json:
        found: codec.Json = codec.decode(text.encode()) if form == "json" else yaml.safe_load(text)
        return found

    (listed,) = read((await status(apps, "-n", apps.namespace, "-o", form))[1])
    one = read((await status(apps, apps.key, "-o", form))[1])
    assert listed == one
    assert (one["sync"], one["ready"], one["revision"], one["objects"], one["progress"]) == (
        apps.key,
        "True",
        REVISION,
        COUNTS,
        {"done": 3, "total": 10},
    )


async def test_all_about_one_sync_and_what_to_do_next(sync_of: Callable[[str], Synced], apps: Synced) -> None:
    waiting = sync_of("waiting")
    await apps.says(ready("False", reason="SourceFailed", message="no such host"))
    await waiting.create(dependsOn=[{"name": "apps"}, {"name": "nobody"}], path="clusters/prod")
    await waiting.says(
        ready("False", reason="DependencyNotReady", message="waits for apps"),
        lastAppliedRevision=REVISION,
        lastAttemptedRevision="main@sha1:b",
        objects={**COUNTS, "drifted": 2},
    )
    code, sent = await status(waiting, waiting.key)
    assert code == 1
    for text in (
        f"{waiting.key}: DependencyNotReady\n  waits for apps\n",
        "Source:      https://git.example.com/apps branch main, path clusters/prod, every 1s\n",
        f"Revision:    {REVISION}, tried last: main@sha1:b\n",
        "Objects:     10 declared, 9 applied, 2 drifted, 0 failed\n",
        "Enforcement: mode Deny, heal on, additions Deny\n",
        f"  guard status {apps.key}\n",
        f"  guard diff {waiting.key}\n",
    ):
        assert text in unstyled(sent), sent
    rows = [line.split() for line in unstyled(sent).splitlines()]
    assert [apps.key, "False", "no", "such", "host"] in rows
    assert [f"{apps.namespace}/nobody", *["False", "there", "is", "no", "such", "Sync"]] in rows


async def test_a_suspended_sync_says_why_and_how_to_go_on(apps: Synced) -> None:
    await apps.says(ready())
    assert (await on_terminal("suspend", apps.key, "--reason", "moving house", "--kubeconfig", apps.kubeconfig))[0] == 0
    code, sent = await status(apps, apps.key)
    assert code == 0  # what it said last still holds
    assert f"{apps.key}: Suspended" in sent
    assert "Suspended:   yes: moving house\n" in sent
    assert f"guard resume {apps.key}" in sent


async def test_a_sync_that_is_not_there_is_said_with_where_there_is_one(apps: Synced) -> None:
    code, sent = await status(apps, "apps-of-nobody")
    assert (code, sent) == (2, "guard: there is no Sync guard-system/apps-of-nobody (guard status lists them)\n")
    code, sent = await status(apps, "elsewhere/apps", "--watch")
    assert code == 2
    assert apps.key in sent


async def test_a_name_and_a_namespace_that_contradict_each_other_are_a_wrong_use(apps: Synced) -> None:
    code, sent = await status(apps, apps.key, "-n", "elsewhere")
    assert (code, f"{apps.key} is not in namespace elsewhere" in sent) == (2, True)


# ---- as they go


async def test_a_piped_watch_has_a_line_for_each_change_and_each_tenth_of_an_apply(apps: Synced) -> None:
    async with Session.of("status", apps.key, "--watch", "--kubeconfig", apps.kubeconfig, terminal=False) as session:
        await session.until("Guard has not looked at it yet")
        for done in (0, 40, 120, 130, 990):
            await apps.says(ready("Unknown", reason="Progressing", message="under way"), progress={"done": done, "total": 1000})
            if done not in {40, 130}:
                await session.until(f"Applying: {done:,} of 1,000 objects")
        await apps.says(ready(), progress={"done": 0, "total": 0})
        await session.until("Ready: 10 objects as declared")
        assert session.sent.count("Applying") == 3  # at its start, and for two of the tenths
        assert "\x1b" not in session.sent
        await apps.delete()
        await session.until(f"{apps.key}: Deleted")
        assert await session.interrupt() == 0


async def test_on_a_terminal_a_bar_runs_and_goes_and_leaves_a_line(apps: Synced) -> None:
    async with Session.of("status", apps.key, "-w", "--kubeconfig", apps.kubeconfig, terminal=True, COLUMNS="120") as session:
        await session.until("Guard has not looked at it yet")
        await apps.says(ready("Unknown"), progress={"done": 250, "total": 1000})
        await session.until(" 250/1000")
        await session.until("25%")
        await apps.says(ready("Unknown"), progress={"done": 900, "total": 1000})
        await session.until(" 900/1000")
        await apps.says(ready(message="all is well"), progress={"done": 0, "total": 0})
        await session.until("Ready: all is well")
        # The cursor, which the bar hides, is back.
        assert session.sent.rindex("\x1b[?25h") > session.sent.rindex("\x1b[?25l")
        assert await session.interrupt() == 0


async def test_a_terminal_is_left_well_when_a_bar_is_interrupted(apps: Synced) -> None:
    async with Session.of("status", apps.key, "-w", "--kubeconfig", apps.kubeconfig, terminal=True, COLUMNS="120") as session:
        await apps.says(ready("Unknown"), progress={"done": 250, "total": 1000})
        await session.until(" 250/1000")
        assert await session.interrupt() == 0
        assert session.sent.rindex("\x1b[?25h") > session.sent.rindex("\x1b[?25l")


@pytest.mark.parametrize(("form", "marks"), [("json", '"message":"{}"'), ("yaml", "message: {}\n")])
async def test_for_programs_a_watch_has_one_document_for_each_change(apps: Synced, form: str, marks: str) -> None:
    async with Session.of("status", apps.key, "-w", "-o", form, "--kubeconfig", apps.kubeconfig, terminal=False) as session:
        await session.until(marks.format("Guard has not looked at it yet"))
        await apps.says(ready(message="first"))
        await session.until(marks.format("first"))
        assert await session.interrupt() == 0
    if form == "json":
        assert [codec.decode(line.encode())["sync"] for line in session.sent.splitlines()] == [apps.key] * 2
    else:
        assert [found["sync"] for found in yaml.safe_load_all(session.sent)] == [apps.key] * 2


async def test_all_syncs_of_a_namespace_can_be_followed(sync_of: Callable[[str], Synced], apps: Synced) -> None:
    command = ("status", "-n", apps.namespace, "--watch", "--kubeconfig", apps.kubeconfig)
    async with Session.of(*command, terminal=False) as session:
        await session.until(apps.key)
        infra = sync_of("infra")
        await infra.create()
        await session.until(infra.key)
        await apps.says(ready(message="well"))
        await session.until(f"{apps.key}: Ready: well")
        assert await session.interrupt() == 0


async def test_nothing_in_a_status_or_a_reason_is_obeyed_by_a_terminal(apps: Synced) -> None:
    await on_terminal("suspend", apps.key, "--reason", HOSTILE, "--kubeconfig", apps.kubeconfig)
    await apps.says(ready("False", reason="SourceFailed", message=HOSTILE), lastAppliedRevision=HOSTILE)
    _, sent = await status(apps, apps.key)
    assert (obeyed(sent), sent.count(HARMLESS)) == ([], 4)  # message, reason, revision, and the condition's message
    async with Session.of("status", apps.key, "-w", "--kubeconfig", apps.kubeconfig, terminal=True, COLUMNS="500") as session:
        await session.until(HARMLESS)
        assert await session.interrupt() == 0
    assert obeyed(session.sent.replace("^C", "")) == []


async def test_a_reader_that_goes_away_ends_a_watch(apps: Synced) -> None:
    async with Session.of("status", apps.key, "-w", "--kubeconfig", apps.kubeconfig, terminal=False) as session:
        await session.until(apps.key)
        session.hang_up()
        for number in range(3):
            await apps.says(ready(message=f"{number}"))
        assert await session.ended() == 0
