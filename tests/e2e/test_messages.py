"""What kubectl, tools and the API server's audit log get to read of a refusal, as the API server passes it on."""

from __future__ import annotations

import ssl

import aiohttp
import pytest

from guard.base import codec
from guard.base.codec import Json, JsonObject
from tests.e2e.conftest import App, World
from tools.guardrun import eventually

WEBHOOK = "changes.gitopsguard.dev"
APPS = "/apis/gitopsguard.dev/v1alpha1/namespaces/guard-system/syncs"


async def patched(world: World, path: str, patch: Json) -> JsonObject:
    """What the API server answers a person's merge patch, whatever the status."""
    headers = {"Authorization": f"Bearer {world.plane.token('person')}", "Content-Type": "application/merge-patch+json"}
    trust = ssl.create_default_context(cafile=str(world.plane.ca_file))
    async with (
        aiohttp.ClientSession() as session,
        session.patch(world.plane.url + path, data=codec.encode(patch), headers=headers, ssl=trust) as response,
    ):
        answer: JsonObject = codec.decode(await response.read())
        return answer


def line_of(app: App, needle: str) -> int:
    return app.text[: app.text.index(needle)].count("\n") + 1


@pytest.mark.case(1)
async def test_each_changed_field_names_its_own_line(app: App, world: World) -> None:
    patch = '{"spec":{"replicas":7,"template":{"spec":{"containers":[{"name":"web","image":"nginx:1.26"}]}}}}'
    refused = await world.refused("patch", "deployment/web", "-n", app.namespace, "-p", patch)
    replicas, image = line_of(app, "replicas: 2"), line_of(app, "image: nginx:1.25")
    revision = world.repository.git("rev-parse", "HEAD")[:7]
    lines = refused.stderr.splitlines()
    framing = f'Error from server (Forbidden): admission webhook "{WEBHOOK}" denied the request: '
    assert lines[:4] == [
        f"{framing}Deployment {app.namespace}/web is managed from Git, so this change is refused.",
        f"  spec.replicas: Git has 2, you asked for 7 (line {replicas})",
        f"  spec.template.spec.containers[name=web].image: Git has nginx:1.25, you asked for nginx:1.26 (line {image})",
        # A folder of this machine has no page on the web.
        f"Change it in Git: {app.file}:{replicas} (main@{revision})",
    ]


@pytest.mark.case(1)
async def test_the_line_follows_the_revision_in_force(app: App, world: World) -> None:
    edit = ("patch", "configmap/settings", "-n", app.namespace, "--type=merge", '-p={"data":{"color":"red"}}')
    before = line_of(app, "color: blue")
    assert f"{app.file}:{before} (main@" in (await world.refused(*edit)).stderr
    await world.declare({app.file: "# one line\n# and another\n" + app.text})
    assert f"{app.file}:{before + 2} (main@" in (await world.refused(*edit)).stderr


@pytest.mark.case(1)
async def test_an_addition_is_sent_to_what_it_would_be_added_to(app: App, world: World) -> None:
    refused = await world.refused("set", "env", "deployment/web", "DEBUG=1", "-n", app.namespace)
    assert "which does not declare this, so it is refused." in refused.stderr.splitlines()[0]
    assert "env[name=DEBUG]: not in Git, you asked to add" in refused.stderr
    assert f"Change it in Git: {app.file}:{line_of(app, 'env:')} (main@" in refused.stderr


@pytest.mark.case(7)
async def test_deleting_a_namespace_names_how_many_objects_it_holds(app: App, world: World) -> None:
    refused = await world.refused("delete", "namespace", app.namespace)
    assert f"Namespace {app.namespace} holds 4 objects managed from Git, so deleting it is refused.\n" in refused.stderr
    assert f"Change it in Git: {app.file}:1 (main@" in refused.stderr


@pytest.mark.case(4)
async def test_pausing_a_rollout_is_refused_with_the_way_to_do_it(app: App, world: World) -> None:
    refused = await world.refused("rollout", "pause", "deployment/web", "-n", app.namespace)
    assert "spec.paused: not in Git, you asked to add true (to pause a rollout, declare it in Git)\n" in refused.stderr


