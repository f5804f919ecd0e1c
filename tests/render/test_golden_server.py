"""What a real API server stores is the same whether kubectl or Guard has read the file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from guard.base.codec import JsonObject
from guard.base.errors import ApiStatusError
from guard.cluster import Client, object_path
from guard.render.manifests import parse
from guard.state.ids import DEFINITION, Kind
from tests.render.golden import SCALARS
from tests.render.kubectl import typed
from tools.controlplane import ControlPlane
from tools.guardrun import eventually

KIND = Kind(group="golden.example.com", version="v1", kind="Thing", resource="things", namespaced=True)
FREE: JsonObject = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
SPEC: JsonObject = {
    "group": KIND.group,
    "names": {"kind": KIND.kind, "plural": KIND.resource},
    "scope": "Namespaced",
    "versions": [
        {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {**FREE, "properties": {"spec": FREE}}}}
    ],
}


@pytest.fixture
async def control_plane(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ControlPlane]:
    """One by itself: other tests look at all the kinds that theirs serves."""
    async with ControlPlane.start(tmp_path_factory.mktemp("golden")) as plane:
        yield plane


async def defined(client: Client) -> None:
    name = f"{KIND.resource}.{KIND.group}"
    body: JsonObject = {"apiVersion": DEFINITION.api_version, "kind": DEFINITION.kind, "metadata": {"name": name}, "spec": SPEC}
    await client.apply(object_path(DEFINITION, namespace="", name=name), body, manager="test", force=True)
    await eventually(lambda: is_served(client), what=f"{KIND.kind} is served")


async def is_served(client: Client) -> bool:
    try:
        await client.get(f"/apis/{KIND.api_version}/namespaces/default/{KIND.resource}")
    except ApiStatusError:
        return False
    return True


async def test_the_api_server_stores_the_same(
    control_plane: ControlPlane, client: Client, namespace: str, tmp_path: Path
) -> None:
    namespace = "default"
    await defined(client)
    values = "".join(f"  - {text}\n" for text, _ in SCALARS)
    head = f"apiVersion: {KIND.api_version}\nkind: {KIND.kind}\n"
    text = f"{head}metadata: {{name: NAME, namespace: {namespace}}}\nspec:\n  values:\n{values}"
    file = tmp_path / "thing.yaml"
    file.write_text(text.replace("NAME", "kubectl"))
    await control_plane.kubectl("apply", "--server-side", "-f", file, identity="admin")

    (found,) = parse("a.yaml", text.replace("NAME", "guard").encode()).manifests
    await client.apply(object_path(KIND, namespace=namespace, name="guard"), found.body, manager="guard", force=True)

    stored = [(await client.get(object_path(KIND, namespace=namespace, name=name)))["spec"] for name in ("kubectl", "guard")]
    assert len(stored[0]["values"]) == len(SCALARS)
    assert typed(stored[0]) == typed(stored[1])
