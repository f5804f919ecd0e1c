"""Whom a push wakes, and that it is neither lost nor doubled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from guard.api import Sync, parse_sync
from guard.base.codec import JsonObject
from guard.base.errors import SourceError
from guard.cluster import Client
from guard.source import Hook, poll
from guard.state import DesiredState
from guard.sync import Groups, Reconciler, hook_of, wake_all
from tests.sync.reconcilers import Indexed, Wait, reconciler_of
from tools.guardrun import eventually

HOUR = 3600.0


class Unreachable:
    """A source that never answers well. A fetch takes as long as `open` is not set."""

    def __init__(self) -> None:
        self.fetches = 0
        self.open = asyncio.Event()

    async def fetch(self) -> str:
        self.fetches += 1
        await self.open.wait()
        raise SourceError("the repository cannot be reached")

    async def groups(self, revision: str) -> Groups:
        raise AssertionError(revision)

    async def keep(self, revision: str) -> None: ...

    async def close(self) -> None: ...


def sync(name: str, url: str = "", *, push: JsonObject | None = None, bucket: JsonObject | None = None) -> Sync:
    place: JsonObject = {"bucket": bucket} if bucket else {"git": {"url": url}}
    body: JsonObject = {
        "apiVersion": "gitopsguard.dev/v1alpha1",
        "kind": "Sync",
        "metadata": {"name": name, "namespace": "default", "generation": 1},
        "spec": {"source": {**place, "interval": "1h", **({"push": push} if push else {})}},
    }
    return parse_sync(body, where="test")


def reconciler(client: Client, of: Sync, source: Unreachable) -> Reconciler:
    """One that waits an hour after each attempt, unless it is woken."""
    wait: Wait = lambda wake, _seconds: poll(interval=HOUR, wake=wake)  # noqa: E731
    return reconciler_of(of, source=source, index=Indexed(DesiredState()), client=client, wait=wait)


@pytest.fixture
async def running(client: Client) -> AsyncIterator[tuple[dict[str, Reconciler], Unreachable]]:
    """One Sync at work, by its name, and its source."""
    source = Unreachable()
    made = reconciler(client, sync("apps", "https://git.example.com/deploy"), source)
    task = asyncio.create_task(made.run())
    yield {made.name: made}, source
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await made.close()


def test_who_may_push_is_what_the_sync_says(client: Client) -> None:
    push: JsonObject = {"type": "Forgejo", "secretRef": {"name": "hook"}}
    url = "https://git.example.com/deploy"
    syncs = {found.key: reconciler(client, found, Unreachable()) for found in (sync("open", url, push=push), sync("closed", url))}
    assert hook_of(syncs, "default/open") == Hook(host="Forgejo", namespace="default", secret="hook")
    assert hook_of(syncs, "default/closed") is None
    assert hook_of(syncs, "default/unknown") is None


def test_a_push_wakes_all_syncs_of_its_repository_and_no_others(client: Client) -> None:
    urls = {
        "default/apps": "https://git.example.com/platform/deploy",
        "default/infra": "git@git.example.com:platform/deploy.git",
        "default/other": "https://git.example.com/platform/other",
    }
    syncs = {name: reconciler(client, sync(name.partition("/")[2], url), Unreachable()) for name, url in urls.items()}
    wake_all(syncs, "default/apps")
    assert {name for name, found in syncs.items() if found.wake.is_set()} == {"default/apps", "default/infra"}
    wake_all(syncs, "default/gone")
    assert not syncs["default/other"].wake.is_set()


def test_a_push_wakes_all_syncs_of_its_bucket_whatever_of_it_they_read(client: Client) -> None:
    buckets: dict[str, JsonObject] = {
        "default/apps": {"name": "deploy", "prefix": "apps"},
        "default/infra": {"name": "deploy", "prefix": "infra"},
        "default/other": {"name": "other"},
        "default/elsewhere": {"name": "deploy", "endpoint": "https://s3.example.com"},
    }
    syncs = {name: reconciler(client, sync(name.partition("/")[2], bucket=of), Unreachable()) for name, of in buckets.items()}
    wake_all(syncs, "default/apps")
    assert {name for name, found in syncs.items() if found.wake.is_set()} == {"default/apps", "default/infra"}


async def test_a_push_ends_the_wait_after_a_failure(running: tuple[dict[str, Reconciler], Unreachable]) -> None:
    syncs, source = running
    source.open.set()
    for attempts in (1, 2, 3):
        await eventually(lambda attempts=attempts: source.fetches == attempts, what=f"attempt {attempts}")
        await eventually(lambda: not syncs["default/apps"].wake.is_set(), what="it waits")
        wake_all(syncs, "default/apps")
    await eventually(lambda: source.fetches == 4, what="the last attempt")


async def test_pushes_during_an_attempt_lead_to_exactly_one_more(running: tuple[dict[str, Reconciler], Unreachable]) -> None:
    syncs, source = running
    await eventually(lambda: source.fetches == 1, what="the first attempt is at work")
    for _ in range(5):
        wake_all(syncs, "default/apps")
        await asyncio.sleep(0)
    source.open.set()
    await eventually(lambda: source.fetches == 2, what="one more attempt")
    await asyncio.sleep(0.5)
    assert source.fetches == 2