@pytest.mark.case(1, 39)
async def test_a_key_of_a_secret_is_found_under_string_data(app: App, world: World) -> None:
    refused = await world.refused("patch", "secret/login", "-n", app.namespace, '-p={"stringData":{"password":"battery"}}')
    assert "\n  data.password: differs from Git (not shown)\n" in refused.stderr
    assert f"Change it in Git: {app.file}:{line_of(app, 'password:')} (main@" in refused.stderr


async def test_tools_get_a_status_with_a_cause_for_each_field(app: App, world: World) -> None:
    answer = await patched(world, f"/api/v1/namespaces/{app.namespace}/configmaps/settings", {"data": {"color": "red"}})
    assert (answer["kind"], answer["status"], answer["code"], answer["reason"]) == ("Status", "Failure", 403, "Forbidden")
    details = answer["details"]
    assert (details["name"], details["kind"]) == ("settings", "configmaps")
    reason, field = details["causes"]
    assert reason["reason"] == "DeclaredFieldChanged"
    assert reason["message"].startswith(f"Change it in Git: {app.file}:{line_of(app, 'color:')} (main@")
    assert field == {"reason": "FieldValueForbidden", "field": "data.color", "message": "Git has blue, you asked for red"}
    first = answer["message"].splitlines()[0].partition("denied the request: ")[2]
    assert first == f"ConfigMap {app.namespace}/settings is managed from Git, so this change is refused."


async def test_the_api_servers_audit_log_notes_why_and_which_fields(app: App, world: World) -> None:
    refused = await world.refused("patch", "configmap/settings", "-n", app.namespace, '-p={"data":{"color":"red","size":"s"}}')
    reference = refused.stderr.partition("Reference: ")[2].split()[0]

    def notes() -> list[dict[str, str]]:
        return [event["annotations"] for event in world.plane.audited(about=reference)]

    await eventually(notes, what="the API server wrote its audit log")
    (found,) = notes()
    ours = {name.removeprefix(f"{WEBHOOK}/"): value for name, value in found.items() if name.startswith(f"{WEBHOOK}/")}
    assert ours == {
        "reason": "DeclaredFieldChanged",
        "reference": reference,
        "sync": "guard-system/apps",
        "revision": f"main@sha1:{world.repository.git('rev-parse', 'HEAD')}",
        "fields": "data.color, data.size",
    }


async def test_what_a_terminal_would_obey_arrives_escaped(app: App, world: World) -> None:
    patch = codec.encode({"data": {"color": "\x1b[31mred\x07\u202e"}})
    refused = await world.refused("patch", "configmap/settings", "-n", app.namespace, "--type=merge", "-p", patch.decode())
    assert "data.color: Git has blue, you asked for \\x1b[31mred\\x07\\u202e\n" in refused.stderr
    assert refused.stderr.replace("\n", "").isprintable()


@pytest.mark.case(18)
async def test_warnings_are_passed_on_whole_however_much_was_changed(world: World, fresh: str) -> None:
    """No control character, which kubectl drops a warning for, and none cut, which the API server does once they are too long."""
    data = {f"key-{number:02}-{'x' * 150}": "line\n" * 50 for number in range(20)}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": fresh, "namespace": "default"}, "data": data}
    sync = f"{fresh}-warn"
    world.repository.commit({f"{sync}/{'long' * 40}.yaml": codec.pretty(body)})
    spec = {
        "source": {"git": {"url": str(world.repository.directory), "ref": {"branch": "main"}}, "interval": "1s"},
        "path": sync,
        "enforcement": {"mode": "Warn"},
    }
    created = {"apiVersion": "gitopsguard.dev/v1alpha1", "kind": "Sync", "metadata": {"name": sync}, "spec": spec}
    await world.plane.call("POST", APPS, body=created)
    await world.guard.applied(world.repository.git("rev-parse", "HEAD"), sync=sync)
    changed = codec.encode({"data": dict.fromkeys(data, "\x1b[31m" + "other " * 50)}).decode()
    warned = await world.plane.kubectl("patch", "configmap", fresh, "--type=merge", "-p", changed)
    lines = [line for line in warned.stderr.splitlines() if line.startswith("Warning: ")]
    assert len(lines) == 1 + 10 + 2
    assert lines[0] == f"Warning: ConfigMap default/{fresh} is managed from Git, so this change would be refused under Deny."
    assert all(": Git has line" in line and "you asked for \\x1b[31mother" in line for line in lines[1:11])
    assert lines[11] == "Warning: and 10 more fields"
    assert "longlong.yaml:9 (main@" in lines[12]
