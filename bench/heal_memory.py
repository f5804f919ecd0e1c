"""What healing keeps in memory for each declared object past its manifest, and what the events of its watches cost.

The index and the stream are generated from what a real API server answered for one object of each kind.

python -m bench.heal_memory [--quick]
"""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from time import process_time
from typing import cast

import aiohttp
import click
import msgspec

from bench.objects import NAMESPACE, USUAL, Sample
from bench.setting import resident_mebibytes, table
from guard.api import label_value
from guard.apply import Writer, prepare
from guard.audit import Record, References
from guard.base import codec
from guard.base.clock import SystemClock
from guard.base.codec import JsonObject
from guard.base.errors import ApiStatusError
from guard.cluster import Client, connect
from guard.cluster.client import JSON, LIST_PAGE
from guard.cluster.connection import Connection
from guard.heal import Repairer, Report, Watching
from guard.heal.watching import SPOOF_SECONDS
from guard.state import Declared, DesiredState, ObjectKey, Origin, Policy, View
from guard.state.ids import FIELD_MANAGER
from guard.state.vouched import Vouched
from tools.controlplane import ControlPlane

SIZES = (10_000, 100_000)
EVENTS = 20_000
EVENTS_A_SECOND = 200
IN_PIECE = 10
IN_NAMESPACE = 1000  # objects
SYNC = "guard-system/apps"
LABEL = label_value("guard-system", "apps")
# Stand for what is an object's own in the answers, and are as long as that.
NAME, PLACE, UID, VERSION = "name-000000", "place-000", "11111111-2222-3333-4444-555555555555", "1234567890"

# The status entry of a controller, and the annotation of an operator, as managedFields show them.
HEARTBEAT: JsonObject = {
    "manager": "kube-controller-manager",
    "operation": "Update",
    "subresource": "status",
    "apiVersion": "apps/v1",
    "time": "2026-01-02T03:04:05Z",
    "fieldsType": "FieldsV1",
    "fieldsV1": {"f:status": {"f:availableReplicas": {}, "f:observedGeneration": {}, "f:readyReplicas": {}, "f:replicas": {}}},
}
ANNOTATED: JsonObject = {
    "manager": "operator",
    "operation": "Update",
    "apiVersion": "v1",
    "time": "2026-01-02T03:04:05Z",
    "fieldsType": "FieldsV1",
    "fieldsV1": {"f:metadata": {"f:annotations": {".": {}, "f:example.com/seen": {}}}},
}


async def answers() -> dict[str, str]:
    """What an API server stores for an apply of each sample, as JSON with what is an object's own left open."""
    found: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="guard-bench-") as scratch:
        async with ControlPlane.start(Path(scratch)) as plane:
            await plane.call("POST", "/api/v1/namespaces", body={"metadata": {"name": NAMESPACE}})
            client = Client(await connect(kubeconfig=plane.kubeconfig("admin")))
            try:
                for sample in USUAL.values():
                    body = await client.apply(sample.path(NAME), _manifest(sample, NAME), manager=FIELD_MANAGER, force=True)
                    body["metadata"] |= {"namespace": PLACE, "uid": UID, "resourceVersion": VERSION}
                    found[sample.kind.resource] = codec.encode(body).decode()
            finally:
                await client.close()
    return found


def _manifest(sample: Sample, name: str) -> JsonObject:
    return prepare(sample.make(name), label=LABEL)


def _name(number: int) -> str:
    return f"name-{number:06}"


def _number(name: str) -> int:
    return int(name.rpartition("-")[2])


def _place(number: int) -> str:
    return f"place-{number // IN_NAMESPACE:03}"


