"""A configuration as large as Guard makes them, on a real API server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from guard.base import codec
from guard.base.errors import ApiStatusError
from guard.registration import NAME, client_config
from guard.registration.asked import NAMES_BYTES, Asked, Resource, within
from guard.registration.rules import configuration
from tools.controlplane import ControlPlane
from tools.guardrun import eventually

CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
DEPLOYMENTS = Resource(group="apps", version="v1", resource="deployments", namespaced=True)
OTHERS = frozenset(
    Resource(group=f"group-{number % 50}.example.com", version="v1", resource=f"kind{number}s", namespaced=True)
    for number in range(500)
)


@pytest.fixture
async def largest(control_plane: ControlPlane, namespace: str) -> AsyncIterator[set[str]]:
    """As many declared Deployments as are asked about by name, all of them in one namespace, and 500 kinds beside them. Nobody
    listens at its address.
    """
    names = {f"{namespace}/{number:05}-{'n' * 20}" for number in range(20_000)}
    asked = Asked(resources=OTHERS | {DEPLOYMENTS}, scaled={DEPLOYMENTS: frozenset(names)})
    while within(asked) != asked:
        names = set(sorted(names)[: len(names) * 99 // 100])
        asked = Asked(resources=asked.resources, scaled={DEPLOYMENTS: frozenset(names)})
    client = client_config(url="https://127.0.0.1:1/admission", service=False, ca_bundle="YWJj" * 300)
    body = configuration(client=client, asked=asked, sync_user="me")
    assert len(codec.encode(body)) > NAMES_BYTES
    await control_plane.kubectl("create", "-f", "-", identity="admin", input=codec.encode(body).decode())
    try:
        yield names
    finally:
        await control_plane.call("DELETE", f"{CONFIGURATIONS}/{NAME}")


async def test_the_api_server_takes_the_largest_configuration_and_goes_by_it(
    control_plane: ControlPlane, namespace: str, largest: set[str]
) -> None:
    last = max(largest).partition("/")[2]
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    for name in (last, "free"):
        labels = {"app": "web"}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "web"}]}}
        spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
        # Creations are asked about as well, and let through when nobody answers.
        body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}
        await control_plane.call("POST", path, body=body)

    async def scaled(name: str) -> str:
        live = await control_plane.call("GET", f"{path}/{name}/scale")
        try:
            await control_plane.call("PUT", f"{path}/{name}/scale", body={**live, "spec": {"replicas": 2}})
        except ApiStatusError as error:
            return error.message
        return ""

    async def refused() -> bool:
        return "failed calling webhook" in await scaled(last)

    await eventually(refused, what="the API server asks about the last of the names")
    assert await scaled("free") == ""
