"""One request each: a change as it reaches the API server, made from the live object and edits of it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from random import Random
from types import MappingProxyType

import msgspec

from guard.base import codec
from guard.base.codec import Json, JsonObject, child, children, is_array, is_object
from guard.cluster import collection_path, object_path
from guard.state.ids import SYNC_LABEL
from tests.oracle.edits import Edit, at, edited
from tests.oracle.kinds import Target
from tests.oracle.patches import merge_difference, strategic_difference

JSON = "application/json"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"

_NOTHING: Mapping[str, str] = MappingProxyType({})


class Request(msgspec.Struct, frozen=True):
    method: str
    path: str
    body: Json = None
    content_type: str = JSON
    query: Mapping[str, str] = _NOTHING


class Draft(msgspec.Struct, frozen=True):
    """What a client makes a request of. `live` is the object as it was, where it has to be created anew."""

    target: Target
    live: JsonObject
    edits: tuple[Edit, ...]
    random: Random

    @property
    def wanted(self) -> JsonObject:
        return edited(self.live, self.edits)

    @property
    def path(self) -> str:
        """At times in another version of the kind."""
        sort = self.target.sort
        if not sort.other_version or self.random.random() > 0.15:
            return self.target.path
        kind = msgspec.structs.replace(sort.kind, version=sort.other_version)
        return object_path(kind, namespace=self.target.namespace, name=self.target.name)


# ---- replacing


def put(draft: Draft) -> Request:
    return Request("PUT", draft.target.path, draft.wanted)


def put_without_managed_fields(draft: Draft) -> Request:
    body = draft.wanted
    body["metadata"].pop("managedFields", None)
    return Request("PUT", draft.target.path, body)


def put_wiping_managed_fields(draft: Draft) -> Request:
    """With no other edit in half of the cases, so that the loss of the entries is all there is to judge."""
    body = draft.wanted if draft.random.random() < 0.5 else copy.deepcopy(draft.live)
    body["metadata"]["managedFields"] = [{}]
    return Request("PUT", draft.target.path, body)


def put_from_file(draft: Draft) -> Request:
    """Kubectl replace: the file's fields and no others, but for what the API server insists on."""
    body = edited(draft.target.manifest, draft.edits)
    for name in ("resourceVersion", "uid"):
        body["metadata"][name] = at(draft.live, ("metadata", name))
    labels = child(body["metadata"], "labels")
    if draft.random.random() < 0.7:
        body["metadata"]["labels"] = {**labels, SYNC_LABEL: at(draft.live, ("metadata", "labels", SYNC_LABEL))}
    return Request("PUT", draft.target.path, body)


# ---- patching


def merge_patch(draft: Draft) -> Request:
    return Request("PATCH", draft.path, merge_difference(draft.live, draft.wanted), MERGE)


def merge_patch_of_managed_fields(draft: Draft) -> Request:
    """The entries wiped, or ours alone taken out or robbed of a field."""
    entries = copy.deepcopy(children(child(draft.live, "metadata"), "managedFields"))
    ours = [entry for entry in entries if entry.get("manager") == "guard"]
    choice = draft.random.random()
    if choice < 0.4 or not ours:
        entries = [JsonObject()]
    elif choice < 0.6:
        entries = [entry for entry in entries if entry.get("manager") != "guard"]
    else:
        _rob(ours[0].get("fieldsV1", {}), draft.random)
    return Request("PATCH", draft.target.path, {"metadata": {"managedFields": entries}}, MERGE)


def _rob(fields: JsonObject, random: Random) -> None:
    """Take one leaf away."""
    while True:
        name = random.choice(list(fields))
        below = fields[name]
        if not below or not is_object(below):
            del fields[name]
            return
        fields = below


def json_patch(draft: Draft) -> Request:
    return Request("PATCH", draft.path, [_operation(edit, draft.live) for edit in draft.edits], JSON_PATCH)


def _operation(edit: Edit, live: JsonObject) -> JsonObject:
    pointer = "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in edit.path)
    if edit.action == "remove":
        return {"op": "remove", "path": pointer}
    parent = at(live, edit.path[:-1])
    if parent is None:
        # The map does not exist, and `add` makes no parents.
        above = edit.path[:-1]
        pointer = "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in above)
        return {"op": "add", "path": pointer, "value": {edit.path[-1]: edit.value}}
    replaces = edit.action == "set" and is_array(parent)
    return {"op": "replace" if replaces else "add", "path": pointer, "value": edit.value}


def strategic_patch(draft: Draft) -> Request:
    return Request("PATCH", draft.path, strategic_difference(draft.live, draft.wanted, draft.random), STRATEGIC)


def client_side_apply(draft: Draft) -> Request:
    """Kubectl apply of the file, edited or not: a patch of what it says, and the annotation in which kubectl keeps it."""
    body = edited(draft.target.manifest, draft.edits if draft.random.random() < 0.6 else ())
    annotations = child(body["metadata"], "annotations")
    text = codec.encode(draft.target.manifest).decode() + "\n"
    body["metadata"]["annotations"] = {**annotations, "kubectl.kubernetes.io/last-applied-configuration": text}
    return Request("PATCH", draft.target.path, body, MERGE if draft.target.sort.is_custom else STRATEGIC)


# ---- applying


def apply_file(draft: Draft) -> Request:
    """Kubectl apply --server-side of the file, edited or not, with our label or without."""
    body = edited(draft.target.manifest, draft.edits if draft.random.random() < 0.7 else ())
    return _applied(draft, body, force=True)


def apply_file_without_force(draft: Draft) -> Request:
    body = edited(draft.target.manifest, draft.edits if draft.random.random() < 0.7 else ())
    return _applied(draft, body, force=False)


