"""Looking after the health of objects on a real API server; what controllers would say of them, the tests write."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest
from msgspec import structs

from guard.base.clock import SystemClock
from guard.base.codec import Json, JsonObject
from guard.base.errors import Unreachable
from guard.cluster import Client, collection_path, connect, object_path, watch_metadata
from guard.state import Declared, Kind
from guard.state.ids import SYNC_LABEL
from guard.sync import health
from guard.sync.health import HealthChecker
from guard.sync.status import Health
from tests.state.samples import DEPLOYMENT, LABEL, declared_as, object_of
from tools.controlplane import ControlPlane
from tools.guardrun import eventually

JOB = Kind(group="batch", version="v1", kind="Job", resource="jobs", namespaced=True)
CLAIM = Kind(group="", version="v1", kind="PersistentVolumeClaim", resource="persistentvolumeclaims", namespaced=True)
UNKNOWN = Kind(group="example.com", version="v1", kind="Widget", resource="widgets", namespaced=True)
POD: JsonObject = {"containers": [{"name": "web", "image": "example.com/web"}], "restartPolicy": "Always"}
FAILED: JsonObject = {
    "startTime": "2026-01-02T03:04:05Z",
    "conditions": [{"type": name, "status": "True", "reason": "DeadlineExceeded"} for name in ("FailureTarget", "Failed")],
}
AVAILABLE = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1}


class Looked:
    """A HealthChecker at work, what it told, and which requests it made."""

    def __init__(self, client: Client, namespace: str) -> None:
        self.client = client
        self.namespace = namespace
        self.timeout = 3600.0
        self.told: list[Health] = []
        self.requests = 0
        self.ended: set[str] = set()
        self.counted: Client | None = None
        self.checker: HealthChecker

    async def begin(self, plane: ControlPlane) -> None:
        self.counted = Client(await connect(kubeconfig=plane.kubeconfig("admin")), observe=self._observe)
        self.checker = self.made(self.counted)

    def made(self, client: Client) -> HealthChecker:
        return HealthChecker(
            client,
            label=LABEL,
            clock=SystemClock(),
            timeout=lambda: self.timeout,
            has_ended=lambda declared: declared.key.name in self.ended,
            told=self._tell,
        )

    def _observe(self, _verb: str, _code: int) -> None:
        self.requests += 1

    async def _tell(self, report: Health) -> None:
        self.told.append(report)

    async def apply(self, kind: Kind, name: str, **more: Json) -> Declared:
        declared = declared_as(kind, object_of(kind, name=name, namespace=self.namespace, **more))
        path = object_path(kind, namespace=self.namespace, name=name)
        await self.client.apply(path, declared.body, manager="guard", force=True)
        return declared

    async def deployment(self, name: str) -> Declared:
        labels = {"app": name}
        spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": POD}}
        return await self.apply(DEPLOYMENT, name, spec=spec)

    async def job(self, name: str) -> Declared:
        return await self.apply(JOB, name, spec={"template": {"spec": {**POD, "restartPolicy": "Never"}}})

    async def says(self, declared: Declared, status: JsonObject) -> None:
        """As the kind's controller would."""
        path = object_path(declared.kind, namespace=declared.key.namespace, name=declared.key.name) + "/status"
        await self.client.merge_patch(path, {"status": status}, manager="controller")

    def follow(self, *objects: Declared, goal: object = 1) -> None:
        self.checker.declare(objects, [], goal=goal)
        self.checker.applied()

    async def becomes(self, reason: str, text: str = "") -> None:
        def is_so() -> bool:
            return bool(self.told) and self.told[-1].reason == reason and text in self.told[-1].message

        await eventually(is_so, what=f"{reason}, {text}: {self.told}")

    async def watch(self, kind: Kind) -> None:
        path = collection_path(kind, namespace=self.namespace)
        async for event in watch_metadata(self.client, path, labels=SYNC_LABEL):
            for metadata in event.objects or (event.object,):
                if metadata.name:
                    self.checker.notice(metadata.key(kind), None if event.type == "DELETED" else metadata)


@pytest.fixture
async def looked(control_plane: ControlPlane, client: Client, namespace: str) -> AsyncIterator[Looked]:
    found = Looked(client, namespace)
    await found.begin(control_plane)
    looking = asyncio.create_task(found.checker.run())
    yield found
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
    if found.counted is not None:
        await found.counted.close()


