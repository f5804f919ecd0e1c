"""What was encrypted in the source is in Guard's own memory and in the API server's objects, and nowhere else: looked for after a
life in which all was done to it that can be done.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import resource
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import aiohttp
import pytest

from guard.base import codec
from guard.base.codec import JsonObject, child
from guard.heal.fights import HEALS
from guard.state.requesters import GUARD_USER
from tests.e2e.conftest import PAST_THE_WEBHOOK, config_map, widget_definition
from tests.e2e.searching import Marks, children, described
from tests.render.locksmith import Key, Locksmith
from tools import binaries
from tools.controlplane import Completed, ControlPlane
from tools.guardrun import GuardProcess, Repository, eventually, sync_document

pytestmark = [pytest.mark.case(39), pytest.mark.timeout(600)]

SPACE, GROUP = "vault", "widgets.example.com"
KEYS = {"decryption": {"secretRef": {"name": "keys"}}}
# Declared once, changed by none of the revisions below.
ENCRYPTED = ("password", "color", "level", "tint", "tag", "environment", "copy", "file", "variable")
FIGHT_SECONDS = 60.0
NOTHING: JsonObject = {"responseStatus": {}}


class Life:
    """A control plane, a Guard with encrypted sources, and all that anybody was told."""

    def __init__(self, plane: ControlPlane, guard: GuardProcess, repository: Repository, smith: Locksmith, key: Key) -> None:
        self.marks = Marks()
        self.plane = plane
        self.guard = guard
        self.repository = repository
        self.key = key
        self.said: list[tuple[str, str]] = []
        self.started: set[str] = set()  # programs
        self._smith = smith

    # ---- what Git holds

    def encrypted(self, name: str, text: str, only: str) -> str:
        return self._smith.encrypt(name, text, self.key, options=("--encrypted-regex", f"^({only})$"))

    def settings(self, *, level: str = "level", more: str = "") -> str:
        data = f"  color: {self.marks['color']}\n  level: {self.marks[level]}{more}"
        text = config_map("settings", SPACE, data).replace(
            "metadata:\n", f"metadata:\n  annotations: {{copy: {self.marks['copy']}}}\n"
        )
        return self.encrypted("settings.yaml", text, "data|annotations")

    def widget(self, *, tint: str = "tint") -> str:
        text = f"""
apiVersion: {GROUP}/v1
kind: Widget
metadata: {{name: knob, namespace: {SPACE}}}
spec: {{size: 1, color: {self.marks[tint]}, tags: [{self.marks["tag"]}]}}
"""
        return self.encrypted("knob.yaml", text, "color|tags")

    def login(self) -> str:
        text = f"""
