"""Manifests, what an API server would store of them, and the reviews of writes to them: for benchmarks that need no cluster.

What the server adds is put there by hand: defaults, identity, status, and managedFields in which lists are keyed as the
Kubernetes API keys them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from guard.base import codec
from guard.base.codec import Json, JsonObject, child, is_array, is_object
from guard.state import Declared, FieldSet, Kind, Learned, ObjectKey, Origin, project
from guard.state.definition import Definition
from guard.state.ids import SYNC_LABEL

NAMESPACE = "bench"
SYNC = "guard-system/bench"
REVISION = "main@sha1:3f2c1ab0000000000000000000000000000000aa"
CONFIG_MAP = Kind(group="", version="v1", kind="ConfigMap", resource="configmaps", namespaced=True)
DEPLOYMENT = Kind(group="apps", version="v1", kind="Deployment", resource="deployments", namespaced=True)

PERSON, OPERATOR = "ada@example.com", "system:serviceaccount:ops:operator"
_TIME = "2026-01-02T03:04:05Z"
_KEYS = {"containers": ("name",), "env": ("name",), "ports": ("containerPort", "protocol"), "conditions": ("type",)}

WriteName = Literal["annotate", "change", "no-op"]


def config_map(name: str, *, keys: int, characters: int, key: str = "setting") -> JsonObject:
    """`keys` settings of so many characters, called after `key`."""
    return _manifest(CONFIG_MAP, name, data={f"{key}-{n:03}": f"{n:03} {name} ".ljust(characters, "x") for n in range(keys)})


def deployment(name: str, *, containers: int, variables: int) -> JsonObject:
    """`containers` with so many environment variables each."""
    pod = {"containers": [_container(name, n, variables=variables) for n in range(containers)]}
    template = {"metadata": {"labels": {"app": name}}, "spec": pod}
    return _manifest(DEPLOYMENT, name, spec={"replicas": 2, "selector": {"matchLabels": {"app": name}}, "template": template})


def _container(name: str, number: int, *, variables: int) -> JsonObject:
    return {
        "name": f"container-{number}",
        "image": f"registry.example.com/shop/{name}:{number + 1}",
        "env": [{"name": f"VARIABLE_{n:02}", "value": f"value {n}"} for n in range(variables)],
        "ports": [{"containerPort": 8080 + number, "name": f"port-{number}"}],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
    }


def _manifest(kind: Kind, name: str, **content: Json) -> JsonObject:
    labels = {"app.kubernetes.io/name": "shop", SYNC_LABEL: SYNC.replace("/", ".")}
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
        **content,
    }


def declare(body: JsonObject) -> Declared:
    kind = DEPLOYMENT if body["kind"] == "Deployment" else CONFIG_MAP
    key = ObjectKey(group=kind.group, kind=kind.kind, namespace=NAMESPACE, name=body["metadata"]["name"])
    origin = Origin(file=f"apps/{key.name}.yaml", line=1)
    scale = ("f:spec", "f:replicas") if kind is DEPLOYMENT else None
    return Declared(key=key, kind=kind, body=body, origin=origin, sync=SYNC, definition=Definition(scale=scale))


def _owned(value: Json, *, keys: tuple[str, ...] = ()) -> JsonObject:
    """FieldsV1 of an applied value; `keys` name the items of a list."""
    if is_object(value):
        return {
            f"f:{name}": _owned(item, keys=_KEYS.get(name, ()))
            for name, item in value.items()
            if name not in {"name", "namespace"}
        }
    if is_array(value) and keys:
        return {
            _element(item, keys): {".": {}, **{f"f:{name}": _owned(item[name], keys=_KEYS.get(name, ())) for name in item}}
            for item in value
        }
    return {}


def _element(item: JsonObject, keys: tuple[str, ...]) -> str:
    return "k:" + codec.canonical({name: item.get(name, "TCP") for name in keys}).decode()


def _fields(body: JsonObject) -> JsonObject:
    return {name: tree for name, tree in _owned(body).items() if name not in {"f:apiVersion", "f:kind"}}


def _entry(manager: str, operation: str, fields: JsonObject, *, api_version: str, **more: str) -> JsonObject:
    return {
        "manager": manager,
        "operation": operation,
        "apiVersion": api_version,
        "time": _TIME,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
        **more,
    }


_ANNOTATION = "operator.example.com/seen"
_PROBE = {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File", "imagePullPolicy": "IfNotPresent"}
_POD: JsonObject = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "securityContext": {},
}
_ROLLING = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}}


def stored(body: JsonObject) -> JsonObject:
    """What the API server would store after our apply, an operator's annotation on it and its controller's status in it."""
    found: JsonObject = codec.decode(codec.encode(body))
    api_version = str(body["apiVersion"])
    managed = [
        _entry("guard", "Apply", _fields(body), api_version=api_version),
        _entry(
            "operator",
            "Update",
            {"f:metadata": {"f:annotations": {".": {}, f"f:{_ANNOTATION}": {}}}},
            api_version=api_version,
        ),
    ]
    if body["kind"] == "Deployment":
        found["spec"] |= {"strategy": _ROLLING, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600}
        pod = found["spec"]["template"]["spec"]
        pod |= _POD
        for container in pod["containers"]:
            container.update(_PROBE)
            for port in container["ports"]:
                port["protocol"] = "TCP"
        conditions = [
            {
                "type": name,
                "status": "True",
                "lastUpdateTime": _TIME,
                "lastTransitionTime": _TIME,
                "reason": "Fine",
                "message": "Fine.",
            }
            for name in ("Available", "Progressing")
        ]
        found["status"] = {"observedGeneration": 1, "replicas": 2, "readyReplicas": 2, "conditions": conditions}
        status = {"f:status": _owned(found["status"])}
        managed.append(_entry("kube-controller-manager", "Update", status, api_version=api_version, subresource="status"))
    found["metadata"] |= {
        "uid": "0b6f6c3e-0000-4000-8000-000000000000",
        "resourceVersion": "4711",
        "generation": 1,
        "creationTimestamp": _TIME,
        "annotations": {_ANNOTATION: "0"},
        "managedFields": managed,
    }
    return found


def learned(declared: Declared, live: JsonObject) -> Learned:
    """What an apply teaches: our fields, and Git's values as stored where they differ from the manifest."""
    fields = FieldSet.parse(codec.decode(codec.encode(_fields(declared.body))))
    made = project(live, fields.tree, manifest=declared.body)
    metadata = {name: value for name, value in child(declared.body, "metadata").items() if name not in {"name", "namespace"}}
    plain = {**{name: value for name, value in declared.body.items() if name not in {"apiVersion", "kind"}}, "metadata": metadata}
    return Learned(body=declared.body, fields=fields, stored=None if made == plain else made)


