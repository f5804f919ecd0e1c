"""Applying many objects on a real API server: order, waits, and what is tried again."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import pytest

from guard.apply import Writer
from guard.base.clock import SystemClock
from guard.base.codec import JsonObject
from guard.base.errors import ApiStatusError
from guard.cluster import Client, connect, object_path
from guard.state import Declared, View
from guard.state.ids import DEFINITION, Kind
from guard.sync import applying
from guard.sync.applying import Done, apply_all
from guard.sync.order import WAVE
from tests.e2e.conftest import widget_definition
from tests.state.samples import CONFIG_MAP, NAMESPACE, SECRET, declared_as, object_of
from tools.controlplane import ControlPlane
from tools.guardrun import eventually

SERVICE = Kind(group="", version="v1", kind="Service", resource="services", namespaced=True)
FLOW = "/apis/flowcontrol.apiserver.k8s.io/v1"


def config_map(name: str, namespace: str, *, wave: int | None = None, **data: object) -> Declared:
    metadata: JsonObject = {} if wave is None else {"annotations": {WAVE: str(wave)}}
    body = object_of(CONFIG_MAP, name=name, namespace=namespace, data={"a": "b", **data}, metadata=metadata)
    return declared_as(CONFIG_MAP, body, origin=f"{name}.yaml")


async def applied(client: Client, *objects: Declared, **options: object) -> Done:
    writer = Writer(lambda _sync: client, view=View(), clock=SystemClock())
    return await apply_all(objects, client=client, writer=writer, clean=True, **options)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def exists(client: Client, declared: Declared) -> bool:
    try:
        await client.get(object_path(declared.kind, namespace=declared.key.namespace, name=declared.key.name))
    except ApiStatusError:
        return False
    return True


class Counting:
    """A client that counts what it asks."""

    def __init__(self) -> None:
        self.asked: Counter[tuple[str, int]] = Counter()
        self.client: Client

    @classmethod
    @asynccontextmanager
    async def open(cls, control_plane: ControlPlane) -> AsyncGenerator[Counting]:
        found = cls()

        def observe(verb: str, code: int) -> None:
            found.asked[verb, code] += 1

        found.client = Client(await connect(kubeconfig=control_plane.kubeconfig("person")), observe=observe)
        try:
            yield found
        finally:
            await found.client.close()


@pytest.mark.case(25)
async def test_a_wave_is_applied_once_the_ones_before_are_settled(client: Client, namespace: str) -> None:
    first, second, third = (config_map(name, namespace, wave=wave) for name, wave in (("a", -1), ("b", 0), ("c", 3)))
    seen: list[tuple[list[str], list[bool]]] = []

    async def settled(objects: Sequence[Declared]) -> tuple[str, ...]:
        there = [await exists(client, one) for one in (first, second, third)]
        seen.append(([one.key.name for one in objects], there))
        return ()

    done = await applied(client, third, second, first, settled=settled)
    assert done.failures == ()
    assert seen == [(["a"], [True, False, False]), (["b"], [True, True, False])]
    assert await exists(client, third)


@pytest.mark.case(25)
async def test_higher_waves_wait_for_what_is_not_healthy_and_stay_due(client: Client, namespace: str) -> None:
    objects = [config_map(name, namespace, wave=wave) for name, wave in (("a", 0), ("b", 1), ("c", 1), ("d", 2))]

    async def settled(objects: Sequence[Declared]) -> tuple[str, ...]:
        return tuple(f"{one.key}: 0 of 2 replicas are available" for one in objects if one.key.name == "a")

    done = await applied(client, *objects, settled=settled)
    assert [await exists(client, one) for one in objects] == [True, False, False, False]
    assert done.held == {one.key for one in objects[1:]}
    # With what they wait for, since the next attempt has to wait for it as well.
    assert done.due == {one.key for one in objects}
    assert not done.stalled
    assert done.failures == (
        f"wave 1 (2 objects) waits for ConfigMap {namespace}/a: 0 of 2 replicas are available",
        f"wave 2 (1 object) waits for ConfigMap {namespace}/a: 0 of 2 replicas are available",
    )


@pytest.mark.case(25)
async def test_without_waves_nothing_is_waited_for(client: Client, namespace: str) -> None:
    async def settled(objects: Sequence[Declared]) -> tuple[str, ...]:
        raise AssertionError(f"asked about {objects}")

    service = declared_as(SERVICE, object_of(SERVICE, name="a", namespace=namespace, spec={"ports": [{"port": 80}]}))
    done = await applied(client, config_map("a", namespace), service, settled=settled)
    assert done.counts.applied == 2


@pytest.mark.case(25)
async def test_one_object_that_cannot_be_applied_stops_only_higher_waves(client: Client, namespace: str) -> None:
    bad = declared_as(SERVICE, object_of(SERVICE, name="bad", namespace=namespace, spec={"ports": [{"port": 0}]}))
    good = declared_as(SERVICE, object_of(SERVICE, name="good", namespace=namespace, spec={"ports": [{"port": 80}]}))
    later_metadata = {"annotations": {WAVE: "1"}}
    later = declared_as(
        SERVICE, object_of(SERVICE, name="later", namespace=namespace, spec={"ports": [{"port": 80}]}, metadata=later_metadata)
    )
    started = asyncio.get_running_loop().time()
    done = await applied(client, later, bad, good)
    assert [await exists(client, one) for one in (good, bad, later)] == [True, False, False]
    assert done.failed == {bad.key}
    assert done.held == {later.key}
    assert done.stalled, "nothing but Git can help"
    text, waits = done.failures
    assert text.startswith(f"apps/web.yaml:17: Service {namespace}/bad: ")
    assert waits == f"wave 1 (1 object) waits for Service {namespace}/bad"
    assert asyncio.get_running_loop().time() - started < applying.RETRY_SECONDS, "what is invalid is not tried again"


@pytest.mark.case(25)
async def test_a_refusal_for_good_is_asked_for_once_and_what_passes_again_and_again(
    control_plane: ControlPlane, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "RETRY_SECONDS", 5.0)
    bad = declared_as(SERVICE, object_of(SERVICE, name="bad", namespace=namespace, spec={"ports": [{"port": 0}]}))
    unserved = Kind(group="nobody.example.com", version="v1", kind="Gizmo", resource="gizmos", namespaced=True)
    soon = declared_as(unserved, object_of(unserved, name="g", namespace=namespace))
    async with Counting.open(control_plane) as person:
        done = await applied(person.client, bad, soon)
    assert done.failed == {bad.key, soon.key}
    assert not done.stalled
    assert person.asked["PATCH", 422] == 1
    assert person.asked["PATCH", 404] > 2


@pytest.mark.case(25)
async def test_objects_of_kinds_that_come_along_are_applied_at_once_in_every_version(client: Client, namespace: str) -> None:
    group = f"{secrets.token_hex(4)}.example.com"
    definition = declared_as(DEFINITION, {**widget_definition(group), "metadata": {"name": f"widgets.{group}"}})
    kinds = [Kind(group=group, version=v, kind="Widget", resource="widgets", namespaced=True) for v in ("v1", "v2")]
    objects = [
        declared_as(kind, object_of(kind, name=f"{kind.version}-{number}", namespace=namespace, spec={"color": "red"}))
        for kind in kinds
        for number in range(10)
    ]
    done = await applied(client, *objects, definition)
    assert done.failures == ()
    assert done.counts.applied == len(objects) + 1


@pytest.mark.case(25)
async def test_a_definition_whose_names_are_taken_is_named_with_its_objects(
    client: Client, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "RETRY_SECONDS", 5.0)
    group = f"{secrets.token_hex(4)}.example.com"
    first, second = widget_definition(group), widget_definition(group)
    second["metadata"]["name"] = f"gadgets.{group}"
    second["spec"]["names"]["plural"] = "gadgets"
    gadget = Kind(group=group, version="v1", kind="Widget", resource="gadgets", namespaced=True)
    await applied(client, declared_as(DEFINITION, first))
    done = await applied(
        client, declared_as(DEFINITION, second), declared_as(gadget, object_of(gadget, name="g", namespace=namespace))
    )
    assert len(done.failed) == 2
    assert "it is not established: " in done.failures[0]
    assert "is already in use" in done.failures[0]


@pytest.mark.case(33)
async def test_who_is_throttled_waits_and_fails_nothing(control_plane: ControlPlane, client: Client, namespace: str) -> None:
    """By the API server's own priority and fairness."""
    name = f"none-{secrets.token_hex(3)}"
    limited = {"nominalConcurrencyShares": 0, "borrowingLimitPercent": 0, "limitResponse": {"type": "Reject"}}
    level = {"type": "Limited", "limited": limited}
    await control_plane.call("POST", f"{FLOW}/prioritylevelconfigurations", body={"metadata": {"name": name}, "spec": level})
    rule = {
        "subjects": [{"kind": "User", "user": {"name": "ada@example.com"}}],
        "resourceRules": [{"verbs": ["patch"], "apiGroups": ["*"], "resources": ["configmaps"], "namespaces": ["*"]}],
    }
    flow = {"priorityLevelConfiguration": {"name": name}, "matchingPrecedence": 2, "rules": [rule]}
    await control_plane.call("POST", f"{FLOW}/flowschemas", body={"metadata": {"name": name}, "spec": flow})
    objects = [config_map(f"c{number}", namespace) for number in range(12)]
    probes = [config_map(f"probe-{number}", namespace) for number in range(12)]
    async with Counting.open(control_plane) as person:

        async def throttled() -> bool:
            await applied(person.client, *probes, timeout=0.1)
            return person.asked["PATCH", 429] > 0

        try:
            # A single request is always let through, of several at once only one.
            await eventually(throttled, what="the API server throttles", every=0.2)
            before = person.asked["PATCH", 429]
            done = await applied(person.client, *objects, at_once=6)
        finally:
            await control_plane.call("DELETE", f"{FLOW}/flowschemas/{name}")
            await control_plane.call("DELETE", f"{FLOW}/prioritylevelconfigurations/{name}")
        assert person.asked["PATCH", 429] > before
    assert done.failures == ()
    assert done.counts.applied == len(objects)
    assert all([await exists(client, one) for one in objects])


