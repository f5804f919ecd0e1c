"""Guard killed, restarted, misconfigured, and left without its source or its API server."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import ssl
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from guard.base import codec
from tests.cli.terminal import unstyled
from tests.e2e.conftest import App, World, config_map, widget, widget_definition, write
from tests.e2e.test_syncing import not_ready, versions
from tools import guardrun
from tools.controlplane import Completed
from tools.guardrun import Repository, eventually, guard_command, sync_document

# A Guard of which a part fails once it is told to end.
FAILS_AT_ITS_END = """
import asyncio

from guard.cli.main import main
from guard.cluster import Identity


async def keep(_):
    try:
        await asyncio.Event().wait()
    finally:
        raise ValueError


Identity.keep = keep
main()
"""

CONFIGURATION = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/gitopsguard"


async def guard_run(*arguments: str, directory: Path) -> Completed:
    """A `guard run` that ends by itself, because it cannot start."""
    process = await asyncio.create_subprocess_exec(
        *guard_command(),
        "run",
        "--listen=127.0.0.1:0",
        "--webhook-url=https://127.0.0.1:1",
        f"--data-dir={directory / 'other'}",
        *arguments,
        env={"PATH": "/usr/bin:/bin", "HOME": str(directory)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Completed(command="guard run", returncode=process.returncode or 0, stdout=out.decode(), stderr=err.decode())


def one_line(completed: Completed) -> str:
    assert completed.returncode == 2, completed.stderr
    lines = completed.stderr.strip().splitlines()
    assert len(lines) == 1, completed.stderr
    return lines[0]


async def test_after_kill_9_enforcement_and_healing_are_back_and_nothing_was_written(app: App, world: World) -> None:
    before = await versions(world)
    await world.guard.kill()
    # While Guard is down, people are refused by the API server itself.
    closed = await world.plane.kubectl("delete", "configmap/settings", "-n", app.namespace, check=False)
    assert closed.returncode != 0
    assert "failed calling webhook" in closed.stderr
    await world.guard.start()
    await eventually(world.guard.ready, what="Guard ready again")
    assert await versions(world) == before
    refused = await world.refused("delete", "configmap/settings", "-n", app.namespace)
    assert "deleting it is refused" in refused.stderr
    await world.past("patch", "configmap/settings", "-n", app.namespace, '-p={"data":{"color":"red"}}')

    async def blue() -> bool:
        return bool((await world.get("configmap/settings", app.namespace))["data"]["color"] == "blue")

    await eventually(blue, what="drift healed after the restart")


async def test_what_drifted_while_guard_was_down_is_put_right_at_its_start(app: App, world: World) -> None:
    await world.guard.kill()
    await world.past("patch", "configmap/settings", "-n", app.namespace, '-p={"data":{"color":"red","extra":"1"}}')
    await world.past("delete", "service/web", "-n", app.namespace)
    await world.guard.start()

    async def right() -> bool:
        data = (await world.get("configmap/settings", app.namespace))["data"]
        return data == {"color": "blue", "size": "large"} and await world.exists("service", "web", app.namespace)

    await eventually(right, what="what drifted meanwhile is right again")


async def test_sigterm_stops_guard_in_order(world: World) -> None:
    assert await world.guard.stop() == 0
    await world.guard.start()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_guard_that_is_only_starting_stops_in_order_too(world: World, tmp_path: Path, number: signal.Signals) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        text = world.plane.kubeconfig("admin").read_text()
        text = text.replace(world.plane.url, f"https://127.0.0.1:{silent.getsockname()[1]}")
        kubeconfig = write(tmp_path / "kubeconfig", text)
        silent.setblocking(False)
        options = (f"--kubeconfig={kubeconfig}", f"--data-dir={tmp_path / 'data'}", "--listen=127.0.0.1:0", "--log-format=json")
        process = await asyncio.create_subprocess_exec(*guard_command(), "run", *options, stderr=asyncio.subprocess.PIPE)
        async with asyncio.timeout(60):
            asked, _ = await asyncio.get_running_loop().sock_accept(silent)
            with asked:
                process.send_signal(number)
                _, told = await process.communicate()
    assert process.returncode == 0
    # Before that the machine's own limits may be told.
    assert codec.decode(told.splitlines()[-1])["event"] == "stopping"


@pytest.mark.parametrize("source", ["git", "bucket"])
async def test_a_source_that_does_not_answer_holds_up_no_stop(
    world: World, fresh: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    """A Git server has a minute, and who gives credentials for a bucket twenty seconds: a stop does not."""
    (tmp_path / "token").write_text("token")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        silent.setblocking(False)
        for name, value in {
            "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/guard",
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"),
            "AWS_ENDPOINT_URL_STS": url,
        }.items():
            monkeypatch.setenv(name, value)
        body = sync_document(fresh, f"{url}/deploy", interval="1h")
        if source == "bucket":
            body["spec"]["source"] = {"bucket": {"name": "deploy", "endpoint": "https://127.0.0.1:1"}, "interval": "1h"}
        await world.guard.stop()
        await world.guard.start()
        await world.plane.call("POST", SYNCS, body=body)
        try:
            async with asyncio.timeout(60):
                asked, _ = await asyncio.get_running_loop().sock_accept(silent)
            with asked:
                assert await world.guard.stop() == 0
        finally:
            monkeypatch.undo()
            await world.plane.call("DELETE", f"{SYNCS}/{fresh}")
            await world.guard.kill()
            await world.guard.start()


async def test_a_part_that_fails_during_a_stop_is_told_and_leaves_nothing_behind(
    world: World, fresh: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.setblocking(False)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/deploy"
        await world.guard.stop()
        try:
            with monkeypatch.context() as patched:
                patched.setattr(guardrun, "guard_command", lambda: [sys.executable, "-c", FAILS_AT_ITS_END])
                await world.guard.start()
            await world.plane.call("POST", SYNCS, body=sync_document(fresh, url, interval="1h"))
            async with asyncio.timeout(60):
                asked, _ = await asyncio.get_running_loop().sock_accept(silent)
                assert b"git-upload-pack" in await asyncio.get_running_loop().sock_recv(asked, 65536)
            with asked:
                # Not after the minute that a Git server has.
                assert await world.guard.stop() == 2
                assert "guard: an error that nobody foresaw ended the run: ValueError" in world.guard.tail(1)
                # The git that asked is gone.
                assert await asyncio.get_running_loop().sock_recv(asked, 65536) == b""
        finally:
            await world.guard.kill()
            await world.guard.start()
            await world.plane.call("DELETE", f"{SYNCS}/{fresh}")


@pytest.mark.case(34)
async def test_without_its_source_guard_enforces_what_it_applied_last_also_after_a_restart(app: App, world: World) -> None:
    away = world.repository.directory.with_name("away")
    world.repository.directory.rename(away)
    try:
        await world.guard.reconcile()
        assert "repository" in (await not_ready(world))["message"]
        await world.refused("delete", "configmap/settings", "-n", app.namespace)
        await world.guard.kill()
        await world.guard.start()
        refused = await world.refused("delete", "configmap/settings", "-n", app.namespace)
        assert f"Change it in Git: {app.file}:" in refused.stderr
        await world.past("delete", "configmap/settings", "-n", app.namespace)

        async def back() -> bool:
            return await world.exists("configmap", "settings", app.namespace)

        await eventually(back, what="deleted object back without Git")
    finally:
        away.rename(world.repository.directory)
    await world.guard.reconcile()
    await world.guard.applied(world.repository.git("rev-parse", "HEAD"))


async def test_guards_own_account_does_the_work_and_a_person_stays_a_person(world: World) -> None:
    live = await world.get("configmap/base", "default")
    assert {entry["manager"] for entry in live["metadata"]["managedFields"]} == {"guard"}
    audit = world.plane.audit_log.read_text()
    assert '"username":"system:serviceaccount:guard-system:guard"' in audit
    # Impersonating Guard's account is RBAC's business; being an admin is not being Guard.
    refused = await world.refused("delete", "configmap/base", "-n", "default", identity="admin")
    assert "deleting it is refused" in refused.stderr


async def test_a_second_guard_on_the_same_data_folder_does_not_start(world: World, tmp_path: Path) -> None:
    line = one_line(
        await guard_run(f"--data-dir={world.guard.data}", f"--kubeconfig={world.plane.kubeconfig('admin')}", directory=tmp_path)
    )
    assert "another Guard works in this data folder" in line


async def test_a_port_in_use_is_one_clear_line(world: World, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        kubeconfig = world.plane.kubeconfig("admin")
        completed = await guard_run(f"--listen=127.0.0.1:{port}", f"--kubeconfig={kubeconfig}", directory=tmp_path)
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in one_line(completed)


async def test_an_unreachable_api_server_is_one_clear_line(world: World, tmp_path: Path) -> None:
    text = world.plane.kubeconfig("admin").read_text().replace(world.plane.url, "https://127.0.0.1:1")
    kubeconfig = write(tmp_path / "kubeconfig", text)
    line = one_line(await guard_run(f"--kubeconfig={kubeconfig}", directory=tmp_path))
    assert "the API server https://127.0.0.1:" in line
    assert "cannot be reached" in line


@pytest.mark.parametrize(
    ("text", "complaint"),
    [(None, "no such kubeconfig"), ("{not yaml", "not a usable kubeconfig"), ("a: b\n", "not a usable kubeconfig")],
)
async def test_a_wrong_kubeconfig_is_one_clear_line(tmp_path: Path, text: str | None, complaint: str) -> None:
    path = tmp_path / "kubeconfig"
    if text is not None:
        path.write_text(text)
    line = one_line(await guard_run(f"--kubeconfig={path}", directory=tmp_path))
    assert str(path) in line
    assert complaint in line


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("kind: Sync\napiVersion: gitopsguard.dev/v1alpha1\nmetadata: {name: a}\nspec: {source: {git: {}}}\n", "url"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n", "Sync"),
        ("a: [\n", "syncs.yaml"),
    ],
)
async def test_a_wrong_configuration_file_is_one_clear_line(world: World, tmp_path: Path, text: str, complaint: str) -> None:
    file = write(tmp_path / "syncs.yaml", text)
    kubeconfig = world.plane.kubeconfig("admin")
    line = one_line(await guard_run(f"--config={file}", f"--kubeconfig={kubeconfig}", directory=tmp_path))
    assert str(file) in line
    assert complaint in line


async def test_an_unreadable_repository_is_said_by_the_sync_and_harms_no_other(world: World, fresh: str, tmp_path: Path) -> None:
    body = sync_document(fresh, tmp_path / "nothing")
    await world.plane.call("POST", "/apis/gitopsguard.dev/v1alpha1/namespaces/guard-system/syncs", body=body)
    try:
        condition = await not_ready(world, sync=fresh)
        assert condition["reason"] == "SourceFailed"
        assert str(tmp_path / "nothing") in condition["message"]
        await world.declare({f"apps/{fresh}.yaml": config_map(fresh, "default", "  a: b")})
        status = await world.guard.guard("status", fresh)
        assert status.returncode == 1
        assert "False" in status.stdout
    finally:
        await world.plane.kubectl("delete", "sync", fresh, "-n", "guard-system", identity="admin")


@pytest.mark.case(33)
async def test_an_api_server_that_restarts_is_caught_up_with(app: App, world: World) -> None:
    await world.plane.stop_apiserver()
    await world.plane.start_apiserver()
    await world.past("patch", "configmap/settings", "-n", app.namespace, '-p={"data":{"color":"red"}}')

    async def blue() -> bool:
        return bool((await world.get("configmap/settings", app.namespace))["data"]["color"] == "blue")

    await eventually(blue, what="drift healed after the API server's restart")
    await world.declare({app.file: app.text.replace("color: blue", "color: green")})


@pytest.mark.parametrize("body", [b"", b"{}", b"[" * 100_000, b'{"kind":"AdmissionReview"}', b"\xff\xfe"])
async def test_a_body_that_is_no_review_gets_a_clear_answer_and_no_harm(world: World, body: bytes) -> None:
    context = ssl.create_default_context(cafile=str(world.guard.data / "certs" / "ca.crt"))
    path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/gitopsguard"
    url = (await world.plane.call("GET", path))["webhooks"][0]["clientConfig"]["url"]
    async with aiohttp.ClientSession() as session:
        headers = {"Content-Type": "application/json"}
        async with session.post(url, data=body, headers=headers, ssl=context) as response:
            assert response.status == 400
            assert "an AdmissionReview that can be answered" in await response.text()
    await world.refused("delete", "configmap/base", "-n", "default")


async def test_a_stranger_who_reaches_the_port_is_told_nothing(world: World) -> None:
    context = ssl.create_default_context(cafile=str(world.guard.data / "certs" / "ca.crt"))
    before = len(world.guard.records())
    async with aiohttp.ClientSession() as session:
        for path in ("/admission", "/admission/", "/admission/guess"):
            async with session.post(f"{world.guard.url}{path}", json={"request": {"uid": "1"}}, ssl=context) as response:
                assert (response.status, "Git" in await response.text()) == (404, False)
    # Of other tests a fight may just have ended.
    assert not [record for record in world.guard.records()[before:] if record["event"] in {"denied", "warned", "audited"}]


async def test_diff_shows_what_differs_while_healing_is_off(world: World, fresh: str) -> None:
    sync = f"{fresh}-diff"
    world.repository.commit({f"{sync}/map.yaml": config_map(fresh, "default", "  color: blue")})
    body = sync_document(sync, world.repository.directory, path=sync, enforcement={"mode": "Warn"})
    await world.plane.call("POST", "/apis/gitopsguard.dev/v1alpha1/namespaces/guard-system/syncs", body=body)
    commit = world.repository.git("rev-parse", "HEAD")
    await world.guard.applied(commit, sync=sync)
    same = await world.guard.guard("diff", sync)
    assert (same.returncode, same.stdout) == (0, f"1 object, no difference from main@{commit[:7]}\n")
    await world.plane.kubectl("patch", "configmap", fresh, '-p={"data":{"color":"red","extra":"1"}}')
    different = await world.guard.guard("diff", sync, "-o", "json")
    assert different.returncode == 1
    (found,) = different.json()["differences"]
    assert found["fields"] == [
        {"path": "data.color", "git": "blue", "live": "red", "line": 7, "managedBy": ["kubectl-patch"]},
        {"path": "data.extra", "git": "", "live": "1", "line": 0, "managedBy": ["kubectl-patch"]},
    ]
    shown = await world.guard.guard("diff", sync, "--color", "always")
    assert shown.returncode == 1
    assert unstyled(shown.stdout).splitlines() == [
        f"ConfigMap default/{fresh} ({sync}/map.yaml:1): changed",
        f"  data.color ({sync}/map.yaml:7, set by kubectl-patch)",
        "    - cluster: red",
        "    + Git:     blue",
        "  data.extra (set by kubectl-patch)",
        "    - cluster: 1",
        f"1 of 1 object differs from main@{commit[:7]} (1 changed)",
    ]
    assert "\x1b[31m    - cluster: red" in shown.stdout
    nobody = await world.guard.guard("diff", "nobody")
    assert (nobody.returncode, nobody.stdout) == (2, "")
    assert nobody.stderr == "guard: there is no Sync guard-system/nobody (guard status lists them)\n"

    async def counted() -> bool:
        return bool((await world.guard.sync(sync))["status"]["objects"]["drifted"] == 1)

    await eventually(counted, what="the status counts the drifted object")


async def test_audit_follows(app: App, world: World) -> None:
    process = await asyncio.create_subprocess_exec(
        *guard_command(),
        "audit",
        "--follow",
        "--limit=1",
        "--output=json",
        f"--namespace={app.namespace}",
        f"--data-dir={world.guard.data}",
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        await world.refused("delete", "configmap/settings", "-n", app.namespace)
        assert process.stdout is not None
        async with asyncio.timeout(60):
            line = await process.stdout.readline()
        assert b'"reason":"DeclaredObjectDeleted"' in line
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        # The transport of the pipe outlives the process until it is read to its end.
        assert process.stdout is not None
        await process.stdout.read()


async def test_guard_reconcile_makes_guard_look_at_once(world: World, fresh: str) -> None:
    commit = world.repository.commit({f"apps/{fresh}.yaml": config_map(fresh, "default", "  a: b")})
    completed = await world.guard.guard("reconcile", "apps")
    assert completed.returncode == 0
    await world.guard.applied(commit)
    unknown = await world.guard.guard("reconcile", "nobody")
    assert unknown.returncode == 2
    assert "there is no Sync guard-system/nobody" in unknown.stderr


SYNCS = "/apis/gitopsguard.dev/v1alpha1/namespaces/guard-system/syncs"


async def second_sync(world: World, directory: Path, name: str) -> Repository:
    """A Sync that alone declares a LimitRange, a namespace, and a Deployment in it."""
    repository = Repository(directory)
    commit = repository.commit({"all.yaml": LIMITS.format(name=name)})
    await world.plane.call("POST", SYNCS, body=sync_document(name, repository.directory, interval="1h"))
    await world.guard.applied(commit, sync=name)
    return repository


@asynccontextmanager
async def second_sync_not_loaded(world: World, directory: Path, name: str, *, registered: bool) -> AsyncGenerator[None]:
    """The second Sync's repository is away, and Guard has lost its data folder. Where it is not `registered`, the webhook
    configuration was deleted while Guard was down.
    """
    repository = await second_sync(world, directory / "second", name)
    away, kept = directory / "away", world.guard.data.with_name("kept")
    await world.guard.stop()
    repository.directory.rename(away)
    world.guard.data.rename(kept)
    if not registered:
        await world.plane.call("DELETE", CONFIGURATION)
    try:
        # Returns when the first Sync is applied.
        await world.guard.start()
        yield
    finally:
        await world.guard.kill()
        shutil.rmtree(world.guard.data)
        kept.rename(world.guard.data)
        await world.plane.call("DELETE", f"{SYNCS}/{name}")
        await world.guard.start()


LIMITS = """
    apiVersion: v1
    kind: LimitRange
    metadata: {{name: {name}, namespace: default}}
    spec: {{limits: [{{type: Pod, max: {{cpu: "64"}}}}]}}
    ---
    apiVersion: v1
    kind: Namespace
    metadata: {{name: {name}}}
    ---
    apiVersion: apps/v1
    kind: Deployment
    metadata: {{name: {name}, namespace: {name}}}
    spec:
      replicas: 1
      selector: {{matchLabels: {{app: web}}}}
      template:
        metadata: {{labels: {{app: web}}}}
        spec: {{containers: [{{name: web, image: web}}]}}
