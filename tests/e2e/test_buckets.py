"""A Sync that follows a bucket of a real S3 server: applied, protected and healed as what Git declares is."""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from guard.base import codec
from guard.base.codec import JsonObject, child, children
from tests.e2e.conftest import PAST_THE_WEBHOOK, config_map
from tests.source.signing import SshKey
from tools.controlplane import ControlPlane
from tools.guardrun import GuardProcess, eventually, free_port, running, sync_document
from tools.s3client import Bucket, connected
from tools.s3server import S3Server

SECRETS = "/api/v1/namespaces/guard-system/secrets"
SYNCS = "/apis/gitopsguard.dev/v1alpha1/namespaces/guard-system/syncs"
MAPS = "/api/v1/namespaces/default/configmaps"
TOKEN = "correct-horse-battery"
FILE, NAME = "prod/map.yaml", "from-a-bucket"


class Stored:
    """A Guard whose Sync `apps` looks at a bucket once an hour, or when the S3 server says that something was written; `weak`
    looks at one without versions each second.
    """

    def __init__(self, guard: GuardProcess, directory: Path, stack: AsyncExitStack, *, port: int, login: tuple[str, str]) -> None:
        self.guard = guard
        self.plane = guard.plane
        self._directory = directory
        self._stack = stack
        self._port = port
        self._login = login
        self.server: S3Server
        self.bucket: Bucket
        self.weak: Bucket

    async def serve(self) -> None:
        """Start the store, again as the one before."""
        # It sends a test event as it starts, so that somebody has to listen.
        hook = f"http://store:{TOKEN}@127.0.0.1:{self.guard.receiver_port}/push/guard-system/apps"
        environment = {"VGW_EVENT_WEBHOOK_URL": hook}
        self.server = await self._stack.enter_async_context(
            S3Server.start(self._directory, port=self._port, login=self._login, environment=environment)
        )
        client = await self._stack.enter_async_context(connected(self.server))
        self.bucket, self.weak = Bucket(client, "deploy"), Bucket(client, "unversioned")

    async def vanish(self) -> None:
        self.server.process.kill()
        await self.server.process.wait()

    async def map(self, name: str = NAME) -> JsonObject:
        found: JsonObject = await self.plane.call("GET", f"{MAPS}/{name}")
        return found

    async def maps(self) -> dict[str, JsonObject]:
        found: JsonObject = await self.plane.call("GET", MAPS)
        return {body["metadata"]["name"]: child(body, "data") for body in children(found, "items")}

    async def becomes(self, color: str, *, name: str = NAME) -> None:
        async def became() -> bool:
            return (await self.maps()).get(name, {}).get("color") == color

        await eventually(became, what=lambda: f"{name} is {color}; the log ends:\n{self.guard.tail()}")

    async def condition(self, type_: str, *, sync: str = "apps") -> JsonObject:
        status = child(await self.guard.sync(sync), "status")
        unknown: JsonObject = {}
        return next((found for found in children(status, "conditions") if found["type"] == type_), unknown)

    async def revision(self) -> str:
        return str(child(await self.guard.sync("apps"), "status")["lastAppliedRevision"])

    async def writes(self, color: str) -> str:
        """Put the object into the bucket, and wait until it is applied and the Sync says so. Returns the id of the version."""
        before = await self.revision()
        version = await self.bucket.put(FILE, config_map(NAME, "default", f"  color: {color}"))
        await self.becomes(color)

        async def is_said() -> bool:
            return await self.revision() != before

        await eventually(is_said, what="the Sync names another revision")
        return version

    async def pin(self, revision: str | None) -> None:
        patch = codec.encode({"spec": {"source": {"bucket": {"ref": {"revision": revision}}}}}).decode()
        await self.plane.kubectl(*("patch", "sync", "apps", "-n", "guard-system", "--type=merge", "-p", patch), identity="admin")


@pytest.fixture(scope="module")
async def stored(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stored]:
    directory = tmp_path_factory.mktemp("buckets")
    async with AsyncExitStack() as stack:
        plane = await stack.enter_async_context(ControlPlane.start(directory / "plane"))
        url, login = f"http://127.0.0.1:{(port := free_port())}", ("guard", secrets.token_hex(20))
        syncs = [sync_of("apps", url, "deploy", path="prod", interval="1h", pushed=True), sync_of("weak", url, "unversioned")]
        guard = GuardProcess(plane, directory / "guard", syncs=syncs, receiver=True)
        await plane.call("POST", "/api/v1/namespaces", body={"metadata": {"name": "guard-system"}})
        await plane.call("POST", SECRETS, body={"metadata": {"name": "hook"}, "stringData": {"token": TOKEN}})
        keys = dict(zip(("accesskey", "secretkey"), login, strict=True))
        await plane.call("POST", SECRETS, body={"metadata": {"name": "login"}, "stringData": keys})
        await stack.enter_async_context(running(guard))
        await eventually(lambda: receives(guard), what="pushes are received")
        found = Stored(guard, directory / "s3", stack, port=port, login=login)
        await found.serve()
        await Bucket.make(found.bucket.client, "deploy")
        await Bucket.make(found.weak.client, "unversioned", versioning="")
        await found.bucket.put(FILE, config_map(NAME, "default", "  color: blue"))
        await found.weak.put("map.yaml", config_map("weak", "default", "  color: blue"))
        await found.becomes("blue")
        await found.becomes("blue", name="weak")
        yield found


