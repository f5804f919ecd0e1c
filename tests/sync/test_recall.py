"""What a Reconciler puts in force after a start while its source is down, and the API server was for a moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from guard.api import Sync, parse_sync
from guard.base import codec
from guard.base.codec import JsonObject
from guard.base.errors import RenderError, SourceError
from guard.cluster import Client, object_path
from guard.state import DesiredState
from guard.state.ids import Manifest, Origin
from guard.sync import Groups
from guard.sync.reconcile import Reconciler
from tests.state.samples import CONFIG_MAP, declared_as, object_of
from tests.sync.reconcilers import Indexed, reconciler_of

REVISION = "main@sha1:a"


class Remembered:
    """A source that has what was applied last, and reaches its repository when `up`."""

    def __init__(self, *manifests: Manifest) -> None:
        self.up = False
        self._groups: Groups = {"a.yaml": manifests}

    async def fetch(self) -> str:
        if not self.up:
            raise SourceError("the repository cannot be reached")
        return REVISION

    async def groups(self, revision: str) -> Groups:
        assert revision == REVISION
        return self._groups

    async def keep(self, revision: str) -> None: ...

    async def close(self) -> None: ...


class Closed(Remembered):
    """A source whose copy cannot be read as manifests any more."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    async def groups(self, revision: str) -> Groups:
        assert revision == REVISION
        raise self._error


def sync(*, heal: bool = True) -> Sync:
    ready = {"type": "Ready", "status": "True", "reason": "Applied", "message": "", "lastTransitionTime": "2026-01-02T03:04:05Z"}
    body: JsonObject = {
        "apiVersion": "gitopsguard.dev/v1alpha1",
        "kind": "Sync",
        "metadata": {"name": "of-the-tests", "namespace": "guard-system", "generation": 1},
        "spec": {"source": {"git": {"url": "https://git.example.com/deploy"}}, "enforcement": {"heal": heal}},
        "status": {
            "lastAppliedRevision": REVISION,
            "observedGeneration": 1,
            "conditions": [ready],
            "kinds": [codec.plain(CONFIG_MAP)],
        },
    }
    return parse_sync(body, where="test")


def manifest(name: str, namespace: str, **data: str) -> Manifest:
    body: JsonObject = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": data,
    }
    return Manifest(body=body, origin=Origin(file="a.yaml", line=1))


async def rounds(
    client: Client, source: Remembered, index: Indexed, *before: Callable[[], Awaitable[None]], heal: bool = True
) -> Reconciler:
    """A Reconciler that has gone one round more than is done before the others."""
    left = list(before)
    over = asyncio.Event()

    async def wait(_wake: asyncio.Event, _seconds: float) -> bool:
        if left:
            await left.pop(0)()
        else:
            over.set()
            await asyncio.Event().wait()
        return False

    reconciler = reconciler_of(sync(heal=heal), source=source, index=index, client=client, wait=wait)
    running = asyncio.create_task(reconciler.run())
    try:
        async with asyncio.timeout(60):
            await over.wait()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await reconciler.close()
    return reconciler


async def value(client: Client, name: str, namespace: str) -> str:
    return (await client.get(object_path(CONFIG_MAP, namespace=namespace, name=name)))["data"]["v"]


@pytest.mark.case(34)
async def test_what_was_applied_last_is_recalled_as_soon_as_the_api_server_answers(client: Client, namespace: str) -> None:
    index = Indexed(DesiredState())

    async def answers() -> None:
        index.up = True

    reconciler = await rounds(client, Remembered(manifest("mine", namespace, v="1")), index, answers)
    assert reconciler.loaded.is_set()
    assert await value(client, "mine", namespace) == "1"


async def test_what_another_sync_has_taken_over_meanwhile_is_not_recalled(client: Client, namespace: str) -> None:
    index = Indexed(DesiredState())
    moved = declared_as(
        CONFIG_MAP,
        object_of(CONFIG_MAP, name="moved", namespace=namespace, label="guard-system.b", data={"v": "new"}),
        sync="guard-system/b",
    )

    async def taken_over() -> None:
        await client.apply(object_path(CONFIG_MAP, namespace=namespace, name="moved"), moved.body, manager="guard", force=True)
        index.state = index.state.with_sync("guard-system/b", [moved])
        index.up = True

    source = Remembered(manifest("moved", namespace, v="old"), manifest("mine", namespace, v="1"))
    await rounds(client, source, index, taken_over)
    assert await value(client, "moved", namespace) == "new"
    assert await value(client, "mine", namespace) == "1"
    assert [declared.sync for declared in index.state if declared.key == moved.key] == ["guard-system/b"]


async def test_with_healing_off_a_late_recall_undoes_nothing_that_people_did(client: Client, namespace: str) -> None:
    path = object_path(CONFIG_MAP, namespace=namespace, name="mine")
    await client.apply(path, manifest("mine", namespace, v="by hand").body, manager="kubectl", force=True)
    index, source = Indexed(DesiredState()), Remembered(manifest("mine", namespace, v="1"))

    async def answers() -> None:
        index.up = True

    async def all_is_well() -> None:
        source.up = True

    reconciler = await rounds(client, source, index, answers, all_is_well, heal=False)
    assert reconciler.loaded.is_set()
    assert await value(client, "mine", namespace) == "by hand"


class Emptied(Remembered):
    """A source whose newest revision declares nothing."""

    async def fetch(self) -> str:
        return "main@sha1:b"

    async def groups(self, revision: str) -> Groups:
        return {} if revision == "main@sha1:b" else await super().groups(revision)


@pytest.mark.case(26)
async def test_an_empty_revision_stays_out_while_anything_is_in_force_whatever_the_status_counts(
    client: Client, namespace: str
) -> None:
    """As after a revision of nothing, and a kill while the next one was applied."""
    index = Indexed(DesiredState())
    index.up = True
    reconciler = await rounds(client, Emptied(manifest("mine", namespace, v="1")), index)
    assert reconciler.sync.status.objects.declared == 0
    assert [declared.key.name for declared in index.state] == ["mine"]


@pytest.mark.case(39)
@pytest.mark.parametrize(
    ("error", "is_hidden"),
    [(RenderError("is encrypted with SOPS", where="a.yaml"), True), (SourceError("there is no local copy yet"), False)],
)
async def test_what_could_be_opened_once_is_shown_to_nobody_when_it_is_read_off_the_cluster(
    client: Client, namespace: str, error: Exception, *, is_hidden: bool
) -> None:
    index = Indexed(DesiredState())
    index.up = True
    await rounds(client, Remembered(manifest("mine", namespace, v="1")), index)

    # The Sync names no keys any more, and Guard starts again.
    index = Indexed(DesiredState())
    index.up = True
    await rounds(client, Closed(error), index)

    found = [one for one in index.state.of_sync("guard-system/of-the-tests").values() if one.key.namespace == namespace]
    assert [(one.key.name, one.confidential) for one in found] == [("mine", is_hidden)]
