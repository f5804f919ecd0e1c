"""Records what a real API server asks of Guard: `python -m tools.record_reviews [DIRECTORY]`.

Starts a control plane and a Guard whose admission responder keeps each AdmissionReview as it came, makes the writes of
tools/recorded_writes.py with a real kubectl, and writes one file a review: the command, the server's version, what Guard knew (a
`world-*.json` that several share), the outcome that is expected, and the review byte for byte but for white space between tokens.
Whatever Guard decided otherwise is printed, and ends it with exit code 1; the files hold what is expected.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from guard import telemetry
from guard.admission import Answer, Decision, decide
from guard.admission.review import encode, parse
from guard.base import codec
from guard.base.codec import DecodeError, Json, JsonObject, child, children
from guard.runtime import Options, Runtime
from guard.state import Declared, View, written
from tools.controlplane import ControlPlane
from tools.guardrun import Repository, eventually, free_port, sync_document
from tools.recorded_git import ENFORCEMENTS, FOLDERS
from tools.recorded_writes import WRITES, Write

DIRECTORY = Path(__file__).resolve().parents[1] / "tests" / "admission" / "reviews"
APPLIED_SECONDS = 60.0
LOG, LOG_LINES = "guard.log", 5


class Taken(msgspec.Struct, frozen=True):
    """A review as it came, what Guard knew at that moment, and what it decided; `failure` where it could not."""

    data: bytes
    world: bytes
    decision: Decision | None
    failure: str = ""

    @property
    def outcome(self) -> str:
        return f"{self.decision.verdict} {self.decision.reason}" if self.decision else self.failure

    @property
    def changes(self) -> list[str]:
        return [written(change.path) for change in self.decision.changes] if self.decision else []


class Recorder:
    """Stands in for Guard's own responder: the same decision on the same index and policy, kept and answered."""

    def __init__(self) -> None:
        self.runtime: Runtime
        self.taken: list[Taken] = []

    def respond(self, data: bytes) -> bytes:
        review = parse(data)
        view, policy = self.runtime.view, self.runtime.index.policy
        decision, failure = None, ""
        try:
            decision = decide(review=review, view=view, policy=policy, now=datetime.now(UTC))
        except Exception as error:  # noqa: BLE001 (what fails is recorded, too)
            failure = f"{type(error).__name__}: {error}"
        self.taken.append(Taken(data=data, world=self._world(view), decision=decision, failure=failure))
        allowed = decision is not None and decision.allowed
        text = f"{decision.reason}: {', '.join(self.taken[-1].changes)}" if decision else failure
        status = None if allowed else {"code": 403, "reason": "Forbidden", "message": text}
        return encode(Answer(uid=review.request.uid, allowed=allowed, status=status))

    def _world(self, view: View) -> bytes:
        """What was declared, what was learned of it, and how it was enforced."""
        policy = self.runtime.index.policy
        return codec.encode(
            {
                "syncUser": policy.sync_user,
                "enforcements": {f"guard-system/{name}": found for name, found in ENFORCEMENTS.items()},
                "strict": dict(policy.strict),
                "unloaded": dict(policy.unloaded),
                "declared": [self._declared(view, declared) for declared in view.state],
            }
        )

    def _declared(self, view: View, declared: Declared) -> JsonObject:
        git = view.git(declared)
        return {
            "declared": declared,
            "fields": view.fields(declared).tree,
            "stored": None if git is declared.body else git,
        }


@asynccontextmanager
async def running(plane: ControlPlane, directory: Path, recorder: Recorder) -> AsyncGenerator[None]:
    """Guard, in this process, with everything applied. What healing writes would mix with what people write, so most Syncs heal
    nothing.
    """
    await plane.call("POST", "/api/v1/namespaces", body={"metadata": {"name": "modes"}})
    repository = Repository(directory / "repository")
    commit = repository.commit({f"{name}/all.yaml": text for name, text in FOLDERS.items()})
    syncs = [
        sync_document(name, repository.directory, path=name, interval="1h", enforcement=ENFORCEMENTS[name]) for name in FOLDERS
    ]
    config = directory / "syncs.yaml"
    config.write_text("\n---\n".join(codec.encode(sync).decode() for sync in syncs))
    port = free_port()
    options = Options(
        data_dir=directory / "data",
        configs=(config,),
        kubeconfig=plane.kubeconfig("admin"),
        listen=("127.0.0.1", port),
        webhook_url=f"https://127.0.0.1:{port}",
        resync=0,
    )
    recorder.runtime = runtime = Runtime(options)
    runtime.options = msgspec.structs.replace(options, responders=((runtime.path, recorder.respond),))
    task = asyncio.create_task(runtime.run())

    async def applied() -> bool:
        if task.done():
            await task
        return all([await _is_applied(plane, name, commit) for name in FOLDERS])

    try:
        try:
            await eventually(applied, what="everything applied", seconds=APPLIED_SECONDS)
        except AssertionError as error:
            status = [child(await _sync(plane, name), "status") for name in FOLDERS]
            raise AssertionError(f"{error}\n{codec.pretty(status)}\n{log_end(directory)}") from error
        yield
    finally:
        runtime.stop()
        await asyncio.wait([task])


