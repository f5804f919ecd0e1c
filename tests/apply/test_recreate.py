"""What may not be changed where it stands, on a real API server without controllers."""

from __future__ import annotations

import asyncio
from copy import deepcopy

import pytest
from msgspec import structs

from guard.apply import Writer, policy, recreate
from guard.base.clock import SystemClock
from guard.base.codec import JsonObject
from guard.base.errors import ApiStatusError, ImmutableField
from guard.cluster import Client, object_path
from guard.state import Declared, View
from guard.state.ids import Kind
from tests.state.samples import CONFIG_MAP, DEPLOYMENT, NAMESPACE, SECRET, declared_as, object_of

CLAIM = Kind(group="", version="v1", kind="PersistentVolumeClaim", resource="persistentvolumeclaims", namespaced=True)
STATEFUL_SET = Kind(group="apps", version="v1", kind="StatefulSet", resource="statefulsets", namespaced=True)
JOB = Kind(group="batch", version="v1", kind="Job", resource="jobs", namespaced=True)
ASKED: JsonObject = {"annotations": {recreate.RECREATE: recreate.ENABLED}}


def writer(client: Client) -> Writer:
    return Writer(lambda _sync: client, view=View(), clock=SystemClock())


def workload(kind: Kind, namespace: str, *, app: str, metadata: JsonObject | None = None, **more: object) -> Declared:
    template = {"metadata": {"labels": {"app": app}}, "spec": {"containers": [{"name": "web", "image": "nginx:1.25"}]}}
    spec: JsonObject = {"selector": {"matchLabels": {"app": app}}, "template": template, **more}
    return declared_as(kind, object_of(kind, namespace=namespace, spec=spec, metadata=metadata or {}))


def job(namespace: str, *, image: str, metadata: JsonObject | None = None) -> Declared:
    pod = {"restartPolicy": "Never", "containers": [{"name": "web", "image": image}]}
    return declared_as(JOB, object_of(JOB, namespace=namespace, spec={"template": {"spec": pod}}, metadata=metadata or {}))


def settings(kind: Kind, namespace: str, metadata: JsonObject | None = None, **data: str) -> Declared:
    return declared_as(kind, object_of(kind, namespace=namespace, data=data, immutable=True, metadata=metadata or {}))


async def stored(client: Client, declared: Declared) -> JsonObject:
    return await client.get(object_path(declared.kind, namespace=declared.key.namespace, name=declared.key.name))


async def refused(guard: Writer, declared: Declared) -> ImmutableField:
    with pytest.raises(ImmutableField) as raised:
        await guard.apply(declared)
    assert policy(raised.value) == "stall"
    return raised.value


@pytest.mark.case(31)
async def test_an_immutable_field_is_named_with_both_values_and_the_way_out(client: Client, namespace: str) -> None:
    guard = writer(client)
    await guard.apply(workload(DEPLOYMENT, namespace, app="a"))
    before = await stored(client, workload(DEPLOYMENT, namespace, app="a"))
    error = await refused(guard, workload(DEPLOYMENT, namespace, app="b", replicas=3))
    assert error.message == (
        'spec.selector is immutable: Git has {"matchLabels":{"app":"b"}}, the cluster has {"matchLabels":{"app":"a"}}'
    )
    assert "gitopsguard.dev/recreate: Enabled" in error.hint
    assert "break-glass" in error.hint
    assert await stored(client, workload(DEPLOYMENT, namespace, app="a")) == before


@pytest.mark.case(31)
async def test_of_a_stateful_set_the_field_is_named_that_may_not_be_changed(client: Client, namespace: str) -> None:
    guard = writer(client)
    await guard.apply(workload(STATEFUL_SET, namespace, app="a", serviceName="one", replicas=1))
    error = await refused(guard, workload(STATEFUL_SET, namespace, app="a", serviceName="two", replicas=2))
    assert error.message == "spec.serviceName is immutable: Git has two, the cluster has one"


