"""The CustomResourceDefinitions, made from the Structs so that code and cluster cannot disagree."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from guard.api.breakglass import BREAK_GLASS, BreakGlass, BreakGlassSpec, BreakGlassStatus
from guard.api.names import GROUP, VERSION
from guard.api.status import SyncStatus
from guard.api.sync import SYNC, Sync, SyncSpec
from guard.base import codec
from guard.base.codec import JsonObject
from guard.state.ids import Kind

PREFIX = "#/$defs/"
# Left out, or put back where it holds something.
DROPPED = ("$defs", "title", "default", "required", "additionalProperties")


def sync_crd() -> JsonObject:
    return _definition(SYNC, singular="sync", columns=_columns(), schema=_schema(), categories=["gitops"])


def break_glass_crd() -> JsonObject:
    return _definition(BREAK_GLASS, singular="breakglass", columns=_break_glass_columns(), schema=_break_glass_schema())


def _definition(
    kind: Kind, *, singular: str, columns: list[JsonObject], schema: JsonObject, categories: Sequence[str] = ()
) -> JsonObject:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.resource}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.resource,
                "singular": singular,
                **({"categories": [*categories]} if categories else {}),
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": columns,
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


def structural(kind: type, *, defaults: bool) -> JsonObject:
    """The structural schema (OpenAPI v3, as CustomResourceDefinitions take it) of what msgspec accepts as `kind`.

    `defaults` says whether the API server is to fill in the Structs' defaults.
    """
    schema = codec.decode(codec.encode(msgspec.json.schema(kind)))  # so that defaults, too, are JSON: lists, no tuples
    return _converted(schema, definitions=schema.get("$defs", {}), defaults=defaults)


def _schema() -> JsonObject:
    return {
        "type": "object",
        "description": Sync.__doc__ or "",
        "required": ["spec"],
        # Whether a namespace is named is all that can be asked: a rule does not see the Sync's own.
        "x-kubernetes-validations": [
            {
                "rule": "!has(self.spec.dependsOn) || self.spec.dependsOn.all(found, found.name != self.metadata.name || "
                "has(found.__namespace__) && found.__namespace__ != '')",
                "message": "a Sync cannot depend on itself",
                "fieldPath": ".spec.dependsOn",
            }
        ],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural(SyncSpec, defaults=True),
            # What a controller writes is written whole: the server has nothing to add.
            "status": structural(SyncStatus, defaults=False),
        },
    }


def _columns() -> list[JsonObject]:
    ready = '.status.conditions[?(@.type=="Ready")]'
    return [
        {"name": "Ready", "type": "string", "jsonPath": f"{ready}.status"},
        {"name": "Healthy", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Healthy")].status'},
        {"name": "Suspended", "type": "boolean", "jsonPath": ".spec.suspend", "priority": 1},
        {"name": "Revision", "type": "string", "jsonPath": ".status.lastAppliedRevision"},
        {"name": "Declared", "type": "integer", "jsonPath": ".status.objects.declared"},
        {"name": "Drifted", "type": "integer", "jsonPath": ".status.objects.drifted"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        {"name": "Status", "type": "string", "jsonPath": f"{ready}.message", "priority": 1},
    ]


# Once made it stays as it is, so that nobody makes more of what somebody else was allowed.
_SPEC_STAYS = {"rule": "self == oldSelf", "message": "cannot be changed; delete it and make another"}


def _break_glass_schema() -> JsonObject:
    return {
        "type": "object",
        "description": BreakGlass.__doc__ or "",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": {**structural(BreakGlassSpec, defaults=True), "x-kubernetes-validations": [_SPEC_STAYS]},
            "status": structural(BreakGlassStatus, defaults=False),
        },
    }


def _break_glass_columns() -> list[JsonObject]:
    return [
        {"name": "Opens", "type": "string", "jsonPath": ".status.opens"},
        {"name": "By", "type": "string", "jsonPath": ".spec.by"},
        {"name": "Active", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Active")].status'},
        {"name": "Until", "type": "string", "jsonPath": ".status.expiresAt"},
        {"name": "Reason", "type": "string", "jsonPath": ".spec.reason"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]


def _converted(schema: JsonObject, *, definitions: JsonObject, defaults: bool) -> JsonObject:
    """Drops what a structural schema may not hold: titles, definitions, closed objects (the API server closes them itself)."""

    def inner(value: JsonObject) -> JsonObject:
        return _converted(value, definitions=definitions, defaults=defaults)

    found = _resolved(schema, definitions)
    converted = {key: value for key, value in found.items() if key not in DROPPED}
    if defaults and found.get("default") not in (None, [], ""):
        converted["default"] = found["default"]
    if "description" in found:
        converted["description"] = " ".join(found["description"].split())
    if "properties" in found:
        converted["properties"] = {name: inner(field) for name, field in found["properties"].items()}
    if "items" in found:
        converted["items"] = inner(found["items"])
    if codec.is_object(values := found.get("additionalProperties")):
        converted["additionalProperties"] = inner(values)
    if found.get("required"):
        converted["required"] = found["required"]
    if "enum" in found:
        converted["type"] = "string"
    return converted


def _resolved(schema: JsonObject, definitions: JsonObject) -> JsonObject:
    """Inlines a reference and turns a union with null into the type alone, since in a structural schema a field that may be
    missing is just not required. What stands beside either is said about this use of the type, so it goes first.
    """
    beside = {key: value for key, value in schema.items() if key not in ("$ref", "anyOf")}
    if "$ref" in schema:
        return _resolved({**definitions[schema["$ref"].removeprefix(PREFIX)], **beside}, definitions)
    if "anyOf" in schema:
        members = [member for member in schema["anyOf"] if member != {"type": "null"}]
        if len(members) != 1:
            raise TypeError("a structural schema has no unions but with null")
        return _resolved({**members[0], **beside}, definitions)
    return schema
