"""A real `guard run` beside a real control plane, and a real Git repository to feed it: for tests, bench and demo."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from textwrap import dedent

import aiohttp

from guard.base import codec
from guard.base.codec import JsonObject, child, children
from tools import binaries
from tools.controlplane import Completed, ControlPlane, Identity

# Waiting ends when what is waited for comes: only a test that fails takes so long, and none fails for a machine that is slow.
PATIENCE = 60.0
STOP_SECONDS = 15.0
# On SIGABRT, where each thread stands goes to the log.
SHOWS_WHERE = {"PYTHONFAULTHANDLER": "1"}


def guard_command() -> list[str]:
    """The console script beside this Python; what a user runs."""
    return [str(Path(sys.executable).with_name("guard"))]


def with_tools(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with Kustomize, Helm and SOPS on its PATH, as in Guard's image."""
    folders = dict.fromkeys(str(path.parent) for path in binaries.locate(["kustomize", "helm", "sops"]).values())
    return {**environment, "PATH": os.pathsep.join([*folders, environment["PATH"]])}


_given: set[int] = set()  # ports


def free_port() -> int:
    """One that was not given to anybody else here: who has it may not listen on it yet, or not at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    if port in _given:
        return free_port()
    _given.add(port)
    return port


async def eventually(
    condition: Callable[[], object], *, what: str | Callable[[], str], seconds: float = PATIENCE, every: float = 0.05
) -> None:
    """Wait until an (async) condition holds; fails naming `what`, which may be asked for then."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while True:
        result = condition()
        if asyncio.iscoroutine(result):
            result = await result
        if result:
            return
        if loop.time() > end:
            raise AssertionError(f"not within {seconds:.0f} s: {what if isinstance(what, str) else what()}")
        await asyncio.sleep(every)


class Repository:
    """A Git repository with a work tree, on branch main."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments: str) -> str:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "Ada",
            "GIT_AUTHOR_EMAIL": "ada@example.com",
            "GIT_COMMITTER_NAME": "Ada",
            "GIT_COMMITTER_EMAIL": "ada@example.com",
        }
        command = ["git", "-C", str(self.directory), "-c", "gc.auto=0", *arguments]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, files: Mapping[str, str | None], *, message: str = "change") -> str:
        """Write (or, for None, remove) files and commit; returns the commit's id. Texts are dedented."""
        for name, text in files.items():
            path = self.directory / name
            if text is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(dedent(text).lstrip("\n"))
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")


def sync_document(
    name: str,
    repository: Path | str,
    *,
    path: str = "./",
    interval: str = "1s",
    enforcement: JsonObject | None = None,
    **spec: object,
) -> JsonObject:
    return {
        "apiVersion": "gitopsguard.dev/v1alpha1",
        "kind": "Sync",
        "metadata": {"name": name, "namespace": "guard-system"},
        "spec": {
            "source": {"git": {"url": str(repository), "ref": {"branch": "main"}}, "interval": interval},
            "path": path,
            **({"enforcement": enforcement} if enforcement else {}),
            **spec,
        },
    }