async def test_what_is_new_is_written_by_one_request(control_plane: ControlPlane, namespace: str) -> None:
    async with Counting.open(control_plane) as person:
        writer = Writer(lambda _sync: person.client, view=View(), clock=SystemClock())
        asked = config_map("asked", namespace)
        await writer.ask(asked)
        before = person.asked.copy()
        await writer.apply(asked)
        assert person.asked - before == {("PATCH", 201): 1}
        made = f"new-{secrets.token_hex(4)}"
        space = declared_as(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": made}})
        before = person.asked.copy()
        done = await apply_all(
            [config_map("a", made), config_map("b", made), space], client=person.client, writer=writer, clean=True
        )
    assert done.counts.applied == 3
    # The namespace itself may be there.
    assert person.asked - before == {("GET", 404): 1, ("PATCH", 201): 3}


@pytest.mark.case(27)
async def test_what_came_between_the_dry_run_and_the_apply_is_adopted(client: Client, namespace: str) -> None:
    writer = Writer(lambda _sync: client, view=View(), clock=SystemClock())
    declared = declared_as(SECRET, object_of(SECRET, name="s", namespace=namespace, data={"a": "YQ=="}))
    await writer.ask(declared)
    theirs = object_of(SECRET, name="s", namespace=namespace, label="", data={"a": "YQ==", "theirs": "Yg=="})
    path = object_path(SECRET, namespace=namespace, name="s")
    await client.post(path.removesuffix("/s"), theirs, manager="kubectl-create")
    await writer.apply(declared)
    await writer.apply(declared)
    assert (await client.get(path))["data"] == {"a": "YQ==", "theirs": "Yg=="}
    # What Git drops goes, though they had made it.
    await writer.apply(declared_as(SECRET, object_of(SECRET, name="s", namespace=namespace)))
    assert (await client.get(path))["data"] == {"theirs": "Yg=="}
