"""Syncs of kustomizations and charts, through the real tools, on a real cluster."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from guard.base.codec import JsonObject, child, children
from tests.e2e.conftest import World, config_map
from tools.guardrun import Repository, eventually, sync_document

Follow = Callable[..., Awaitable[None]]

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: web
          image: nginx:1.25
          envFrom: [{configMapRef: {name: settings}}]
"""


def kustomization(namespace: str) -> dict[str, str | None]:
    return {
        "base/kustomization.yaml": "resources: [web.yaml]\nconfigMapGenerator:\n- {name: settings, files: [app.conf]}\n",
        "base/web.yaml": DEPLOYMENT,
        "base/app.conf": "color=blue\n",
        "overlays/prod/kustomization.yaml": (
            f"namespace: {namespace}\nresources: [../../base]\npatches: [{{path: replicas.yaml}}]\n"
        ),
        "overlays/prod/replicas.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 3}\n",
    }


CHART: dict[str, str | None] = {
    "charts/web/Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.2.3\n",
    "charts/web/values.yaml": "color: blue\nsize: large\n",
    "charts/web/templates/map.yaml": """\
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}-settings}
data:
  color: {{ .Values.color }}
  {{- if .Values.size }}
  size: {{ .Values.size }}
  {{- end }}
  version: {{ .Capabilities.KubeVersion.Version }}
  syncs: {{ .Capabilities.APIVersions.Has "gitopsguard.dev/v1alpha1/Sync" | quote }}
  deployments: {{ .Capabilities.APIVersions.Has "apps/v1/Deployment" | quote }}
  nothing: {{ .Capabilities.APIVersions.Has "example.com/v9" | quote }}
  namespace: {{ .Release.Namespace }}
""",
    "charts/web/templates/secret.yaml": """\
apiVersion: v1
kind: Secret
metadata: {name: {{ .Release.Name }}-login}
stringData: {password: {{ randAlphaNum 20 }}}
""",
    "charts/web/templates/tests/check.yaml": """\
apiVersion: v1
kind: Pod
metadata: {name: check, annotations: {helm.sh/hook: test}}
spec: {containers: [{name: check, image: busybox}]}
""",
    "charts/prod.yaml": "color: green\n",
}


@pytest.fixture
async def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


@pytest.fixture
async def follow(world: World, repository: Repository, fresh: str) -> AsyncIterator[Follow]:
    """Has a Sync of the test's own follow a path of the repository, and its namespace made; takes the Sync away at the end."""
    await world.plane.call("POST", "/api/v1/namespaces", body={"metadata": {"name": fresh}})

    async def follow(path: str, **spec: object) -> None:
        body = sync_document(fresh, repository.directory, path=path, **spec)  # pyright: ignore[reportArgumentType]
        await world.plane.call("POST", "/apis/gitopsguard.dev/v1alpha1/namespaces/guard-system/syncs", body=body)

    yield follow
    await world.plane.kubectl("delete", "sync", fresh, "-n", "guard-system", identity="admin")


async def says(world: World, sync: str, text: str) -> None:
    async def told() -> bool:
        conditions = children(child(await world.guard.sync(sync), "status"), "conditions")
        return any(found["status"] == "False" and text in found["message"] for found in conditions)

    await eventually(told, what=lambda: f"{sync} says {text!r}; the log ends:\n{world.guard.tail()}")


async def test_a_kustomization_is_rendered_and_a_refusal_names_its_files(
    world: World, repository: Repository, follow: Follow, fresh: str
) -> None:
    commit = repository.commit(kustomization(fresh))
    await follow("overlays/prod")
    await world.guard.applied(commit, sync=fresh)

    web = await world.get("deployment/web", fresh)
    assert web["spec"]["replicas"] == 3
    assert "config.kubernetes.io/origin" not in web["metadata"].get("annotations", {})
    (reference,) = web["spec"]["template"]["spec"]["containers"][0]["envFrom"]
    settings = reference["configMapRef"]["name"]
    refused = await world.refused("set", "image", "deployment/web", "web=nginx:1.26", "-n", fresh)
    assert "containers[name=web].image: Git has nginx:1.25, you asked for nginx:1.26" in refused.stderr
    assert f"Change it in Git: base/web.yaml (Kustomize overlays/prod, main@{commit[:7]})" in refused.stderr
    refused = await world.refused("delete", "configmap", settings, "-n", fresh)
    assert "Change it in Git: base/kustomization.yaml (Kustomize overlays/prod, " in refused.stderr
    explained = await world.guard.guard("explain", "deployment/web", "-n", fresh)
    assert "base/web.yaml (Kustomize overlays/prod, main@sha1:" in explained.stdout

    # A file that only a generator reads.
    commit = repository.commit({"base/app.conf": "color=red\n"})
    await world.guard.applied(commit, sync=fresh)
    web = await world.get("deployment/web", fresh)
    (reference,) = web["spec"]["template"]["spec"]["containers"][0]["envFrom"]
    assert reference["configMapRef"]["name"] != settings
    assert not await world.exists("configmap", settings, fresh)