apiVersion: v1
kind: Secret
metadata: {{name: login, namespace: {SPACE}}}
stringData: {{password: {self.marks["password"]}}}
"""
        return self.encrypted("login.yaml", text, "stringData")

    def web(self, *, environment: str = "environment", app: str = "web") -> str:
        text = f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: {SPACE}}}
spec:
  replicas: 1
  selector: {{matchLabels: {{app: {app}}}}}
  template:
    metadata: {{labels: {{app: {app}}}}}
    spec: {{containers: [{{name: web, image: nginx:1.25, env: [{{name: PASSWORD, value: {self.marks[environment]}}}]}}]}}
"""
        return self.encrypted("web.yaml", text, "value")

    def first(self) -> dict[str, str | None]:
        definition = widget_definition(GROUP)
        for version in definition["spec"]["versions"]:
            version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["color"]["pattern"] = "^[^!]*$"
        kustomization = """
namespace: vault
generatorOptions: {disableNameSuffixHash: true}
secretGenerator:
  - {name: made, files: [token.txt], envs: [login.env]}
"""
        data = "  value: "
        return {
            "apps/space.yaml": f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {SPACE}}}\n",
            "apps/widgets.yaml": codec.encode(definition).decode() + "\n",
            "apps/open.yaml": config_map("open", SPACE, data + "as-anybody-may-see"),
            "apps/settings.yaml": self.settings(),
            "apps/login.yaml": self.login(),
            "apps/knob.yaml": self.widget(),
            "apps/web.yaml": self.web(),
            "made/kustomization.yaml": kustomization,
            "made/token.txt": self._smith.encrypt("token.txt", self.marks["file"], self.key),
            "made/login.env": self._smith.encrypt("login.env", f"WORD={self.marks['variable']}\n", self.key),
            "warned/map.yaml": self.encrypted("map.yaml", config_map("warned", SPACE, data + self.marks["warned"]), "data"),
            "audited/map.yaml": self.encrypted("map.yaml", config_map("audited", SPACE, data + self.marks["audited"]), "data"),
        }

    async def start(self) -> None:
        """It may have nothing to do then, and so nothing to say."""
        await self.guard.launch()

        async def is_ready() -> bool:
            with suppress(aiohttp.ClientError, FileNotFoundError):
                return await self.guard.ready()
            return False

        await eventually(is_ready, what=lambda: f"Guard is ready; its log ends:\n{self.guard.tail()}")

    async def declare(self, files: dict[str, str | None], *, sync: str = "apps") -> None:
        commit = self.repository.commit(files)
        await self.guard.reconcile(sync)
        await self.guard.applied(commit, sync=sync)

    async def rejected(self, files: dict[str, str | None], *, text: str) -> None:
        """A revision that does not come through, with what the Sync says; and the next one, which does again."""
        before: dict[str, str | None] = {
            name: (self.repository.directory / name).read_text() if (self.repository.directory / name).exists() else None
            for name in files
        }
        self.repository.commit(files)
        await self.guard.reconcile()

        async def told() -> bool:
            conditions = child(await self.guard.sync("apps"), "status")["conditions"]
            return any(
                found["type"] == "Ready" and found["status"] == "False" and text in found["message"] for found in conditions
            )

        await eventually(told, what=lambda: f"apps says {text!r}; the log ends:\n{self.guard.tail()}")
        await self.ask("status")
        await self.declare(before)

    # ---- what people do

    def hear(self, who: str, completed: Completed) -> None:
        self.said.append((f"{who}: {completed.command[:80]}", completed.stdout + completed.stderr))

    async def ask(self, *command: str) -> str:
        completed = await self.guard.guard(*command)
        self.hear("guard", completed)
        return completed.stdout + completed.stderr

    async def person(self, *command: str, refused: bool = True) -> str:
        """What the API server says of it, which is what Guard says."""
        completed = await self.plane.kubectl(*command, "-n", SPACE, identity="person", check=False)
        assert (completed.returncode != 0) is refused, completed.stdout + completed.stderr
        self.said.append((completed.command[:80], completed.stderr))
        return completed.stderr

    async def past(self, *command: str) -> None:
        await self.plane.kubectl(*command, "-n", SPACE, *PAST_THE_WEBHOOK, identity="admin")

    async def suspend(self, *, ends: bool = False) -> None:
        for sync in ("apps", "made"):
            patch = merge(spec={"suspend": not ends})
            await self.plane.kubectl("patch", "sync", sync, "-n", "guard-system", "--type=merge", "-p", patch, identity="admin")

    async def get(self, reference: str) -> JsonObject:
        found: JsonObject = (await self.plane.kubectl("get", reference, "-n", SPACE, "-o", "json", identity="admin")).json()
        return found

    async def is_healed(self, reference: str, name: str) -> None:
        wanted = {self.marks[name], base64.b64encode(self.marks[name].encode()).decode()}

        async def healed() -> bool:
            return not wanted.isdisjoint(child(await self.get(reference), "data").values())

        await eventually(healed, what=lambda: f"{reference} is as Git says; the log ends:\n{self.guard.tail()}")

    # ---- where to look

    async def metrics(self) -> str:
        url = f"http://127.0.0.1:{self.guard.metrics_port}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return await answer.text()

    def audited(self) -> str:
        """The API server's audit log, at level Metadata: what that holds beside it is Guard's, but for the words in which the API
        server itself refuses Guard's requests.
        """
        lines = self.plane.audited()
        return "\n".join(
            str({**line, "responseStatus": ""} if line["user"]["username"] == GUARD_USER else line) for line in lines
        )

    async def held(self) -> list[str]:
        """What processes below Guard's hold. One that is about to become another program is still Guard for that moment."""
        guard = self.guard.process.pid
        command = described(guard)[0]

        async def all_became() -> bool:
            return all(described(process)[0] != command for process in await asyncio.to_thread(children, guard))

        await eventually(all_became, what="every child is a program of its own")
        return await asyncio.to_thread(self.marks.below, guard)


