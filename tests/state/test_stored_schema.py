"""The rules of `builtin`, held against what the API server publishes of its own kinds."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from guard.base import codec
from guard.base.codec import Json, JsonObject, child, children
from guard.state import builtin
from tools.controlplane import ControlPlane

NOTATIONS = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "quantity",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": "time",
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": "micro time",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Duration": "duration",
}
# What nobody applies: the cluster's own side of an object, and its bookkeeping.
OTHERS = {"status", "managedFields"}


class Field(msgspec.Struct, frozen=True):
    group: str
    kind: str
    at: tuple[str, ...]
    notation: str


async def documents(plane: ControlPlane) -> dict[str, JsonObject]:
    """By group and version, as `apps/v1`."""

    async def get(path: str) -> JsonObject:
        answer: Json = await plane.call("GET", path)
        return codec.decode(answer.encode()) if isinstance(answer, str) else answer

    index = child(await get("/openapi/v3"), "paths")
    served = {path.removeprefix("apis/").removeprefix("api/"): entry for path, entry in index.items() if path.count("/")}
    return {version: await get(entry["serverRelativeURL"]) for version, entry in served.items()}


def kinds(document: JsonObject) -> Iterator[tuple[str, str, JsonObject]]:
    """The kinds that can be declared, as (group, kind, schema): those with metadata of their own."""
    for schema in child(child(document, "components"), "schemas").values():
        names = children(schema, "x-kubernetes-group-version-kind")
        if len(names) == 1 and "metadata" in child(schema, "properties") and not names[0]["kind"].endswith("List"):
            yield names[0]["group"], names[0]["kind"], schema


def fields(document: JsonObject) -> Iterator[Field]:
    """Every field of every kind, down to schemas that repeat themselves."""
    schemas = child(child(document, "components"), "schemas")
    for group, kind, schema in kinds(document):
        for at, notation in walk(schema, schemas, (), ()):
            yield Field(group, kind, at, notation)


def walk(
    schema: JsonObject, schemas: JsonObject, at: tuple[str, ...], seen: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], str]]:
    reference = next((one["$ref"] for one in (schema, *children(schema, "allOf")) if "$ref" in one), "").rpartition("/")[2]
    if reference in NOTATIONS:
        yield at, NOTATIONS[reference]
        return
    if reference:
        if reference not in seen:
            yield from walk(schemas[reference], schemas, at, (*seen, reference))
        return
    if "items" in schema:
        yield from walk(schema["items"], schemas, at, seen)
    elif codec.is_object(schema.get("additionalProperties")):
        yield from walk(schema["additionalProperties"], schemas, (*at, "*"), seen)
    elif "properties" in schema:
        for name, below in schema["properties"].items():
            if name not in OTHERS:
                yield from walk(below, schemas, (*at, name), seen)
    else:
        yield at, "bytes" if schema.get("format") == "byte" else "plain"


def recognised(field: Field) -> str:
    if builtin.is_quantity(field.at, field.group, field.kind):
        return "quantity"
    if builtin.is_time(field.at):
        return "time"
    if builtin.is_micro_time(field.at):
        return "micro time"
    return "bytes" if builtin.is_bytes(field.at, field.kind) else "plain"


async def test_every_notation_of_every_built_in_kind_is_recognised_and_nothing_else(control_plane: ControlPlane) -> None:
    found = [field for document in (await documents(control_plane)).values() for field in fields(document)]
    assert len(found) > 10_000
    wrong = {(field.kind, ".".join(field.at), field.notation, recognised(field)) for field in found}
    assert {one for one in wrong if one[2] != one[3]} == set()


async def test_every_group_that_the_api_server_brings_is_built_in(control_plane: ControlPlane) -> None:
    served = {group for document in (await documents(control_plane)).values() for group, _, _ in kinds(document)}
    definitions = await control_plane.call("GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions")
    brought = served - {definition["spec"]["group"] for definition in definitions["items"]}
    assert len(brought) > 15
    assert brought <= builtin.GROUPS


async def test_maps_are_told_from_structs(control_plane: ControlPlane) -> None:
    for document in (await documents(control_plane)).values():
        schemas = child(child(document, "components"), "schemas")
        for group, kind, schema in kinds(document):
            for at, is_map in objects(schema, schemas, (), ()):
                assert builtin.is_map(at, group, kind) == is_map, (group, kind, at)


def objects(
    schema: JsonObject, schemas: JsonObject, at: tuple[str, ...], seen: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], bool]]:
    reference = next((one["$ref"] for one in (schema, *children(schema, "allOf")) if "$ref" in one), "").rpartition("/")[2]
    if reference in seen or reference in NOTATIONS:
        return
    schema = schemas[reference] if reference else schema
    seen = (*seen, reference) if reference else seen
    if "items" in schema:
        yield from objects(schema["items"], schemas, at, seen)
    elif codec.is_object(schema.get("additionalProperties")):
        yield at, True
        yield from objects(schema["additionalProperties"], schemas, (*at, "*"), seen)
    elif "properties" in schema:
        if at and at[-1] != "*":
            yield at, False
        for name, below in schema["properties"].items():
            if name not in OTHERS:
                yield from objects(below, schemas, (*at, name), seen)
