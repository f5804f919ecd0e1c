"""Kinds served in more than one version, and objects that live outside every namespace."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import App, World, widget
from tests.e2e.test_subresources import node

AUTOSCALER = """apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: web
  namespace: {namespace}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: web
  minReplicas: 2
  maxReplicas: 5
  metrics:
    - type: Resource
      resource:
        name: cpu
        target:
          type: Utilization
          averageUtilization: 60
"""


@pytest.mark.case(13)
async def test_an_edit_through_another_version_is_judged_alike(app: App, world: World) -> None:
    await world.declare({f"apps/{app.namespace}-more.yaml": AUTOSCALER.format(namespace=app.namespace)})
    old, new = (f"horizontalpodautoscalers.{version}.autoscaling/web" for version in ("v1", "v2"))
    before = await world.get(new, app.namespace)
    for resource, patch, said in (
        (new, '{"spec":{"maxReplicas":9}}', "spec.maxReplicas: Git has 5, you asked for 9"),
        (old, '{"spec":{"maxReplicas":9}}', "spec.maxReplicas: Git has 5, you asked for 9"),
        # The field has another name and place in v1.
        (old, '{"spec":{"targetCPUUtilizationPercentage":90}}', "spec.metrics"),
        (old, '{"metadata":{"labels":{"extra":"1"}}}', "metadata.labels.extra: not in Git, you asked to add 1"),
    ):
        refused = await world.refused("patch", resource, "-n", app.namespace, "--type=merge", "-p", patch)
        assert said in refused.stderr
    await world.refused("delete", old, "-n", app.namespace)
    for patch in ('{"spec":{"maxReplicas":5}}', '{"spec":{"targetCPUUtilizationPercentage":60}}'):
        await world.plane.kubectl("patch", old, "-n", app.namespace, "--type=merge", "-p", patch)
    assert (await world.get(new, app.namespace))["spec"] == before["spec"]


@pytest.mark.case(13)
async def test_objects_of_one_kind_in_two_versions_are_judged_through_either(world: World, widgets: str, fresh: str) -> None:
    names = {version: f"{fresh}-{version}" for version in ("v1", "v2")}
    text = "---\n".join(widget(name, widgets, "{color: blue}", version=version) for version, name in names.items())
    await world.declare({f"apps/{fresh}.yaml": text})
    for name in names.values():
        for version in ("v1", "v2"):
            resource = f"widgets.{version}.{widgets}/{name}"
            refused = await world.refused("patch", resource, "--type=merge", '-p={"spec":{"color":"red"}}')
            assert "spec.color: Git has blue, you asked for red" in refused.stderr
            refused = await world.refused("patch", resource, "--type=merge", '-p={"spec":{"cpu":"1"}}')
            assert "spec.cpu: not in Git, you asked to add 1" in refused.stderr
            await world.refused("delete", resource)
            await world.plane.kubectl("patch", resource, "--type=merge", '-p={"spec":{"color":"blue"}}')
        assert (await world.get(f"widgets.{widgets}/{name}", "default"))["spec"] == {"color": "blue"}


@pytest.mark.case(2, 13)
async def test_a_custom_resources_text_is_never_taken_for_a_quantity(world: World, widgets: str, fresh: str) -> None:
    await world.declare({f"apps/{fresh}.yaml": widget(fresh, widgets, "{cpu: '1'}")})
    refused = await world.refused("patch", f"widgets.{widgets}/{fresh}", "--type=merge", '-p={"spec":{"cpu":"1000m"}}')
    assert "spec.cpu: Git has 1, you asked for 1000m" in refused.stderr


@pytest.mark.case(14)
async def test_cluster_scoped_objects_are_protected_as_namespaced_ones(world: World, widgets: str, fresh: str) -> None:
    role = f"""---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {fresh}
rules:
  - apiGroups: [""]
    resources: [pods]
    verbs: [get, list]
---
apiVersion: v1
kind: Namespace
metadata:
  name: {fresh}
  labels:
    team: blue
"""
    await world.declare({f"apps/{fresh}.yaml": node(fresh) + role})
    definition = f"crd/widgets.{widgets}"
    for command, said in (
        (("label", f"node/{fresh}", "--overwrite", "zone=b"), "metadata.labels.zone: Git has a, you asked for b"),
        (("label", f"node/{fresh}", "zone-"), "metadata.labels.zone: Git has a, you asked to remove it"),
        (("label", f"node/{fresh}", "extra=1"), "metadata.labels.extra: not in Git, you asked to add 1"),
        (("delete", f"node/{fresh}"), "deleting it is refused"),
        (
            ("patch", f"clusterrole/{fresh}", "--type=json", '-p=[{"op":"add","path":"/rules/0/verbs/-","value":"delete"}]'),
            f"ClusterRole {fresh} is managed from Git, so this change is refused",
        ),
        (("delete", f"clusterrole/{fresh}"), "deleting it is refused"),
        (("label", f"namespace/{fresh}", "--overwrite", "team=red"), "metadata.labels.team: Git has blue, you asked for red"),
        (("label", f"namespace/{fresh}", "pod-security.kubernetes.io/enforce=privileged"), "not in Git, you asked to add"),
        (("delete", f"namespace/{fresh}"), "deleting it is refused"),
        (
            ("patch", definition, "--type=json", '-p=[{"op":"replace","path":"/spec/versions/1/served","value":false}]'),
            "spec.versions",
        ),
        (("annotate", definition, "extra=1"), "metadata.annotations.extra: not in Git, you asked to add 1"),
    ):
        resource = next(word for word in command if "/" in word)
        before = await world.get(resource, "")
        assert said in (await world.refused(*command)).stderr
        assert await world.get(resource, "") == before