async def receives(guard: GuardProcess) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", guard.receiver_port)
    except OSError:
        return False
    writer.close()
    return True


def sync_of(name: str, url: str, bucket: str, *, path: str = ".", interval: str = "1s", pushed: bool = False) -> JsonObject:
    body = sync_document(name, Path("/"), path=path)
    source: JsonObject = {
        "bucket": {"name": bucket, "endpoint": url, "secretRef": {"name": "login"}},
        "interval": interval,
        **({"push": {"type": "S3", "secretRef": {"name": "hook"}}} if pushed else {}),
    }
    body["spec"]["source"] = source
    return body


async def test_what_is_written_to_a_bucket_is_applied_as_soon_as_the_store_says_so(stored: Stored) -> None:
    await stored.writes("green")
    assert (await stored.condition("Versioned"))["status"] == "True"
    assert re.fullmatch(r"deploy@sha256:[0-9a-f]{64}", await stored.revision())


async def test_a_refusal_names_key_line_and_version_id(stored: Stored) -> None:
    version = await stored.writes("red")
    before = await stored.map()
    line = next(
        number for number, text in enumerate(config_map(NAME, "default", "  color: red").splitlines(), 1) if "color" in text
    )

    refused = await stored.plane.kubectl(
        *("patch", "configmap", NAME, "-n", "default", "--type=merge", "-p", '{"data":{"color":"pink"}}'),
        identity="person",
        check=False,
    )

    assert refused.returncode != 0
    assert "data.color: the bucket has red, you asked for pink" in refused.stderr
    assert f"Change it in the bucket: {FILE}:{line} (deploy@" in refused.stderr
    assert f" s3://deploy/{FILE}?versionId={version}" in refused.stderr
    assert await stored.map() == before


async def test_an_earlier_revision_can_be_had_back_and_left_again(stored: Stored) -> None:
    await stored.writes("first")
    earlier = await stored.revision()
    await stored.writes("second")

    await stored.pin(earlier)
    await stored.becomes("first")
    await stored.guard.applied(earlier)
    await stored.pin(None)
    await stored.becomes("second")


async def test_an_object_that_leaves_the_bucket_is_pruned(stored: Stored) -> None:
    await stored.bucket.put("prod/other.yaml", config_map("leaves-again", "default", "  color: blue"))
    await stored.becomes("blue", name="leaves-again")

    await stored.bucket.delete("prod/other.yaml")

    async def is_gone() -> bool:
        return "leaves-again" not in await stored.maps()

    await eventually(is_gone, what=lambda: f"the object is pruned; the log ends:\n{stored.guard.tail()}")


async def test_of_a_signed_bucket_half_an_upload_is_not_taken_and_the_whole_is(stored: Stored, tmp_path: Path) -> None:
    key = SshKey(tmp_path, "ada")
    values = {"allowed_signers": key.allowed().decode()}
    await stored.plane.call("POST", SECRETS, body={"metadata": {"name": "signers"}, "stringData": values})
    bucket = await Bucket.make(stored.bucket.client, "signed")
    first, second = (config_map("signed", "default", f"  color: {color}") for color in ("blue", "green"))
    await bucket.put("map.yaml", first)
    body = sync_of("signed", stored.server.url, bucket.name)
    body["spec"]["source"]["bucket"]["verify"] = {"secretRef": {"name": "signers"}}
    await stored.plane.call("POST", SYNCS, body=body)

    async def refused() -> bool:
        return (await stored.condition("SourceVerified", sync="signed")).get("status") == "False"

    async def trusted() -> bool:
        return (await stored.condition("SourceVerified", sync="signed")).get("status") == "True"

    await eventually(refused, what=lambda: f"an unsigned bucket is refused; the log ends:\n{stored.guard.tail()}")
    assert "signed" not in await stored.maps()
    await sign(bucket, key, {"map.yaml": first})
    await stored.becomes("blue", name="signed")
    await eventually(trusted, what="the Sync says who signed")
    assert key.fingerprint in str((await stored.condition("SourceVerified", sync="signed"))["message"])

    await bucket.put("map.yaml", second)
    await eventually(refused, what="half an upload is refused")
    assert (await stored.maps())["signed"] == {"color": "blue"}
    assert [record for record in stored.guard.records() if record["event"] == "revision-refused"]
    await sign(bucket, key, {"map.yaml": second})
    await stored.becomes("green", name="signed")
    await stored.plane.call("DELETE", f"{SYNCS}/signed")


