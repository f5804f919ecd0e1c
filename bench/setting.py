"""Where a benchmark runs: a control plane, a Guard in a process of its own, and what these cost."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

import msgspec

from bench.client import ApiClient
from bench.objects import NAMESPACE
from guard.base import codec
from guard.base.codec import JsonObject
from tools.controlplane import ControlPlane
from tools.guardrun import GuardProcess, Repository, running, sync_document

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("gitops-guard", "aiohttp", "msgspec", "uvloop")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")

# /proc/PID/stat, counted from the field after the name, which ends at the last parenthesis (proc_pid_stat(5): fields 14, 15).
_USER_TICKS, _SYSTEM_TICKS = 11, 12


class BenchGuard(GuardProcess):
    """`bench.guard_with_noop` in place of `guard run`."""

    folder = ROOT
    profile: Path | None = None

    @property
    def denial(self) -> Path:
        """What the denying no-op answers, as JSON."""
        return self.directory / "denial.json"

    def command(self) -> list[str]:
        profile = ["--profile", str(self.profile.absolute())] if self.profile is not None else []
        return [sys.executable, "-m", "bench.guard_with_noop", *self.arguments(), "--denial", str(self.denial), *profile]


class Setting(msgspec.Struct, frozen=True):
    plane: ControlPlane
    client: ApiClient
    repository: Repository
    guard: BenchGuard


@asynccontextmanager
async def setting(*, heal: bool, profile: Path | None = None) -> AsyncGenerator[Setting]:
    """Guard running on an empty repository; its Sync `apps` looks for a commit only when asked."""
    with tempfile.TemporaryDirectory(prefix="guard-bench-") as scratch:
        directory = Path(scratch)
        repository = Repository(directory / "repository")
        repository.commit({".gitignore": ""})
        sync = sync_document("apps", repository.directory, interval="1h", enforcement={"heal": heal})
        async with ControlPlane.start(directory / "plane") as plane, ApiClient.open(plane) as client:
            await plane.call("POST", "/api/v1/namespaces", body={"metadata": {"name": NAMESPACE}})
            guard = BenchGuard(plane, directory / "guard", syncs=[sync], resync="0")
            guard.profile = profile
            async with running(guard):
                yield Setting(plane=plane, client=client, repository=repository, guard=guard)
                await guard.stop()


async def commit(where: Setting, objects: Sequence[JsonObject], *, seconds: float = 30.0) -> None:
    """Declare exactly these objects; returns when Guard has applied them."""
    text = "\n---\n".join(codec.encode(body).decode() for body in objects)
    made = where.repository.commit({"objects.yaml": text + "\n"})
    await where.guard.reconcile()
    await where.guard.applied(made, seconds=seconds)


async def describe(where: Setting) -> str:
    """The command line, the machine and the versions, for whoever reads the figures later."""
    served: JsonObject = await where.plane.call("GET", "/version")
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{' '.join(sys.orig_argv[1:])}\n"
        f"{len(os.sched_getaffinity(0))} cores, {platform.machine()}, load {load}; "
        f"Python {platform.python_version()}, {packages}; kube-apiserver {served['gitVersion']}"
    )


def cpu_seconds(pid: int) -> float:
    """What a process has used so far, user and system, its ended children not counted."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[_USER_TICKS]) + int(fields[_SYSTEM_TICKS])) / TICKS_PER_SECOND


def resident_mebibytes(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"process {pid} says nothing about its memory")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns, the first to the left and the others to the right."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )
