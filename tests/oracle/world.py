"""A control plane with a Guard that heals nothing, and a raw client that asks as anyone."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Self

import aiohttp
import msgspec

from guard.api import label_value
from guard.apply import prepare
from guard.base import codec
from guard.base.codec import JsonObject, child, children
from tests.oracle.custom import DEFINITIONS
from tests.oracle.kinds import LIMITED, NAMESPACES, SORTS, Target, declare
from tests.oracle.requests import APPLY, JSON_PATCH, MERGE, Request
from tools.controlplane import AUTOMATION_NAMESPACE, PERSON, ControlPlane
from tools.guardrun import GuardProcess, Repository, eventually, running, sync_document

SYNC = "apps"
LABEL = label_value("guard-system", SYNC)
CONNECTIONS = 32
TRIES = 3
APPLY_SECONDS = 120.0
_NOTHING: Mapping[str, str] = MappingProxyType({})


class Asker(msgspec.Struct, frozen=True):
    """Whom an admin impersonates."""

    user: str
    groups: tuple[str, ...] = ()

    def past_the_webhook(self) -> Asker:
        return Asker(self.user, (*self.groups, "gitopsguard:break-glass"))


_ACCOUNTS = ("system:serviceaccounts", f"system:serviceaccounts:{AUTOMATION_NAMESPACE}", "system:authenticated")
PERSON_ASKS = Asker(PERSON, ("platform", "system:authenticated"))
MACHINE_ASKS = Asker(f"system:serviceaccount:{AUTOMATION_NAMESPACE}:operator", _ACCOUNTS)
GUARD_ASKS = Asker("system:serviceaccount:guard-system:guard", ("system:masters",))


class Answer(msgspec.Struct, frozen=True):
    status: int
    body: JsonObject

    @property
    def is_ok(self) -> bool:
        return self.status < 400

    @property
    def message(self) -> str:
        return str(self.body.get("message", ""))

    @property
    def is_refused(self) -> bool:
        """By Guard, with a reason of its own."""
        return self.status == 403 and "gitopsguard.dev" in self.message

    @property
    def is_broken(self) -> bool:
        """Guard failed, or could not be reached."""
        return "Guard could not judge" in self.message or "failed calling webhook" in self.message


class World:
    """`declare` puts objects into Git and waits for Guard to apply them; the rest is one request each."""

    def __init__(self, plane: ControlPlane, guard: GuardProcess, repository: Repository, session: aiohttp.ClientSession) -> None:
        self.plane = plane
        self.guard = guard
        self._repository = repository
        self._session = session
        self.dropped: list[str] = []

    @classmethod
    @asynccontextmanager
    async def start(cls, directory: Path) -> AsyncGenerator[Self]:
        repository = Repository(directory / "repository")
        repository.commit({"definitions.yaml": "\n---\n".join(codec.encode(body).decode() for body in DEFINITIONS)})
        enforcement: JsonObject = {"mode": "Deny", "heal": False, "additions": "Deny"}
        sync = sync_document(SYNC, repository.directory, interval="1h", prune=False, enforcement=enforcement)
        async with ControlPlane.start(directory / "plane") as plane:
            trust = ssl.create_default_context(cafile=str(plane.ca_file))
            connector = aiohttp.TCPConnector(ssl=trust, limit=CONNECTIONS, keepalive_timeout=300.0)
            limits = aiohttp.ClientTimeout(total=60)
            async with aiohttp.ClientSession(plane.url, connector=connector, timeout=limits) as session:
                for name in (*NAMESPACES, LIMITED):
                    await plane.call("POST", "/api/v1/namespaces", body={"metadata": {"name": name}})
                    accounts = f"/api/v1/namespaces/{name}/serviceaccounts"
                    await plane.call("POST", accounts, body={"metadata": {"name": "default"}})
                guard = GuardProcess(plane, directory / "guard", syncs=[sync])
                async with running(guard):
                    yield cls(plane, guard, repository, session)

    async def send(self, request: Request, asker: Asker, *, manager: str = "", dry_run: bool = False) -> Answer:
        agent = manager.removeprefix("User-Agent ") if manager.startswith("User-Agent ") else ""
        named = {"fieldManager": manager} if manager and not agent else {}
        query = {**request.query, **({"dryRun": "All"} if dry_run else {}), **named}
        headers = [
            *((("User-Agent", f"{agent}/1.0"),) if agent else ()),
            ("Authorization", f"Bearer {self.plane.token('admin')}"),
            ("Content-Type", request.content_type),
            ("Impersonate-User", asker.user),
            *(("Impersonate-Group", group) for group in asker.groups),
        ]
        data = None if request.body is None else codec.encode(request.body)
        for _ in range(TRIES):
            try:
                async with self._session.request(
                    request.method, request.path, data=data, headers=headers, params=query
                ) as response:
                    content = await response.read()
                break
            except aiohttp.ClientConnectionError:
                continue  # an idle connection, which the API server may close at any moment
        else:
            # It hangs up on what makes it panic (some patches do); that is its own no.
            return Answer(400, {"message": "the API server hung up"})
        body = codec.decode(content) if "json" in response.content_type else {"message": content.decode()}
        return Answer(response.status, body)

    async def get(self, target: Target) -> JsonObject | None:
        answer = await self.send(Request("GET", target.path), GUARD_ASKS)
        return answer.body if answer.is_ok else None

    async def apply(self, target: Target, live: JsonObject | None, *, dry_run: bool) -> Answer:
        """As Guard applies it: forced, under its own name and manager. A Node keeps the taints that Git does not declare."""
        body = prepare(target.manifest, label=LABEL)
        taints = children(child(body, "spec"), "taints")
        if target.sort.name == "Node" and taints and live is not None:
            ours = {(taint["key"], taint["effect"]) for taint in taints}
            standing = children(child(live, "spec"), "taints")
            theirs = [taint for taint in standing if (taint.get("key"), taint.get("effect")) not in ours]
            body = {**body, "spec": {**body["spec"], "taints": [*taints, *theirs]}}
        request = Request("PATCH", target.path, body, APPLY, {"force": "true"})
        return await self.send(request, GUARD_ASKS, manager="guard", dry_run=dry_run)

    async def declare(self, random: Random, *, each: int, first: int) -> list[Target]:
        """`each` new objects of every kind, numbered from `first`, in place of those declared before."""
        made = [declare(random, sort, number) for sort in SORTS for number in range(first, first + each)]
        gate = asyncio.Semaphore(8)

        async def fits(target: Target) -> bool:
            async with gate:
                answer = await self.apply(target, None, dry_run=True)
            if not answer.is_ok:
                self.dropped.append(f"{target}: {answer.message}")
            return answer.is_ok

        fit = await asyncio.gather(*map(fits, made))
        found = [target for target, ok in zip(made, fit, strict=True) if ok]
        await self._commit(found)
        return found

    async def cascades(self) -> list[str]:
        """What a deletion would take declared objects with it and yet was let through: each tried as a dry run."""
        paths = [f"/api/v1/namespaces/{name}" for name in NAMESPACES]
        paths += [f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{body['metadata']['name']}" for body in DEFINITIONS]
        return [
            f"DELETE {path} by {asker.user}: {answer.status} {answer.message}"
            for path in paths
            for asker in (PERSON_ASKS, MACHINE_ASKS)
            if not (answer := await self.send(Request("DELETE", path), asker, dry_run=True)).is_refused
        ]

    async def _commit(self, targets: Sequence[Target]) -> None:
        commit = self._repository.commit({"objects.yaml": _documents(target.manifest for target in targets)})
        await self.guard.reconcile(SYNC)
        await self.guard.applied(commit, sync=SYNC, seconds=APPLY_SECONDS)

    async def restart_guard(self) -> None:
        """Guard forgets what the API server told it; healing is off, so its start applies nothing."""
        await self.guard.stop()
        await self.guard.launch()
        await eventually(self._is_ready, what="Guard is ready again")

    async def _is_ready(self) -> bool:
        try:
            return await self.guard.ready()
        except aiohttp.ClientError:
            return False

    async def restore(self, target: Target, *, live: JsonObject | None, pristine: JsonObject | None) -> JsonObject:
        """The object as Guard's first apply makes it. Raises AssertionError."""
        if target.sort.keep and pristine is not None:
            return await self._put_back(target, pristine)
        if live is not None:
            await self.remove(target)
        answer = await self.apply(target, None, dry_run=False)
        assert answer.is_ok, f"{target} cannot be restored: {answer.message}"
        return answer.body

    async def remove(self, target: Target) -> None:
        """Delete the object, finalizers or not."""
        options = {"gracePeriodSeconds": 0, "propagationPolicy": "Background"}
        answer = await self.send(Request("DELETE", target.path, options), GUARD_ASKS)
        if child(answer.body, "metadata").get("finalizers"):
            await self.send(Request("PATCH", target.path, {"metadata": {"finalizers": None}}, MERGE), GUARD_ASKS)

    async def _put_back(self, target: Target, pristine: JsonObject) -> JsonObject:
        """Values first, then the entries of managedFields, which a write that changes no value takes as they are given."""
        metadata = {
            name: value for name, value in pristine["metadata"].items() if name not in {"resourceVersion", "managedFields"}
        }
        answer = await self.send(Request("PUT", target.path, {**pristine, "metadata": metadata}), GUARD_ASKS)
        assert answer.is_ok, f"{target} cannot be restored: {answer.message}"
        entries = pristine["metadata"]["managedFields"]
        operations = [{"op": "replace", "path": "/metadata/managedFields", "value": entries}]
        answer = await self.send(Request("PATCH", target.path, operations, JSON_PATCH), GUARD_ASKS)
        assert answer.is_ok, f"{target} cannot be restored: {answer.message}"
        return answer.body


def _documents(bodies: Iterable[JsonObject]) -> str:
    return "\n---\n".join(codec.encode(body).decode() for body in bodies) + "\n"
