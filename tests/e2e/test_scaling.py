"""Scaling, by people and by autoscalers: refused where Git declares the replicas, whatever a kind calls them."""

from __future__ import annotations

import pytest

from guard.base import codec
from tests.e2e.conftest import App, World, widget, widget_definition
from tools.guardrun import eventually

AUTOSCALER = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"


async def replicas(world: World, namespace: str) -> int:
    return int((await world.get("deployment/web", namespace))["spec"]["replicas"])


@pytest.mark.case(3)
async def test_every_way_of_scaling_is_refused_where_git_declares_replicas(app: App, world: World) -> None:
    before = await world.get("deployment/web", app.namespace)
    patch = '-p={"spec":{"replicas":5}}'
    for arguments in (
        ("scale", "deployment", "--all", "--replicas=0"),
        ("scale", "deployment/web", "--replicas=5", "--current-replicas=2"),
        ("patch", "deployment/web", "--subresource=scale", "--type=merge", patch),
        ("patch", "deployment/web", patch),
    ):
        refused = await world.refused(*arguments, "-n", app.namespace)
        assert "spec.replicas: Git has 2, you asked for " in refused.stderr
        line = app.line_of("spec.replicas", "2")
        assert f"Change it in Git: {app.file}:{line} " in refused.stderr
    machine = await world.refused("scale", "deployment/web", "--replicas=5", "-n", app.namespace, identity="operator")
    assert "so scaling it is refused" in machine.stderr
    assert await world.get("deployment/web", app.namespace) == before


@pytest.mark.case(3)
async def test_a_custom_resources_own_scale_path_counts(world: World, widgets: str, fresh: str) -> None:
    free = f"{fresh}-free"
    text = widget(fresh, widgets, "{size: 2}") + "---\n" + widget(free, widgets, "{color: blue}")
    await world.declare({f"apps/{fresh}.yaml": text})
    refused = await world.refused("scale", f"widgets.{widgets}/{fresh}", "--replicas=5")
    assert "spec.size: Git has 2, you asked for 5" in refused.stderr
    assert (await world.get(f"widgets.{widgets}/{fresh}", "default"))["spec"]["size"] == 2
    await world.plane.kubectl("scale", f"widgets.{widgets}/{fresh}", "--replicas=2")
    await world.plane.kubectl("scale", f"widgets.{widgets}/{free}", "--replicas=5")
    await world.settled()
    assert (await world.get(f"widgets.{widgets}/{free}", "default"))["spec"] == {"color": "blue", "size": 5}


@pytest.mark.case(3)
async def test_the_scale_path_of_a_kind_that_git_does_not_define_is_read_from_the_cluster(world: World, fresh: str) -> None:
    group = "not-from-git.example.com"
    await world.plane.kubectl("apply", "-f", "-", input=codec.pretty(widget_definition(group)))
    await world.plane.kubectl("wait", "--for=condition=Established", f"crd/widgets.{group}", "--timeout=30s")
    await world.declare({f"apps/{fresh}.yaml": widget(fresh, group, "{size: 2}")})
    refused = await world.refused("scale", f"widgets.{group}/{fresh}", "--replicas=5")
    assert "spec.size: Git has 2, you asked for 5" in refused.stderr
    assert (await world.get(f"widgets.{group}/{fresh}", "default"))["spec"] == {"size": 2}


@pytest.mark.case(3)
async def test_an_autoscaler_is_refused_where_git_declares_replicas_and_accepted_where_not(cluster: World, fresh: str) -> None:
    held, free = App(cluster, f"{fresh}-held"), App(cluster, f"{fresh}-free", replicas=None)
    await cluster.declare({held.file: held.text, free.file: free.text})
    for app in (held, free):
        # Below an autoscaler's minimum no metrics are needed for it to scale.
        await cluster.plane.kubectl("autoscale", "deployment/web", "--min=3", "--max=9", "-n", app.namespace)

    async def scaled() -> bool:
        return await replicas(cluster, free.namespace) == 3

    async def told() -> bool:
        denied = [record for record in cluster.recorded("web", held.namespace) if record["event"] == "denied"]
        return any((record["user"], record["reason"]) == (AUTOSCALER, "ReplicasDeclared") for record in denied)

    await eventually(scaled, what="scaled where Git declares no replicas")
    await eventually(told, what="refused where Git declares replicas")
    assert await replicas(cluster, held.namespace) == 2
    await cluster.settled()
    assert await replicas(cluster, free.namespace) == 3