def merge(**data: object) -> str:
    return codec.encode(data).decode()


async def edits(life: Life) -> None:
    """By hand: refused, warned of, recorded, and explained."""
    marks = life.marks
    for reference in ("configmap/settings", "secret/login", "configmap/warned", "configmap/audited"):
        refused = reference not in {"configmap/warned", "configmap/audited"}
        value = base64.b64encode(marks["asked"].encode()).decode() if reference.startswith("secret") else marks["asked"]
        said = await life.person("patch", reference, "-p", merge(data={"level": value, "value": value}), refused=refused)
        assert ("not in Git" in said or "differs" in said) is (reference != "configmap/audited")
        await life.person("annotate", reference, f"note={marks['asked']}", refused=refused)
    knob = merge(spec={"color": marks["asked"], "tags": [marks["asked"], marks["tag"]]})
    assert "spec.color: differs from Git (not shown)" in await life.person("patch", "widget/knob", "--type=merge", "-p", knob)
    await life.person("set", "env", "deployment/web", f"PASSWORD={marks['asked']}")
    await life.person("scale", "deployment/web", "--replicas=3")
    await life.person("label", "deployment/web", "gitopsguard.dev/sync-")
    await life.person("delete", "configmap/settings", "secret/login", "widget/knob")
    for reference in ("secret/made", "deployment/web", "widget/knob", "configmap/settings"):
        await life.ask("explain", reference, "-n", SPACE)
        await life.ask("explain", reference, "-n", SPACE, "-o", "json")


async def drift(life: Life) -> None:
    """Past the webhook, once and again and again, with a look at it in between."""
    marks = life.marks
    await life.suspend()
    await life.past("patch", "configmap/settings", "-p", merge(data={"color": marks["past"], "extra": marks["past"]}))
    await life.past("patch", "secret/made", "-p", merge(stringData={"token.txt": marks["past"]}))
    await life.past("patch", "widget/knob", "--type=merge", "-p", merge(spec={"color": marks["past"], "tags": [marks["past"]]}))
    await life.past("set", "env", "deployment/web", f"PASSWORD={marks['past']}", f"EXTRA={marks['past']}")
    for form in ((), ("-o", "json")):
        assert "(not shown)" in await life.ask("diff", *form)
        await life.ask("explain", "widget/knob", "-n", SPACE, *form)
        await life.ask("explain", "configmap/settings", "-n", SPACE, *form)
    await life.suspend(ends=True)
    await life.is_healed("configmap/settings", "color")
    await life.is_healed("secret/made", "file")

    async def fought() -> bool:
        tags = merge(spec={"tags": [marks["past"]]})
        await life.past("patch", "widget/knob", "--type=merge", "-p", tags, "--field-manager=stubborn")
        return any(record["event"] == "fight" for record in life.guard.records())

    await eventually(fought, what=lambda: f"a fight after {HEALS} heals; the log:\n{life.guard.tail()}", seconds=FIGHT_SECONDS)
    await life.ask("status", "apps")


