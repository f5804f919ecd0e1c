"""Guard installed as the manifests say, as far as a control plane without nodes goes: tests and the image's exercise share it."""

from __future__ import annotations

from pathlib import Path

from guard.base import codec
from tests.manifests.generate import MANIFESTS
from tools.controlplane import ControlPlane, KubectlError
from tools.guardrun import Repository, sync_document

DEPLOYMENT = MANIFESTS / "40-deployment.yaml"
WITHOUT_PODS = tuple(path for path in sorted(MANIFESTS.glob("*.yaml")) if path != DEPLOYMENT)
SYNC = "apps"


async def install(plane: ControlPlane) -> str:
    """Apply everything but the Deployment as a cluster admin, and return a token for Guard's service account."""
    for manifest in WITHOUT_PODS:
        await plane.kubectl("apply", "--validate=strict", "--filename", manifest, identity="admin")
    await plane.kubectl("wait", "--for=condition=Established", "crd/syncs.gitopsguard.dev", identity="admin")
    answer = await plane.call("POST", "/api/v1/namespaces/guard-system/serviceaccounts/guard/token", body={"spec": {}})
    return str(answer["status"]["token"])


def make_repository(directory: Path) -> Repository:
    """A repository that declares ConfigMap default/settings, its colour green."""
    repository = Repository(directory)
    settings = """
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: settings, namespace: default}
        data: {colour: green}
    """
    repository.commit({"settings.yaml": settings})
    return repository


async def declare(plane: ControlPlane, *, repository: Path) -> None:
    """Create the Sync of a repository, given by its path as Guard sees it."""
    sync = codec.pretty(sync_document(SYNC, repository))
    await plane.kubectl("apply", "--validate=strict", "--filename=-", identity="admin", input=sync)


async def colour(plane: ControlPlane) -> str:
    """What the API server holds; empty where the object is missing."""
    shown = await plane.kubectl(
        "get", "configmap", "settings", "--ignore-not-found", "--output=jsonpath={.data.colour}", identity="admin"
    )
    return shown.stdout


async def paint(plane: ControlPlane, wanted: str) -> str:
    """A person edits the colour. Returns the refusal, or nothing when there was none."""
    try:
        await plane.kubectl("patch", "configmap", "settings", "--patch", codec.pretty({"data": {"colour": wanted}}))
    except KubectlError as error:
        return error.completed.stderr
    return ""
