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


class Defaults(msgspec.Struct, frozen=True):
    """A schema as far as it gives defaults. `value` is the field's own, if it has one; `fields` are an object's,
    `others` what any other name of it has, `items` a list's. What is `atomic` has one owner as a whole; of a list that is not,
    `keys` tell the items apart.
    """

    value: Json | msgspec.UnsetType = msgspec.UNSET
    nullable: bool = False
    fields: Mapping[str, Defaults] = msgspec.field(default_factory=dict[str, "Defaults"])
    others: Defaults | None = None
    items: Defaults | None = None
    atomic: bool = False
    keys: frozenset[str] = frozenset()

    def fills(self, found: Json) -> bool:
        """Whether a field with this value (MISSING: without one) is given the default."""
        return self.value is not msgspec.UNSET and (found is MISSING or (found is None and not self.nullable))


class Definition(msgspec.Struct, frozen=True):
    """`scale` is the path of the replicas that /scale sets, None where there is none."""

    scale: Path | None = None
    defaults: Defaults | None = None


UNKNOWN = Definition()


def definitions_of(body: JsonObject) -> dict[str, Definition]:
    """What a CustomResourceDefinition says of each of its versions."""
    return {
        str(version.get("name")): Definition(
            scale=_scale(version), defaults=_defaults(child(child(version, "schema"), "openAPIV3Schema"))
        )
        for version in children(child(body, "spec"), "versions")
    }


def completed(value: Json, defaults: Defaults | None) -> Json:
    """The value with all defaults filled in."""
    return value if defaults is None else _filled(value, defaults, whole=True)


def owned(value: Json, defaults: Defaults | None) -> Json:
    """The value with those defaults that whoever applies it owns: within atomic values, and the keys of list items."""
    return value if defaults is None else _filled(value, defaults, whole=False)


def _filled(value: Json, defaults: Defaults, *, whole: bool, keys: frozenset[str] = frozenset()) -> Json:
    """Of an object the `keys` are filled in in any case."""
    whole = whole or defaults.atomic
    if is_object(value):
        found = dict(value)
        for name, field in defaults.fields.items():
            if name in found or whole or name in keys:
                _fill(found, name, field, whole=whole)
        if defaults.others is not None:
            for name in found.keys() - defaults.fields.keys():
                _fill(found, name, defaults.others, whole=whole)
        return found
    if is_array(value) and defaults.items is not None:
        return [_item(item, defaults.items, whole=whole, keys=defaults.keys) for item in value]
    return value


def _fill(value: JsonObject, name: str, field: Defaults, *, whole: bool) -> None:
    found = value.get(name, MISSING)
    if field.fills(found):
        # Null is the default, said with another word: whoever says it owns all of it.
        value[name] = _filled(field.value, field, whole=True)
    elif found is not MISSING:
        value[name] = _filled(found, field, whole=whole)


def _item(value: Json, items: Defaults, *, whole: bool, keys: frozenset[str]) -> Json:
    if items.fills(value):
        return _filled(items.value, items, whole=True)
    return _filled(value, items, whole=whole, keys=keys)


def _scale(version: JsonObject) -> Path | None:
    path = child(child(version, "subresources"), "scale").get("specReplicasPath")
    # `.spec.size`: dotted names only, says the API server's validation.
    return tuple(f"f:{name}" for name in path.strip(".").split(".")) if isinstance(path, str) and path else None


def _defaults(schema: JsonObject) -> Defaults | None:
    """None where a schema gives no default, in itself or below."""
    if not schema:
        return None
    properties = child(schema, "properties")
    fields = {name: found for name in properties if (found := _defaults(child(properties, name))) is not None}
    others, items = _defaults(child(schema, "additionalProperties")), _defaults(child(schema, "items"))
    if "default" not in schema and not fields and others is None and items is None:
        return None
    kind = schema.get("x-kubernetes-list-type", "atomic")
    return Defaults(
        value=schema.get("default", msgspec.UNSET),
        nullable=schema.get("nullable") is True,
        fields=fields,
        others=others,
        items=items,
        # The items of a set are atomic as well.
        atomic=kind != "map" if schema.get("type") == "array" else schema.get("x-kubernetes-map-type") == "atomic",
        keys=frozenset(map(str, schema.get("x-kubernetes-list-map-keys") or ())),
    )
