"""In which form the API server will store what a manifest says.

Used before an object was first applied; afterwards the API server's own answer is known. Only what a manifest says is looked at,
with the defaults that the API server puts inside of it: into atomic structures, which have one owner as a whole, and into the
keys of list items. Other defaults are nobody's, and so not Git's. Not predicted is what admission plugins put into atomic lists:
the tolerations of a Pod, the not-ready taint of a Node. The defaults are those of `pkg/apis/*/v1/defaults.go` of Kubernetes 1.37;
tests hold them against the answers of a real API server. Those of custom resources are in their definitions.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Final, TypeAlias

from guard.base.codec import Json, JsonObject, child, is_array, is_object
from guard.state import builtin
from guard.state.builtin import CRD, DRA, Names
from guard.state.definition import Schema, owned
from guard.state.equality import MISSING
from guard.state.quantities import micro_time, number_text, quantity, time

Defaults: TypeAlias = Mapping[str, Json]

_ADMISSION, _RBAC = "admissionregistration.k8s.io", "rbac.authorization.k8s.io"
_TCP: Defaults = {"protocol": "TCP"}
_ANY_SCOPE: Defaults = {"scope": "*"}
_MATCH: Defaults = {"matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}}
_ONE_DEVICE: Defaults = {"allocationMode": "ExactCount"}
_EQUAL: Defaults = {"operator": "Equal"}
# By group and the last names of what they complete.
_DEFAULTS: Final[Mapping[tuple[str, Names], Defaults]] = {
    ("", ("spec", "ports")): _TCP,
    ("", ("subsets", "ports")): _TCP,
    ("networking.k8s.io", ("ingress", "ports")): _TCP,
    ("networking.k8s.io", ("egress", "ports")): _TCP,
    ("discovery.k8s.io", ("ports",)): {"name": "", "protocol": "TCP"},
    (_RBAC, ("roleRef",)): {"apiGroup": _RBAC},
    (_ADMISSION, ("webhooks", "rules")): _ANY_SCOPE,
    (_ADMISSION, ("resourceRules",)): _ANY_SCOPE,
    (_ADMISSION, ("excludeResourceRules",)): _ANY_SCOPE,
    (_ADMISSION, ("matchConstraints",)): _MATCH,
    (_ADMISSION, ("matchResources",)): _MATCH,
    ("batch", ("onPodConditions",)): {"status": "True"},
    (DRA, ("requests", "exactly")): _ONE_DEVICE,
    (DRA, ("requests", "firstAvailable")): _ONE_DEVICE,
    (DRA, ("exactly", "tolerations")): _EQUAL,
    (DRA, ("capacity", "*")): {"value": "0"},
    (DRA, ("counters", "*")): {"value": "0"},
    (DRA, ("firstAvailable", "tolerations")): _EQUAL,
}
# The same in pod specs, wherever they are.
_POD_DEFAULTS: Final[Mapping[Names, Defaults]] = {
    ("containers", "ports"): _TCP,
    ("initContainers", "ports"): _TCP,
    ("ephemeralContainers", "ports"): _TCP,
    ("fieldRef",): {"apiVersion": "v1"},
    ("resourceFieldRef",): {"divisor": "0"},
    ("sources", "serviceAccountToken"): {"expirationSeconds": 3600},
}
_DEFAULTED: Final = frozenset(last[-1] for last in [*_POD_DEFAULTS, *(last for _, last in _DEFAULTS)])
# Where zero or empty text means the default.
_PROBE: Defaults = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
_FOR_EMPTY: Final[Mapping[Names, Json]] = {
    **{(probe, name): value for probe in ("livenessProbe", "readinessProbe", "startupProbe") for name, value in _PROBE.items()},
    ("httpGet", "path"): "/",
    ("httpGet", "scheme"): "HTTP",
    ("strategy", "type"): "RollingUpdate",
    ("updateStrategy", "type"): "RollingUpdate",
    ("spec", "type"): "ClusterIP",
    ("spec", "sessionAffinity"): "None",
    ("spec", "matchingPrecedence"): 1000,
}


# What a part of a built-in kind (container, probe, volume, port) gets that leaves these out.
_COMPLETED: Final[Mapping[str, Json]] = {
    **_PROBE,
    **_TCP,
    "defaultMode": 0o644,
    "resources": {},
    "scheme": "HTTP",
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
}


def completed(name: str, beside: JsonObject) -> Json:
    """The value that the API server gives to a field left out, `beside` those that are there; MISSING where it gives none."""
    if name == "imagePullPolicy":
        return "Always" if _is_latest(str(beside.get("image", ""))) else "IfNotPresent"
    return beside.get("port", MISSING) if name == "targetPort" else _COMPLETED.get(name, MISSING)


def _is_latest(image: str) -> bool:
    tag = image.rpartition("/")[2].partition(":")[2]
    return "@" not in image and tag in {"", "latest"}


def predicted(body: JsonObject, schema: Schema | None = None) -> JsonObject:
    """The form in which the API server will store what the manifest says; `schema` is that of a custom resource."""
    group = str(body.get("apiVersion", "")).rpartition("/")[0]
    if group not in builtin.GROUPS:
        return owned(body, schema)
    walk = _Walk(group, str(body.get("kind", "")))
    found = walk.struct(body, ())
    return _with_string_data(found) if walk.kind == "Secret" else found


class _Walk:
    """Through one object of a kind."""

    __slots__ = ("group", "kind")

    def __init__(self, group: str, kind: str) -> None:
        self.group = group
        self.kind = kind

    def value(self, value: Json, at: Names) -> Json:
        if is_object(value):
            if builtin.is_free(at, self.group, self.kind):
                return value
            return self.map(value, at) if builtin.is_map(at, self.group, self.kind) else self.struct(value, at)
        if is_array(value):
            return value if builtin.is_free(at, self.group, self.kind) else [self.value(item, at) for item in value]
        return self.scalar(value, at)

    def map(self, value: JsonObject, at: Names) -> JsonObject:
        """A null among texts is stored as empty text, among quantities as 0."""
        below = (*at, "*")
        texts = self.group not in {CRD, DRA}  # theirs are maps of structs
        zero = "0" if builtin.is_quantity(below, self.group, self.kind) else "" if texts else None
        found = {name: zero if item is None else self.value(item, below) for name, item in value.items()}
        return {name: item for name, item in found.items() if item is not None}

    def struct(self, value: JsonObject, at: Names) -> JsonObject:
        kept: JsonObject = {}
        for name, item in value.items():
            if item is None:
                continue
            below = (*at, name)
            found = self.value(item, below)
            if found or not self._is_left_out(found, below):
                kept[name] = found
            elif below[-2:] in _FOR_EMPTY:
                kept[name] = _FOR_EMPTY[below[-2:]]
        return self._completed(kept, at) if at else kept

    def _is_left_out(self, empty: Json, at: Names) -> bool:
        if builtin.is_free(at, self.group, self.kind):
            return at[-1] == "enum"  # a list of anybody's JSON
        return builtin.is_map(at, self.group, self.kind) if is_object(empty) else builtin.is_left_out(empty, at, self.kind)

    def scalar(self, value: Json, at: Names) -> Json:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return value
        if builtin.is_quantity(at, self.group, self.kind):
            text = value if isinstance(value, str) else number_text(value)
            return quantity(text, whole_milli=builtin.in_resource_list(at)) or value
        if isinstance(value, str):
            return self._text(value, at)
        return int(value) if isinstance(value, float) and value.is_integer() else value

    def _text(self, value: str, at: Names) -> str:
        if builtin.is_time(at):
            return time(value) or value
        if builtin.is_micro_time(at):
            return micro_time(value) or value
        return _base64(value) if builtin.is_bytes(at, self.kind) else value

    def _completed(self, value: JsonObject, at: Names) -> JsonObject:
        if at[-1] in _DEFAULTED:
            for last in (at[-1:], at[-2:]):
                value = {**_DEFAULTS.get((self.group, last), {}), **_POD_DEFAULTS.get(last, {}), **value}
        if self.group == _RBAC and at == ("subjects",) and value.get("kind") in {"User", "Group"}:
            return {"apiGroup": _RBAC, **value}
        if self.group == DRA and value.get("allocationMode") == "ExactCount":
            return {"count": 1, **value}
        if self.kind == "StatefulSet" and at == ("spec", "volumeClaimTemplates"):
            return _claim_template(value)
        if self.kind == "LimitRange" and at == ("spec", "limits") and value.get("type") == "Container":
            return _container_limits(value)
        return value


def _claim_template(template: JsonObject) -> JsonObject:
    named = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "status": {"phase": "Pending"}}
    spec: JsonObject = {"volumeMode": "Filesystem", "resources": {}, **child(template, "spec")}
    return {**template, **named, "metadata": child(template, "metadata"), "spec": spec}


def _container_limits(item: JsonObject) -> JsonObject:
    """Limits default to the maximum, requests to the limits, and to the minimum."""
    limits = {**child(item, "max"), **child(item, "default")}
    requests = {**child(item, "min"), **limits, **child(item, "defaultRequest")}
    filled = {name: found for name, found in (("default", limits), ("defaultRequest", requests)) if found}
    return {**item, **filled}


def _with_string_data(secret: JsonObject) -> JsonObject:
    texts = {name: base64.b64encode(str(text).encode()).decode() for name, text in child(secret, "stringData").items()}
    if not texts:
        return secret
    rest = {name: value for name, value in secret.items() if name != "stringData"}
    return {**rest, "data": {**child(secret, "data"), **texts}}


def _base64(text: str) -> str:
    """Base64 may hold line breaks, which are not stored."""
    try:
        return base64.b64encode(base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True)).decode()
    except (binascii.Error, ValueError):
        return text
