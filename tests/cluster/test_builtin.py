from __future__ import annotations

from guard.cluster import Client, connect, discover
from guard.cluster.builtin import built_in
from guard.cluster.client import collection_path
from guard.state.ids import DEFINITION, REPLICAS, Kind
from tools.controlplane import ControlPlane


def kinds(served: object) -> dict[tuple[str, str], Kind]:
    return dict(vars(served)["_kinds"])


async def test_the_table_is_what_a_real_api_server_serves(control_plane: ControlPlane) -> None:
    client = Client(await connect(kubeconfig=control_plane.kubeconfig("admin"), context=None))
    try:
        served = await discover(client)
        definitions = await client.get(collection_path(DEFINITION))
    finally:
        await client.close()
    # Other tests may have defined kinds of their own.
    custom = {(found["spec"]["group"], found["spec"]["names"]["kind"]) for found in definitions["items"]}
    found = {name: kind for name, kind in kinds(served).items() if (kind.group, kind.kind) not in custom}
    assert found == kinds(built_in())
    assert {kind.kind: served.definition(kind).scale for kind in found.values()} == {
        kind.kind: built_in().definition(kind).scale for kind in kinds(built_in()).values()
    }


def test_cluster_scoped_kinds_and_scales_are_told_apart() -> None:
    node, deployment = built_in().find("v1", "Node"), built_in().find("apps/v1", "Deployment")
    assert node is not None
    assert deployment is not None
    assert (node.resource, node.namespaced) == ("nodes", False)
    assert (deployment.resource, deployment.namespaced) == ("deployments", True)
    assert [built_in().definition(kind).scale for kind in (node, deployment)] == [None, REPLICAS]
