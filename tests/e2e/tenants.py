"""A tenant: a namespace with an account, the rights that it has, and a repository served over HTTPS that a Sync of it follows."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from guard.base.codec import Json, JsonObject, child, children
from guard.cluster import Client
from tests.e2e.conftest import World
from tests.source.githttp import GitServer, serve
from tests.sync.tenants import allow, make_account, make_namespace
from tools.guardrun import Repository, eventually

NAME, ACCOUNT = "apps", "deployer"


class Tenant:
    """`client` has an administrator's rights."""

    def __init__(self, world: World, client: Client, namespace: str, repository: Repository, server: GitServer) -> None:
        self.world = world
        self.client = client
        self.namespace = namespace
        self.repository = repository
        self._server = server
        self.user = f"system:serviceaccount:{namespace}:{ACCOUNT}"

    @property
    def path(self) -> str:
        return f"/apis/gitopsguard.dev/v1alpha1/namespaces/{self.namespace}/syncs"

    async def follow(self, *, account: str = ACCOUNT, url: str = "", signers: str = "", **spec: Json) -> None:
        """Make the Sync, as an administrator. `signers` names the Secret of those who may sign."""
        source: JsonObject = {"url": url or self._server.url("repository/.git"), "ref": {"branch": "main"}}
        if not url:
            source["secretRef"] = {"name": "git"}
        if signers:
            source["verify"] = {"secretRef": {"name": signers}}
        body = {
            "apiVersion": "gitopsguard.dev/v1alpha1",
            "kind": "Sync",
            "metadata": {"name": NAME, "namespace": self.namespace},
            "spec": {"source": {"git": source, "interval": "1s"}, **({"serviceAccountName": account} if account else {}), **spec},
        }
        await self.world.plane.call("POST", self.path, body=body)

    async def sync(self) -> JsonObject:
        body: JsonObject = await self.world.plane.call("GET", f"{self.path}/{NAME}")
        return body

    async def ready(self) -> JsonObject:
        nothing: JsonObject = {}
        conditions = children(child(await self.sync(), "status"), "conditions")
        return next((found for found in conditions if found["type"] == "Ready"), nothing)

    async def applied(self, commit: str) -> None:
        async def done() -> bool:
            status = child(await self.sync(), "status")
            is_there = str(status.get("lastAppliedRevision", "")).endswith(commit)
            return is_there and (await self.ready()).get("status") == "True"

        await eventually(done, what=lambda: f"{commit} applied; the log ends:\n{self.world.guard.tail()}")

    async def says(self, *texts: str) -> str:
        """Wait until the Sync is not ready and says all of this."""
        message = ""

        async def told() -> bool:
            nonlocal message
            ready = await self.ready()
            message = str(ready.get("message", ""))
            return ready.get("status") == "False" and all(text in message for text in texts)

        try:
            await eventually(told, what="told")
        except AssertionError:
            raise AssertionError(f"{texts} is not what it says: {message}\n{self.world.guard.tail()}") from None
        return message

    async def declare(self, files: dict[str, str | None]) -> str:
        commit = self.repository.commit(files)
        await self.applied(commit)
        return commit

    async def drop(self) -> None:
        await self.world.plane.kubectl("delete", "sync", NAME, "-n", self.namespace, "--ignore-not-found", identity="admin")


@asynccontextmanager
async def tenancy(world: World, client: Client, namespace: str, directory: Path) -> AsyncGenerator[Tenant]:
    """A tenant who may do all with ConfigMaps in its namespace, and nothing else; without a Sync as yet."""
    repository = Repository(directory / "repository")
    async with serve(directory) as server:
        await make_namespace(world.plane, namespace)
        user = await make_account(world.plane, namespace, ACCOUNT)
        await make_account(world.plane, namespace, "default")
        await allow(world.plane, namespace, user, {"": ["configmaps"]})
        secret: JsonObject = {"metadata": {"name": "git"}, "stringData": {"ca.crt": server.ca_certificate}}
        await world.plane.call("POST", f"/api/v1/namespaces/{namespace}/secrets", body=secret)
        tenant = Tenant(world, client, namespace, repository, server)
        try:
            yield tenant
        finally:
            await tenant.drop()