"""


@pytest.mark.case(23, 34)
@pytest.mark.parametrize("registered", [True, False])
async def test_a_kind_that_only_a_sync_not_yet_loaded_declares_stays_guarded(
    world: World, fresh: str, tmp_path: Path, *, registered: bool
) -> None:
    async with second_sync_not_loaded(world, tmp_path, fresh, registered=registered):
        refused = await world.refused("delete", f"limitrange/{fresh}", "-n", "default")
        assert "which Guard could not read since it started" in refused.stderr


async def test_names_asked_about_for_a_sync_not_yet_loaded_stay_so_until_it_is_gone(
    world: World, fresh: str, tmp_path: Path
) -> None:
    async def asked() -> set[str]:
        """The entries that name it."""
        found = (await world.plane.call("GET", CONFIGURATION))["webhooks"]
        return {entry["name"].partition(".")[0] for entry in found if f"{fresh}'" in str(entry["matchConditions"])}

    async with second_sync_not_loaded(world, tmp_path, fresh, registered=True):
        assert await asked() == {"scale", "control-plane-scale", "namespaces", "namespaces-owners"}

    async def forgotten() -> bool:
        return await asked() == set()

    await eventually(forgotten, what="what nobody declares any more is not asked about")


async def test_nothing_is_let_go_while_guard_starts(world: World, fresh: str, tmp_path: Path) -> None:
    """Syncs are loaded one after the other, and each of them registers."""
    await second_sync(world, tmp_path / "second", fresh)
    kubectl = (world.plane.kubectl_path, f"--kubeconfig={world.plane.kubeconfig('admin')}")
    watch = (*kubectl, "get", "validatingwebhookconfiguration", "gitopsguard", "--watch", "--output=json")
    process = await asyncio.create_subprocess_exec(*watch, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    text = ""
    try:
        async with asyncio.timeout(60):
            text += (await process.stdout.read(1 << 16)).decode()
        await world.guard.stop()
        await world.guard.start()
        await eventually(world.guard.ready, what="both Syncs loaded")
        version = (await world.plane.call("GET", CONFIGURATION))["metadata"]["resourceVersion"]
        async with asyncio.timeout(60):
            while f'"resourceVersion": "{version}"' not in text:
                text += (await process.stdout.read(1 << 16)).decode()
    finally:
        process.kill()
        await process.wait()
        # The transport of the pipe outlives the process until it is read to its end.
        text += (await process.stdout.read()).decode()
        await world.plane.call("DELETE", f"{SYNCS}/{fresh}")
    seen = text.split('"kind": "ValidatingWebhookConfiguration"')[1:]
    assert len(seen) > 1
    for wanted in ('"configmaps"', '"limitranges"', f"'{fresh}/{fresh}'"):
        assert all(wanted in found for found in seen)


async def test_a_new_sync_that_does_not_load_keeps_nothing_registered(world: World, fresh: str, tmp_path: Path) -> None:
    """As one with a mistyped address: it has nothing at stake."""
    await second_sync(world, tmp_path / "second", fresh)
    assert f"'{fresh}'" in str(await world.plane.call("GET", CONFIGURATION))
    new = sync_document(f"{fresh}-new", tmp_path / "nothing", interval="1h")
    await world.guard.stop()
    try:
        await world.plane.call("DELETE", f"{SYNCS}/{fresh}")
        await world.plane.call("POST", SYNCS, body=new)
    finally:
        await world.guard.start()
    try:
        assert not await world.guard.ready()
        assert f"'{fresh}'" not in str(await world.plane.call("GET", CONFIGURATION))
    finally:
        await world.plane.call("DELETE", f"{SYNCS}/{fresh}-new")


@pytest.mark.case(33)
@pytest.mark.timeout(600)
async def test_a_kind_that_cannot_be_converted_is_named_and_harms_no_other(world: World, fresh: str) -> None:
    """Its conversion webhook fails for good: nothing of the kind can be watched until that is over."""
    group = f"{fresh}.example.com"
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    await world.plane.call("POST", definitions, body=widget_definition(group))
    thing = widget(fresh, group, "{size: 1}", version="v2")
    await world.declare({f"apps/{fresh}.yaml": thing, f"apps/{fresh}-map.yaml": config_map(fresh, "default", "  color: blue")})
    crd = ("patch", "crd", f"widgets.{group}", "--type=merge", "-p")

    async def convert(conversion: str) -> None:
        await world.past(*crd, f'{{"spec":{{"conversion":{conversion}}}}}')

    async def unwatched() -> str:
        found = (await world.guard.sync("apps"))["status"]["conditions"]
        return "".join(condition["message"] for condition in found if condition["type"] == "Unwatched")

    async def color() -> bool:
        return bool((await world.get(f"configmap/{fresh}", "default"))["data"]["color"] == "blue")

    nobody = '{"clientConfig":{"url":"https://127.0.0.1:1/"},"conversionReviewVersions":["v1"]}'
    try:
        await convert(f'{{"strategy":"Webhook","webhook":{nobody}}}')

        async def is_said() -> bool:
            return f"Widget.{group}" in await unwatched()

        await eventually(is_said, what=lambda: f"the Sync names the kind; the log ends:\n{world.guard.tail()}", seconds=120)
        await world.past("patch", f"configmap/{fresh}", "-n", "default", '-p={"data":{"color":"red"}}')
        await eventually(color, what="another kind is healed")
        await convert('{"strategy":"None","webhook":null}')

        async def is_watched() -> bool:
            return not await unwatched()

        await eventually(is_watched, what="the kind is watched again")
        await world.past("delete", f"widgets.v2.{group}/{fresh}", "-n", "default")

        async def is_back() -> bool:
            return await world.exists(f"widgets.v2.{group}", fresh, "default")

        await eventually(is_back, what="a deleted object of the kind is back")
    finally:
        await convert('{"strategy":"None","webhook":null}')
    await world.declare({f"apps/{fresh}.yaml": None, f"apps/{fresh}-map.yaml": None})


DEFINITION = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/syncs.gitopsguard.dev"


@pytest.mark.case(34)
async def test_a_sync_that_cannot_be_read_leaves_nothing_unprotected(world: World, fresh: str, tmp_path: Path) -> None:
    """As one written while an older definition was served, which took more than Guard does."""
    await second_sync(world, tmp_path / "second", fresh)
    definition = await world.plane.call("GET", DEFINITION)
    spec = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["properties"]["enforcement"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    await world.plane.call("PUT", DEFINITION, body=definition)
    sync = ("sync", fresh, "-n", "guard-system")

    async def set_paths(path: str) -> bool:
        patch = codec.encode({"spec": {"enforcement": {"ignore": [{"paths": [path]}]}}}).decode()
        done = await world.plane.kubectl("patch", *sync, "--type=merge", "-p", patch, identity="admin", check=False)
        return done.returncode == 0

    async def is_guards_again() -> bool:
        return not await set_paths("/a[c")

    limits = ("delete", f"limitrange/{fresh}", "-n", "default")
    try:
        await eventually(lambda: set_paths("/a[b"), what="the API server takes what Guard does not")
        # What it said last stays in force.
        assert "managed from Git, so deleting it is refused" in (await world.refused(*limits)).stderr
        await world.guard.stop()
        await world.guard.start()
        assert not await world.guard.ready()
        for command in (limits, ("delete", "namespace", fresh)):
            assert "which Guard has not loaded yet" in (await world.refused(*command)).stderr
        # The API server, which has Guard's definition again, takes it no more.
        await eventually(is_guards_again, what="the API server goes by Guard's definition")
        assert await set_paths("/a")
        await eventually(world.guard.ready, what="Guard ready again")
        assert "managed from Git, so deleting it is refused" in (await world.refused(*limits)).stderr
    finally:
        await world.plane.call("DELETE", f"{SYNCS}/{fresh}")
