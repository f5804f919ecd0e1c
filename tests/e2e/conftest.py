"""One control plane with one Guard on it for all end-to-end tests; each test declares objects of its own."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from guard.base import codec
from guard.base.codec import JsonObject, child, children
from guard.state.requesters import GUARD_USER
from tools.controlplane import Completed, ControlPlane, Identity
from tools.guardrun import GuardProcess, Repository, eventually, running, sync_document

# The way past the webhook: its match conditions let this group through. RBAC decides who may impersonate it.
PAST_THE_WEBHOOK = (
    "--as=ada@example.com",
    "--as-group=gitopsguard:break-glass",
    "--as-group=platform",
    "--as-group=system:authenticated",
)


SYNCS = "/apis/gitopsguard.dev/v1alpha1/namespaces/guard-system/syncs"


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

    async def add_sync(self, name: str, *, enforcement: JsonObject) -> None:
        """Another Sync of the same repository, over a folder of its own name, with one config map in `default`."""
        commit = self.repository.commit({f"{name}/first.yaml": config_map(f"{name}-first", "default", "  a: b")})
        # What changes is asked for; many Syncs that look by themselves would load the machine.
        body = sync_document(name, self.repository.directory, path=name, interval="1h", enforcement=enforcement)
        await self.plane.call("POST", "/apis/gitopsguard.dev/v1alpha1/namespaces/guard-system/syncs", body=body)
        await self.guard.applied(commit, sync=name)

    async def enforce(self, sync: str, enforcement: JsonObject | None) -> None:
        """Set a Sync's enforcement, and wait until Guard goes by it."""
        patch = codec.encode([{"op": "add", "path": "/spec/enforcement", "value": enforcement or {}}]).decode()
        await self.plane.kubectl("patch", "sync", sync, "-n", "guard-system", "--type=json", "-p", patch, identity="admin")
        await self.seen(sync)

    async def seen(self, sync: str) -> None:
        """Wait until Guard has looked at the Sync's newest spec."""

        async def is_seen() -> bool:
            body = await self.guard.sync(sync)
            return bool(body["status"]["observedGeneration"] == body["metadata"]["generation"])

        await eventually(is_seen, what=f"{sync} goes by its new enforcement")

    async def settled(self, sync: str = "apps") -> None:
        """Have all that the Sync declares looked at again, and wait until what Guard was to undo is undone."""
        await self.guard.reconcile(sync)
        asked = (await self.guard.sync(sync))["metadata"]["annotations"]["gitopsguard.dev/requestedAt"]

        async def done() -> bool:
            return bool((await self.guard.sync(sync))["status"]["lastHandledReconcileAt"] == asked)

        await eventually(done, what=lambda: f"{sync} reconciled as asked; the log ends:\n{self.guard.tail()}")

    def asked(self) -> int:
        """A place in the API server's audit log: what comes behind it was asked for later."""
        return self.plane.audit_log.stat().st_size

    def requests(self, name: str, *, since: int) -> list[tuple[str, str, str]]:
        """Guard's requests about objects whose names begin so, dry runs among them: verb, namespace and name, as the API server
        logged them. (Guard's own counters have those of all Syncs.)
        """
        events = self.plane.audited(since=since, about=name)
        about = [(event["verb"], child(event, "objectRef")) for event in events if event["user"]["username"] == GUARD_USER]
        found = [(verb, reference.get("namespace", ""), reference.get("name", "")) for verb, reference in about]
        return [each for each in found if each[2].startswith(name)]

    def patches(self, name: str, namespace: str, *, since: int) -> int:
        """How many patches Guard has made of the objects of this name."""
        return self.requests(name, since=since).count(("patch", namespace, name))

    def recorded(self, name: str, namespace: str = "") -> list[JsonObject]:
        """The journal's records about objects of this name."""
        return [
            record
            for record in self.guard.records()
            if record.get("name") == name and (not namespace or record.get("namespace") == namespace)
        ]


@asynccontextmanager
async def running_world(directory: Path, *, controller_manager: bool = False, kwok: bool = False) -> AsyncGenerator[World]:
    """A world of its own, and none of it left at the end."""
    repository = Repository(directory / "repository")
    repository.commit({"apps/base.yaml": config_map("base", "default", "  greeting: hello")})
    async with ControlPlane.start(directory / "plane", controller_manager=controller_manager, kwok=kwok) as plane:
        syncs = [sync_document("apps", repository.directory, path="apps")]
        async with running(GuardProcess(plane, directory / "guard", syncs=syncs)) as guard:
            yield World(plane, guard, repository)


