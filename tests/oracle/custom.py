"""Custom resources: one whose schema has every list and map type, one without a schema, one cluster-scoped."""

from __future__ import annotations

from random import Random

from guard.base.codec import Json, JsonObject
from guard.state.ids import Kind
from tests.oracle.pods import maybe, some

GROUP = "oracle.example.com"

_TEXT: JsonObject = {"type": "string"}
_FREE: JsonObject = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def _kind(name: str, *, namespaced: bool = True) -> Kind:
    return Kind(group=GROUP, version="v1", kind=name, resource=f"{name.lower()}s", namespaced=namespaced)


GADGET, BLOB, BEACON = _kind("Gadget"), _kind("Blob"), _kind("Beacon", namespaced=False)
OTHER_VERSION = "v1beta1"


def _struct(*required: str, **fields: JsonObject) -> JsonObject:
    return {"type": "object", "properties": fields, **({"required": [*required]} if required else {})}


def _list(items: JsonObject, kind: str, *keys: str) -> JsonObject:
    found: JsonObject = {"type": "array", "items": items, "x-kubernetes-list-type": kind}
    return {**found, "x-kubernetes-list-map-keys": [*keys]} if keys else found


_ONE_KEY = _struct(
    "name",
    name=_TEXT,
    value=_TEXT,
    size={"type": "integer"},
    color={**_TEXT, "default": "blue"},
    parts=_list(_TEXT, "set"),
    nested=_struct(a=_TEXT, b=_TEXT),
)
_MANY_KEYS = _struct(
    "host",
    "port",
    host=_TEXT,
    port={"type": "integer"},
    protocol={**_TEXT, "default": "TCP"},
    weight={"type": "integer"},
    tls={"type": "boolean"},
)

_SPEC = _struct(
    title=_TEXT,
    amount=_TEXT,
    count={"type": "integer"},
    size={"type": "integer"},
    ratio={"type": "number"},
    enabled={"type": "boolean"},
    either={"x-kubernetes-int-or-string": True},
    defaulted={**_TEXT, "default": "blue"},
    optional={**_TEXT, "nullable": True},
    moment={**_TEXT, "format": "date-time"},
    plainList={"type": "array", "items": _TEXT},
    atomicList=_list(_struct(name=_TEXT, color={**_TEXT, "default": "blue"}), "atomic"),
    setList=_list(_TEXT, "set"),
    numberSet=_list({"type": "integer"}, "set"),
    oneKey=_list(_ONE_KEY, "map", "name"),
    manyKeys=_list(_MANY_KEYS, "map", "host", "port", "protocol"),
    granularMap={"type": "object", "additionalProperties": _TEXT},
    structMap={"type": "object", "additionalProperties": _struct(a=_TEXT, b={**_TEXT, "default": "blue"})},
    atomicMap={"type": "object", "additionalProperties": _TEXT, "x-kubernetes-map-type": "atomic"},
    atomicStruct={**_struct(a=_TEXT, b={**_TEXT, "default": "blue"}), "x-kubernetes-map-type": "atomic"},
    free=_FREE,
    matrix=_list({"type": "array", "items": {"type": "integer"}}, "atomic"),
)


def _definition(kind: Kind, schema: JsonObject, *, versions: tuple[str, ...] = ("v1",), **more: Json) -> JsonObject:
    served = [
        {"name": version, "served": True, "storage": version == "v1", "schema": {"openAPIV3Schema": schema}, **more}
        for version in versions
    ]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.resource}.{kind.group}"},
        "spec": {
            "group": kind.group,
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "names": {"kind": kind.kind, "plural": kind.resource, "singular": kind.kind.lower()},
            "versions": served,
        },
    }


_SUBRESOURCES: JsonObject = {"status": {}, "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}}

DEFINITIONS: tuple[JsonObject, ...] = (
    _definition(GADGET, _struct(spec=_SPEC, status=_FREE), versions=("v1", OTHER_VERSION), subresources=_SUBRESOURCES),
    _definition(BLOB, _FREE),
    _definition(BEACON, _struct(spec=_SPEC, status=_FREE), subresources={"status": {}}),
)


def gadget(random: Random, _name: str) -> JsonObject:
    """A spec of random fields; some lists and maps are declared empty."""
    letters = ["a", "b", "c", "d"]
    spec: JsonObject = {
        **maybe(
            random,
            0.5,
            title=lambda: random.choice(["one", "", "<a&b>"]),
            amount=lambda: random.choice(["1000m", "1", "1Gi"]),
            size=lambda: random.randint(0, 3),
            count=lambda: random.randint(-3, 3),
            setList=lambda: some(random, letters),
            oneKey=lambda: some(random, [_one(random, name) for name in letters]),
            manyKeys=lambda: some(random, _many(random), most=4),
            granularMap=lambda: dict.fromkeys(some(random, letters), "x"),
        ),
        **maybe(
            random,
            0.25,
            ratio=lambda: random.choice([1, 0.5, -2.25]),
            enabled=lambda: random.choice([True, False]),
            either=lambda: random.choice([5, "50%", "5"]),
            defaulted=lambda: random.choice(["blue", "red"]),
            optional=lambda: random.choice(["x", "y"]),
            moment=lambda: "2026-01-02T03:04:05Z",
            plainList=lambda: some(random, letters),
            atomicList=lambda: [{"name": name} for name in some(random, letters)],
            numberSet=lambda: some(random, [1, 2, 3, 40]),
            structMap=lambda: {name: {"a": "x"} for name in some(random, letters)},
            atomicMap=lambda: dict.fromkeys(some(random, letters), "x"),
            atomicStruct=lambda: random.choice([{}, {"a": "x"}, {"a": "x", "b": "y"}]),
            free=lambda: {"any": _anything(random, 2)},
            matrix=lambda: [[1, 2], [3], []],
        ),
    }
    return {"spec": spec}


def blob(random: Random, _name: str) -> JsonObject:
    return {name: _anything(random, 3) for name in some(random, ["spec", "config", "things", "flag"], least=1, most=3)}


def _one(random: Random, name: str) -> JsonObject:
    return {
        "name": name,
        **maybe(
            random,
            0.4,
            value=lambda: "x",
            size=lambda: random.randint(0, 9),
            parts=lambda: some(random, ["p", "q", "r"]),
            nested=lambda: random.choice([{}, {"a": "x"}, {"a": "x", "b": "y"}]),
        ),
    }


def _many(random: Random) -> list[JsonObject]:
    return [
        {"host": host, "port": port, **({"protocol": protocol} if protocol else {}), **maybe(random, 0.4, weight=lambda: 5)}
        for host, port, protocol in (("a", 80, ""), ("a", 80, "UDP"), ("a", 443, "TCP"), ("b", 80, ""))
    ]


def _anything(random: Random, depth: int) -> Json:
    if depth == 0 or random.random() < 0.3:
        return random.choice(["text", "", "1000m", 1, 0, -7, 1.5, True, False, 2**40])
    names = some(random, ["a", "b", "name", "value"], most=3)
    if random.random() < 0.4:
        return [_anything(random, depth - 1) for _ in names]
    return {name: _anything(random, depth - 1) for name in names}
