"""Values of Secrets: in no answer, no log, no record, no metric, no event, whatever is done to the Secret."""

from __future__ import annotations

import base64

import aiohttp
import pytest

from guard.base import codec
from tests.e2e.conftest import App, World
from tools.controlplane import Completed

GIT, ASKED = "correct-horse", "battery-staple"


async def told(world: World) -> str:
    """Everything that Guard has said to anybody so far."""
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{world.guard.metrics_port}/metrics") as answer:
        metrics = await answer.text()
    events = (await world.plane.kubectl("get", "events,syncs.gitopsguard.dev", "-A", "-o", "json", identity="admin")).stdout
    commands = [await world.guard.guard(*command) for command in (("audit", "-o", "json"), ("diff",), ("status", "-o", "json"))]
    said = [completed.stdout + completed.stderr for completed in commands]
    # Lines of the API server's audit log are at level Metadata: what they hold beside that is Guard's.
    audit = world.plane.audit_log.read_text()
    files = [file.read_text() for file in (world.guard.data / "audit").rglob("*.jsonl")]
    return "\n".join([world.guard.log.read_text(), metrics, events, *said, audit, *files])


def quoted(refused: Completed) -> str:
    """What the API server answered: kubectl apply prints what it was about to send before that, to whoever typed it."""
    return refused.stderr[refused.stderr.index("admission webhook") :]


def hidden(*values: str) -> set[str]:
    """Each value as it is, and as base64 writes it, padding aside."""
    return {form for value in values for form in (value, base64.b64encode(value.encode()).decode().rstrip("="))}


@pytest.mark.case(39)
async def test_whatever_is_done_to_a_secret_its_values_are_nowhere(app: App, world: World) -> None:
    encoded = base64.b64encode(ASKED.encode()).decode()
    copied = codec.encode({"data": {"password": encoded}}).decode()
    metadata = f"metadata:\n  name: login\n  namespace: {app.namespace}\n"
    manifest = f"apiVersion: v1\nkind: Secret\n{metadata}stringData:\n  password: {ASKED}\n"
    last_applied = {"metadata": {"annotations": {"copy-of-data": copied}}}
    answers: list[str] = []
    for command, text in (
        (("patch", "secret/login", '-p={"stringData":{"password":"battery-staple"}}'), None),
        (("patch", "secret/login", "-p", copied), None),
        (("patch", "secret/login", f'-p={{"data":{{"extra":"{encoded}"}}}}'), None),
        (("patch", "secret/login", "--type=json", '-p=[{"op":"remove","path":"/data/password"}]'), None),
        (("patch", "secret/login", "-p", codec.encode(last_applied).decode()), None),
        (("apply", "-f", "-"), manifest),
        (("apply", "--server-side", "--force-conflicts", "-f", "-"), manifest),
        (("replace", "-f", "-"), manifest),
        (("replace", "--force", "-f", "-"), manifest),
        (("delete", "secret/login"), None),
    ):
        answers.append(quoted(await world.refused(*command, "-n", app.namespace, text=text)))
    assert "data.password: differs from Git" in answers[0]
    # Past the webhook, so that it is healed.
    await world.past("patch", "secret/login", "-n", app.namespace, "-p", copied)
    await world.settled()
    everything = "\n".join(answers) + await told(world)
    assert {form for form in hidden(GIT, ASKED) if form in everything} == set()


@pytest.mark.case(39)
async def test_a_secret_that_people_take_values_from_is_named_and_not_quoted(app: App, world: World) -> None:
    refused = await world.refused("set", "env", "deployment/web", "--from=secret/login", "-n", app.namespace)
    assert "secretKeyRef" in refused.stderr
    explained = await world.guard.guard("explain", "secret/login", "-n", app.namespace)
    everything = refused.stderr + explained.stdout + explained.stderr + await told(world)
    assert {form for form in hidden(GIT, ASKED) if form in everything} == set()