@pytest.mark.case(31, 39)
async def test_of_a_secret_the_field_alone_is_named(client: Client, namespace: str) -> None:
    guard = writer(client)
    await guard.apply(settings(SECRET, namespace, password="b25l"))
    error = await refused(guard, settings(SECRET, namespace, password="dHdv"))
    assert "data.password is immutable" in error.message
    assert not any(value in str(error) for value in ("b25l", "dHdv", "one", "two"))


@pytest.mark.case(31, 39)
async def test_of_what_is_encrypted_in_git_the_field_alone_is_named(client: Client, namespace: str) -> None:
    guard = writer(client)
    await guard.apply(workload(DEPLOYMENT, namespace, app="hunter2"))
    error = await refused(guard, structs.replace(workload(DEPLOYMENT, namespace, app="hunter3"), confidential=True))
    assert "spec.selector is immutable" in error.message
    assert "hunter" not in str(error)


@pytest.mark.case(31)
async def test_what_asks_for_it_is_made_anew(client: Client, namespace: str) -> None:
    guard = writer(client)
    await guard.apply(workload(DEPLOYMENT, namespace, app="a", metadata=deepcopy(ASKED)))
    before = await stored(client, workload(DEPLOYMENT, namespace, app="a"))
    declared = workload(DEPLOYMENT, namespace, app="b", metadata=deepcopy(ASKED))
    done = await guard.apply(declared)
    assert done is not None
    assert (done.changed, done.created) == (True, True)
    after = await stored(client, declared)
    assert after["spec"]["selector"] == {"matchLabels": {"app": "b"}}
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    again = await guard.apply(declared)
    assert again is not None
    assert not again.changed
    assert await stored(client, declared) == after


@pytest.mark.case(31)
async def test_what_can_be_changed_is_changed_where_it_stands_though_the_manifest_would_have_it_made_anew(
    client: Client, namespace: str
) -> None:
    guard = writer(client)
    await guard.apply(workload(DEPLOYMENT, namespace, app="a", metadata=deepcopy(ASKED)))
    before = await stored(client, workload(DEPLOYMENT, namespace, app="a"))
    await guard.apply(workload(DEPLOYMENT, namespace, app="a", replicas=3, metadata=deepcopy(ASKED)))
    assert (await stored(client, workload(DEPLOYMENT, namespace, app="a")))["metadata"]["uid"] == before["metadata"]["uid"]


@pytest.mark.case(31)
async def test_an_immutable_field_that_a_person_changed_by_creating_it_anew_is_put_right(client: Client, namespace: str) -> None:
    guard = writer(client)
    declared = settings(CONFIG_MAP, namespace, deepcopy(ASKED), color="blue")
    await guard.apply(declared)
    path = object_path(CONFIG_MAP, namespace=namespace, name="web")
    await client.delete(path, uid=(await stored(client, declared))["metadata"]["uid"])
    theirs = object_of(CONFIG_MAP, namespace=namespace, label="", data={"color": "red"}, immutable=True)
    await client.post(path.removesuffix("/web"), theirs, manager="kubectl-create")
    await guard.apply(declared)
    assert (await stored(client, declared))["data"] == {"color": "blue"}


@pytest.mark.case(31)
async def test_a_claim_is_never_made_anew(client: Client, namespace: str) -> None:
    def claim(size: str, name: str) -> Declared:
        spec = {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": name,
            "resources": {"requests": {"storage": size}},
        }
        return declared_as(CLAIM, object_of(CLAIM, namespace=namespace, spec=spec, metadata=deepcopy(ASKED)))

    guard = writer(client)
    await guard.apply(claim("1Gi", "fast"))
    before = await stored(client, claim("1Gi", "fast"))
    error = await refused(guard, claim("1Gi", "slow"))
    assert "spec.storageClassName is immutable: Git has slow, the cluster has fast" in error.message
    assert "never deletes it" in error.hint
    assert await stored(client, claim("1Gi", "fast")) == before


