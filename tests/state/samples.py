"""Objects as the API server would send them, and declared ones, for tests of the pure core."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from guard.base.codec import Json, JsonObject
from guard.state import Declared, DesiredState, FieldSet, Kind, Learned, ObjectKey, Origin, View, ids
from guard.state.definition import Definition
from guard.state.fields import Path
from guard.state.ids import REPLICAS, SYNC_LABEL

CONFIG_MAP = Kind(group="", version="v1", kind="ConfigMap", resource="configmaps", namespaced=True)
SECRET = Kind(group="", version="v1", kind="Secret", resource="secrets", namespaced=True)
DEPLOYMENT = Kind(group="apps", version="v1", kind="Deployment", resource="deployments", namespaced=True)
NAMESPACE = ids.NAMESPACE
NODE = Kind(group="", version="v1", kind="Node", resource="nodes", namespaced=False)
LABEL = "guard-system.apps"
SYNC = "guard-system/apps"
REVISION = "main@sha1:3f2c1ab0000000000000000000000000000000aa"


def owned(*paths: str) -> JsonObject:
    """A FieldsV1 tree from paths whose elements are parted by spaces: `f:data f:color`."""
    root: dict[str, JsonObject] = {}
    for path in paths:
        node = root
        for element in path.split(" "):
            node = cast("dict[str, JsonObject]", node.setdefault(element, {}))
    return root


def entry(manager: str, fields: JsonObject, *, operation: str = "Update", **more: str) -> JsonObject:
    return {
        "manager": manager,
        "operation": operation,
        "apiVersion": "v1",
        "time": "2026-01-02T03:04:05Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
        **more,
    }


def ours(fields: JsonObject, **more: str) -> JsonObject:
    return entry("guard", fields, operation="Apply", **more)


LABEL_FIELD = owned(f"f:metadata f:labels f:{SYNC_LABEL}")


def object_of(kind: Kind, *, name: str = "web", namespace: str = "shop", label: str = LABEL, **more: Json) -> JsonObject:
    """An object with our label; `metadata` adds to its metadata."""
    metadata: JsonObject = {"name": name, "labels": {SYNC_LABEL: label}} if label else {"name": name}
    if kind.namespaced:
        metadata["namespace"] = namespace
    metadata |= more.pop("metadata", {})
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **more}


def declared_as(
    kind: Kind, body: JsonObject, *, sync: str = SYNC, origin: str = "apps/web.yaml", scale: Path | None = None
) -> Declared:
    metadata = body["metadata"]
    key = ObjectKey(group=kind.group, kind=kind.kind, namespace=metadata.get("namespace", ""), name=metadata["name"])
    if scale is None and kind == DEPLOYMENT:
        scale = REPLICAS
    return Declared(
        key=key,
        kind=kind,
        body=body,
        origin=Origin(file=origin, line=17),
        sync=sync,
        definition=Definition(scale=scale),
    )


def view_of(*objects: Declared, learned: Mapping[ObjectKey, Learned] | None = None) -> View:
    view = View()
    syncs = dict.fromkeys(declared.sync for declared in objects)
    view.replace(
        DesiredState(
            {name: {declared.key: declared for declared in objects if declared.sync == name} for name in syncs},
            dict.fromkeys(syncs, REVISION),
        )
    )
    for key, lesson in (learned or {}).items():
        view.learn(key, lesson)
    return view


def lesson(declared: Declared, fields: JsonObject, stored: JsonObject | None = None) -> Learned:
    return Learned(body=declared.body, fields=FieldSet.parse(fields), stored=stored)
