"""An API server that is asked for too much, by its own priority and fairness."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections.abc import AsyncIterator

import pytest

from guard.base.errors import ApiStatusError
from guard.cluster import Client, collection_path, connect, object_path
from guard.cluster.throttling import MOST_SECONDS, TRIES, Patience
from tests.state.samples import CONFIG_MAP
from tools.controlplane import ControlPlane
from tools.guardrun import eventually

FLOW_CONTROL = "/apis/flowcontrol.apiserver.k8s.io/v1"


WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
# More than the seats of a level of no shares, which are one or two.
HOLDERS = 8


class Jail:
    """A priority level of one person, whose few seats are all taken: by requests that wait for a webhook that never answers."""

    def __init__(self, plane: ControlPlane, *, port: int) -> None:
        self.plane = plane
        self.name = f"jail-{secrets.token_hex(4)}"
        self._port = port
        self._holders: list[asyncio.Task[object]] = []

    async def close(self) -> None:
        rule = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}
        webhook = {
            "name": f"{self.name}.example.com",
            "clientConfig": {"url": f"https://127.0.0.1:{self._port}/"},
            "rules": [rule],
            "objectSelector": {"matchLabels": {"jail": self.name}},
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "timeoutSeconds": 30,
        }
        configuration = {"metadata": {"name": self.name}, "webhooks": [webhook]}
        await self.plane.call("POST", WEBHOOKS, body=configuration)
        level = {
            "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
            "kind": "PriorityLevelConfiguration",
            "metadata": {"name": self.name},
            "spec": {
                "type": "Limited",
                "limited": {"nominalConcurrencyShares": 0, "borrowingLimitPercent": 0, "limitResponse": {"type": "Reject"}},
            },
        }
        await self.plane.call("POST", f"{FLOW_CONTROL}/prioritylevelconfigurations", body=level)
        schema = {
            "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
            "kind": "FlowSchema",
            "metadata": {"name": self.name},
            "spec": {
                "priorityLevelConfiguration": {"name": self.name},
                "matchingPrecedence": 10,
                "rules": [
                    {
                        "subjects": [{"kind": "User", "user": {"name": "ada@example.com"}}],
                        "resourceRules": [
                            {
                                "verbs": ["*"],
                                "apiGroups": ["*"],
                                "resources": ["*"],
                                "namespaces": ["*"],
                                "clusterScope": True,
                            }
                        ],
                    }
                ],
            },
        }
        await self.plane.call("POST", f"{FLOW_CONTROL}/flowschemas", body=schema)
        self._holders = [asyncio.create_task(self._hold()) for _ in range(HOLDERS)]
        await eventually(self._is_closed, what="the API server goes by the flow schema")

    async def _hold(self) -> None:
        body = {"metadata": {"generateName": "held-", "labels": {"jail": self.name}}}
        while True:
            with contextlib.suppress(ApiStatusError):
                await self.plane.call("POST", "/api/v1/namespaces/default/configmaps?dryRun=All", body=body, identity="person")
            await asyncio.sleep(0.1)

    async def _is_closed(self) -> bool:
        try:
            await self.plane.call("GET", "/api/v1/namespaces/default", identity="person")
        except ApiStatusError as error:
            return error.code == 429
        return False

    async def open(self) -> None:
        for holder in self._holders:
            holder.cancel()
        await asyncio.gather(*self._holders, return_exceptions=True)
        await self.plane.call("DELETE", f"{FLOW_CONTROL}/flowschemas/{self.name}")
        await self.plane.call("DELETE", f"{WEBHOOKS}/{self.name}")


@pytest.fixture
async def jail(mortal: ControlPlane) -> AsyncIterator[Jail]:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = Jail(mortal, port=silent.getsockname()[1])
        await found.close()
        yield found
        try:
            await found.open()
        except ApiStatusError as error:
            assert error.code == 404  # noqa: PT017 (open already)


class Counted:
    """A person's client, whose answers are counted."""

    def __init__(self, client: Client, codes: list[tuple[str, int]]) -> None:
        self.client = client
        self.codes = codes

    def throttled(self, verb: str) -> int:
        return self.codes.count((verb, 429))


@pytest.fixture
async def person(mortal: ControlPlane) -> AsyncIterator[Counted]:
    codes: list[tuple[str, int]] = []
    connection = await connect(kubeconfig=mortal.kubeconfig("person"))
    client = Client(connection, observe=lambda verb, code: codes.append((verb, code)))
    yield Counted(client, codes)
    await client.close()


@pytest.mark.case(33)
async def test_every_verb_waits_as_the_server_says_and_gets_through(mortal: ControlPlane, person: Counted, jail: Jail) -> None:
    name = f"m{secrets.token_hex(4)}"
    path = object_path(CONFIG_MAP, namespace="default", name=name)
    there = object_path(CONFIG_MAP, namespace="default", name=f"{name}-there")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "b"}}
    collection = collection_path(CONFIG_MAP, namespace="default")
    other = {**body, "metadata": {"name": f"{name}-there"}}
    uid = (await mortal.call("POST", collection, body=other))["metadata"]["uid"]

    client = person.client
    asked = asyncio.gather(
        client.get("/api/v1/namespaces/default"),
        client.post(collection, body),
        client.apply(object_path(CONFIG_MAP, namespace="default", name=f"{name}-applied"), body | {
            "metadata": {"name": f"{name}-applied"}
        }, manager="test", force=True),
        client.delete(there, uid=uid),
    )  # fmt: skip
    verbs = ("GET", "POST", "PATCH", "DELETE")
    await eventually(lambda: all(person.throttled(verb) for verb in verbs), what="each verb was refused")
    await jail.open()
    await asked
    assert (await mortal.call("GET", path))["data"] == {"a": "b"}
    with pytest.raises(ApiStatusError):
        await mortal.call("GET", there)


@pytest.mark.case(33)
async def test_many_requests_that_are_refused_together_do_not_come_back_together(person: Counted, jail: Jail) -> None:
    began = asyncio.get_running_loop().time()
    asked = [asyncio.create_task(person.client.get("/api/v1/namespaces/default")) for _ in range(50)]
    await asyncio.sleep(3)
    elapsed = asyncio.get_running_loop().time() - began
    # The first at once, and from then on at least a second apart.
    assert 50 <= len(person.codes) <= 50 * (1 + elapsed)
    await jail.open()
    await asyncio.gather(*asked)


def test_patience_is_bounded_and_never_shorter_than_asked() -> None:
    for asked in (None, 1.0, 3.0, 60.0):
        error = ApiStatusError("too many", code=429, reason="TooManyRequests", retry_after=asked)
        patience, pauses = Patience(), list[float]()
        while (pause := patience.pause(error)) is not None:
            pauses.append(pause)
            assert pause >= (asked or 0)
        assert len(pauses) <= TRIES
        assert sum(pauses) <= MOST_SECONDS


@pytest.mark.parametrize(
    ("code", "asked", "waits"), [(503, 1.0, True), (500, None, False), (503, None, False), (409, 1.0, False)]
)
def test_only_what_asks_for_it_is_waited_for(code: int, asked: float | None, waits: bool) -> None:  # noqa: FBT001 (parametrized)
    error = ApiStatusError("no", code=code, reason="", retry_after=asked)
    assert (Patience().pause(error) is not None) is waits
