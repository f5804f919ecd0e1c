"""One control plane with one Guard on it for all end-to-end tests; each test declares objects of its own."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from guard.base.codec import JsonObject
from tools.controlplane import Completed, ControlPlane, Identity
from tools.guardrun import GuardProcess, Repository, sync_document

# The way past the webhook: its match conditions let this group through. RBAC decides who may impersonate it.
PAST_THE_WEBHOOK = (
    "--as=ada@example.com",
    "--as-group=gitopsguard:break-glass",
    "--as-group=platform",
    "--as-group=system:authenticated",
)


class World:
    """A control plane, a Guard on it, and the repository that it follows."""

    def __init__(self, plane: ControlPlane, guard: GuardProcess, repository: Repository) -> None:
        self.plane = plane
        self.guard = guard
        self.repository = repository

    async def declare(self, files: Mapping[str, str | None], *, sync: str = "apps") -> str:
        """Commit and wait until Guard has applied it."""
        commit = self.repository.commit(files)
        await self.guard.reconcile(sync)
        await self.guard.applied(commit, sync=sync)
        return commit

    async def get(self, reference: str, namespace: str) -> JsonObject:
        """The object as it stands, managedFields included; `reference` is `kind/name`."""
        flags = ("-n", namespace, "-o", "json", "--show-managed-fields")
        completed = await self.plane.kubectl("get", reference, *flags, identity="admin")
        found: JsonObject = completed.json()
        return found

    async def exists(self, resource: str, name: str, namespace: str) -> bool:
        completed = await self.plane.kubectl(
            "get", resource, name, "-n", namespace, "--ignore-not-found", "-o", "name", identity="admin"
        )
        return bool(completed.stdout.strip())

    async def refused(
        self,
        *arguments: str,
        identity: Identity = "person",
        environment: Mapping[str, str] | None = None,
        text: str | None = None,
    ) -> Completed:
        """Run kubectl, which has to be refused by Guard. `text` is its standard input."""
        completed = await self.plane.kubectl(
            *arguments, identity=identity, check=False, environment=environment or {}, input=text
        )
        assert completed.returncode != 0, f"{completed.command} was let through: {completed.stdout}"
        assert "gitopsguard.dev" in completed.stderr, completed.stderr
        return completed

    async def past(self, *arguments: str, text: str | None = None) -> Completed:
        """Run kubectl as a person whom the webhook lets through."""
        return await self.plane.kubectl(*arguments, *PAST_THE_WEBHOOK, identity="admin", input=text)


@pytest.fixture(scope="session")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    directory = tmp_path_factory.mktemp("e2e")
    repository = Repository(directory / "repository")
    repository.commit({"apps/base.yaml": config_map("base", "default", "  greeting: hello")})
    async with ControlPlane.start(directory / "plane") as plane:
        guard = GuardProcess(plane, directory / "guard", syncs=[sync_document("apps", repository.directory, path="apps")])
        try:
            await guard.start()
            yield World(plane, guard, repository)
        finally:
            await guard.kill()


@pytest.fixture
def fresh() -> str:
    """A name that no other test uses."""
    return f"t{secrets.token_hex(4)}"


class App:
    """A namespace with a config map, a secret, a deployment and a service, declared in one file."""

    def __init__(self, world: World, name: str, *, replicas: int | None = 2) -> None:
        self.world = world
        self.namespace = name
        self.file = f"apps/{name}.yaml"
        self.text = app_text(name, replicas=replicas)

    def line(self, needle: str) -> int:
        """The line in the file where the document that holds `needle` begins."""
        before = self.text[: self.text.index(needle)]
        return before.rpartition("---\n")[0].count("\n") + (2 if "---\n" in before else 1)

    def line_of(self, path: str, value: str) -> int:
        """The line in the file that gives the field, the first one of its name, this value."""
        wanted = f"{path.rpartition('.')[2]}: {value}"
        return next(number for number, line in enumerate(self.text.splitlines(), 1) if line.strip() == wanted)


@pytest.fixture
async def app(world: World, fresh: str) -> App:
    found = App(world, fresh)
    await world.declare({found.file: found.text})
    return found


def config_map(name: str, namespace: str, data: str) -> str:
    return f"""apiVersion: v1
kind: ConfigMap
metadata:
  name: {name}
  namespace: {namespace}
data:
{data}
"""


def app_text(namespace: str, *, replicas: int | None = 2) -> str:
    scale = f"  replicas: {replicas}\n" if replicas is not None else ""
    return f"""apiVersion: v1
kind: Namespace
metadata:
  name: {namespace}
---
{config_map("settings", namespace, "  color: blue" + chr(10) + "  size: large")}---
apiVersion: v1
kind: Secret
metadata:
  name: login
  namespace: {namespace}
stringData:
  password: correct-horse
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: {namespace}
  labels:
    app: web
spec:
{scale}  selector:
    matchLabels:
      app: web
  template:
    metadata:
      labels:
        app: web
    spec:
      containers:
        - name: web
          image: nginx:1.25
          env:
            - name: MODE
              value: production
          ports:
            - containerPort: 80
          resources:
            limits:
              cpu: 500m
              memory: 128Mi
---
apiVersion: v1
kind: Service
metadata:
  name: web
  namespace: {namespace}
spec:
  selector:
    app: web
  ports:
    - name: http
      port: 80
      targetPort: 80
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path