def log_end(directory: Path) -> str:
    return "\n".join((directory / LOG).read_text().splitlines()[-LOG_LINES:])


async def _sync(plane: ControlPlane, name: str) -> JsonObject:
    found: JsonObject = await plane.call("GET", f"/apis/gitopsguard.dev/v1alpha1/namespaces/guard-system/syncs/{name}")
    return found


async def _is_applied(plane: ControlPlane, name: str, commit: str) -> bool:
    status = child(await _sync(plane, name), "status")
    ready = [found["status"] for found in children(status, "conditions") if found["type"] == "Ready"]
    return str(status.get("lastAppliedRevision", "")).endswith(commit) and ready == ["True"]


class Files:
    def __init__(self, directory: Path, *, server: str) -> None:
        self._directory = directory
        self._server = server
        self._worlds: dict[bytes, str] = {}
        directory.mkdir(parents=True, exist_ok=True)
        for old in directory.glob("*.json"):
            old.unlink()

    def keep(self, name: str, write: Write, taken: Taken) -> None:
        world = self._worlds.get(taken.world)
        if world is None:
            world = self._worlds[taken.world] = f"world-{len(self._worlds) + 1}.json"
            self._write(world, taken.world)
        verdict, reason = write.expected.split()
        record = {
            "server": self._server,
            "write": " ".join(("kubectl", *write.words)),
            "by": write.identity,
            "world": world,
            "expected": {"verdict": verdict, "reason": reason, "changes": taken.changes},
            "review": msgspec.Raw(taken.data),
        }
        self._write(f"{name}.json", codec.encode(record))

    def _write(self, name: str, data: bytes) -> None:
        (self._directory / name).write_bytes(msgspec.json.format(data, indent=1) + b"\n")


async def record(directory: Path) -> int:
    """Returns how many outcomes are not the expected ones."""
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="guard-record-") as scratch:
        place = Path(scratch)
        recorder = Recorder()
        (place / "guard").mkdir()
        with (place / "guard" / LOG).open("wb", buffering=0) as log:
            telemetry.configure(form="json", stream=log)
            async with ControlPlane.start(place / "plane") as plane, running(plane, place / "guard", recorder):
                version: Json = await plane.call("GET", "/version")
                files = Files(directory, server=version["gitVersion"])
                for write in WRITES:
                    wrong += await _make(write, plane, recorder, files)
    return wrong


async def _make(write: Write, plane: ControlPlane, recorder: Recorder, files: Files) -> int:
    recorder.taken.clear()
    done = await plane.kubectl(
        *write.words, identity=write.identity, check=False, input=write.text or None, environment=write.environment
    )
    # Several entries of the registration may ask about one write.
    taken = list({_without_uid(found.data): found for found in recorder.taken}.values())
    if not write.expected:
        if write.title and taken:
            print(f"{write.title}: not expected to be seen by Guard, but was: {[found.outcome for found in taken]}")
            return 1
        if done.returncode:
            print(f"{write.title or done.command}: {done.stderr.strip()}")
        return int(bool(done.returncode))
    if not taken:
        print(f"{write.title}: Guard was not asked; kubectl said {(done.stderr or done.stdout).strip()[-300:]}")
        return 1
    wrong = 0
    for number, found in enumerate(taken):
        name = write.title if len(taken) == 1 else f"{write.title}-{number + 1}"
        files.keep(name, write, found)
        if found.outcome != write.expected:
            print(f"{name}: expected {write.expected}, decided {found.outcome} {found.changes}")
            wrong += 1
    return wrong


def _without_uid(data: bytes) -> bytes:
    try:
        review = codec.decode(data)
        return codec.canonical({**review, "request": {**review["request"], "uid": ""}})
    except (DecodeError, KeyError, TypeError):
        return data


@click.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path), default=DIRECTORY)
def main(directory: Path) -> None:
    """Record the reviews of tools/recorded_writes.py into DIRECTORY, replacing the files there."""
    started = datetime.now(UTC)
    wrong = asyncio.run(record(directory))
    found = sorted(directory.glob("*.json"))
    size = sum(path.stat().st_size for path in found)
    seconds = (datetime.now(UTC) - started).total_seconds()
    print(f"{len(found)} files of {size / 1024:.0f} KiB in {seconds:.0f} s; {wrong} outcomes are not as expected")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
