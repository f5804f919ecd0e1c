from __future__ import annotations

import pytest

from guard.inspect.resources import match, resources


def resource(kind: str, plural: str, *short: str, scope: str = "Namespaced", verbs: tuple[str, ...] = ("get",)) -> object:
    return {
        "resource": plural,
        "responseKind": {"kind": kind},
        "scope": scope,
        "singularResource": kind.lower(),
        "shortNames": list(short),
        "verbs": list(verbs),
    }


def group(name: str, **versions: object) -> object:
    listed = [{"version": version, "resources": found} for version, found in versions.items()]
    return {"metadata": {"name": name} if name else {}, "versions": listed}


DISCOVERY = {
    "items": [
        group("", v1=[resource("Event", "events", "ev"), resource("Binding", "bindings", verbs=("create",))]),
        group("events.k8s.io", v1=[resource("Event", "events", "ev")]),
        group("autoscaling", v2=[resource("HPA", "hpas")], v1=[resource("HPA", "hpas"), resource("Scale", "scales")]),
        group("policy.example.com", v1=[resource("HPA", "hpas", scope="Cluster")]),
    ]
}


@pytest.mark.parametrize(
    ("text", "api_version"),
    [
        ("event", "v1"),
        ("Events", "v1"),
        ("ev", "v1"),
        ("events.v1.", "v1"),
        ("events.events.k8s.io", "events.k8s.io/v1"),
        ("Event.events", "events.k8s.io/v1"),
        ("ev.v1.events.k8s.io", "events.k8s.io/v1"),
        ("hpa", "autoscaling/v2"),
        ("hpa.v1.autoscaling", "autoscaling/v1"),
        ("hpa.policy", "policy.example.com/v1"),
        ("scale", "autoscaling/v1"),
    ],
)
def test_a_name_finds_the_first_kind_that_it_fits(text: str, api_version: str) -> None:
    found = match(text, resources(DISCOVERY))
    assert found is not None
    assert found.api_version == api_version


@pytest.mark.parametrize("text", ["gizmo", "event.apps", "event.event", "binding", "hpa.v3.autoscaling", ""])
def test_what_fits_nothing_finds_nothing(text: str) -> None:
    assert match(text, resources(DISCOVERY)) is None