QUOTING = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: quoting}
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [configmaps]}]
  validations:
    - expression: "!has(object.data) || !('forbidden' in object.data)"
      messageExpression: "string(object.data.forbidden)"
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: quoting}
spec: {policyName: quoting, validationActions: [Deny]}
"""


async def failures(life: Life) -> None:
    """Revisions that the API server does not take, in words that repeat the value, and some that cannot be read."""
    marks = life.marks
    await life.rejected({"apps/knob.yaml": life.widget(tint="invalid!")}, text="422 Invalid")
    # Not before it is applied: that is a policy's to refuse.
    await life.plane.kubectl("apply", "-f", "-", identity="admin", input=QUOTING)
    probe = ("patch", "configmap/open", "-n", SPACE, "--dry-run=server", "-p", merge(data={"forbidden": "x"}))

    async def is_in_force() -> bool:
        done = await life.plane.kubectl(*probe, *PAST_THE_WEBHOOK, identity="admin", check=False)
        return "ValidatingAdmissionPolicy" in done.stderr

    await eventually(is_in_force, what="the policy is in force")
    forbidden = life.settings(more=f"\n  forbidden: {marks['forbidden']}")
    await life.rejected({"apps/settings.yaml": forbidden}, text="ConfigMap vault/settings: the API server refused it")
    changed = life.web(app="other", environment="immutable")
    await life.rejected({"apps/web.yaml": changed}, text="spec.selector is immutable")
    altered = life.settings().replace("name: settings", "name: other")
    await life.rejected({"apps/settings.yaml": altered}, text="apps/settings.yaml")
    for metadata, data in (
        ("{}", f"a: {marks['nameless']}"),
        (f"{{name: x, labels: {{a: [{marks['listed']}]}}}}", ""),
        (f"{{name: x, namespace: {SPACE}}}", f"a: {{b: {marks['typed']}}}"),
        (f"{{name: x, namespace: {SPACE}, annotations: {{gitopsguard.dev/wave: {marks['wave']}}}}}", ""),
    ):
        text = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {metadata}\ndata: {{{data}}}\n"
        await life.rejected({"apps/x.yaml": life.encrypted("x.yaml", text, "data|labels|annotations")}, text="x.yaml")


async def health(life: Life) -> None:
    """A controller that quotes what it trips over."""
    condition = {"type": "Ready", "status": "False", "reason": "Wrong", "message": f"{life.marks['tint']} is no color"}
    status = merge(status={"conditions": [condition]})
    await life.past("patch", "widget/knob", "--subresource=status", "--type=merge", "-p", status)

    async def ill() -> bool:
        conditions = child(await life.guard.sync("apps"), "status")["conditions"]
        return any("what is encrypted in the source" in found["message"] for found in conditions if found["type"] == "Healthy")

    await eventually(ill, what="the widget is not healthy")
    await life.ask("status", "apps", "-o", "json")


async def ends(life: Life) -> None:
    """Killed in the midst of its work, crashed, started again; and started with nothing but the cluster."""
    life.repository.commit({"apps/settings.yaml": life.settings(level="killed")})
    await life.guard.reconcile()
    await asyncio.sleep(0.3)
    await life.guard.kill()
    await life.start()
    await life.declare({"apps/settings.yaml": life.settings()})
    life.guard.process.send_signal(signal.SIGABRT)
    assert await life.guard.wait() == -signal.SIGABRT
    await life.start()
    away, kept = life.repository.directory.with_name("away"), life.guard.data.with_name("kept")
    await life.guard.stop()
    life.repository.directory.rename(away)
    life.guard.data.rename(kept)
    await life.start()
    said = await life.person("patch", "configmap/settings", "-p", merge(data={"level": life.marks["asked"]}))
    assert "data.level: differs from Git (not shown)" in said
    await life.ask("explain", "configmap/settings", "-n", SPACE)
    await life.ask("diff")
    await life.guard.stop()
    away.rename(life.repository.directory)
    life.guard.data.rename(life.guard.directory / "without-git")
    kept.rename(life.guard.data)
    await life.start()
    await life.guard.reconcile()
    await life.guard.applied(life.repository.git("rev-parse", "HEAD"))


@asynccontextmanager
async def living(directory: Path) -> AsyncGenerator[Life]:
    repository, smith = Repository(directory / "repository"), Locksmith(binaries.locate(["sops", "age-keygen"]))
    key = smith.age()
    async with ControlPlane.start(directory / "plane") as plane:
        modes = {
            "apps": {},
            "made": {},
            "warned": {"enforcement": {"mode": "Warn"}},
            "audited": {"enforcement": {"mode": "Audit"}},
        }
        syncs = [
            sync_document(name, repository.directory, path=name, interval="1h", **KEYS, **more) for name, more in modes.items()
        ]
        guard = GuardProcess(plane, directory / "guard", syncs=syncs)
        guard.folder = guard.directory
        life = Life(plane, guard, repository, smith, key)
        life.marks.also(next(line for line in key.private.decode().splitlines() if line.startswith("AGE-SECRET-KEY-")))
        repository.commit(life.first())
        await plane.call("POST", "/api/v1/namespaces", body={"metadata": {"name": "guard-system"}})
        values = {name: base64.b64encode(value).decode() for name, value in key.values.items()}
        await plane.call("POST", "/api/v1/namespaces/guard-system/secrets", body={"metadata": {"name": "keys"}, "data": values})
        try:
            await guard.start()
            head = repository.git("rev-parse", "HEAD")
            for name in modes:
                await guard.reconcile(name)
                await guard.applied(head, sync=name)
            yield life
        finally:
            await guard.kill()
            smith.close()


@asynccontextmanager
async def watched(life: Life) -> AsyncGenerator[None]:
    """With a look, over and over again, at the command lines and environments of what Guard starts."""

    async def look() -> None:
        while True:
            for process in await asyncio.to_thread(children, life.guard.process.pid):
                command, environment = await asyncio.to_thread(described, process)
                life.started |= {command.partition("\0")[0].rpartition("/")[2]}
                life.said.append((f"process {process}", command + environment))
            await asyncio.sleep(0.05)

    looking = asyncio.create_task(look(), name="a look at processes")
    try:
        yield
        assert not looking.done()
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


async def lived(life: Life) -> None:
    """Also a look, after each part of it, into the memory of what Guard started."""
    for act in (edits, drift, failures, health, ends):
        async with watched(life):
            await act(life)
        held = await life.held()
        assert not held, f"after {act.__name__}: {held}"
    for command in (
        ("status",),
        ("status", "-o", "json"),
        ("diff",),
        ("diff", "-o", "json"),
        ("audit",),
        ("audit", "-o", "json"),
    ):
        await life.ask(*command)


@contextmanager
def dumping() -> Generator[None]:
    """What crashes leaves all of its memory in a file, where nobody says otherwise."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


