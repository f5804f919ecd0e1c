"""The one writer, on a real API server: what it takes for Git's, and what it leaves to others."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import pytest

from guard.apply import Writer
from guard.base.clock import SystemClock
from guard.base.codec import Json, JsonObject
from guard.base.errors import Unreachable
from guard.cluster import Client, connect, object_path
from guard.state import Declared, View
from guard.state.ids import LABEL_PATH, SYNC_LABEL
from guard.state.managed import entries
from guard.state.pointers import parse_pointer
from guard.state.policy import Ignore, Left
from tests.state.samples import CONFIG_MAP, DEPLOYMENT, NODE, declared_as, object_of
from tools.controlplane import ControlPlane


class Dying(Client):
    """A client whose process is killed when it comes to apply."""

    async def apply(self, path: str, *_: object, **__: object) -> JsonObject:
        raise Unreachable("killed", where=path)


def writer(client: Client, *rules: Ignore) -> Writer:
    return Writer(lambda _sync: client, view=View(), clock=SystemClock(), left=lambda _declared: Left(rules))


def settings(namespace: str, **data: str) -> Declared:
    return declared_as(CONFIG_MAP, object_of(CONFIG_MAP, name="settings", namespace=namespace, data=data))


def deployment(namespace: str, *, replicas: int, image: str = "nginx:1.25") -> Declared:
    spec: JsonObject = {
        "replicas": replicas,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": image}]}},
    }
    return declared_as(DEPLOYMENT, object_of(DEPLOYMENT, name="web", namespace=namespace, spec=spec))


async def stored(client: Client, declared: Declared) -> JsonObject:
    return await client.get(object_path(declared.kind, namespace=declared.key.namespace, name=declared.key.name))


async def changed(client: Client, declared: Declared, change: JsonObject, *, manager: str) -> None:
    path = object_path(declared.kind, namespace=declared.key.namespace, name=declared.key.name)
    await client.merge_patch(path, change, manager=manager)


async def created_by_a_person(client: Client, declared: Declared, **data: str) -> None:
    path = object_path(CONFIG_MAP, namespace=declared.key.namespace, name="")
    body: JsonObject = {**declared.body, "metadata": {**declared.body["metadata"], "labels": {}}, "data": data}
    await client.post(path.rstrip("/"), body, manager="kubectl-create")


@pytest.mark.case(27, 35)
async def test_a_guard_that_is_killed_while_it_adopts_takes_nothing_of_what_people_had(
    client: Client, control_plane: ControlPlane, namespace: str
) -> None:
    declared = settings(namespace, color="blue")
    await created_by_a_person(client, declared, color="red", theirs="1")
    dying = Dying(await connect(kubeconfig=control_plane.kubeconfig("admin")))
    with pytest.raises(Unreachable):
        await writer(dying).apply(declared)
    await dying.close()
    # The next Guard, and the one after it, which never saw the adoption.
    await writer(client).apply(declared)
    await writer(client).apply(declared)
    assert (await stored(client, declared))["data"] == {"color": "blue", "theirs": "1"}


@pytest.mark.case(27)
async def test_what_git_drops_from_an_adopted_object_goes_though_a_person_had_made_it(client: Client, namespace: str) -> None:
    declared = settings(namespace, color="blue", size="large")
    await created_by_a_person(client, declared, color="blue", size="large", theirs="1")
    guard = writer(client)
    await guard.apply(declared)
    await guard.apply(settings(namespace, color="blue"))
    assert (await stored(client, declared))["data"] == {"color": "blue", "theirs": "1"}


async def test_after_a_restart_what_people_added_is_no_adoption(client: Client, namespace: str) -> None:
    declared = settings(namespace, color="blue")
    await writer(client).apply(declared)
    await changed(client, declared, {"data": {"more": "1"}}, manager="kubectl-edit")
    # A new process, to which no list has told yet what it applied.
    done = await writer(client).apply(declared)
    assert done is not None
    assert done.removed == (("f:data", "f:more"),)
    assert (await stored(client, declared))["data"] == {"color": "blue"}


async def test_defaults_that_came_with_a_part_put_back_by_hand_stay_and_are_nobodys(client: Client, namespace: str) -> None:
    """The API server fills them in again whoever takes them away: there is nothing to heal, again and again."""
    declared, guard = deployment(namespace, replicas=1), writer(client)
    containers = declared.body["spec"]["template"]["spec"]["containers"]
    containers.append({"name": "helper", "image": "busybox:1.36"})
    await guard.apply(declared)
    made = await stored(client, declared)
    for some in (containers[:1], containers):
        await changed(client, declared, {"spec": {"template": {"spec": {"containers": some}}}}, manager="kubectl-edit")
    back = await stored(client, declared)
    assert back["spec"] == made["spec"]
    assert "imagePullPolicy" in str(back["metadata"]["managedFields"])
    done = [await guard.apply(declared) for _ in range(2)]
    assert [(one.changed, one.removed) for one in done if one] == [(False, ()), (False, ())]
    settled = await stored(client, declared)
    assert settled["spec"] == made["spec"]
    assert "imagePullPolicy" not in str(settled["metadata"]["managedFields"])
    # What a person adds beside them is taken away all the same.
    await changed(client, declared, {"spec": {"template": {"spec": {"containers": containers[:1]}}}}, manager="kubectl-edit")
    more = [containers[0], {**containers[1], "tty": True}]
    await changed(client, declared, {"spec": {"template": {"spec": {"containers": more}}}}, manager="kubectl-edit")
    last = await guard.apply(declared)
    assert last is not None
    assert [path[-1] for path in last.removed] == ["f:tty"]
    assert (await stored(client, declared))["spec"] == made["spec"]


async def test_a_default_that_is_a_map_is_given_up_whole(client: Client, namespace: str) -> None:
    declared, guard = deployment(namespace, replicas=1), writer(client)
    await guard.apply(declared)
    made = await stored(client, declared)
    for strategy in ({"type": "Recreate", "rollingUpdate": None}, {"type": "RollingUpdate"}):
        await changed(client, declared, {"spec": {"strategy": strategy}}, manager="kubectl-edit")
    assert "f:strategy" in str((await stored(client, declared))["metadata"]["managedFields"])
    done = await guard.apply(declared)
    assert done is not None
    assert (done.changed, done.removed) == (False, ())
    settled = await stored(client, declared)
    assert settled["spec"] == made["spec"]
    assert [entry.manager for entry in entries(settled)] == ["guard"]


async def test_both_of_what_a_person_added_twice_go(client: Client, namespace: str) -> None:
    declared, guard = deployment(namespace, replicas=1), writer(client)
    declared.body["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "X", "value": "1"}]
    await guard.apply(declared)
    made = await stored(client, declared)
    twice = {**made, "spec": copy.deepcopy(made["spec"])}
    twice["spec"]["template"]["spec"]["containers"][0]["env"] += [{"name": "FOO", "value": value} for value in ("a", "b")]
    path = object_path(declared.kind, namespace=namespace, name="web")
    await client.put(path, twice, manager="kubectl-edit")
    done = await guard.apply(declared)
    assert done is not None
    assert [path[-1] for path in done.removed] == ['k:{"name":"FOO"}']
    assert (await stored(client, declared))["spec"] == made["spec"]


async def test_what_is_left_to_others_is_applied_once_and_then_theirs(client: Client, namespace: str) -> None:
    guard = writer(client, Ignore(paths=(parse_pointer("/spec/replicas"),)))
    await guard.apply(deployment(namespace, replicas=3))
    declared = deployment(namespace, replicas=3, image="nginx:1.26")
    assert (await stored(client, declared))["spec"]["replicas"] == 3
    await changed(client, declared, {"spec": {"replicas": 7}}, manager="kubectl-scale")
    await guard.apply(declared)
    found = await stored(client, declared)
    assert found["spec"]["replicas"] == 7
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:1.26"
    before = found["metadata"]["resourceVersion"]
    await writer(client, Ignore(paths=(parse_pointer("/spec/replicas"),))).apply(declared)
    assert (await stored(client, declared))["metadata"]["resourceVersion"] == before


async def test_a_field_that_comes_to_be_left_to_others_keeps_its_value(client: Client, namespace: str) -> None:
    declared = deployment(namespace, replicas=3)
    await writer(client).apply(declared)
    await writer(client, Ignore(paths=(parse_pointer("/spec/replicas"),))).apply(declared)
    found = await stored(client, declared)
    assert found["spec"]["replicas"] == 3
    assert not any(entry.is_ours and ("f:spec", "f:replicas") in entry.fields for entry in entries(found))


async def test_a_field_is_left_to_the_manager_that_took_it_and_to_no_other(client: Client, namespace: str) -> None:
    declared = deployment(namespace, replicas=3)
    guard = writer(client, Ignore(managers=frozenset({"scaler"})))
    await guard.apply(declared)
    await changed(client, declared, {"spec": {"replicas": 7}}, manager="scaler")
    await guard.apply(declared)
    assert (await stored(client, declared))["spec"]["replicas"] == 7
    await changed(client, declared, {"spec": {"replicas": 8}}, manager="operator")
    await guard.apply(declared)
    assert (await stored(client, declared))["spec"]["replicas"] == 3


def tainted(name: str, *taints: Mapping[str, Json]) -> Declared:
    return declared_as(NODE, object_of(NODE, name=name, spec={"taints": list(taints)}))


@pytest.mark.case(17)
async def test_the_taints_of_controllers_stay_beside_gits_and_a_persons_go(client: Client, namespace: str) -> None:
    ours = {"key": "example.com/dedicated", "effect": "NoSchedule", "value": "db"}
    theirs = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}
    declared = tainted(namespace, ours)
    guard = writer(client)
    await guard.apply(declared)
    standing = (await stored(client, declared))["spec"]["taints"]
    assert ours in standing
    await changed(client, declared, {"spec": {"taints": [*standing, theirs]}}, manager="kube-controller-manager")
    before = await stored(client, declared)
    done = await guard.apply(declared)
    assert done is not None
    assert not done.changed
    assert await stored(client, declared) == before
    scaling = {"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}
    await changed(client, declared, {"spec": {"taints": [scaling, theirs]}}, manager="cluster-autoscaler")
    await guard.apply(declared)
    assert (await stored(client, declared))["spec"]["taints"] == [ours, scaling, theirs]
    await changed(
        client, declared, {"spec": {"taints": [theirs, {"key": "mine", "effect": "NoSchedule"}]}}, manager="kubectl-taint"
    )
    await guard.apply(declared)
    assert (await stored(client, declared))["spec"]["taints"] == [ours, theirs]


async def test_a_label_comes_back_also_where_nothing_else_of_ours_is_left(client: Client, namespace: str) -> None:
    declared, writing = settings(namespace, color="blue"), writer(client)
    await writing.apply(declared)
    change: JsonObject = {"metadata": {"labels": {SYNC_LABEL: None}}, "data": {"color": "red"}}
    await changed(client, declared, change, manager="kubectl-edit")
    await writing.label(declared)
    after = await stored(client, declared)
    assert after["data"] == {"color": "red"}
    assert after["metadata"]["labels"] == declared.body["metadata"]["labels"]


async def test_a_label_that_was_taken_comes_back_alone(client: Client, namespace: str) -> None:
    """Where healing is off: what else has drifted stays so."""
    declared, writing = deployment(namespace, replicas=2), writer(client)
    await writing.apply(declared)
    change: JsonObject = {"metadata": {"labels": {SYNC_LABEL: None}}, "spec": {"replicas": 5}}
    await changed(client, declared, change, manager="kubectl-edit")
    before = await stored(client, declared)
    await writing.label(declared)
    after = await stored(client, declared)
    assert after["metadata"]["labels"] == {**before["metadata"].get("labels", {}), **declared.body["metadata"]["labels"]}
    assert after["spec"] == before["spec"]
    (ours,) = (entry for entry in entries(after) if entry.is_ours)
    assert LABEL_PATH in ours.fields
    assert ("f:spec", "f:template", "f:spec", "f:containers", 'k:{"name":"web"}', "f:image") in ours.fields
    assert ("f:spec", "f:replicas") not in ours.fields
