from __future__ import annotations

from guard.cluster import Client, connect, discover
from tools import binaries
from tools.controlplane import ControlPlane


async def test_capabilities_are_the_servers_version_and_all_that_it_serves(control_plane: ControlPlane) -> None:
    client = Client(await connect(kubeconfig=control_plane.kubeconfig("admin"), context=None))
    try:
        found = (await discover(client)).capabilities
    finally:
        await client.close()
    assert found.version == f"v{binaries.pinned()['kube-apiserver']}"
    assert {"v1", "v1/Pod", "apps/v1", "apps/v1/Deployment", "rbac.authorization.k8s.io/v1/ClusterRole"} <= set(found.apis)
    assert "policy/v1beta1" not in found.apis
    assert list(found.apis) == sorted(set(found.apis))
