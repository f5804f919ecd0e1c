"""What the webhook refuses and what it lets through, each asked of a real API server by a real kubectl."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from guard.base import codec
from tests.e2e.conftest import App, World, config_map, write
from tools.guardrun import eventually

LABEL = "gitopsguard.dev/sync"


def image(deployment: codec.JsonObject) -> str:
    return str(deployment["spec"]["template"]["spec"]["containers"][0]["image"])


@pytest.mark.case(1)
@pytest.mark.parametrize(
    ("command", "path", "git", "asked"),
    [
        (("edit", "deployment/web"), "spec.template.spec.containers[name=web].image", "nginx:1.25", "nginx:1.26"),
        (
            ("patch", "deployment/web", "--type=json", '-p=[{"op":"replace","path":"/spec/replicas","value":7}]'),
            "spec.replicas",
            "2",
            "7",
        ),
        (("patch", "configmap/settings", "--type=merge", '-p={"data":{"color":"red"}}'), "data.color", "blue", "red"),
        (
            ("set", "image", "deployment/web", "web=nginx:1.26"),
            "spec.template.spec.containers[name=web].image",
            "nginx:1.25",
            "nginx:1.26",
        ),
        (("label", "--overwrite", "deployment/web", "app=other"), "metadata.labels.app", "web", "other"),
        (("set", "env", "deployment/web", "MODE=test"), "env[name=MODE].value", "production", "test"),
    ],
)
async def test_a_changed_declared_field_is_refused(  # noqa: PLR0917 (fixtures and parameters)
    untouched: App, world: World, command: tuple[str, ...], path: str, git: str, asked: str
) -> None:
    resource = next(word for word in command if "/" in word and not word.startswith("-"))
    before = await world.get(resource, untouched.namespace)
    editor = {"KUBE_EDITOR": "sed -i s/nginx:1.25/nginx:1.26/"} if command[0] == "edit" else {}
    refused = await world.refused(*command, "-n", untouched.namespace, environment=editor)
    # kubectl edit shows the refusal in the file it reopens, and its path on standard error.
    assert f"{path}: Git has {git}, you asked for {asked}" in refused.stderr
    assert f"Change it in Git: {untouched.file}:{untouched.line_of(path, git)} (main@" in refused.stderr
    after = await world.get(resource, untouched.namespace)
    assert after == before


@pytest.mark.case(1)
@pytest.mark.parametrize("flags", [("apply",), ("apply", "--server-side", "--force-conflicts"), ("replace",)])
async def test_a_file_that_differs_from_git_is_refused(
    untouched: App, world: World, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    changed = write(tmp_path / "changed.yaml", config_map("settings", untouched.namespace, "  color: red\n  size: large"))
    before = await world.get("configmap/settings", untouched.namespace)
    refused = await world.refused(*flags, "-f", str(changed))
    assert "data.color: Git has blue, you asked for red" in refused.stderr
    assert await world.get("configmap/settings", untouched.namespace) == before


@pytest.mark.case(1)
async def test_annotating_a_declared_annotation_is_refused(world: World, fresh: str) -> None:
    text = f"apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {fresh}\n  annotations:\n    team: blue\n"
    await world.declare({f"apps/{fresh}.yaml": text})
    before = await world.get(f"namespace/{fresh}", "")
    refused = await world.refused("annotate", "--overwrite", f"namespace/{fresh}", "team=red")
    assert "metadata.annotations.team: Git has blue, you asked for red" in refused.stderr
    revision = world.repository.git("rev-parse", "HEAD")[:7]
    assert f"Change it in Git: apps/{fresh}.yaml:6 (main@{revision})" in refused.stderr
    assert await world.get(f"namespace/{fresh}", "") == before


@pytest.mark.case(1)
async def test_every_command_that_changes_or_removes_a_declared_field_is_refused(app: App, world: World, tmp_path: Path) -> None:
    before = await world.get("deployment/web", app.namespace)
    other = write(tmp_path / "other.yaml", app.text.replace("nginx:1.25", "nginx:1.26"))
    image = "spec.template.spec.containers[name=web].image: Git has nginx:1.25, you asked for nginx:1.26"
    remove = '[{"op":"remove","path":"/spec/template/spec/containers/0/env"}]'
    for command, said in (
        (("apply", "-f", str(other)), image),
        (("apply", "--server-side", "--force-conflicts", "-f", str(other)), image),
        (("replace", "-f", str(other)), image),
        (("set", "env", "deployment/web", "MODE-"), "env[name=MODE]"),
        (("set", "resources", "deployment/web", "--limits=cpu=1"), "resources.limits.cpu: Git has 500m, you asked for 1"),
        (("label", "deployment/web", "app-"), "metadata.labels.app: Git has web, you asked to remove it"),
        (("patch", "deployment/web", "--type=json", "-p", remove), "env[name=MODE]"),
        (("set", "selector", "service/web", "app=other"), "spec.selector"),
    ):
        refused = await world.refused(*command, "-n", app.namespace)
        assert said in refused.stderr
    assert await world.get("deployment/web", app.namespace) == before


@pytest.mark.case(1)
async def test_the_message_names_commands_that_exist(app: App, world: World) -> None:
    refused = await world.refused("delete", "configmap/settings", "-n", app.namespace)
    lines = refused.stderr.splitlines()
    assert "denied the request: ConfigMap" in lines[0]
    reference = next(line.split()[1] for line in lines if line.startswith("Reference: "))
    found = await world.guard.guard("audit", "--reference", reference, "-o", "json")
    assert [record["reason"] for record in found.json()] == ["DeclaredObjectDeleted"]
    assert found.returncode == 1
    emergency = next(line for line in lines if line.startswith("Emergency"))
    command = shlex.split(emergency.partition(": ")[2])
    assert command == ["guard", "break-glass", "configmap/settings", "-n", app.namespace, "--for", "30m", "--reason", "..."]
    opened = await world.guard.guard(*command[1:])
    assert opened.returncode == 0, opened.stderr
    await world.plane.kubectl("delete", "configmap/settings", "-n", app.namespace)
    ended = await world.guard.guard("break-glass", "end", *command[2:5])
    assert ended.returncode == 0, ended.stderr

    async def is_back() -> bool:
        return await world.exists("configmap", "settings", app.namespace)

    await eventually(is_back, what="what was deleted in the emergency is back")


@pytest.mark.case(2)
async def test_setting_a_field_to_gits_value_is_accepted(app: App, world: World, tmp_path: Path) -> None:
    await world.plane.kubectl("apply", "-f", str(write(tmp_path / "app.yaml", app.text)))
    await world.plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(tmp_path / "app.yaml"))
    await world.plane.kubectl("set", "image", "deployment/web", "web=nginx:1.25", "-n", app.namespace)
    assert image(await world.get("deployment/web", app.namespace)) == "nginx:1.25"


@pytest.mark.case(2)
async def test_gits_value_is_accepted_in_any_notation(app: App, world: World, tmp_path: Path) -> None:
    spec = (await world.get("deployment/web", app.namespace))["spec"]
    data = (await world.get("secret/login", app.namespace))["data"]
    other = app.text.replace("cpu: 500m", "cpu: 0.5").replace("memory: 128Mi", "memory: 131072Ki")
    assert other != app.text
    file = write(tmp_path / "other.yaml", other)
    for flags in (("apply",), ("apply", "--server-side", "--force-conflicts")):
        await world.plane.kubectl(*flags, "-f", str(file))
    await world.plane.kubectl("set", "resources", "deployment/web", "--limits=cpu=0.5,memory=131072Ki", "-n", app.namespace)
    # What the API server adds by itself may be said aloud, and a secret's value in either of its forms.
    said = '{"spec":{"template":{"spec":{"containers":[{"name":"web","ports":[{"containerPort":80,"protocol":"TCP"}]}]}}}}'
    await world.plane.kubectl("patch", "deployment/web", "-n", app.namespace, "-p", said)
    await world.plane.kubectl("patch", "secret/login", "-n", app.namespace, '-p={"stringData":{"password":"correct-horse"}}')
    await world.plane.kubectl("patch", "secret/login", "-n", app.namespace, '-p={"data":{"password":"Y29ycmVjdC1ob3JzZQ=="}}')
    assert (await world.get("deployment/web", app.namespace))["spec"] == spec
    assert (await world.get("secret/login", app.namespace))["data"] == data
    refused = await world.refused("set", "resources", "deployment/web", "--limits=cpu=0.6", "-n", app.namespace)
    assert "resources.limits.cpu: Git has 500m, you asked for 600m" in refused.stderr
    # Whoever applied the file owns it as well, and yet what Git drops goes.
    await world.declare({app.file: app.text.replace("              cpu: 500m\n", "")})
    limits = (await world.get("deployment/web", app.namespace))["spec"]["template"]["spec"]["containers"][0]["resources"][
        "limits"
    ]
    assert limits == {"memory": "128Mi"}


@pytest.mark.case(2)
async def test_git_may_write_a_quantity_as_it_likes(world: World, fresh: str) -> None:
    app = App(world, fresh)
    await world.declare({app.file: app.text.replace("cpu: 500m", "cpu: 1000m")})
    for same in ("1", "1000m"):
        await world.plane.kubectl("set", "resources", "deployment/web", f"--limits=cpu={same},memory=128Mi", "-n", fresh)
    before = await world.get("deployment/web", fresh)
    await world.settled()
    assert await world.get("deployment/web", fresh) == before


@pytest.mark.case(2)
async def test_putting_a_drifted_field_back_is_accepted(world: World, fresh: str) -> None:
    sync = f"{fresh}-warn"
    await world.add_sync(sync, enforcement={"mode": "Warn"})
    await world.declare({f"{sync}/map.yaml": config_map(fresh, "default", "  color: blue")}, sync=sync)
    await world.plane.kubectl("patch", "configmap", fresh, "--type=merge", '-p={"data":{"color":"red"}}')
    await world.enforce(sync, {"mode": "Deny", "heal": False})
    await world.plane.kubectl("patch", "configmap", fresh, "--type=merge", '-p={"data":{"color":"blue"}}')
    refused = await world.refused("patch", "configmap", fresh, "--type=merge", '-p={"data":{"color":"green"}}')
    assert "Git has blue, you asked for green" in refused.stderr


@pytest.mark.case(3)
async def test_scaling_is_refused_where_git_declares_replicas(app: App, world: World) -> None:
    refused = await world.refused("scale", "deployment/web", "--replicas=5", "-n", app.namespace)
    assert "spec.replicas: Git has 2, you asked for 5" in refused.stderr
    assert (await world.get("deployment/web", app.namespace))["spec"]["replicas"] == 2
    await world.plane.kubectl("scale", "deployment/web", "--replicas=2", "-n", app.namespace)


@pytest.mark.case(3)
async def test_scaling_is_accepted_where_git_declares_no_replicas(world: World, fresh: str) -> None:
    app = App(world, fresh, replicas=None)
    await world.declare({app.file: app.text})
    await world.plane.kubectl("scale", "deployment/web", "--replicas=5", "-n", app.namespace)
    assert (await world.get("deployment/web", app.namespace))["spec"]["replicas"] == 5


@pytest.mark.case(5)
@pytest.mark.parametrize(
    ("resource", "patch", "path"),
    [
        (
            "deployment/web",
            '{"spec":{"template":{"spec":{"containers":[{"name":"sidecar","image":"busybox"}]}}}}',
            "spec.template.spec.containers[name=sidecar]",
        ),
        (
            "deployment/web",
            '{"spec":{"template":{"spec":{"containers":[{"name":"web","env":[{"name":"EXTRA","value":"1"}]}]}}}}',
            "spec.template.spec.containers[name=web].env[name=EXTRA]",
        ),
        ("configmap/settings", '{"data":{"extra":"1"}}', "data.extra"),
        ("service/web", '{"metadata":{"labels":{"extra":"1"}}}', "metadata.labels.extra"),
    ],
)
async def test_what_a_person_adds_to_a_declared_object_is_refused(
    untouched: App, world: World, resource: str, patch: str, path: str
) -> None:
    before = await world.get(resource, untouched.namespace)
    for identity in ("person", "ci"):
        refused = await world.refused("patch", resource, "-n", untouched.namespace, "-p", patch, identity=identity)
        assert f"{path}: not in Git, you asked to add" in refused.stderr
    assert await world.get(resource, untouched.namespace) == before


@pytest.mark.case(5)
async def test_an_operators_annotation_and_status_are_accepted(app: App, world: World) -> None:
    path = f"/apis/apps/v1/namespaces/{app.namespace}/deployments/web"
    live = await world.get("deployment/web", app.namespace)
    live["metadata"].setdefault("annotations", {})["operator.example.com/seen"] = "yes"
    stored = await world.plane.call("PUT", f"{path}?fieldManager=operator", body=live, identity="operator")
    assert stored["metadata"]["annotations"]["operator.example.com/seen"] == "yes"
    stored["status"] = {"replicas": 1, "observedGeneration": 1}
    stored = await world.plane.call("PUT", f"{path}/status?fieldManager=operator", body=stored, identity="operator")
    assert stored["status"]["replicas"] == 1


@pytest.mark.case(6)
async def test_deleting_declared_objects_is_refused_item_by_item(app: App, world: World) -> None:
    await world.plane.kubectl("create", "configmap", "mine", "-n", app.namespace)
    refused = await world.refused("delete", "configmap", "--all", "-n", app.namespace)
    assert refused.stderr.count("is managed from Git, so deleting it is refused") == 1
    assert not await world.exists("configmap", "mine", app.namespace)
    for arguments in (("deployment/web",), ("service/web", "--cascade=orphan"), ("configmap/settings", "--now")):
        await world.refused("delete", *arguments, "-n", app.namespace)
    for resource in ("deployment/web", "service/web", "configmap/settings", "secret/login"):
        assert "deletionTimestamp" not in (await world.get(resource, app.namespace))["metadata"]


@pytest.mark.case(6)
async def test_deletecollection_and_forced_replace_are_refused(app: App, world: World, tmp_path: Path) -> None:
    before = await world.get("configmap/settings", app.namespace)
    file = write(tmp_path / "map.yaml", config_map("settings", app.namespace, "  color: red"))
    await world.refused("replace", "--force", "-f", str(file))
    refused = await world.refused("delete", "--raw", f"/api/v1/namespaces/{app.namespace}/configmaps")
    assert "is managed from Git, so deleting it is refused" in refused.stderr
    assert await world.get("configmap/settings", app.namespace) == before


@pytest.mark.case(6)
async def test_deleting_declared_objects_of_many_kinds_at_once_is_refused_for_each(
    app: App, world: World, tmp_path: Path
) -> None:
    await world.plane.kubectl("create", "deployment", "mine", "--image=busybox", "-n", app.namespace)
    refused = await world.refused("delete", "deployments,services,secrets", "--all", "-n", app.namespace)
    assert refused.stderr.count("is managed from Git, so deleting it is refused") == 3
    assert not await world.exists("deployment", "mine", app.namespace)
    refused = await world.refused("delete", "-f", str(write(tmp_path / "app.yaml", app.text)), "--wait=false")
    assert refused.stderr.count("is managed from Git, so deleting it is refused") == 4
    assert "holds 4 objects managed from Git" in refused.stderr
    for resource in ("deployment/web", "service/web", "configmap/settings", "secret/login", f"namespace/{app.namespace}"):
        assert "deletionTimestamp" not in (await world.get(resource, app.namespace))["metadata"]


@pytest.mark.case(8)
async def test_taking_our_label_off_is_refused(app: App, world: World) -> None:
    refused = await world.refused("label", "deployment/web", f"{LABEL}-", "-n", app.namespace)
    assert "its ownership cannot be changed by hand" in refused.stderr
    assert (await world.get("deployment/web", app.namespace))["metadata"]["labels"][LABEL] == "guard-system.apps"


@pytest.mark.case(1, 8)
async def test_replacing_an_object_by_its_file_takes_our_label_off_and_says_what_does_not(app: App, world: World) -> None:
    settings = app.text.split("---\n")[1]
    refused = await world.refused("replace", "-f", "-", text=settings)
    assert "as kubectl replace of a file does, and kubectl apply does not" in refused.stderr
    await world.plane.kubectl("apply", "-f", "-", identity="person", input=settings)
    assert (await world.get("configmap/settings", app.namespace))["metadata"]["labels"][LABEL] == "guard-system.apps"


@pytest.mark.case(8)
async def test_putting_our_label_on_a_foreign_object_is_refused(world: World, fresh: str) -> None:
    await world.plane.kubectl("create", "configmap", fresh)
    refused = await world.refused("label", f"configmap/{fresh}", f"{LABEL}=guard-system.apps")
    assert "is not managed from Git, so it may not carry the label" in refused.stderr
    assert LABEL not in (await world.get(f"configmap/{fresh}", "default"))["metadata"].get("labels", {})


@pytest.mark.case(8)
@pytest.mark.parametrize(
    "patch",
    [
        '{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"x","uid":"d9607e19-f88f-11e6-a518-42010a800195"}]}}',
        '{"metadata":{"finalizers":["example.com/mine"]}}',
        '{"metadata":{"managedFields":[{}]}}',
    ],
)
async def test_owners_finalizers_and_managed_fields_are_not_for_people(untouched: App, world: World, patch: str) -> None:
    before = await world.get("configmap/settings", untouched.namespace)
    await world.refused("patch", "configmap/settings", "--type=merge", "-n", untouched.namespace, "-p", patch)
    assert await world.get("configmap/settings", untouched.namespace) == before


@pytest.mark.case(9)
async def test_creating_a_declared_name_with_other_content_is_refused(app: App, world: World, tmp_path: Path) -> None:
    # A dry run of a create meets a name that is taken, so the object has to go first, and Guard has to leave it gone.
    await world.enforce("apps", {"mode": "Deny", "heal": False})
    try:
        await world.past("delete", "configmap", "settings", "-n", app.namespace)
        unlike = write(tmp_path / "unlike.yaml", config_map("settings", app.namespace, "  color: red\n  size: large"))
        refused = await world.refused("create", "-f", str(unlike))
        assert "data.color: Git has blue, you asked for red" in refused.stderr
        assert not await world.exists("configmap", "settings", app.namespace)
        like = write(tmp_path / "like.yaml", config_map("settings", app.namespace, "  color: blue\n  size: large"))
        await world.plane.kubectl("create", "-f", str(like))
    finally:
        await world.enforce("apps", None)
    await eventually(lambda: _labelled(world, app.namespace), what="the object created like Git is Guard's again")


@pytest.mark.case(9)
async def test_creating_an_undeclared_object_with_our_label_is_refused(world: World, fresh: str) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": fresh, "labels": {LABEL: "guard-system.apps"}}}
    refused = await world.refused("create", "-f", "-", text=codec.encode(body).decode())
    assert "may not carry the label" in refused.stderr
    assert not await world.exists("configmap", fresh, "default")


@pytest.mark.case(11)
async def test_a_dry_run_gets_the_same_answer_and_a_record_that_says_so(app: App, world: World) -> None:
    await world.refused("patch", "configmap/settings", "-n", app.namespace, '-p={"data":{"color":"red"}}', "--dry-run=server")
    record = [found for found in world.guard.records() if found.get("namespace") == app.namespace][-1]
    assert (record["event"], record["dryRun"], record["name"]) == ("denied", True, "settings")


@pytest.mark.case(18)
async def test_warn_lets_the_change_through_with_a_warning_and_audit_in_silence(world: World, fresh: str) -> None:
    sync = f"{fresh}-soft"
    await world.add_sync(sync, enforcement={"mode": "Warn"})
    await world.declare({f"{sync}/map.yaml": config_map(fresh, "default", "  color: blue")}, sync=sync)
    warned = await world.plane.kubectl("patch", "configmap", fresh, '-p={"data":{"color":"red"}}')
    assert f"Warning: ConfigMap default/{fresh} is managed from Git" in warned.stderr
    assert "Warning: data.color: Git has blue, you asked for red" in warned.stderr
    await world.enforce(sync, {"mode": "Audit"})
    silent = await world.plane.kubectl("patch", "configmap", fresh, '-p={"data":{"color":"green"}}')
    assert "Warning" not in silent.stderr
    assert (await world.get(f"configmap/{fresh}", "default"))["data"]["color"] == "green"
    events = [record["event"] for record in world.guard.records() if record.get("name") == fresh]
    assert events == ["warned", "audited"]


@pytest.mark.case(39)
async def test_secret_values_are_neither_shown_nor_recorded(app: App, world: World) -> None:
    refused = await world.refused("patch", "secret/login", "-n", app.namespace, '-p={"stringData":{"password":"battery-staple"}}')
    assert "data.password: differs from Git" in refused.stderr
    told = refused.stderr + world.guard.log.read_text() + str(world.guard.records())
    for secret in ("correct-horse", "battery-staple", "Y29ycmVjdC1ob3JzZQ", "YmF0dGVyeS1zdGFwbGU"):
        assert secret not in told


async def _labelled(world: World, namespace: str) -> bool:
    if not await world.exists("configmap", "settings", namespace):
        return False
    return LABEL in (await world.get("configmap/settings", namespace))["metadata"].get("labels", {})


async def test_a_sync_may_be_loosened_until_it_is_taken_back(world: World, fresh: str) -> None:
    sync = f"{fresh}-emergency"
    await world.add_sync(sync, enforcement={"mode": "Deny"})
    await world.declare({f"{sync}/map.yaml": config_map(fresh, "default", "  color: blue")}, sync=sync)
    patch = '{"spec":{"enforcement":{"mode":"Warn","heal":false}}}'
    await world.plane.kubectl("patch", "sync", sync, "-n", "guard-system", "--type", "merge", "-p", patch, identity="admin")

    async def changed() -> bool:
        edit = ("patch", "configmap", fresh, "--type=merge", '-p={"data":{"color":"red"}}')
        return (await world.plane.kubectl(*edit, check=False)).returncode == 0

    await eventually(changed, what="the person's change is let through")
    # Past the Sync's own look at its new spec, which must not undo what it was changed for.
    await world.seen(sync)
    assert (await world.get(f"configmap/{fresh}", "default"))["data"] == {"color": "red"}
    await world.enforce(sync, {"mode": "Deny", "heal": True})

    async def blue() -> bool:
        return bool((await world.get(f"configmap/{fresh}", "default"))["data"] == {"color": "blue"})

    await eventually(blue, what="Git's value is back")