class GuardProcess:
    """One `guard run`. `start` waits until its Syncs were looked at; everything it says goes to `log`."""

    folder: Path | None = None  # the current one

    def __init__(
        self,
        plane: ControlPlane,
        directory: Path,
        *,
        syncs: Sequence[JsonObject],
        resync: str = "0",
        identity: Identity = "admin",
        receiver: bool = False,
    ) -> None:
        self.plane = plane
        self.directory = directory
        self.data = directory / "data"
        self.log = directory / "guard.log"
        self.port = free_port()
        self.metrics_port = free_port()
        self.receiver_port = free_port() if receiver else 0
        self._syncs = syncs
        self._resync = resync
        self._identity: Identity = identity
        self._process: asyncio.subprocess.Process | None = None
        directory.mkdir(parents=True, exist_ok=True)
        self.config = directory / "syncs.yaml"
        self.config.write_text("\n---\n".join(codec.encode(sync).decode() for sync in syncs))

    @property
    def process(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise AssertionError("not launched")
        return self._process

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def arguments(self) -> list[str]:
        return [
            "run",
            "--config",
            str(self.config),
            "--kubeconfig",
            str(self.plane.kubeconfig(self._identity)),
            "--listen",
            f"127.0.0.1:{self.port}",
            "--webhook-url",
            self.url,
            "--metrics-listen",
            f"127.0.0.1:{self.metrics_port}",
            "--data-dir",
            str(self.data),
            "--resync",
            self._resync,
            "--log-format",
            "json",
            *(("--receiver-listen", f"127.0.0.1:{self.receiver_port}") if self.receiver_port else ()),
        ]

    def command(self) -> list[str]:
        """What is run, in `folder`."""
        return [*guard_command(), *self.arguments()]

    async def launch(self) -> None:
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.command(), cwd=self.folder, env={**with_tools(os.environ), **SHOWS_WHERE}, stdout=log, stderr=log
            )

    async def start(self) -> None:
        await self.launch()
        await eventually(self._settled, what=lambda: f"Guard looked at its Syncs; its log ends:\n{self.tail()}")

    async def _settled(self) -> bool:
        if self.process.returncode is not None:
            raise AssertionError(f"guard run ended with {self.process.returncode}:\n{self.tail()}")
        try:
            keys = [f"{sync['metadata']['namespace']}/{sync['metadata']['name']}" for sync in self._syncs]
            return all([await self.metric("guard_syncs_total", sync=key) for key in keys])
        except aiohttp.ClientError:
            return False

    async def ready(self) -> bool:
        """What the readiness probe asks."""
        trust = ssl.create_default_context(cafile=str(self.data / "certs" / "ca.crt"))
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}/readyz", ssl=trust) as response:
            return response.status == HTTPStatus.OK

    async def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await self.process.wait()
            except TimeoutError:
                self.process.send_signal(signal.SIGABRT)
                await self.process.wait()
                raise AssertionError(f"Guard did not stop within {STOP_SECONDS} s of SIGTERM:\n{self.tail(60)}") from None
        return await self.process.wait()

    async def kill(self) -> None:
        """Kill -9."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    async def wait(self) -> int:
        return await self.process.wait()

    def tail(self, lines: int = 20) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""

    async def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that carry these labels."""
        url = f"http://127.0.0.1:{self.metrics_port}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            text = await response.text()
        total = 0.0
        for line in text.splitlines():
            sample, _, value = line.rpartition(" ")
            if sample.partition("{")[0] == name and all(f'{key}="{wanted}"' in sample for key, wanted in labels.items()):
                total += float(value)
        return total

    async def guard(self, *arguments: str) -> Completed:
        """Another guard command, with this one's data folder and kubeconfig in the environment."""
        environment = {
            "PATH": with_tools(os.environ)["PATH"],
            "HOME": str(self.directory),
            "KUBECONFIG": str(self.plane.kubeconfig("admin")),
            "GUARD_DATA_DIR": str(self.data),
        }
        process = await asyncio.create_subprocess_exec(
            *guard_command(), *arguments, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, err = await process.communicate()
        return Completed(
            command=" ".join(("guard", *arguments)), returncode=process.returncode or 0, stdout=out.decode(), stderr=err.decode()
        )

    async def sync(self, name: str) -> JsonObject:
        path = f"/apis/gitopsguard.dev/v1alpha1/namespaces/guard-system/syncs/{name}"
        body: JsonObject = await self.plane.call("GET", path)
        return body

    async def applied(self, commit: str, *, sync: str = "apps", seconds: float = PATIENCE) -> None:
        """Wait until a commit is in force and the Sync says so."""

        async def done() -> bool:
            status = child(await self.sync(sync), "status")
            ready = [found for found in children(status, "conditions") if found.get("type") == "Ready"]
            return str(status.get("lastAppliedRevision", "")).endswith(commit) and bool(ready) and ready[0]["status"] == "True"

        await eventually(done, what=lambda: f"{commit} applied by {sync}; the log ends:\n{self.tail()}", seconds=seconds)

    async def reconcile(self, sync: str = "apps") -> None:
        """As `guard reconcile` does, without the cost of a process."""
        now = str(asyncio.get_running_loop().time())
        await self.plane.kubectl(
            "annotate",
            "--overwrite",
            "--namespace=guard-system",
            f"syncs.gitopsguard.dev/{sync}",
            f"gitopsguard.dev/requestedAt={now}",
            identity="admin",
        )

    def records(self) -> list[JsonObject]:
        """The journal, as its whole lines stand in the file."""
        journal = self.data / "audit" / "journal.jsonl"
        whole = journal.read_bytes().rpartition(b"\n")[0] if journal.exists() else b""
        return [codec.decode(line) for line in whole.splitlines()]


@asynccontextmanager
async def running(guard: GuardProcess) -> AsyncGenerator[GuardProcess]:
    """Guard started, and gone at the end whatever happened."""
    try:
        await guard.start()
        yield guard
    finally:
        await guard.kill()
