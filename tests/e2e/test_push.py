"""A push to the receiver of a running Guard, whose Syncs look by themselves once an hour."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from guard.base.codec import JsonObject
from tests.e2e.conftest import config_map
from tests.source import githttp
from tools.controlplane import ControlPlane
from tools.guardrun import GuardProcess, Repository, eventually, running, sync_document

SECRETS = "/api/v1/namespaces/guard-system/secrets"
TOKEN, NEW_TOKEN = "correct-horse-battery", "staple-of-the-day"


class Pushed:
    """A Guard with a receiver, the repository of its two Syncs `apps` and `infra`, and the server that both fetch from."""

    def __init__(self, guard: GuardProcess, repository: Repository, server: githttp.GitServer) -> None:
        self.guard = guard
        self.repository = repository
        self.server = server

    async def push(self, *, token: str = TOKEN, sync: str = "apps") -> int:
        """The status that a push as GitHub makes it is answered with."""
        body = b'{"ref": "refs/heads/main", "repository": {"full_name": "platform/deploy"}}'
        signature = hmac.new(token.encode(), body, hashlib.sha256).hexdigest()
        headers = {"X-GitHub-Event": "push", "X-Hub-Signature-256": f"sha256={signature}"}
        url = f"http://127.0.0.1:{self.guard.receiver_port}/push/guard-system/{sync}"
        async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as response:
            return response.status

    async def quiet(self) -> None:
        """Wait until what was pushed before is dealt with."""
        seen = -1

        def is_quiet() -> bool:
            nonlocal seen
            before, seen = seen, len(self.server.requests)
            return before == seen

        await eventually(is_quiet, what="nobody fetches any more", every=1.0)

    async def color(self, name: str) -> str:
        body: JsonObject = await self.guard.plane.call("GET", f"/api/v1/namespaces/default/configmaps/{name}")
        return str(body["data"]["color"])

    def commit(self, color: str) -> str:
        return self.repository.commit(
            {f"{name}/color.yaml": config_map(f"pushed-{name}", "default", f"  color: {color}") for name in ("apps", "infra")}
        )


@pytest.fixture(scope="module")
async def pushed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pushed]:
    directory = tmp_path_factory.mktemp("push")
    repository = Repository(directory / "served" / "deploy")
    async with githttp.serve(directory / "served") as server, ControlPlane.start(directory / "plane") as plane:
        syncs = [sync_of("apps", server.url("deploy"), push="hook"), sync_of("infra", server.url("deploy/"))]
        guard = GuardProcess(plane, directory / "guard", syncs=syncs, receiver=True)
        world = Pushed(guard, repository, server)
        commit = world.commit("red")
        await plane.call("POST", "/api/v1/namespaces", body={"metadata": {"name": "guard-system"}})
        await plane.call("POST", SECRETS, body={"metadata": {"name": "hook"}, "stringData": {"token": TOKEN}})
        await plane.call("POST", SECRETS, body={"metadata": {"name": "trust"}, "stringData": {"ca.crt": server.ca_certificate}})
        async with running(guard):
            await guard.applied(commit)
            await guard.applied(commit, sync="infra")
            yield world


def sync_of(name: str, url: str, *, push: str = "") -> JsonObject:
    body = sync_document(name, Path("/"), path=name, interval="1h")
    source = body["spec"]["source"]
    source["git"] = {"url": url, "ref": {"branch": "main"}, "secretRef": {"name": "trust"}}
    if push:
        source["push"] = {"type": "GitHub", "secretRef": {"name": push}}
    return body


async def test_a_signed_push_has_every_sync_of_the_repository_apply_the_commit(pushed: Pushed) -> None:
    commit = pushed.commit("green")
    assert await pushed.push() == 202
    await pushed.guard.applied(commit)
    await pushed.guard.applied(commit, sync="infra")
    assert [await pushed.color(f"pushed-{name}") for name in ("apps", "infra")] == ["green", "green"]


async def test_whoever_does_not_know_the_secret_fetches_nothing(pushed: Pushed) -> None:
    await pushed.quiet()
    before = list(pushed.server.requests)
    refused = await pushed.guard.metric("guard_pushes_total", result="refused")
    pushed.commit("blue")
    assert await pushed.push(token="wrong") == 404
    assert await pushed.push(sync="infra") == 404
    assert await pushed.push(sync="unknown") == 404
    assert await pushed.guard.metric("guard_pushes_total", result="refused") == refused + 3
    await pushed.quiet()
    assert pushed.server.requests == before


async def test_a_rotated_secret_is_gone_by(pushed: Pushed) -> None:
    await set_token(pushed, NEW_TOKEN)
    commit = pushed.commit("yellow")

    async def is_known() -> bool:
        return await pushed.push(token=NEW_TOKEN) == 202

    await eventually(is_known, what="the new secret is known", every=1.0)
    assert await pushed.push() == 404
    await pushed.guard.applied(commit)
    await set_token(pushed, TOKEN)

    async def is_back() -> bool:
        return await pushed.push() == 202

    await eventually(is_back, what="the first secret is known again", every=1.0)
    log = pushed.guard.log.read_text()
    assert '"sync":"guard-system/apps","woken":["guard-system/apps","guard-system/infra"]' in log
    assert TOKEN not in log
    assert NEW_TOKEN not in log


async def set_token(pushed: Pushed, token: str) -> None:
    body = {"metadata": {"name": "hook"}, "stringData": {"token": token}}
    await pushed.guard.plane.call("PUT", f"{SECRETS}/hook", body=body)