class Write(msgspec.Struct, frozen=True):
    """A write that a benchmark makes: by whom, under which field manager, and what it does to the object."""

    user: str
    manager: str
    make: Callable[[JsonObject], None]


def _annotate(body: JsonObject) -> None:
    body["metadata"]["annotations"][_ANNOTATION] = "1"
    body["metadata"]["managedFields"][1]["time"] = "2026-01-02T03:04:06Z"


def _change(body: JsonObject) -> None:
    """What kubectl edit does to one declared field: the value, the generation, and two entries of managedFields."""
    managed = body["metadata"]["managedFields"]
    ours = managed[0]["fieldsV1"]
    taken: JsonObject
    if body["kind"] == "Deployment":
        body["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.example.com/shop/other:2"
        body["metadata"]["generation"] = 2
        path = ("f:spec", "f:template", "f:spec", "f:containers", 'k:{"name":"container-0"}', "f:image")
    else:
        body["data"]["setting-000"] = "another"
        path = ("f:data", "f:setting-000")
    for element in path[:-1]:
        ours = ours[element]
    ours.pop(path[-1])
    taken = {}
    for element in reversed(path):
        taken = {element: taken}
    managed.append(_entry("kubectl-edit", "Update", taken, api_version=str(body["apiVersion"])))


def _nothing(_body: JsonObject) -> None:
    return


WRITES: dict[WriteName, Write] = {
    "annotate": Write(OPERATOR, "operator", _annotate),
    "change": Write(PERSON, "kubectl-edit", _change),
    "no-op": Write(PERSON, "kubectl-client-side-apply", _nothing),
}


def review(declared: Declared, live: JsonObject, write: Write) -> bytes:
    """The review of an update, as the API server would send it."""
    new = codec.decode(codec.encode(live))
    write.make(new)
    kind = {"group": declared.kind.group, "version": declared.kind.version, "kind": declared.kind.kind}
    resource = {"group": declared.kind.group, "version": declared.kind.version, "resource": declared.kind.resource}
    request = {
        "uid": "0b6f6c3e-0000-4000-8000-000000000001",
        "kind": kind,
        "resource": resource,
        "requestKind": kind,
        "requestResource": resource,
        "name": declared.key.name,
        "namespace": NAMESPACE,
        "operation": "UPDATE",
        "userInfo": {"username": write.user, "groups": ["system:authenticated"]},
        "object": new,
        "oldObject": live,
        "dryRun": False,
        "options": {"kind": "UpdateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": write.manager},
    }
    return codec.encode({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request})