@pytest.fixture(scope="session")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with running_world(tmp_path_factory.mktemp("e2e")) as found:
        yield found


@pytest.fixture(autouse=True)
async def standing(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """A test that fails while its Guard is stopped makes no others fail."""
    yield
    for found in request.node.funcargs.values():
        if isinstance(found, World) and found.guard.process.returncode is not None:
            await found.guard.start()


@pytest.fixture(scope="session")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A second world, in which a real kube-controller-manager works."""
    async with running_world(tmp_path_factory.mktemp("cluster"), controller_manager=True) as found:
        yield found


@pytest.fixture(scope="session")
async def played(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A third world, in which pods seem to run, too."""
    async with running_world(tmp_path_factory.mktemp("played"), controller_manager=True, kwok=True) as found:
        yield found


def widget_definition(group: str) -> JsonObject:
    """Of a custom resource Widget: two served versions, scaled by `spec.size`, `spec.tags` a set."""
    schema: JsonObject = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "size": {"type": "integer"},
                    "color": {"type": "string"},
                    "cpu": {"type": "string"},
                    "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
                },
            },
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }
    version: JsonObject = {
        "served": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
            "versions": [{**version, "name": "v1", "storage": True}, {**version, "name": "v2", "storage": False}],
        },
    }


@pytest.fixture(scope="session")
async def widgets(world: World) -> str:
    """The group of a Widget that Git defines."""
    group = "widgets.example.com"
    await world.declare({"apps/widgets.yaml": codec.encode(widget_definition(group)).decode() + "\n"})
    return group


def widget(name: str, group: str, spec: str, *, version: str = "v1") -> str:
    """One in `default`; `spec` is in YAML's flow style."""
    return f"""apiVersion: {group}/{version}
kind: Widget
metadata:
  name: {name}
  namespace: default
spec: {spec}
"""


@pytest.fixture
def fresh() -> str:
    """A name that no other test uses."""
    return f"t{secrets.token_hex(4)}"


class Followed:
    """A repository of its own that a Sync of its own follows, looking every second."""

    def __init__(self, world: World, repository: Repository, name: str) -> None:
        self.world = world
        self.repository = repository
        self.name = name

    async def commit(self, files: dict[str, str | None]) -> None:
        await self.world.guard.applied(self.repository.commit(files), sync=self.name)

    async def applied(self, commit: str) -> None:
        await self.world.guard.applied(commit, sync=self.name)

    async def ready(self) -> JsonObject:
        status = child(await self.world.guard.sync(self.name), "status")
        unknown: JsonObject = {}
        return next((found for found in children(status, "conditions") if found["type"] == "Ready"), unknown)

    async def says(self, text: str, *, reason: str = "") -> str:
        async def told() -> bool:
            ready = await self.ready()
            return ready.get("status") == "False" and text in str(ready["message"]) and reason in str(ready["reason"])

        await eventually(told, what=lambda: f"{self.name} says {text!r}; the log ends:\n{self.world.guard.tail()}")
        return str((await self.ready())["message"])

    async def data(self, name: str) -> JsonObject:
        found: JsonObject = (await self.world.get(f"configmap/{name}", "default"))["data"]
        return found

    async def color(self) -> str:
        return str((await self.world.get(f"configmap/{self.name}", "default"))["data"]["color"])

    async def becomes(self, color: str) -> None:
        async def became() -> bool:
            return await self.color() == color

        await eventually(became, what=lambda: f"{self.name} is {color}; the log ends:\n{self.world.guard.tail()}")

    async def patch(self, spec: JsonObject) -> None:
        patch = codec.encode({"spec": spec}).decode()
        await self.world.plane.kubectl(
            "patch", "sync", self.name, "-n", "guard-system", "--type=merge", "-p", patch, identity="admin"
        )
        await self.world.seen(self.name)

    def colored(self, color: str) -> str:
        return config_map(self.name, "default", f"  color: {color}")


@pytest.fixture
async def followed(world: World, fresh: str, tmp_path: Path) -> AsyncIterator[Followed]:
    found = Followed(world, Repository(tmp_path / "repository"), fresh)
    commit = found.repository.commit({"map.yaml": found.colored("blue")})
    await world.plane.call("POST", SYNCS, body=sync_document(fresh, found.repository.directory))
    await world.guard.applied(commit, sync=fresh)
    yield found
    await world.plane.kubectl("delete", "sync", fresh, "-n", "guard-system", identity="admin")


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


@pytest.fixture(scope="session")
async def untouched(world: World) -> App:
    """Declared once, for tests in which all that is asked is refused: what they find is as Git has it, and they leave it so."""
    found = App(world, "untouched")
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
