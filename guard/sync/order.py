"""In which order a revision's objects are applied, and, backwards, pruned. Pure.

First by stage: what others need to be there at all. Within a stage by wave, an annotation of the user's. Within a wave, what
speaks against or for the other objects of it comes last. Argo CD orders by wave first and by kind then
(docs/decisions/0013-apply-in-order-and-by-error.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from guard.base.codec import JsonObject, child
from guard.state.desired import Declared
from guard.state.ids import Kind

WAVE = "gitopsguard.dev/wave"

FIRST, SECOND, REST = range(3)
_FIRST = frozenset({("apiextensions.k8s.io", "CustomResourceDefinition"), ("", "Namespace")})
_SECOND_GROUPS = frozenset({"rbac.authorization.k8s.io", "scheduling.k8s.io", "storage.k8s.io", "node.k8s.io"})
# What an object is created by (limits, quotas) or with. Any kind of classes is of these, too: IngressClass, GatewayClass.
_SECOND = frozenset({("", name) for name in ("ServiceAccount", "ConfigMap", "Secret", "LimitRange", "ResourceQuota")})
# They answer for other kinds, or refuse other objects, from the moment that they are there.
_LATE = frozenset(
    {
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
        ("apiregistration.k8s.io", "APIService"),
    }
)

# As text, and small enough to be a number everywhere: nine digits fit 32 bits.
_INTEGER = re.compile(r"[+-]?[0-9]{1,9}")


class Rank(NamedTuple):
    """Smaller ones are applied first and pruned last."""

    stage: int
    wave: int
    late: bool


def rank(kind: Kind, annotations: Mapping[str, str | None] | None) -> Rank:
    """Of a declared or live object. An annotation that is no integer counts as none: a revision with one never gets in force, but
    people may have written one on a live object.
    """
    name = (kind.group, kind.kind)
    text = (annotations or {}).get(WAVE)
    wave = int(text) if text and not wave_fault(text) else 0
    return Rank(_stage(kind), wave, name in _LATE)


def rank_of(declared: Declared) -> Rank:
    return rank(declared.kind, annotations_of(declared.body))


def annotations_of(body: JsonObject) -> Mapping[str, str]:
    return child(child(body, "metadata"), "annotations")


def wave_fault(text: object) -> str:
    """What is wrong with the text of a wave; empty when nothing is. None is one that is not shown."""
    if isinstance(text, str) and _INTEGER.fullmatch(text):
        return ""
    given = f" is {text!r}, but" if text is not None else ""
    return f"the annotation {WAVE}{given} has to be an integer of at most nine digits, in quotes"


def steps(objects: Iterable[Declared]) -> list[tuple[Rank, list[Declared]]]:
    """The objects of each rank, the first to be applied first. Within a step order does not matter."""
    found: dict[Rank, list[Declared]] = {}
    for declared in objects:
        found.setdefault(rank_of(declared), []).append(declared)
    return sorted(found.items(), key=lambda step: step[0])


def _stage(kind: Kind) -> int:
    name = (kind.group, kind.kind)
    if name in _FIRST:
        return FIRST
    is_second = kind.group in _SECOND_GROUPS or name in _SECOND or kind.kind.endswith("Class")
    return SECOND if is_second else REST