@pytest.fixture
def rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not healthy is looked at when a watch says so, not now and then."""
    monkeypatch.setattr(health, "POLL_FIRST_SECONDS", 3600.0)
    monkeypatch.setattr(health, "POLL_MOST_SECONDS", 3600.0)


async def test_objects_are_looked_at_until_all_are_healthy(looked: Looked) -> None:
    web, migrate = await looked.deployment("web"), await looked.job("migrate")
    looked.follow(web, migrate)
    await looked.becomes("Progressing", "2 of 2 objects not healthy")
    await looked.says(web, AVAILABLE)
    await looked.becomes("Progressing", f"1 of 2 objects not healthy; Job {looked.namespace}/migrate: the Job is not done")
    await looked.says(migrate, FAILED)
    await looked.becomes("Unhealthy", "the Job failed: DeadlineExceeded")


@pytest.mark.usefixtures("rarely")
async def test_a_watch_shows_what_changed_and_an_event_that_touches_no_status_asks_for_nothing(
    control_plane: ControlPlane, client: Client, namespace: str
) -> None:
    looked = Looked(client, namespace)
    await looked.begin(control_plane)
    web = await looked.deployment("web")
    tasks = [asyncio.create_task(looked.checker.run()), asyncio.create_task(looked.watch(DEPLOYMENT))]
    looked.follow(web)
    await looked.becomes("Progressing", "generation 1 is not observed yet")
    await looked.says(web, AVAILABLE)
    await looked.becomes("Healthy")
    await asyncio.sleep(3 * health.ROUND_SECONDS)
    before = looked.requests
    path = object_path(DEPLOYMENT, namespace=namespace, name="web")
    for number in range(20):
        await client.merge_patch(path, {"metadata": {"labels": {"beat": str(number)}}}, manager="heart")
    await asyncio.sleep(2 * health.ROUND_SECONDS)
    assert looked.requests == before
    await looked.says(web, {**AVAILABLE, "availableReplicas": 0})
    await looked.becomes("Progressing", "0 of 1 replica is available")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert looked.counted is not None
    await looked.counted.close()


async def test_many_objects_of_a_kind_are_listed_and_a_storm_of_events_costs_a_bounded_number_of_reads(looked: Looked) -> None:
    count = 3 * health.LIST_PAGE // 2
    found = [await looked.deployment(f"web-{number}") for number in range(count)]
    for declared in found:
        await looked.says(declared, AVAILABLE)
    looked.follow(*found)
    await looked.becomes("Healthy", f"{count} objects healthy")
    assert looked.requests < count // health.LISTED_SHARE
    # One has lost its label: the listing does not show it.
    path = object_path(DEPLOYMENT, namespace=looked.namespace, name="web-7")
    await looked.client.merge_patch(path, {"metadata": {"labels": {SYNC_LABEL: None}}}, manager="someone")
    before, began = looked.requests, asyncio.get_running_loop().time()
    for _ in range(60):
        for declared in found:
            looked.checker.notice(declared.key, None)
        await asyncio.sleep(health.ROUND_SECONDS / 10)
    rounds = (asyncio.get_running_loop().time() - began) / health.ROUND_SECONDS
    assert looked.requests - before <= (rounds + 2) * health.LOOKS_A_ROUND + 2 * (count // health.LIST_PAGE + 1)
    await looked.becomes("Healthy", f"{count} objects healthy")


async def test_what_changes_all_the_time_is_told_once_a_second(looked: Looked) -> None:
    web = await looked.deployment("web")
    looked.follow(web)
    started = asyncio.get_running_loop().time()
    for number in range(12):
        await looked.says(web, {**AVAILABLE, "availableReplicas": number % 2})
        looked.checker.notice(web.key, None)
        await asyncio.sleep(0.3)
    took = asyncio.get_running_loop().time() - started
    assert len(looked.told) <= took / health.TELL_SECONDS + 1
    await looked.says(web, AVAILABLE)
    await looked.becomes("Healthy")


async def test_what_may_not_be_read_says_so(looked: Looked, client: Client) -> None:
    web = await looked.deployment("web")
    checker = looked.made(client.acting_as(lambda: {"Impersonate-User": "nobody@example.com"}))
    checker.declare([web], [], goal=1)
    looking = asyncio.create_task(checker.run())
    checker.applied()
    await looked.becomes("Progressing", f"Deployment {looked.namespace}/web: Guard may not read it")
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)


@pytest.mark.case(39)
async def test_what_a_controller_says_of_what_is_encrypted_in_git_is_not_repeated(looked: Looked) -> None:
    job = await looked.job("migrate")
    condition = {**FAILED["conditions"][1], "message": "hunter2 is too short"}
    await looked.says(job, {**FAILED, "conditions": [FAILED["conditions"][0], condition]})
    looked.follow(structs.replace(job, confidential=True))
    await looked.becomes("Unhealthy", f"Job {looked.namespace}/migrate: details of what is encrypted in the source are not shown")
    assert "hunter2" not in repr(looked.told)


async def test_settled_waits_until_what_was_applied_is_healthy(looked: Looked) -> None:
    web, api = await looked.deployment("web"), await looked.deployment("api")
    looked.checker.declare([web, api], [], goal=1)
    waiting = asyncio.create_task(looked.checker.settled([web]))
    await asyncio.sleep(2 * health.ROUND_SECONDS)
    assert not waiting.done()
    await looked.says(web, AVAILABLE)
    async with asyncio.timeout(60):
        assert await waiting == ()
    # What comes in a later wave is not waited for, and is not said to be healthy either.
    await looked.becomes("Progressing", "1 of 2 objects")


async def test_settled_says_at_once_what_failed_for_good(looked: Looked) -> None:
    web, migrate = await looked.deployment("web"), await looked.job("migrate")
    await looked.says(migrate, FAILED)
    looked.checker.declare([web, migrate], [], goal=1)
    async with asyncio.timeout(60):
        lines = await looked.checker.settled([web, migrate])
    assert lines[0].startswith(f"Job {looked.namespace}/migrate: the Job failed: DeadlineExceeded (unhealthy since ")


async def test_settled_gives_up_after_the_timeout(looked: Looked) -> None:
    web = await looked.deployment("web")
    looked.timeout = 1.5
    looked.checker.declare([web], [], goal=1)
    async with asyncio.timeout(60):
        (line,) = await looked.checker.settled([web])
    assert line.startswith(f"Deployment {looked.namespace}/web: generation 1 is not observed yet, 0 was (progressing since ")


async def test_what_is_not_healthy_in_time_is_said_and_another_revision_starts_over(looked: Looked) -> None:
    web = await looked.deployment("web")
    looked.timeout = 1.5
    looked.follow(web)
    await looked.becomes("TimedOut", f"within the timeout; Deployment {looked.namespace}/web")
    looked.timeout = 3600.0
    looked.follow(goal=2)
    await looked.becomes("Progressing")
    await looked.says(web, AVAILABLE)
    await looked.becomes("Healthy")


async def test_what_is_missing_is_progressing_and_a_job_that_went_by_its_time_to_live_is_healthy(looked: Looked) -> None:
    gone = declared_as(JOB, object_of(JOB, name="gone", namespace=looked.namespace))
    odd = declared_as(UNKNOWN, object_of(UNKNOWN, name="odd", namespace=looked.namespace))
    looked.follow(gone, odd)
    await looked.becomes("Progressing", f"Job {looked.namespace}/gone: it is not there")
    await looked.becomes("Progressing", f"Widget {looked.namespace}/odd: it is not there")
    looked.ended.add("gone")
    await looked.becomes("Progressing", "1 of 2 objects not healthy; Widget")


async def test_a_job_that_failed_and_went_is_not_forgiven(looked: Looked) -> None:
    migrate = await looked.job("migrate")
    await looked.says(migrate, FAILED)
    looked.follow(migrate)
    await looked.becomes("Unhealthy")
    looked.ended.add("migrate")
    path = object_path(JOB, namespace=looked.namespace, name="migrate")
    uid = (await looked.client.get(path))["metadata"]["uid"]
    await looked.client.delete(path, uid=uid)
    await eventually(lambda: looked.told[-1].reason != "Healthy", what="it stays so")


@pytest.mark.parametrize(("mode", "expected"), [("Immediate", "Progressing"), ("WaitForFirstConsumer", "Healthy")])
async def test_a_claim_that_waits_for_a_pod_is_waited_for_where_its_class_binds_at_once(
    looked: Looked, mode: str, expected: str
) -> None:
    name = f"class-{secrets.token_hex(4)}"
    body = {"metadata": {"name": name}, "provisioner": "example.com/none", "volumeBindingMode": mode}
    await looked.client.post("/apis/storage.k8s.io/v1/storageclasses", body)
    spec = {
        "storageClassName": name,
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
    }
    claim = await looked.apply(CLAIM, "data", spec=spec)
    looked.follow(claim)
    await looked.becomes(expected, "of class" if expected == "Progressing" else "1 object healthy")


async def test_an_api_server_that_is_away_makes_nothing_late_and_is_asked_again(
    looked: Looked, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = await looked.deployment("web")
    await looked.says(web, AVAILABLE)
    get, away = client.get, True

    async def answer(path: str) -> JsonObject:
        if away:
            raise Unreachable("the API server hangs up")
        return await get(path)

    monkeypatch.setattr(client, "get", answer)
    checker = looked.made(client)
    looked.timeout = 0.5
    checker.declare([web], [], goal=1)
    looking = asyncio.create_task(checker.run())
    checker.applied()
    await asyncio.sleep(3 * health.ROUND_SECONDS)
    assert {report.reason for report in looked.told} <= {"Progressing"}
    away = False
    await looked.becomes("Healthy")
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
