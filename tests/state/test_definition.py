"""The defaults of a CustomResourceDefinition, held against what a real API server makes of its resources."""

from __future__ import annotations

from collections.abc import AsyncIterator
from random import Random

import pytest

from guard.base.codec import Json, JsonObject, is_array, is_object
from guard.base.errors import ApiStatusError
from guard.cluster import Client, connect, definitions, discover
from guard.state.definition import UNKNOWN, defaulted, definition_of
from guard.state.equality import covers, same
from guard.state.fields import at
from guard.state.ids import DEFINITION, Kind
from guard.state.managed import our_fields
from guard.state.stored import predicted
from tools.controlplane import ControlPlane
from tools.guardrun import eventually

KIND = Kind(group="definition.example.com", version="v1", kind="Contraption", resource="contraptions", namespaced=True)
BLUE: JsonObject = {"type": "string", "default": "blue"}
TEXT: JsonObject = {"type": "string"}


def struct(**fields: JsonObject) -> JsonObject:
    return {"type": "object", "properties": fields}


def listed(items: JsonObject, kind: str, *keys: str) -> JsonObject:
    found: JsonObject = {"type": "array", "items": items, "x-kubernetes-list-type": kind}
    return {**found, "x-kubernetes-list-map-keys": [*keys]} if keys else found


PART = struct(
    name=TEXT, color=BLUE, none={**TEXT, "nullable": True, "default": None}, deep=struct(size={"type": "integer", "default": 3})
)
PORT = {**struct(host=TEXT, protocol={**TEXT, "default": "TCP"}, weight={"type": "integer", "default": 1}), "required": ["host"]}
WHOLE = struct(a=TEXT, b=BLUE, c={"type": "object", "default": {}, "properties": {"d": BLUE}})
SPEC = struct(
    plain=TEXT,
    color=BLUE,
    nothing={**BLUE, "nullable": True},
    empty={**TEXT, "nullable": True, "default": None},
    either={"x-kubernetes-int-or-string": True, "default": 5},
    free={"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"color": BLUE}},
    thing={"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True},
    colors=listed(BLUE, "set"),
    size={"type": "integer", "default": 1},
    on={"type": "boolean", "default": False},
    nested=WHOLE,
    appearing={**WHOLE, "default": {"a": "x"}},
    atomicStruct={**WHOLE, "x-kubernetes-map-type": "atomic"},
    byName={"type": "object", "additionalProperties": WHOLE},
    texts={"type": "object", "additionalProperties": BLUE},
    atomicByName={"type": "object", "additionalProperties": WHOLE, "x-kubernetes-map-type": "atomic"},
    parts=listed(PART, "atomic"),
    unsaid={"type": "array", "items": PART},
    holes={"type": "array", "items": BLUE},
    named=listed({**PART, "required": ["name"]}, "map", "name"),
    ports=listed(PORT, "map", "host", "protocol"),
    matrix=listed({"type": "array", "items": PART}, "atomic"),
)
BODY: JsonObject = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"{KIND.resource}.{KIND.group}"},
    "spec": {
        "group": KIND.group,
        "scope": "Namespaced",
        "names": {"kind": KIND.kind, "plural": KIND.resource, "singular": "contraption"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": struct(spec=SPEC)},
                "subresources": {"scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}},
            }
        ],
    },
}
DEFINED = definition_of(BODY, "v1")


@pytest.fixture(scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    """Of a control plane by itself: other tests look at all the kinds that theirs serves."""
    async with ControlPlane.start(tmp_path_factory.mktemp("definition")) as plane:
        found = Client(await connect(kubeconfig=plane.kubeconfig("admin")))
        path = f"/apis/{DEFINITION.api_version}/{DEFINITION.resource}/{BODY['metadata']['name']}"
        await found.apply(path, BODY, manager="test", force=True)
        await eventually(lambda: is_served(found), what=f"{KIND.kind} is served")
        yield found
        await found.close()


async def is_served(client: Client) -> bool:
    try:
        await client.get(f"/apis/{KIND.api_version}/namespaces/default/{KIND.resource}")
    except ApiStatusError:
        return False
    return (await discover(client)).find(KIND.api_version, KIND.kind) is not None


async def test_what_a_kind_is_made_of_is_read_from_its_definition(client: Client) -> None:
    found = await discover(client)
    deployment = found.find("apps/v1", "Deployment")
    node = found.find("v1", "Node")
    stranger = Kind(group="aggregated.example.com", version="v1", kind="Stranger", resource="strangers", namespaced=True)
    newer = Kind(group=KIND.group, version="v9", kind=KIND.kind, resource=KIND.resource, namespaced=True)
    assert deployment is not None
    assert node is not None
    assert await definitions(client, [KIND, stranger, newer]) == {KIND: DEFINED, stranger: UNKNOWN, newer: UNKNOWN}
    assert [found.definition(kind).scale for kind in (deployment, node, KIND)] == [("f:spec", "f:replicas"), None, None]
    assert DEFINED.scale == ("f:spec", "f:size")


def drawn(random: Random, schema: JsonObject, depth: int = 0) -> Json:
    """A value that fits the schema; now and then null."""
    if random.random() < 0.08:
        return None
    match schema.get("type"):
        case "object" if "x-kubernetes-embedded-resource" in schema:
            return {"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "thing"}, "more": 1}
        case "object":
            fields: JsonObject = schema.get("properties") or dict.fromkeys("xyz", schema["additionalProperties"])
            needed = schema.get("required", ())
            chosen = [name for name in fields if name in needed or random.random() < (0.25 if depth == 0 else 0.5)]
            return {name: drawn(random, fields[name], depth + 1) for name in chosen}
        case "array":
            return [drawn(random, schema["items"], depth + 1) for _ in range(random.randint(0, 2))]
        case None:
            return random.choice([5, "50%"])
        case "integer":
            return random.randint(0, 3)
        case "boolean":
            return random.random() < 0.5
        case _:
            return random.choice(["blue", "red", ""])


async def test_resources_are_stored_as_predicted(client: Client) -> None:
    random, accepted, filled = Random(7), 0, 0  # noqa: S311 (nothing secret)
    path = f"/apis/{KIND.api_version}/namespaces/default/{KIND.resource}/one"
    while accepted < 300:
        body: JsonObject = {
            "apiVersion": KIND.api_version,
            "kind": KIND.kind,
            "metadata": {"name": "one"},
            "spec": drawn(random, SPEC) or {},
        }
        try:
            answer = await client.apply(path, body, manager="guard", force=True, dry_run=True)
        except ApiStatusError:
            continue  # null where it may not be, or a key that stands twice
        accepted += 1
        said = predicted(body, DEFINED.schema)
        assert without_nulls(defaulted(body, DEFINED.schema)["spec"]) == without_nulls(answer.get("spec")), body
        for field, stored in our_fields(answer).walk(answer):
            # What the manifest leaves empty may be filled with defaults, which are not Git's.
            if not our_fields(answer).below(field) and at(body, field) not in ({}, []):
                assert same(without_nulls(at(said, field)), without_nulls(stored)), (body, field)
        assert covers(answer, said), body
        filled += not same(said, body)
    assert filled > 100


def without_nulls(value: Json) -> Json:
    """As the API server stores it where null says nothing."""
    if is_object(value):
        return {name: without_nulls(item) for name, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if is_array(value) else value