@pytest.mark.case(25)
async def test_a_kustomization_that_cannot_be_built_changes_nothing(
    world: World, repository: Repository, follow: Follow, fresh: str
) -> None:
    good = repository.commit(kustomization(fresh))
    await follow("overlays/prod")
    await world.guard.applied(good, sync=fresh)
    before = await world.get("deployment/web", fresh)

    astray = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: other}\nspec: {replicas: 4}\n"
    for file, text, told in (
        ("overlays/prod/replicas.yaml", astray, "overlays/prod"),
        ("base/kustomization.yaml", "resources: [web.yaml, https://example.com/x.yaml]\n", "base/kustomization.yaml:1"),
        ("base/kustomization.yaml", "resources: [web.yaml, ../../../../etc]\n", "base/kustomization.yaml:1"),
        ("base/web.yaml", DEPLOYMENT.replace("image:", "imag:"), "base/web.yaml (Kustomize overlays/prod): Deployment"),
    ):
        repository.commit({file: text})
        await says(world, fresh, told)
        assert (await world.get("deployment/web", fresh))["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
        repository.git("revert", "--no-edit", "HEAD")
        await world.guard.applied(repository.git("rev-parse", "HEAD"), sync=fresh)


async def test_a_chart_is_rendered_for_this_cluster_with_the_syncs_values(
    world: World, repository: Repository, follow: Follow, fresh: str
) -> None:
    commit = repository.commit(CHART)
    helm = {"valuesFiles": ["charts/prod.yaml"], "values": {"size": None}, "releaseName": "shop"}
    await follow("charts/web", helm=helm, targetNamespace=fresh)
    await world.guard.applied(commit, sync=fresh)

    served = await world.plane.call("GET", "/version")
    assert (await world.get("configmap/shop-settings", fresh))["data"] == {
        "color": "green",
        "version": served["gitVersion"],
        "syncs": "true",
        "deployments": "true",
        "nothing": "false",
        "namespace": fresh,
    }
    assert not await world.exists("pod", "check", fresh)
    refused = await world.refused("patch", "configmap/shop-settings", "-n", fresh, "--type=merge", '-p={"data":{"color":"red"}}')
    assert "data.color: Git has green, you asked for red" in refused.stderr
    assert f"Change it in Git: charts/web/templates/map.yaml (Helm charts/web, main@{commit[:7]})" in refused.stderr


@pytest.mark.case(34, 39)
async def test_what_a_chart_made_up_stays_across_commits_and_restarts_without_git(
    world: World, repository: Repository, follow: Follow, fresh: str, tmp_path: Path
) -> None:
    async def password() -> str:
        secret: JsonObject = (await world.get("secret/shop-login", fresh))["data"]
        return base64.b64decode(secret["password"]).decode()

    commit = repository.commit(CHART)
    await follow("charts/web", helm={"releaseName": "shop"}, targetNamespace=fresh)
    await world.guard.applied(commit, sync=fresh)
    first = await password()
    assert len(first) == 20

    commit = repository.commit({"README.md": "not of the chart\n"})
    await world.guard.applied(commit, sync=fresh)
    assert await password() == first

    repository.directory.rename(tmp_path / "gone")
    await world.guard.stop()
    await world.guard.start()
    await says(world, fresh, "there is no Git repository here")
    assert await password() == first
    refused = await world.refused("delete", "secret/shop-login", "-n", fresh)
    assert "Change it in Git: charts/web/templates/secret.yaml (Helm charts/web, " in refused.stderr
    (tmp_path / "gone").rename(repository.directory)

    log = world.guard.log.read_text()
    assert first not in log
    assert base64.b64encode(first.encode()).decode() not in log


async def test_a_sync_may_say_what_its_folder_is(world: World, repository: Repository, follow: Follow, fresh: str) -> None:
    commit = repository.commit(
        {
            **CHART,
            "charts/web/kustomization.yaml": "resources: [map.yaml]\n",
            "charts/web/map.yaml": config_map(fresh, fresh, "  a: b"),
        }
    )
    await follow("charts/web")
    await says(world, fresh, "the folder holds both kustomization.yaml and Chart.yaml")

    patch = '{"spec":{"renderer":"Kustomize"}}'
    await world.plane.kubectl("patch", "sync", fresh, "-n", "guard-system", "--type=merge", "-p", patch, identity="admin")

    await world.guard.applied(commit, sync=fresh)
    assert (await world.get(f"configmap/{fresh}", fresh))["data"] == {"a": "b"}