class _Content:
    """The body of an answer: one piece after another, and then, of a watch (`shown` says when), nothing for ever."""

    def __init__(self, pieces: Sequence[bytes], *, shown: asyncio.Event | None = None) -> None:
        self._pieces = pieces
        self._shown = shown

    @property
    def content(self) -> _Content:
        return self  # not kept, which would keep the pieces until a garbage collection

    async def read(self) -> bytes:
        return b"".join(self._pieces)

    async def iter_any(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece
            await asyncio.sleep(0)
        if self._shown is not None:
            self._shown.set()
            await asyncio.Event().wait()


class Generated(Client):
    """An API server that stores whatever is applied, and shows in a watch what `pieces` says."""

    def __init__(self, templates: Mapping[str, str], *, objects: int) -> None:
        super().__init__(cast("Connection", None))  # nobody connects
        self._templates = templates
        self._objects = objects
        # Until something happens, an object's version is its number, so that nothing has to be kept here for each of them.
        self._versions = count(int(VERSION) + objects + 1)
        self.begin = asyncio.Event()
        self._shown = asyncio.Event()
        self._pieces: dict[str, list[bytes]] = {}
        self._requests = 0

    def stored(self, resource: str, number: int, *, version: int = 0) -> bytes:
        text = self._templates[resource].replace(NAME, _name(number)).replace(PLACE, _place(number))
        return text.replace(UID, f"{UID[:-6]}{number:06}").replace(VERSION, str(version or int(VERSION) + number)).encode()

    def event(self, resource: str, number: int, entry: JsonObject) -> bytes:
        """What a watch of metadata shows when somebody has written what the entry says."""
        body = cast("JsonObject", codec.decode(self.stored(resource, number, version=next(self._versions))))
        metadata = {**body["metadata"], "managedFields": [*body["metadata"]["managedFields"], entry]}
        shown = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
        return codec.encode({"type": "MODIFIED", "object": shown}) + b"\n"

    def show(self, resource: str, events: Sequence[bytes]) -> None:
        """What the next watch of a kind brings, once it may `begin`."""
        self._shown.clear()
        self._pieces[resource] = [b"".join(events[at : at + IN_PIECE]) for at in range(0, len(events), IN_PIECE)]

    async def idle(self) -> None:
        """Nobody has asked for anything for a while, nor, where there was something to show, not taken all of it."""
        before = -1
        if self._pieces:
            await self._shown.wait()
        while before != self._requests:
            before = self._requests
            await asyncio.sleep(0.1)

    @asynccontextmanager
    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,  # noqa: ARG002 (the client's own)
        content_type: str = JSON,  # noqa: ARG002
        accept: str = JSON,  # noqa: ARG002
        limits: aiohttp.ClientTimeout | None = None,  # noqa: ARG002
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        self._requests += 1
        pieces: Sequence[bytes] = ()
        is_watch = bool(params and "watch" in params)
        if is_watch:
            await self.begin.wait()
            pieces = self._pieces.pop(path.rpartition("/")[2], ())
        elif method == "PATCH":
            *_, resource, name = path.split("/")
            version = next(self._versions) if self.begin.is_set() else 0
            pieces = [self.stored(resource, _number(name), version=version)]
        elif (resource := path.rpartition("/")[2]) in self._templates:
            pieces = list(self._listed(resource, int((params or {}).get("continue", "0"))))
        else:
            raise ApiStatusError("not found", code=404, reason="NotFound", where=path)
        # As one that goes over a network: others have their turn meanwhile.
        await asyncio.sleep(0)
        yield cast(
            "aiohttp.ClientResponse", _Content(pieces, shown=(self._shown if pieces else asyncio.Event()) if is_watch else None)
        )

    def _listed(self, resource: str, start: int) -> Iterator[bytes]:
        """A page of a list, from the object of this number on."""
        numbers = range(list(self._templates).index(resource), self._objects, len(self._templates))
        end = start + LIST_PAGE
        metadata = {"resourceVersion": VERSION, "continue": str(end) if end < len(numbers) else ""}
        yield b'{"metadata":' + codec.encode(metadata) + b',"items":['
        for index, number in enumerate(numbers[start:end]):
            yield (b"," if index else b"") + self.stored(resource, number)
        yield b"]}"


class Figures(msgspec.Struct):
    """Memory in bytes for each object: of the manifests, of the index, and of what was learned and seen; seconds of one core for
    each event.
    """

    manifests: float
    index: float
    known: float
    events: dict[str, float]


def resident() -> float:
    gc.collect()
    return resident_mebibytes(os.getpid()) * 1024 * 1024


def in_use() -> float:
    """What Python objects take: without what the allocator keeps, and what lay between."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


async def measure(objects: int, templates: Mapping[str, str], *, memory: Callable[[], float]) -> Figures:
    client, clock = Generated(templates, objects=objects), SystemClock()
    samples = list(USUAL.values())
    start = memory()
    manifests = [_placed(samples[number % 2], number) for number in range(objects)]
    with_manifests = memory()
    state = DesiredState().with_sync(SYNC, [_declared(samples[number % 2], body) for number, body in enumerate(manifests)])
    view = View()
    view.replace(state)
    with_index = memory()
    writer = Writer(lambda _sync: client, view=view, clock=clock)
    for declared in state:
        await writer.apply(declared)
    report = Report(view=view, clock=clock, references=References(clock), write=_ignore, healed=_uncounted, news=_no_news)
    repairer = Repairer(view=view, writer=writer, enforcement=Policy().of, clock=clock, report=report)
    watching = Watching(client, view=view, writer=writer, repairer=repairer, clock=clock, vouched=Vouched(), ended=lambda _: None)
    await watching.follow(state.kinds(), seconds=600.0)
    known = memory()
    events = await _events(client, list(state), watching=watching)
    await watching.close()
    return Figures(
        manifests=(with_manifests - start) / objects,
        index=(with_index - with_manifests) / objects,
        known=(known - with_index) / objects,
        events=events,
    )


# What is written, to which kind, and whether it leaves the object's entry of the status subresource alone.
WRITES: dict[str, tuple[str, JsonObject]] = {
    "heartbeat of a Deployment": ("Deployment", HEARTBEAT),
    "annotation of a Deployment": ("Deployment", ANNOTATED),
    "annotation of a ConfigMap": ("ConfigMap", ANNOTATED),
}


async def _events(client: Generated, declared: Sequence[Declared], *, watching: Watching) -> dict[str, float]:
    """Seconds of this process for each event, from the bytes that come in to what is to be done about it. Events go round the
    objects, so that each is about another one.
    """
    await asyncio.sleep(SPOOF_SECONDS)
    found: dict[str, float] = {}
    for name, (kind, entry) in WRITES.items():
        of_kind = [one for one in declared if one.key.kind == kind]
        resource = of_kind[0].kind.resource
        client.begin.clear()
        await watching.follow(())
        await watching.follow([of_kind[0].kind], seconds=600.0)
        # A list says that anything may have happened.
        await client.idle()
        client.show(
            resource,
            [
                client.event(
                    resource,
                    _number(of_kind[number % len(of_kind)].key.name),
                    {**entry, "time": f"2026-01-02T03:04:{number % 60:02}Z"},
                )
                for number in range(EVENTS)
            ],
        )
        started = process_time()
        client.begin.set()
        await client.idle()
        found[name] = (process_time() - started) / EVENTS
    return found


def _uncounted(_cause: str, _result: str, _seconds: float) -> None:
    """Nor is anything healed."""


def _no_news(_sync: str) -> None:
    """Nor fought about."""


def _ignore(_record: Record) -> None:
    """Nothing drifts here."""


def _placed(sample: Sample, number: int) -> JsonObject:
    body = _manifest(sample, _name(number))
    body["metadata"]["namespace"] = _place(number)
    # As a parser makes it: texts of its own in each.
    return cast("JsonObject", codec.decode(codec.encode(body)))


def _declared(sample: Sample, body: JsonObject) -> Declared:
    metadata, kind = body["metadata"], sample.kind
    key = ObjectKey(group=kind.group, kind=kind.kind, namespace=metadata["namespace"], name=metadata["name"])
    return Declared(key=key, kind=kind, body=body, origin=Origin(file=f"{key.namespace}/{key.name}.yaml", line=1), sync=SYNC)


@click.command()
@click.option("--quick", is_flag=True, help="10,000 objects only.")
@click.option("--objects", type=int, hidden=True)
@click.option("--traced", is_flag=True, hidden=True)
def main(*, quick: bool, objects: int | None, traced: bool) -> None:
    """What healing keeps in memory, and what events cost."""
    if objects is not None:
        templates = codec.decode_as(sys.stdin.buffer.read(), dict[str, str])
        if traced:
            tracemalloc.start()
        print(codec.encode(asyncio.run(measure(objects, templates, memory=in_use if traced else resident))).decode())
        return
    templates = codec.encode(asyncio.run(answers()))
    rows: list[list[str]] = []
    events: list[list[str]] = []
    for size in SIZES[:1] if quick else SIZES:
        found = _apart(size, templates)
        rows.append(_row(f"{size:,}, resident", found))
        if size == SIZES[0]:
            # Tracing makes all of it ten times as slow.
            rows.append(_row(f"{size:,}, in use", _apart(size, templates, "--traced")))
        events += [
            [f"{size:,}", name, f"{seconds * 1e6:.0f}", f"{seconds * EVENTS_A_SECOND:.1%}"]
            for name, seconds in found.events.items()
        ]
    print("bytes for each object")
    print(table(("objects", "manifests", "index", "learned and seen", "past the manifests"), rows))
    print(f"\nevents of declared objects, {EVENTS:,} of each")
    print(table(("objects", "of", "us each", f"of one core at {EVENTS_A_SECOND} a second"), events))


def _row(name: str, figures: Figures) -> list[str]:
    past = figures.index + figures.known
    return [name, *(f"{value:,.0f}" for value in (figures.manifests, figures.index, figures.known, past))]


def _apart(size: int, templates: bytes, *flags: str) -> Figures:
    """In a process of its own, whose memory nothing else has touched."""
    command = [sys.executable, "-m", "bench.heal_memory", "--objects", str(size), *flags]
    return codec.decode_as(subprocess.run(command, input=templates, check=True, stdout=subprocess.PIPE).stdout, Figures)


if __name__ == "__main__":
    main()
