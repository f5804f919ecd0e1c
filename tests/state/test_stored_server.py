"""What `predicted` says of a manifest, held against what a real API server makes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import cast

import pytest
from msgspec import Struct

from guard.base.codec import Json, JsonObject, children, is_array, is_object
from guard.base.errors import ApiStatusError
from guard.cluster import Client, connect
from guard.render import yaml
from guard.state.equality import MISSING, covers, same
from guard.state.fields import at, written
from guard.state.managed import our_fields
from guard.state.quantities import number_text, quantity
from guard.state.stored import predicted
from tools.controlplane import ControlPlane

ODD = Path(__file__).with_name("odd_manifests.yaml")
RESOURCES: dict[str, list[JsonObject]] = {}  # by the path of group and version
MANIFESTS = [cast("JsonObject", document.value) for document in yaml.documents(ODD.name, ODD.read_bytes())]


@pytest.fixture(scope="module")
async def client(control_plane: ControlPlane) -> AsyncIterator[Client]:
    found = Client(await connect(kubeconfig=control_plane.kubeconfig("admin")))
    yield found
    await found.close()


async def answered(client: Client, body: JsonObject, *, namespace: str) -> JsonObject:
    """The API server's answer to a forced dry-run apply."""
    root = f"/apis/{body['apiVersion']}" if "/" in body["apiVersion"] else f"/api/{body['apiVersion']}"
    if root not in RESOURCES:
        RESOURCES[root] = children(await client.get(root), "resources")
    resource = next(one for one in RESOURCES[root] if one["kind"] == body["kind"] and "/" not in one["name"])
    within = f"/namespaces/{body['metadata'].get('namespace', namespace)}" if resource["namespaced"] else ""
    path = f"{root}{within}/{resource['name']}/{body['metadata']['name']}"
    return await client.apply(path, body, manager="guard", force=True, dry_run=True)


async def with_account(client: Client, namespace: str) -> None:
    """Make what a Pod runs as; no controller runs here to do so."""
    account: JsonObject = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    await client.apply(f"/api/v1/namespaces/{namespace}/serviceaccounts/default", account, manager="test", force=True)


def differences(body: JsonObject, answer: JsonObject) -> dict[str, tuple[Json, Json]]:
    """The fields that the apply owns in which the prediction and the answer differ."""
    owned, ours = our_fields(answer), predicted(body)
    found: dict[str, tuple[Json, Json]] = {}
    for path, stored in owned.walk(answer):
        said = at(ours, path)
        # What stands below is looked at field by field; what the manifest leaves empty may be filled with defaults.
        if owned.below(path) or (at(body, path) in ({}, []) and said in ({}, MISSING)):
            continue
        if not same(said, stored):
            found[written(path)] = (said, stored)
    return found


@pytest.mark.parametrize(
    "body", MANIFESTS, ids=[f"{one['apiVersion']} {one['kind']} {one['metadata']['name']}" for one in MANIFESTS]
)
async def test_an_odd_manifest_is_stored_as_predicted(client: Client, namespace: str, body: JsonObject) -> None:
    await with_account(client, namespace)
    answer = await answered(client, body, namespace=namespace)
    assert differences(body, answer) == {}
    # A create of the manifest holds all that Git says of it, and what is stored is its own prediction.
    assert covers(answer, predicted(body))
    settled = {name: value for name, value in answer.items() if name not in {"metadata", "status"} and value is not None}
    assert {name: value for name, value in settled.items() if not same(predicted(settled).get(name), value)} == {}


# Empty ones that the API server fills from other fields.
FILLED = {("spec", "names", "singular"), ("spec", "ports", "targetPort")}


class Emptied(Struct, frozen=True):
    """A manifest in which one field was emptied, or, if true or false, turned round."""

    body: JsonObject
    at: tuple[str, ...]
    value: Json