async def test_what_is_only_invalid_is_not_called_immutable_nor_made_anew(client: Client, namespace: str) -> None:
    guard = writer(client)
    declared = workload(DEPLOYMENT, namespace, app="a", metadata=deepcopy(ASKED))
    await guard.apply(declared)
    before = await stored(client, declared)
    with pytest.raises(ApiStatusError) as raised:
        await guard.apply(workload(DEPLOYMENT, namespace, app="a", replicas=-1, metadata=deepcopy(ASKED)))
    assert not isinstance(raised.value, ImmutableField)
    assert policy(raised.value) == "stall"
    assert await stored(client, declared) == before


@pytest.mark.case(31)
async def test_finalizers_that_hold_it_are_named_and_it_is_made_anew_once_they_are_gone(
    client: Client, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recreate, "GONE_SECONDS", 0.3)
    guard = writer(client)
    held = {**deepcopy(ASKED), "finalizers": ["example.com/held"]}
    await guard.apply(workload(DEPLOYMENT, namespace, app="a", metadata=held))
    declared = workload(DEPLOYMENT, namespace, app="b", metadata=deepcopy(ASKED))
    for _ in range(2):
        with pytest.raises(ApiStatusError, match=r"finalizers hold it: example.com/held") as raised:
            await guard.apply(declared)
        assert policy(raised.value) == "report"
    monkeypatch.setattr(recreate, "GONE_SECONDS", 20.0)
    waiting = asyncio.create_task(guard.apply(declared))
    await asyncio.sleep(0.2)
    path = object_path(DEPLOYMENT, namespace=namespace, name="web")
    await client.merge_patch(path, {"metadata": {"finalizers": None}}, manager="holder")
    done = await waiting
    assert done is not None
    assert done.created
    assert (await stored(client, declared))["spec"]["selector"] == {"matchLabels": {"app": "b"}}


@pytest.mark.case(31)
async def test_what_could_not_go_to_be_made_anew_is_not_taken_for_new_when_git_goes_back(
    client: Client, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recreate, "GONE_SECONDS", 0.1)
    guard = writer(client)
    before = workload(DEPLOYMENT, namespace, app="a", metadata={**deepcopy(ASKED), "finalizers": ["example.com/held"]})
    await guard.apply(before)
    with pytest.raises(ApiStatusError, match=r"finalizers hold it"):
        await guard.apply(workload(DEPLOYMENT, namespace, app="b", metadata=deepcopy(ASKED)))
    back = await guard.apply(before)
    assert back is not None
    assert (back.changed, back.created) == (False, False)


def test_what_a_controller_owns_and_claims_that_would_go_stand_against_it() -> None:
    declared = workload(STATEFUL_SET, "x", app="b")
    live = workload(STATEFUL_SET, "x", app="a", persistentVolumeClaimRetentionPolicy={"whenDeleted": "Delete"}).body
    assert "volume claims would be deleted" in recreate.objection(declared, live)
    same = workload(STATEFUL_SET, "x", app="b", persistentVolumeClaimRetentionPolicy={"whenDeleted": "Delete"}).body
    assert recreate.objection(declared, same) == ""
    owned = {**declared.body, "metadata": {"ownerReferences": [{"controller": True}]}}
    assert "a controller owns it" in recreate.objection(declared, owned)
    assert recreate.objection(declared_as(NAMESPACE, object_of(NAMESPACE)), {}) != ""


def test_pods_are_kept_for_the_new_stateful_set_and_gone_before_a_new_job_begins() -> None:
    live = workload(STATEFUL_SET, "x", app="a").body
    assert recreate.propagation(workload(STATEFUL_SET, "x", app="a"), live) == "Orphan"
    assert recreate.propagation(workload(STATEFUL_SET, "x", app="b"), live) == "Foreground"
    assert recreate.propagation(job("x", image="a"), job("x", image="b").body) == "Foreground"
    assert recreate.propagation(workload(DEPLOYMENT, "x", app="b"), workload(DEPLOYMENT, "x", app="a").body) == "Background"
