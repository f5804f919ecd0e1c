"""The manifests on a real API server, and Guard under the rights that they give it."""

from __future__ import annotations

import asyncio
import base64
import ssl
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from guard.base import codec
from tests.manifests import incluster
from tests.manifests.generate import MANIFESTS, generated
from tests.manifests.incluster import DEPLOYMENT, colour, declare, install, make_repository, paint
from tools.controlplane import ControlPlane, identities
from tools.guardrun import GuardProcess, eventually, running

WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/gitopsguard"
PSS = "pod-security.kubernetes.io/enforce"
SERVICE_NAME = "guard.guard-system.svc"


class Pod(GuardProcess):
    """Guard as its pod would run: the account's token and nothing else, no configuration file."""

    def __init__(self, plane: ControlPlane, directory: Path, *, token: str, by_service: bool = False) -> None:
        super().__init__(plane, directory, syncs=[])
        self.by_service = by_service
        self.kubeconfig = directory / "kubeconfig"
        identities.write_kubeconfig(self.kubeconfig, url=plane.url, ca_file=plane.ca_file, identity="operator", token=token)

    def arguments(self) -> list[str]:
        return [
            "run",
            f"--kubeconfig={self.kubeconfig}",
            f"--listen=127.0.0.1:{self.port}",
            *([] if self.by_service else [f"--webhook-url={self.url}"]),
            f"--metrics-listen=127.0.0.1:{self.metrics_port}",
            f"--data-dir={self.data}",
            "--log-format=json",
        ]


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[ControlPlane]:
    """A cluster of its own: one Guard is installed in a cluster, and other tests' Syncs would be its business."""
    async with ControlPlane.start(tmp_path / "plane") as plane:
        yield plane


@pytest.fixture(scope="session")
async def installed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ControlPlane]:
    """A cluster to which the whole folder was applied, for tests that only look."""
    async with ControlPlane.start(tmp_path_factory.mktemp("installed")) as plane:
        applied = await plane.kubectl("apply", "--validate=strict", "--filename", MANIFESTS, identity="admin")
        assert applied.stderr == ""
        yield plane


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


@pytest.mark.parametrize("name", sorted(generated()))
def test_the_manifests_that_code_decides_are_what_the_code_says(name: str) -> None:
    assert (MANIFESTS / name).read_text() == generated()[name], "run: .venv/bin/python -m tests.manifests.generate"


def test_the_deployment_runs_the_image_of_this_version() -> None:
    version = tomllib.loads((MANIFESTS.parent / "pyproject.toml").read_text())["project"]["version"]
    (container,) = _read(DEPLOYMENT)["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"gitops-guard:{version}"


async def test_the_api_server_accepts_the_whole_folder_and_a_second_apply_changes_nothing(installed: ControlPlane) -> None:
    again = await installed.kubectl("apply", "--validate=strict", "--filename", MANIFESTS, identity="admin")
    assert {line.rsplit(" ", 1)[1] for line in again.stdout.splitlines()} == {"unchanged"}


async def test_the_pod_meets_the_restricted_pod_security_standard(installed: ControlPlane) -> None:
    await installed.kubectl("label", "namespace", "guard-system", f"{PSS}=restricted", "--overwrite", identity="admin")
    template = _read(DEPLOYMENT)["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", **template, "metadata": {**template["metadata"], "name": "guard"}}
    create = ("create", "--namespace=guard-system", "--dry-run=server", "--output=json", "--filename=-")
    admitted = (await installed.kubectl(*create, identity="admin", input=codec.pretty(pod))).json()
    assert admitted["spec"]["priority"] == 2_000_000_000
    assert any(volume.get("projected") for volume in admitted["spec"]["volumes"]), "no token is mounted"


async def test_the_service_leads_to_the_webhook_of_the_pod(installed: ControlPlane) -> None:
    service = await installed.call("GET", "/api/v1/namespaces/guard-system/services/guard")
    deployment = await installed.call("GET", "/apis/apps/v1/namespaces/guard-system/deployments/guard")
    template = deployment["spec"]["template"]
    (container,) = template["spec"]["containers"]
    assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert {port["port"]: ports[port["targetPort"]] for port in service["spec"]["ports"]} == {443: 9443, 8080: 8080}
    assert "--listen=:9443" in container["args"]
    assert "--metrics-listen=:8080" in container["args"]


async def test_guard_works_under_the_rights_of_the_manifests(plane: ControlPlane, tmp_path: Path) -> None:
    token = await install(plane)
    await declare(plane, repository=make_repository(tmp_path / "repository").directory)
    async with running(Pod(plane, tmp_path / "guard", token=token)) as pod:

        async def applied() -> bool:
            return await colour(plane) == "green"

        await eventually(applied, what=lambda: f"the ConfigMap is applied; the log ends:\n{pod.tail()}")

        async def refused() -> bool:
            return "settings is managed from Git" in await paint(plane, "red")

        await eventually(refused, what="a person's edit is refused")
        assert await colour(plane) == "green"
        assert await pod.stop() == 0


async def test_in_a_cluster_guard_registers_the_service_and_serves_a_certificate_of_its_name(
    plane: ControlPlane, tmp_path: Path
) -> None:
    token = await install(plane)
    await declare(plane, repository=make_repository(tmp_path / "repository").directory)
    async with running(Pod(plane, tmp_path / "guard", token=token, by_service=True)) as pod:

        async def applied() -> bool:
            return await colour(plane) == "green"

        await eventually(applied, what=lambda: f"the ConfigMap is applied; the log ends:\n{pod.tail()}")
        registered = (await plane.call("GET", WEBHOOKS))["webhooks"][0]["clientConfig"]
        service = _read(MANIFESTS / "30-service.yaml")
        assert registered["service"] == {
            "namespace": service["metadata"]["namespace"],
            "name": service["metadata"]["name"],
            "port": 443,
            "path": registered["service"]["path"],
        }
        assert registered["service"]["path"].startswith("/admission/")
        trusted = ssl.create_default_context(cadata=base64.b64decode(registered["caBundle"]).decode())
        reader, writer = await asyncio.open_connection("127.0.0.1", pod.port, ssl=trusted, server_hostname=SERVICE_NAME)
        writer.write(f"GET /readyz HTTP/1.1\r\nHost: {SERVICE_NAME}\r\nConnection: close\r\n\r\n".encode())
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()
        await writer.wait_closed()


def test_the_manifests_are_all_that_the_folder_holds() -> None:
    """`kubectl apply -f manifests/` would stumble over a kustomization.yaml."""
    assert {path.name for path in MANIFESTS.iterdir()} == {path.name for path in (*incluster.WITHOUT_PODS, DEPLOYMENT)}