def emptied(value: Json, at: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Json, Json]]:
    """Copies of a value with one field emptied each, as (names down to the field, what it became, the copy)."""
    if is_array(value):
        for place, item in enumerate(value):
            for below, became, copy in emptied(item, at):
                yield below, became, [*value[:place], copy, *value[place + 1 :]]
    if is_object(value):
        for name, item in value.items():
            here = (*at, name)
            for became in (None, (not item) if isinstance(item, bool) else type(item)()):
                yield here, became, {**value, name: became}
            for below, became, copy in emptied(item, here):
                yield below, became, {**value, name: copy}


NAMING = {("apiVersion",), ("kind",), ("metadata",), ("metadata", "name"), ("metadata", "namespace")}
EMPTIED = [Emptied(copy, at, became) for body in MANIFESTS for at, became, copy in emptied(body) if at not in NAMING]


async def test_every_field_left_empty_is_stored_as_predicted(client: Client, namespace: str) -> None:
    await with_account(client, namespace)
    at_once, accepted, wrong = asyncio.Semaphore(8), 0, list[str]()

    async def look(one: Emptied) -> None:
        nonlocal accepted
        async with at_once:
            try:
                answer = await answered(client, one.body, namespace=namespace)
            except ApiStatusError:
                return  # what the API server refuses is never stored
        accepted += 1
        held = covers(answer, predicted(one.body))
        # For null the API server stores a default, if there is one, which the manifest does not say.
        found = differences(one.body, answer) if one.value is not None and one.at not in FILLED else {}
        if found or not held:
            wrong.append(f"{one.body['kind']} {'.'.join(one.at)} = {one.value!r}: {held=} {found}")

    await asyncio.gather(*(look(one) for one in EMPTIED))
    assert "\n".join(wrong) == ""
    assert accepted > 900


NUMBERS = (
    "0",
    "1",
    "3",
    "7",
    "8",
    "10",
    "100",
    "999",
    "1000",
    "1024",
    "1500",
    "1536",
    "2048",
    "0.1",
    "0.5",
    "1.5",
    "1.50",
    "1.500",
)
MORE_NUMBERS = (
    "+1",
    "01",
    "1.",
    ".5",
    "0.0001",
    "1.0000000001",
    "0.333",
    "123456.789",
    "1234567890123",
    "0.000",
    "1000000000000000000",
)
SUFFIXES = (
    "",
    "n",
    "u",
    "m",
    "k",
    "M",
    "G",
    "T",
    "P",
    "E",
    "Ki",
    "Mi",
    "Gi",
    "Ti",
    "Pi",
    "Ei",
    "e3",
    "E3",
    "e-3",
    "e+6",
    "e0",
    "e2",
)
QUANTITIES = [f"{number}{suffix}" for number in (*NUMBERS, *MORE_NUMBERS) for suffix in SUFFIXES]
YAML_NUMBERS: list[float] = [1, 0, 0.5, 1.0, 1e3, 0.001, 1e-7, 1e21, 123456789012345678, 1.5e-9, 2.5e10]


@pytest.mark.parametrize("begin", range(0, len(QUANTITIES) + len(YAML_NUMBERS), 160))
async def test_quantities_are_stored_as_predicted(client: Client, namespace: str, begin: int) -> None:
    some = [*QUANTITIES, *YAML_NUMBERS][begin : begin + 160]
    # Each as one of a resource list, which is rounded, and by itself, which is not.
    pod: JsonObject = {
        "containers": [
            {"name": f"c{place}", "image": "a", "resources": {"requests": {"memory": value}}} for place, value in enumerate(some)
        ],
        "volumes": [{"name": f"v{place}", "emptyDir": {"sizeLimit": value}} for place, value in enumerate(some)],
    }
    body: JsonObject = {
        "apiVersion": "v1",
        "kind": "PodTemplate",
        "metadata": {"name": "quantities"},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": pod},
    }
    stored = (await answered(client, body, namespace=namespace))["template"]["spec"]
    shown = {
        str(value): (container["resources"]["requests"]["memory"], volume["emptyDir"]["sizeLimit"])
        for value, container, volume in zip(some, stored["containers"], stored["volumes"], strict=True)
    }
    texts = {str(value): value if isinstance(value, str) else number_text(value) for value in some}
    assert shown == {name: (quantity(text, whole_milli=True), quantity(text)) for name, text in texts.items()}
