"""What is said about a Sync reaches the API server, whatever becomes of a single write."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from guard import api
from guard.api import ObjectCounts, Sync, SyncStatus, parse_sync
from guard.audit import Counts, Record, References
from guard.base import codec
from guard.base.clock import SystemClock
from guard.base.codec import JsonObject
from guard.base.errors import ApiStatusError, VerificationError
from guard.cluster import Client, collection_path, connect, object_path
from guard.sync import install_definition
from guard.sync.attempt import Attempt
from guard.sync.prune import Pruned
from guard.sync.reporting import Reporter
from guard.sync.status import publish
from tests.cluster.proxies import Proxy
from tests.state.samples import CONFIG_MAP
from tools.controlplane import ControlPlane

REVISION = "main@sha1:a"
VERIFIED: JsonObject = {"source": {"git": {"url": "https://git.example.com/deploy", "verify": {"secretRef": {"name": "keys"}}}}}


@pytest.fixture
async def sync(client: Client, namespace: str) -> Sync:
    """A Sync that is there, and that somebody has asked to reconcile."""
    await install_definition(client, api.sync_crd(), kind=api.SYNC)
    return await made(client, namespace)


async def made(client: Client, namespace: str) -> Sync:
    body: JsonObject = {
        "apiVersion": "gitopsguard.dev/v1alpha1",
        "kind": "Sync",
        "metadata": {"name": "apps"},
        "spec": {"source": {"git": {"url": "https://git.example.com/deploy"}}},
    }
    return parse_sync(await client.post(collection_path(api.SYNC, namespace=namespace), body), where="test")


async def held(client: Client, sync: Sync) -> SyncStatus:
    path = object_path(api.SYNC, namespace=sync.metadata.namespace, name=sync.metadata.name)
    return parse_sync(await client.get(path), where="test").status


@pytest.fixture
async def proxy(control_plane: ControlPlane) -> AsyncIterator[Proxy]:
    async with Proxy.before(control_plane) as found:
        yield found


@pytest.fixture
async def proxied(control_plane: ControlPlane, proxy: Proxy, tmp_path: Path) -> AsyncIterator[Client]:
    found = Client(await connect(kubeconfig=proxy.kubeconfig(control_plane, tmp_path / "proxied")))
    yield found
    await found.close()


async def test_what_could_not_be_written_is_said_with_the_next_look(
    client: Client, sync: Sync, proxy: Proxy, proxied: Client
) -> None:
    clock = SystemClock()
    reporter = Reporter(
        sync,
        client=proxied,
        clock=clock,
        references=References(clock),
        write=lambda _record: None,
        synced=lambda _sync, _result: None,
    )
    attempt = Attempt(sync=sync, requested="now", started=clock.monotonic())
    objects, kinds = ObjectCounts(declared=1, applied=1), frozenset({CONFIG_MAP})

    async def finish(revision: str) -> None:
        await reporter.finished(
            attempt,
            revision,
            Counts(applied=1),
            (),
            objects=objects,
            kinds=kinds,
            pruned=Pruned(),
            ended_jobs=(),
            opened=0,
            first=True,
            stalled=False,
        )

    await finish("main@sha1:before")
    proxy.refuse()
    await finish(REVISION)
    assert (await held(client, sync)).last_applied_revision == "main@sha1:before"
    proxy.accept()
    assert reporter.is_owed
    await reporter.unchanged(attempt, REVISION, drifted=0, ended_jobs=(), kinds=kinds, pruned=Pruned())

    status = await held(client, sync)
    assert (status.last_applied_revision, status.last_handled_reconcile_at) == (REVISION, "now")
    assert not reporter.is_owed


async def test_a_revision_that_is_not_signed_as_asked_is_recorded_once_with_who_signed_it(client: Client, sync: Sync) -> None:
    clock, written = SystemClock(), list[Record]()
    verified = parse_sync({**codec.plain(sync), "spec": VERIFIED}, where="test")
    reporter = Reporter(
        verified,
        client=client,
        clock=clock,
        references=References(clock),
        write=written.append,
        synced=lambda _sync, _result: None,
    )
    attempt = Attempt(sync=verified, requested="", started=clock.monotonic())
    error = VerificationError("its key has expired", revision=REVISION, signer="Ada (SHA256:abc)", where="the repository")
    for _ in range(2):
        await reporter.failed(attempt, error, revision="")

    told = [(record.event, record.reason, record.revision, record.user, record.message) for record in written]
    refused = "the repository: its key has expired"
    assert told == [("revision-refused", "SignatureRefused", REVISION, "Ada (SHA256:abc)", refused)]
    status = await held(client, sync)
    assert status.last_attempted_revision == REVISION
    said = {found.type: (found.status, found.reason, found.message) for found in status.conditions}
    for type_, value in (("Ready", "False"), ("SourceVerified", "False"), ("Stalled", "True")):
        assert said[type_] == (value, "SignatureRefused", refused)


async def test_a_sync_of_the_same_name_made_later_is_told_nothing_of_the_one_before(client: Client, sync: Sync) -> None:
    await client.delete(object_path(api.SYNC, namespace=sync.metadata.namespace, name=sync.metadata.name), uid=sync.metadata.uid)
    other = await made(client, sync.metadata.namespace)
    with pytest.raises(ApiStatusError, match="rejected our request"):
        await publish(client, sync, SyncStatus(kinds=(CONFIG_MAP,)))
    assert (await held(client, other)).kinds == ()