async def sign(bucket: Bucket, key: SshKey, files: Mapping[str, str]) -> None:
    """As docs/sources.md has it."""
    lines = [f"{hashlib.sha256(text.encode()).hexdigest()}  {path}" for path, text in files.items()]
    told = "\n".join((f"# signed: {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", *lines, "")).encode()
    await bucket.put("SHA256SUMS.sig", key.sign(told, namespace="bucket@gitopsguard.dev"))
    await bucket.put("SHA256SUMS", told)


async def test_a_bucket_without_versions_is_said_to_be_weaker(stored: Stored) -> None:
    await stored.weak.put("map.yaml", config_map("weak", "default", "  color: green"))
    await stored.becomes("green", name="weak")

    async def is_told() -> bool:
        return (await stored.condition("Versioned", sync="weak")).get("reason") == "BucketNotVersioned"

    await eventually(is_told, what="the Sync says so when what is put is in force, as it was before the bucket was empty")
    said = await stored.condition("Versioned", sync="weak")
    assert said["status"] == "False"
    assert "the bucket" in said["message"]


@pytest.mark.case(26)
async def test_a_bucket_that_is_emptied_prunes_nothing(stored: Stored) -> None:
    await stored.weak.put("map.yaml", config_map("weak", "default", "  color: kept"))
    await stored.becomes("kept", name="weak")

    await stored.weak.delete("map.yaml")

    async def is_told() -> bool:
        ready = await stored.condition("Ready", sync="weak")
        return ready["status"] == "False" and "(check name and prefix of the bucket" in ready["message"]

    await eventually(is_told, what="the Sync says that nothing is there, and what to look at")
    assert child(await stored.map("weak"), "data") == {"color": "kept"}


@pytest.mark.case(26)
async def test_a_confirmation_that_came_too_late_does_not_prune_the_bucket_that_is_empty_later(stored: Stored) -> None:
    empty = f"unversioned@sha256:{hashlib.sha256(b'').hexdigest()}"
    await stored.weak.put("map.yaml", config_map("weak", "default", "  color: filled"))
    await stored.becomes("filled", name="weak")
    confirm = "gitopsguard.dev/confirm-prune"
    await stored.plane.kubectl("annotate", "sync", "weak", "-n", "guard-system", f"{confirm}={empty}", identity="admin")

    async def is_withdrawn() -> bool:
        return confirm not in (await stored.guard.sync("weak"))["metadata"].get("annotations", {})

    await eventually(is_withdrawn, what="the confirmation is taken away")
    await stored.weak.delete("map.yaml")

    async def is_told() -> bool:
        return empty in str((await stored.condition("Ready", sync="weak"))["message"])

    await eventually(is_told, what="the Sync asks for a confirmation")
    assert (await stored.maps())["weak"] == {"color": "filled"}
    await stored.plane.kubectl("annotate", "sync", "weak", "-n", "guard-system", f"{confirm}={empty}", identity="admin")

    async def is_gone() -> bool:
        return "weak" not in await stored.maps()

    await eventually(is_gone, what=lambda: f"what was confirmed is pruned; the log ends:\n{stored.guard.tail()}")


@pytest.mark.case(34)
async def test_with_the_bucket_gone_a_restarted_guard_protects_and_heals_what_is_in_force(stored: Stored) -> None:
    await stored.writes("standing")
    await stored.vanish()
    await stored.guard.kill()
    await stored.guard.start()

    refused = await stored.plane.kubectl(
        *("patch", "configmap", NAME, "-n", "default", "--type=merge", "-p", '{"data":{"color":"pink"}}'),
        identity="person",
        check=False,
    )
    assert "data.color: the bucket has standing, you asked for pink" in refused.stderr
    assert f"s3://deploy/{FILE}?versionId=" in refused.stderr
    # What gets past the webhook is undone.
    drift = ("patch", "configmap", NAME, "-n", "default", "--type=merge", "-p", '{"data":{"color":"drifted"}}')
    await stored.plane.kubectl(*drift, *PAST_THE_WEBHOOK, identity="admin")
    await stored.becomes("standing")
    await stored.serve()
