"""What a CustomResourceDefinition says of its kind: what its /scale sets, and the defaults that the API server fills in.

Defaulting follows `pkg/apiserver/schema/defaulting` of k8s.io/apiextensions-apiserver 1.37; tests hold it against the answers of
a real API server.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from guard.base.codec import Json, JsonObject, child, children, is_array, is_object
from guard.state.equality import MISSING
from guard.state.fields import Path


class Schema(msgspec.Struct, frozen=True):
    """A schema as far as it gives defaults. `value` is the field's own, if it has one; `fields` are an object's, `others` what
    every name of a map has (a schema has the one or the other), `items` a list's. What is `atomic` has one owner as a whole; of a
    list that is not, `keys` tell the items apart.
    """

    value: Json | msgspec.UnsetType = msgspec.UNSET
    nullable: bool = False
    fields: Mapping[str, Schema] = msgspec.field(default_factory=dict[str, "Schema"])
    others: Schema | None = None
    items: Schema | None = None
    atomic: bool = False
    keys: frozenset[str] = frozenset()

    def fills(self, found: Json) -> bool:
        """Whether a field with this value (MISSING: without one) is given the default."""
        return self.value is not msgspec.UNSET and (found is MISSING or (found is None and not self.nullable))


class Definition(msgspec.Struct, frozen=True):
    """`scale` is the path of the replicas that /scale sets, None where there is none."""

    scale: Path | None = None
    schema: Schema | None = None


UNKNOWN = Definition()


def definition_of(body: JsonObject, version: str) -> Definition:
    """What a CustomResourceDefinition says of one of its versions; UNKNOWN where it has none of that name."""
    for found in children(child(body, "spec"), "versions"):
        if found.get("name") == version:
            return Definition(scale=_scale(found), schema=_schema(child(child(found, "schema"), "openAPIV3Schema")))
    return UNKNOWN


def defaulted(value: Json, schema: Schema | None) -> Json:
    """The value with all defaults filled in."""
    return value if schema is None else _filled(value, schema, whole=True)


def owned(value: Json, schema: Schema | None) -> Json:
    """The value with those defaults that whoever applies it owns: within atomic values, and the keys of list items."""
    return value if schema is None else _filled(value, schema, whole=False)


def _filled(value: Json, schema: Schema, *, whole: bool, keys: frozenset[str] = frozenset()) -> Json:
    """Of an object the `keys` are filled in in any case. MISSING stays so where there is no default."""
    if schema.fills(value):
        # Null is the default, said with another word: whoever says it owns all of it.
        value, whole = schema.value, True
    whole = whole or schema.atomic
    if is_object(value):
        found = dict(value)
        for name, field in schema.fields.items():
            if name in found or whole or name in keys:
                found[name] = _filled(found.get(name, MISSING), field, whole=whole)
        if schema.others is not None:
            found = {name: _filled(item, schema.others, whole=whole) for name, item in found.items()}
        return {name: item for name, item in found.items() if item is not MISSING}
    if is_array(value) and schema.items is not None:
        return [_filled(item, schema.items, whole=whole, keys=schema.keys) for item in value]
    return value


def _scale(version: JsonObject) -> Path | None:
    path = child(child(version, "subresources"), "scale").get("specReplicasPath")
    # `.spec.size`: dotted names only, says the API server's validation.
    return tuple(f"f:{name}" for name in path.strip(".").split(".")) if isinstance(path, str) and path else None


def _schema(schema: JsonObject) -> Schema | None:
    """None where a schema gives no default, in itself or below. One that is null is none: the API server drops it."""
    if not schema:
        return None
    properties = child(schema, "properties")
    fields = {name: found for name in properties if (found := _schema(child(properties, name))) is not None}
    others, items = _schema(child(schema, "additionalProperties")), _schema(child(schema, "items"))
    default = schema.get("default")
    if default is None and not fields and others is None and items is None:
        return None
    kind, keys = schema.get("x-kubernetes-list-type", "atomic"), schema.get("x-kubernetes-list-map-keys")
    return Schema(
        value=msgspec.UNSET if default is None else default,
        nullable=schema.get("nullable") is True,
        fields=fields,
        others=others,
        items=items,
        # The items of a set are atomic as well.
        atomic=kind != "map" if schema.get("type") == "array" else schema.get("x-kubernetes-map-type") == "atomic",
        keys=frozenset(map(str, keys)) if is_array(keys) else frozenset(),
    )
