"""Buckets whose revisions have to be signed by a list of what is in them."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from aiohttp import web

from guard.base.errors import SourceError, VerificationError
from guard.source import BucketSource, BucketVerify, Known
from guard.source.listing import MOST_IN_FILE
from guard.source.verify.sums import LIST, differences, parse
from guard.source.verify.verdict import moment
from tests.source.between import Between
from tests.source.conftest import Opened
from tests.source.signing import OpenPgp, SshKey, day
from tests.source.test_bucket import contents
from tools.s3client import Bucket

NAMESPACE = "bucket@gitopsguard.dev"
FILES = {"a.yaml": "1", "apps/b.yaml": "2"}


def listed(files: Mapping[str, str], *, at: float) -> bytes:
    lines = [f"{hashlib.sha256(text.encode()).hexdigest()}  ./{path}" for path, text in files.items()]
    return "\n".join((f"# signed: {moment(at)}", *lines, "")).encode()


class Signer:
    """Signs what is below a prefix with a key of SSH."""

    def __init__(self, bucket: Bucket, key: SshKey, *, prefix: str = "prod/") -> None:
        self.bucket = bucket
        self.key = key
        self.prefix = prefix
        self.known = Known()

    @property
    def verify(self) -> BucketVerify:
        return BucketVerify(keys={"allowed_signers": self.key.allowed()}, known=lambda: self.known)

    async def sign(self, files: Mapping[str, str], *, at: float | None = None, namespace: str = NAMESPACE) -> None:
        data = listed(files, at=at or time.time())
        await self.bucket.put(f"{self.prefix}{LIST}", data)
        await self.bucket.put(f"{self.prefix}{LIST}.sig", self.key.sign(data, namespace=namespace))

    async def put(self, files: Mapping[str, str], *, at: float | None = None) -> None:
        await self.bucket.put_all({f"{self.prefix}{path}": text for path, text in files.items()})
        await self.sign(files, at=at)

    async def take(self, source: BucketSource) -> str:
        revision = await source.fetch()
        signed = source.trust.signed
        assert signed is not None
        assert signed.revision == revision
        self.known = Known(in_force=revision, verified=revision, at=signed.at)
        return revision


@pytest.fixture
def signer(bucket: Bucket, tmp_path: Path) -> Signer:
    return Signer(bucket, SshKey(tmp_path / "keys", "ada"))


async def refused(source: BucketSource) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        await source.fetch()
    return caught.value


async def paths(source: BucketSource, revision: str) -> list[str]:
    return [entry.path for entry in await source.tree(revision).entries("")]


async def test_what_is_signed_is_taken_without_what_signs_it(opened: Opened, signer: Signer) -> None:
    at = time.time() - 60
    await signer.put(FILES, at=at)
    source = opened(prefix="prod", verify=signer.verify)

    revision = await signer.take(source)

    assert await paths(source, revision) == sorted(FILES)
    signed = source.trust.signed
    assert signed is not None
    assert (signed.by, signed.key, signed.at) == ("ada@example.com", signer.key.fingerprint, moment(at))
    assert await source.fetch() == revision


async def test_a_list_that_is_too_large_is_no_damage_to_the_copy(opened: Opened, signer: Signer, between: Between) -> None:
    await signer.put(FILES)
    source = opened(prefix="prod", verify=signer.verify)
    before = await signer.take(source)
    await signer.bucket.put(f"prod/{LIST}", b"#" * (MOST_IN_FILE + 1))

    assert (await refused(source)).message == "SHA256SUMS is too large to be read"

    between.taken()
    pinned = opened(prefix="prod", pinned=before.partition("sha256:")[2], verify=signer.verify)
    assert await pinned.fetch() == before
    assert between.taken() == []


@pytest.mark.parametrize("is_armored", [True, False])
async def test_openpgp_signs_as_well(opened: Opened, bucket: Bucket, openpgp: OpenPgp, *, is_armored: bool) -> None:
    ada = openpgp.key("Ada")
    data = listed(FILES, at=time.time())
    signature = openpgp.sign(data, ada) if is_armored else openpgp.gpg("--local-user", ada, "--detach-sign", stdin=data)
    await bucket.put_all({**FILES, LIST: data, f"{LIST}.asc": signature})
    source = opened(verify=BucketVerify(keys={"ada.asc": openpgp.public(ada)}))

    revision = await source.fetch()

    assert await paths(source, revision) == sorted(FILES)
    assert source.trust.signed is not None
    assert source.trust.signed.key == ada


async def test_a_bucket_that_is_not_signed_is_refused(opened: Opened, signer: Signer) -> None:
    await signer.bucket.put("prod/a.yaml", "1")
    source = opened(prefix="prod", verify=signer.verify)
    error = await refused(source)
    assert error.message == "nothing is signed: there is no SHA256SUMS below the prefix"
    assert error.revision.startswith(f"{signer.bucket.name}@sha256:")

    await signer.bucket.put(f"prod/{LIST}", listed({"a.yaml": "1"}, at=time.time()))
    assert "has no signature SHA256SUMS.asc or SHA256SUMS.sig" in (await refused(source)).message

    await signer.sign({"a.yaml": "1"})
    await signer.bucket.put(f"prod/{LIST}.asc", "another")
    assert "has several signatures" in (await refused(source)).message


async def test_a_writer_in_the_middle_leaves_the_last_revision(opened: Opened, signer: Signer) -> None:
    await signer.put(FILES)
    source = opened(prefix="prod", verify=signer.verify)
    before = await signer.take(source)

    await signer.bucket.put("prod/a.yaml", "changed")
    assert "a.yaml is not what was signed" in (await refused(source)).message
    await signer.bucket.put("prod/c.yaml", "new")
    await signer.bucket.delete("prod/apps/b.yaml")
    error = await refused(source)
    assert "a.yaml is not what was signed, apps/b.yaml is missing, c.yaml is not in the list" in error.message
    assert error.signer == f"ada@example.com ({signer.key.fingerprint})"
    assert await paths(source, before) == sorted(FILES)

    await signer.sign({"a.yaml": "changed", "c.yaml": "new"})
    after = await source.fetch()
    assert after != before
    assert await paths(source, after) == ["a.yaml", "c.yaml"]


async def test_an_unknown_key_a_changed_list_and_another_purpose_are_refused(
    opened: Opened, signer: Signer, tmp_path: Path
) -> None:
    await signer.put(FILES)
    eve = Signer(signer.bucket, SshKey(tmp_path / "keys", "eve"))
    source = opened(prefix="prod", verify=signer.verify)

    await eve.sign(FILES)
    error = await refused(source)
    assert (error.message, error.signer) == (
        f"SHA256SUMS is signed with an unknown key {eve.key.fingerprint}",
        eve.key.fingerprint,
    )

    await signer.sign(FILES)
    await signer.bucket.put(f"prod/{LIST}", listed(FILES, at=time.time() + 1))
    assert "is wrong: it is not what was signed" in (await refused(source)).message

    await signer.sign(FILES, namespace="file")
    assert "is wrong" in (await refused(source)).message


async def test_an_old_list_that_is_put_back_is_refused_until_an_admin_takes_it(opened: Opened, signer: Signer) -> None:
    then, now = time.time() - 600, time.time() - 300
    await signer.put(FILES, at=then)
    source = opened(prefix="prod", verify=signer.verify)
    await signer.take(source)
    await signer.put({"a.yaml": "3", "apps/b.yaml": "2"}, at=now)
    newest = await signer.take(source)

    await signer.put(FILES, at=then)

    error = await refused(source)
    assert f"at {moment(then)}, before {newest}, which is in force and was signed at {moment(now)}" in error.message
    assert error.hint == f"to take it all the same, annotate the Sync with gitopsguard.dev/accept-revision={error.revision}"
    # The same where the data folder is lost.
    assert (
        "somebody may have put an old one back"
        in (await refused(opened(prefix="prod", verify=signer.verify, directory="n"))).message
    )
    signer.known = Known(in_force=newest, verified=newest, accepted=error.revision)
    assert await signer.take(source) == error.revision
    await signer.put({"a.yaml": "4"} | {"apps/b.yaml": "2"})
    assert await source.fetch() != error.revision


async def test_a_pinned_revision_may_be_any_that_is_signed(opened: Opened, signer: Signer, tmp_path: Path) -> None:
    await signer.put(FILES, at=time.time() - 600)
    source = opened(prefix="prod", verify=signer.verify)
    old = await signer.take(source)
    await signer.put({"a.yaml": "3", "apps/b.yaml": "2"})
    await signer.take(source)
    digest = old.partition(":")[2]

    pinned = opened(prefix="prod", verify=signer.verify, pinned=digest)
    assert await pinned.fetch() == old
    assert pinned.trust.signed is not None

    eve = SshKey(tmp_path / "keys", "eve")
    other = opened(prefix="prod", verify=BucketVerify(keys={"allowed_signers": eve.allowed()}), pinned=digest)
    assert "unknown key" in (await refused(other)).message


async def test_what_include_leaves_out_need_not_be_as_the_list_says(opened: Opened, signer: Signer) -> None:
    await signer.put(FILES | {"docs/readme.md": "text"})
    await signer.bucket.put("prod/docs/readme.md", "other text")
    await signer.bucket.put("prod/docs/more.md", "more")

    source = opened(prefix="prod", include=["*.yaml"], verify=signer.verify)

    assert await paths(source, await source.fetch()) == sorted(FILES)


async def test_a_list_from_the_future_is_refused(opened: Opened, signer: Signer, openpgp: OpenPgp) -> None:
    await signer.put(FILES, at=time.time() + 3600)
    assert "but here it is" in (await refused(opened(prefix="prod", verify=signer.verify))).message

    ada = openpgp.key("Ada")
    data = listed({}, at=time.time() + 3600)
    await signer.bucket.put_all({f"next/{LIST}": data, f"next/{LIST}.asc": openpgp.sign(data, ada)})
    error = await refused(opened(prefix="next", verify=BucketVerify(keys={"ada.asc": openpgp.public(ada)})))
    assert error.message.startswith(f"SHA256SUMS is signed by Ada <ada@example.com> ({ada}) for ")


async def test_a_revision_that_was_taken_outlives_its_key(opened: Opened, bucket: Bucket, openpgp: OpenPgp) -> None:
    ada = openpgp.key("Ada", at=day("2025-01-01"), expires="1y")
    data = listed(FILES, at=day("2025-02-01"))
    await bucket.put_all({**FILES, LIST: data, f"{LIST}.asc": openpgp.sign(data, ada, at=day("2025-02-01"))})
    keys = {"ada.asc": openpgp.public(ada)}

    error = await refused(opened(verify=BucketVerify(keys=keys)))
    assert error.message.endswith("whose key has expired")

    known = Known(in_force=error.revision, verified=error.revision)
    assert await opened(verify=BucketVerify(keys=keys, known=lambda: known)).fetch() == error.revision


def test_a_list_is_read_as_sha256sum_writes_it() -> None:
    digest = "a" * 64
    sums = parse(f"# signed: 2026-01-02T03:04:05Z\n{digest}  ./a b\n\n# more\n{digest} *c\r\n\\{digest}  d\\\\e\\nf\n".encode())

    assert sums.at == day("2026-01-02") + 3 * 3600 + 4 * 60 + 5
    assert set(sums.digests) == {"a b", "c", "d\\e\nf"}
    assert parse(b"# signed: 2026-01-02T04:04:05+01:00\n").at == sums.at


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "first line does not say when"),
        (b"a" * 64 + b"  a\n", "first line does not say when"),
        (b"# signed: 2026-01-02\n", "first line does not say when"),
        (b"# signed: 2026-13-02T03:04:05Z\n", "is no time"),
        (b"# signed: 2026-01-02T03:04:05Z\nhello\n", "line 2 is not one of sha256sum"),
        (b"# signed: 2026-01-02T03:04:05Z\nSHA256 (a) = " + b"a" * 64, "line 2 is not one of sha256sum"),
        (b"# signed: 2026-01-02T03:04:05Z\n" + b"a" * 64 + b"  x\n" + b"b" * 64 + b"  ./x\n", "'x' is in it twice"),
        (b"# signed: 2026-01-02T03:04:05Z\n\xff\n", "not a text in UTF-8"),
    ],
)
def test_what_is_no_list_is_told(text: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(text)


def test_an_object_that_is_too_large_to_be_read_is_not_vouched_for() -> None:
    sums = parse(b"# signed: 2026-01-02T03:04:05Z\n" + b"a" * 64 + b"  large\n")

    assert differences(sums, {"large": f"-{'a' * 64}"}, wants=lambda _path: True) == ("large is too large to be read",)


async def test_other_content_under_the_names_of_signed_versions_is_refused(
    opened: Opened, signer: Signer, between: Between
) -> None:
    await signer.put(FILES)
    source = opened(prefix="prod", verify=signer.verify)
    revision = await signer.take(source)
    before = await contents(source, revision)

    async def answer(request: web.Request) -> web.Response | None:
        """As the real store has it, but newer, and one object with other bytes as the same version."""
        real = await between.passed_on(request)
        assert isinstance(real.body, bytes)
        if "list-type" in request.query:
            later = re.sub("(?<=<LastModified>)[^<]*", "2026-01-02T03:04:05.000Z", real.body.decode())
            return web.Response(text=later, content_type="application/xml")
        return web.Response(body=b"9", headers=real.headers) if request.path.endswith("/prod/a.yaml") else None

    between.before = answer
    for each in (source, opened(prefix="prod", verify=signer.verify)):
        assert "a.yaml is not what was signed" in (await refused(each)).message
    with pytest.raises(SourceError, match=r"gives out other content under the same version of 'prod/a\.yaml'"):
        await opened(prefix="prod").fetch()

    # Nor does it take the place of what is in the copy, from which a start reads what is in force.
    assert await contents(opened(prefix="prod", verify=signer.verify), revision) == before


async def test_an_old_list_under_the_name_of_what_is_in_force_is_a_step_back(opened: Opened, signer: Signer) -> None:
    at = time.time() - 60
    await signer.put(FILES, at=at)
    revision = await signer.take(opened(prefix="prod", verify=signer.verify))
    signer.known = Known(in_force=revision, verified=revision, at=moment(at + 30))

    # The copy is gone, so nothing but the status tells what was in force.
    error = await refused(opened(prefix="prod", verify=signer.verify, directory="other"))

    assert "somebody may have put an old one back" in error.message