def apply_part(draft: Draft) -> Request:
    """Only what the edits touch."""
    body = _frame(draft.target)
    for edit in draft.edits:
        _copy_part(draft.wanted, body, edit.path[:-1] if edit.action != "set" else edit.path)
    return _applied(draft, body, force=draft.random.random() < 0.7)


def _applied(draft: Draft, body: JsonObject, *, force: bool) -> Request:
    metadata = child(body, "metadata")
    if draft.random.random() < 0.4:
        label = at(draft.live, ("metadata", "labels", SYNC_LABEL))
        body = {**body, "metadata": {**metadata, "labels": {**child(metadata, "labels"), SYNC_LABEL: label}}}
    return Request("PATCH", draft.target.path, body, APPLY, {"force": "true"} if force else {})


def _frame(target: Target) -> JsonObject:
    metadata = {"name": target.name, **({"namespace": target.namespace} if target.namespace else {})}
    return {"apiVersion": target.sort.kind.api_version, "kind": target.sort.name, "metadata": metadata}


def _copy_part(source: JsonObject, into: JsonObject, path: tuple[str | int, ...]) -> None:
    """Copy one field; a list item comes with what names it, or the whole list where nothing does."""
    for depth, step in enumerate(path[:-1]):
        there, item = at(source, path[:depth]), at(source, path[: depth + 1])
        if is_array(there) or (is_array(item) and not all(is_object(entry) and "name" in entry for entry in item)):
            path = path[: depth + 1] if is_array(item) else path[:depth]
            break
        if is_array(item):
            number = path[depth + 1]
            found = item[number] if isinstance(number, int) and number < len(item) else None
            into[str(step)] = [copy.deepcopy(found)] if found is not None else []
            return
        below = into.setdefault(str(step), {})
        if not is_object(below):
            return  # another edit has copied the whole list
        into = below
    if path and isinstance(path[-1], str) and is_object(into):
        into[path[-1]] = copy.deepcopy(at(source, path))


# ---- subresources


def scale_patch(draft: Draft) -> Request:
    replicas = draft.random.choice([0, 1, 2, 3, 7])
    return Request("PATCH", f"{draft.target.path}/scale", {"spec": {"replicas": replicas}}, MERGE)


def scale_put(draft: Draft) -> Request:
    body: JsonObject = {
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": {"name": draft.target.name, "namespace": draft.target.namespace},
        "spec": {"replicas": draft.random.choice([0, 1, 2, 3, 7])},
    }
    return Request("PUT", f"{draft.target.path}/scale", body)


def status_patch(draft: Draft) -> Request:
    """`.status`, and what goes through with it."""
    return Request("PATCH", f"{draft.target.path}/status", merge_difference(draft.live, _with_status(draft)), MERGE)


def status_put(draft: Draft) -> Request:
    return Request("PUT", f"{draft.target.path}/status", _with_status(draft))


def _with_status(draft: Draft) -> JsonObject:
    condition = {"type": "Extra", "status": "True", "reason": "Test", "message": "", "lastTransitionTime": "2026-01-02T03:04:05Z"}
    more = {} if draft.random.random() < 0.5 else {"conditions": [condition]}
    return {**draft.wanted, "status": {**child(draft.live, "status"), **more}}


def resize(draft: Draft) -> Request:
    """Kubectl patch --subresource=resize, which changes what containers ask for."""
    containers = child(draft.live, "spec")["containers"]
    bigger = {"limits": {"cpu": "3", "memory": "2Gi"}}
    resources = draft.random.choice([bigger, {"requests": {"cpu": "1"}}, child(containers[0], "resources")])
    body = {"spec": {"containers": [{"name": containers[0]["name"], "resources": resources}]}}
    return Request("PATCH", f"{draft.target.path}/resize", body, STRATEGIC)


def ephemeral_container(draft: Draft) -> Request:
    """Kubectl debug."""
    body: JsonObject = {"spec": {"ephemeralContainers": [{"name": "debug", "image": "busybox"}]}}
    if draft.random.random() < 0.3:
        body["metadata"] = {"labels": {"extra": "x"}}
    return Request("PATCH", f"{draft.target.path}/ephemeralcontainers", body, STRATEGIC)


# ---- deleting and creating


def evict(draft: Draft) -> Request:
    """Kubectl drain."""
    metadata = {"name": draft.target.name, "namespace": draft.target.namespace}
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
    return Request("POST", f"{draft.target.path}/eviction", body)


def delete(draft: Draft) -> Request:
    options: list[JsonObject | None] = [
        None,
        {"propagationPolicy": "Orphan"},
        {"propagationPolicy": "Background", "gracePeriodSeconds": 0},
        {"propagationPolicy": "Foreground"},
    ]
    return Request("DELETE", draft.target.path, draft.random.choice(options))


def delete_collection(draft: Draft) -> Request:
    path = collection_path(draft.target.sort.kind, namespace=draft.target.namespace)
    return Request("DELETE", path, query={"fieldSelector": f"metadata.name={draft.target.name}"})


def create(draft: Draft) -> Request:
    """The file in Git, edited or not, with our label or without."""
    body = edited(draft.target.manifest, draft.edits if draft.random.random() < 0.7 else ())
    if draft.random.random() < 0.4:
        label = at(draft.live, ("metadata", "labels", SYNC_LABEL))
        body["metadata"]["labels"] = {**child(body["metadata"], "labels"), SYNC_LABEL: label}
    return Request("POST", collection_path(draft.target.sort.kind, namespace=draft.target.namespace), body)