def shared() -> set[Path]:
    return {*Path("/dev/shm").iterdir()}  # noqa: S108 (where files in memory are)


@pytest.fixture(scope="module")
async def life(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Life]:
    before, directory = shared(), tmp_path_factory.mktemp("life")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(directory / "guard"))
        with dumping():
            async with living(directory) as found:
                await lived(found)
                # Of others here some may be there for a moment.
                await eventually(lambda: shared() <= before, what="nothing is left in memory")
                yield found


async def test_the_values_are_where_they_belong(life: Life) -> None:
    """And so a search finds what is there."""
    assert life.marks.in_process(life.guard.process.pid)
    objects = await life.plane.kubectl(
        "get", "configmaps,secrets,widgets,deployments", "-n", SPACE, "-o", "json", identity="admin"
    )
    everything = objects.stdout
    for name in ENCRYPTED:
        value = life.marks[name]
        assert value in everything or base64.b64encode(value.encode()).decode() in everything, name


async def test_no_file_that_guard_leaves_holds_one(life: Life) -> None:
    assert life.marks.in_files(life.guard.directory) == []
    # What is plain in Git is in Guard's copy of it, and unpacked from there, and from what was parsed of it.
    seen = Marks()
    seen.also("as-anybody-may-see")
    places = {Path(found.partition(": ")[0]) for found in seen.in_files(life.guard.data)}
    assert {place.name for place in places if place.is_file()} == {"manifests.db"}
    assert any((place / "objects").is_dir() for place in places)


async def test_nobody_was_told_one(life: Life) -> None:
    events = (await life.plane.kubectl("get", "events,syncs.gitopsguard.dev", "-A", "-o", "json", identity="admin")).stdout
    said = [*life.said, ("metrics", await life.metrics()), ("objects", events), ("audit log", life.audited())]
    assert [f"{who}: {shown}" for who, text in said if (shown := life.marks.found(text.encode()))] == []
    assert {record["event"] for record in life.guard.records()} >= {
        "audited",
        "denied",
        "fight",
        "healed",
        "sync-failed",
        "synced",
        "warned",
    }


async def test_no_process_that_guard_started_holds_one(life: Life) -> None:
    assert await life.held() == []
    assert life.started >= {"git", "sops"}  # those that were looked at while they ran
    # What a search of memory finds.
    holding = f"import sys; held = '{life.marks['held']}'[:-1]; print(flush=True); sys.stdin.read()"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "exec(input())", stdin=PIPE, stdout=PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{holding}\n".encode())
    await process.stdout.readline()
    try:
        assert any("memory" in found for found in life.marks.below(os.getpid()) if found.startswith(f"{process.pid} "))
    finally:
        process.kill()
        await process.wait()


async def test_guard_itself_leaves_no_crash_dump(life: Life) -> None:
    limits = Path(f"/proc/{life.guard.process.pid}/limits").read_text()  # noqa: ASYNC240 (no file of a disk)
    assert re.search(r"^Max core file size +[01] +[01] ", limits, re.MULTILINE)
    assert not list(life.guard.directory.glob("core*"))
