"""`guard explain` of a running Guard, and `guard check` held against what the API server and Guard really answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.base import codec
from guard.base.codec import JsonObject
from tests.e2e.conftest import App, World, config_map, write
from tools.guardrun import eventually

IMAGE = "spec.template.spec.containers[name=web].image"


async def explained(world: World, reference: str, namespace: str, *, code: int = 0) -> JsonObject:
    completed = await world.guard.guard("explain", reference, "-n", namespace, "-o", "json")
    assert completed.returncode == code, completed.stdout + completed.stderr
    found: JsonObject = completed.json()
    return found


def fields_of(found: JsonObject, section: str = "fields") -> dict[str, JsonObject]:
    return {field["path"]: field for field in found[section]}


async def suspended(world: World, *, heal: bool) -> None:
    """Switch the healing of the whole Sync off, or on again."""
    patch = '{"spec":{"enforcement":{"mode":"Warn","heal":false}}}' if not heal else '{"spec":{"enforcement":null}}'
    await world.plane.kubectl(
        "patch", "syncs.gitopsguard.dev/apps", "-n", "guard-system", "--type=merge", f"-p={patch}", identity="admin"
    )


async def test_each_declared_field_is_shown_with_its_value_its_line_and_its_owner(app: App, world: World) -> None:
    found = await explained(world, "deployment/web", app.namespace)
    image = fields_of(found)[IMAGE]
    assert (image["git"], image["live"], image["same"]) == ("nginx:1.25", "nginx:1.25", True)
    assert image["line"] == app.line_of(IMAGE, "nginx:1.25")
    assert image["managedBy"] == ["guard"]
    assert found["state"] == "same"
    assert (found["sync"], found["file"], found["line"]) == ("guard-system/apps", app.file, app.line("kind: Deployment"))
    assert found["revision"].endswith(world.repository.git("rev-parse", "HEAD"))
    assert found["enforcement"] == {"mode": "Deny", "additions": "Deny", "heal": True}
    assert found["labelledByGuard"] is True
    ours = [manager for manager in found["managers"] if manager["manager"] == "guard"]
    assert [(manager["operation"], manager["subresource"]) for manager in ours] == [("Apply", "")]
    assert IMAGE in ours[0]["fields"]


@pytest.mark.parametrize("kind", ["deployment", "deployments", "deploy", "Deployment.apps", "deployments.v1.apps", "DEPLOY"])
async def test_a_kind_is_taken_as_kubectl_takes_it(app: App, world: World, kind: str) -> None:
    found = await explained(world, f"{kind}/web", app.namespace)
    assert (found["kind"], found["group"]) == ("Deployment", "apps")


async def test_what_people_may_change_depends_on_the_object(app: App, world: World) -> None:
    deployment = await explained(world, "deployment/web", app.namespace)
    ways = {able["what"] for able in deployment["mayChange"]}
    assert "spec.template.metadata.annotations[kubectl.kubernetes.io/restartedAt]" in ways
    # Git declares the replicas, and a Deployment cannot be cordoned.
    assert not ways & {"spec.replicas", "spec.unschedulable"}


async def test_a_refusal_and_a_heal_of_the_object_are_listed(app: App, world: World) -> None:
    refused = await world.refused("set", "image", "deployment/web", "web=nginx:1.26", "-n", app.namespace)
    await world.past("set", "image", "deployment/web", "web=nginx:1.27", "-n", app.namespace)

    async def healed() -> bool:
        found = await explained(world, "deployment/web", app.namespace)
        return [record["event"] for record in found["records"]] == ["denied", "healed"]

    await eventually(healed, what="the refusal and the heal are in the explanation")
    found = await explained(world, "deployment/web", app.namespace)
    assert found["records"][0]["id"] in refused.stderr
    # The settings of the same namespace have no history.
    assert (await explained(world, "cm/settings", app.namespace))["records"] == []


async def test_a_drifted_object_names_the_field_the_line_and_who_took_it(app: App, world: World) -> None:
    await suspended(world, heal=False)
    try:
        await eventually(lambda: _mode_is(world, app, "Warn"), what="the Sync warns")
        await world.plane.kubectl("set", "image", "deployment/web", "web=nginx:1.26", "-n", app.namespace)
        await world.plane.kubectl("label", "deployment/web", "team=blue", "-n", app.namespace)
        found = await explained(world, "deployment/web", app.namespace, code=1)
        image = fields_of(found)[IMAGE]
        assert (image["git"], image["live"], image["same"]) == ("nginx:1.25", "nginx:1.26", False)
        assert (image["line"], image["managedBy"]) == (app.line_of(IMAGE, "nginx:1.25"), ["kubectl-set"])
        assert [path for path, field in fields_of(found).items() if not field["same"]] == [IMAGE]
        team = fields_of(found, "others")["metadata.labels.team"]
        assert (team["live"], team["addition"], team["managedBy"]) == ("blue", True, ["kubectl-label"])
        assert found["state"] == "drifted"
        table = await world.guard.guard("explain", "deployment/web", "-n", app.namespace)
        assert table.returncode == 1
        row = next(line for line in table.stdout.splitlines() if line.startswith("!") and IMAGE in line)
        assert row.split() == ["!", IMAGE, "nginx:1.25", "nginx:1.26", str(image["line"]), "kubectl-set"]
    finally:
        await suspended(world, heal=True)
    await eventually(lambda: _mode_is(world, app, "Deny"), what="the Sync denies again")


async def _mode_is(world: World, app: App, mode: str) -> bool:
    completed = await world.guard.guard("explain", "cm/settings", "-n", app.namespace, "-o", "json")
    found: JsonObject = completed.json()
    return bool(found["enforcement"]["mode"] == mode)


async def test_a_missing_object_says_so(app: App, world: World) -> None:
    await suspended(world, heal=False)
    try:
        await eventually(lambda: _mode_is(world, app, "Warn"), what="the Sync warns")
        await world.plane.kubectl("delete", "service/web", "-n", app.namespace)
        found = await explained(world, "svc/web", app.namespace, code=1)
        assert found["state"] == "missing"
        port = fields_of(found)["spec.ports[port=80,protocol=TCP].targetPort"]
        assert (port["git"], port["live"], port["same"]) == ("80", "", False)
        table = await world.guard.guard("explain", "svc/web", "-n", app.namespace)
        assert "missing in the cluster" in table.stdout
    finally:
        await suspended(world, heal=True)
    await eventually(lambda: world.exists("service", "web", app.namespace), what="the service is back")


@pytest.mark.case(39)
async def test_values_of_a_secret_are_never_shown(app: App, world: World) -> None:
    for form in ("json", "yaml", "table"):
        completed = await world.guard.guard("explain", "secret/login", "-n", app.namespace, "-o", form)
        assert completed.returncode == 0, completed.stderr
        assert "data.password" in completed.stdout
        assert "(not shown)" in completed.stdout
        for text in ("correct-horse", "Y29ycmVjdC1ob3JzZQ"):
            assert text not in completed.stdout + completed.stderr


async def test_an_undeclared_object_says_so_and_what_is_declared_around_it(app: App, world: World) -> None:
    await world.plane.kubectl("create", "configmap", "scratch", "--from-literal=a=b", "-n", app.namespace)
    found = await explained(world, "cm/scratch", app.namespace)
    assert (found["state"], found["label"], found["labelledByGuard"]) == ("undeclared", "", False)
    assert found["declaredInNamespace"] == 4
    assert [manager["manager"] for manager in found["managers"]] == ["kubectl-create"]
    table = await world.guard.guard("explain", "cm/scratch", "-n", app.namespace)
    assert f"ConfigMap {app.namespace}/scratch is not declared in Git." in table.stdout
    assert "Git declares 4 objects" in table.stdout


async def test_a_copied_label_is_told_from_our_own(app: App, world: World) -> None:
    text = config_map("copy", app.namespace, "  a: b").replace(
        "metadata:\n", "metadata:\n  labels: {gitopsguard.dev/sync: x.y}\n"
    )
    await world.past("create", "-f", "-", text=text)
    found = await explained(world, "cm/copy", app.namespace)
    assert (found["state"], found["label"], found["labelledByGuard"]) == ("undeclared", "x.y", False)
    table = await world.guard.guard("explain", "cm/copy", "-n", app.namespace)
    assert "gitopsguard.dev/sync: x.y (a controller or a person copied it there)" in table.stdout


async def test_a_cluster_scoped_object_needs_no_namespace(app: App, world: World) -> None:
    found = await explained(world, f"ns/{app.namespace}", "default")
    assert (found["state"], found["namespace"], found["declaredInNamespace"]) == ("same", "", 4)


@pytest.mark.parametrize(
    ("reference", "told"),
    [("deployment/nothing", "there is no Deployment"), ("gizmo/web", "no kind 'gizmo'"), ("web", "is not KIND/NAME")],
)
async def test_what_is_not_there_is_an_error(app: App, world: World, reference: str, told: str) -> None:
    completed = await world.guard.guard("explain", reference, "-n", app.namespace)
    assert completed.returncode == 2
    assert told in completed.stderr
    assert not completed.stdout


# What is done to the first of the app's manifests that holds it, and whether `guard check` and the webhook have to refuse it.
CHANGES: dict[str, tuple[str, str, bool]] = {
    "nothing": ("kind: Deployment", "kind: Deployment", False),
    "another image": ("nginx:1.25", "nginx:1.26", True),
    "another notation": ("cpu: 500m", "cpu: 0.5", False),
    "without replicas": ("  replicas: 2\n", "", False),
    "without an env variable": ("          env:\n            - name: MODE\n              value: production\n", "", False),
    "a further env variable": (
        "            - name: MODE\n",
        "            - name: MORE\n              value: x\n            - name: MODE\n",
        True,
    ),
    "a further container": ("      containers:\n", "      containers:\n        - name: side\n          image: side:1\n", True),
    "a further label": ("    app: web\nspec", "    app: web\n    team: blue\nspec", True),
    "a further command": ("          image: nginx:1.25\n", "          image: nginx:1.25\n          command: [sh]\n", True),
    "a null for what Git declares": ("replicas: 2", "replicas: null", True),
    "an empty list for what Git declares": (
        "          env:\n            - name: MODE\n              value: production\n",
        "          env: []\n",
        False,
    ),
    "a null for what Git does not declare": ("  replicas: 2\n", "  replicas: 2\n  minReadySeconds: null\n", False),
    "data for stringData": ("stringData:\n  password: correct-horse", "data:\n  password: Y29ycmVjdC1ob3JzZQ==", False),
    "another password": ("password: correct-horse", "password: hunter2", True),
    "a null for a key": ("color: blue", "color: null", True),
    "a cause": (
        "  labels:\n    app: web\nspec",
        "  labels: {app: web}\n  annotations: {kubernetes.io/change-cause: x}\nspec",
        False,
    ),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_check_says_what_kubectl_apply_meets(app: App, world: World, tmp_path: Path, change: str) -> None:
    before, after, refused = CHANGES[change]
    text = next(document for document in app.text.split("---\n") if before in document)
    file = write(tmp_path / "changed.yaml", text.replace(before, after, 1))
    desired = world.repository.directory / "apps"
    checked = await world.guard.guard("check", "--desired", str(desired), "-f", str(file), "-o", "json")
    applied = await world.plane.kubectl("apply", "--dry-run=server", "-f", file, check=False)
    assert (checked.returncode, applied.returncode) == (int(refused), int(refused)), (checked.stdout, applied.stderr)
    fields = [field["path"] for verdict in checked.json()["verdicts"] for field in verdict["fields"]]
    assert bool(fields) == refused
    assert all(path in applied.stderr for path in fields)


async def test_a_review_recorded_from_the_server_is_judged_offline(app: App, world: World, tmp_path: Path) -> None:
    """As a webhook's recorder writes it: old and new object with their managedFields."""
    old = await world.get("configmap/settings", app.namespace)
    new = {**old, "data": {**old["data"], "color": "red"}}
    review = {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "1",
            "kind": {"group": "", "version": "v1", "kind": "ConfigMap"},
            "resource": {"group": "", "version": "v1", "resource": "configmaps"},
            "operation": "UPDATE",
            "name": "settings",
            "namespace": app.namespace,
            "userInfo": {"username": "ada"},
            "object": new,
            "oldObject": old,
        },
    }
    file = write(tmp_path / "review.json", codec.encode(review).decode())
    # What the Sync takes: other tests leave folders beside it.
    completed = await world.guard.guard("check", "--desired", str(world.repository.directory / "apps"), "-f", str(file))
    assert completed.returncode == 1
    line = app.line_of("data.color", "blue")
    assert f"data.color: Git has blue, asked for red ({world.repository.directory}/{app.file}:{line})" in completed.stdout
