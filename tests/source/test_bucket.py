"""Buckets on a real S3 server with versioning."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path

import pytest
from aiohttp import web

from guard.base.errors import NothingDeclared, SourceError
from guard.source import BucketSource, Source
from tests.source.between import Between
from tests.source.conftest import Opened
from tools.s3client import Bucket, S3Client


async def contents(source: BucketSource, revision: str) -> dict[str, str]:
    """What a renderer would read: text by path."""
    tree = source.tree(revision)
    entries = await tree.entries("")
    read = await tree.read(entry.blob for entry in entries)
    return {entry.path: read[entry.blob].decode() for entry in entries}


async def test_a_bucket_is_a_source(opened: Opened, bucket: Bucket) -> None:
    await bucket.put("a.yaml", "1")
    source: Source = opened()

    revision = await source.fetch()

    assert source.tree(revision).revision == revision
    assert source.trust.weakness == ""


async def test_a_revision_is_a_digest_of_keys_and_version_ids(opened: Opened, bucket: Bucket) -> None:
    versions = {key: await bucket.put(key, "1") for key in ("prod/b.yaml", "prod/a/ü +&<.yaml")}
    await bucket.put("other/c.yaml", "1")
    source = opened(prefix="prod")

    revision = await source.fetch()

    lines = "".join(
        json.dumps([key, versions[key]], ensure_ascii=False, separators=(",", ":")) + "\n" for key in sorted(versions)
    )
    assert revision == f"{bucket.name}@sha256:{hashlib.sha256(lines.encode()).hexdigest()}"
    assert await contents(source, revision) == {"a/ü +&<.yaml": "1", "b.yaml": "1"}


async def test_a_look_is_one_listing_and_a_get_for_each_change(opened: Opened, bucket: Bucket, between: Between) -> None:
    await bucket.put_all({f"{number}.yaml": str(number) for number in range(20)})
    source = opened()

    first = await source.fetch()
    assert sorted(between.taken()) == sorted(["list", *(f"{number}.yaml" for number in range(20))])
    assert await source.fetch() == first
    assert between.taken() == ["list"]
    await bucket.put("7.yaml", "other")
    second = await source.fetch()
    assert between.taken() == ["list", "7.yaml"]
    await bucket.delete("3.yaml")
    third = await source.fetch()
    assert between.taken() == ["list"]

    assert len({first, second, third}) == 3
    assert "3.yaml" not in await contents(source, third)
    assert (await contents(source, third))["7.yaml"] == "other"


async def test_every_page_of_a_long_listing_is_read(opened: Opened, bucket: Bucket, between: Between) -> None:
    for number in range(1001):
        await bucket.put(f"{number}.yaml", "same")
    source = opened()

    revision = await source.fetch()

    assert len(await source.tree(revision).entries("")) == 1001
    assert between.asked.count("list") == 2


async def test_earlier_revisions_stay_readable_and_changes_are_told(opened: Opened, bucket: Bucket) -> None:
    await bucket.put_all({"a.yaml": "1", "b.yaml": "1", "c/d.yaml": "1"})
    source = opened()
    first = await source.fetch()
    since = {folder: await source.tree(first).id(folder) for folder in ("", "c")}
    await bucket.put("a.yaml", "2")
    await bucket.put("e.yaml", "2")
    await bucket.delete("b.yaml")
    second = await source.fetch()

    tree = source.tree(second)
    changes = await tree.changes("", since[""])

    assert changes
    assert [entry.path for entry in changes.put] == ["a.yaml", "e.yaml"]
    assert changes.gone == ("b.yaml",)
    assert await tree.id("c") == since["c"]
    assert await contents(source, first) == {"a.yaml": "1", "b.yaml": "1", "c/d.yaml": "1"}


async def test_what_is_held_is_read_without_the_network(opened: Opened, bucket: Bucket, between: Between) -> None:
    await bucket.put("a.yaml", "1")
    source = opened()
    revision = await source.fetch()
    await source.keep(revision, owner="guard-system/apps")
    await source.close()
    between.taken()

    again = opened()

    assert await contents(again, revision) == {"a.yaml": "1"}
    assert between.taken() == []


async def test_after_a_restart_nothing_is_fetched_again(opened: Opened, bucket: Bucket, between: Between) -> None:
    await bucket.put_all({"a.yaml": "1", "b.yaml": "2"})
    source = opened()
    revision = await source.fetch()
    await source.close()
    between.taken()

    assert await opened().fetch() == revision
    assert between.taken() == ["list"]


async def test_syncs_of_one_bucket_share_what_was_fetched(opened: Opened, bucket: Bucket, between: Between) -> None:
    await bucket.put_all({"a.yaml": "1", "b.txt": "2"})
    first, second, stranger = opened(), opened(include=["*.yaml"]), opened(secret="other/deploy")

    assert await first.fetch() != await second.fetch()
    assert sorted(between.taken()) == ["a.yaml", "b.txt", "list", "list"]
    await stranger.fetch()
    assert sorted(between.taken()) == ["a.yaml", "b.txt", "list"]


async def test_only_what_is_included_is_fetched_and_counts(opened: Opened, bucket: Bucket, between: Between) -> None:
    await bucket.put_all({"prod/a.yaml": "1", "prod/b.md": "1"})
    source = opened(prefix="prod", include=["*.yaml"])
    revision = await source.fetch()
    assert "prod/b.md" not in between.taken()
    await bucket.put("prod/b.md", "2")

    assert await source.fetch() == revision
    assert await contents(source, revision) == {"a.yaml": "1"}


async def test_what_consoles_put_for_folders_is_left_out(opened: Opened, bucket: Bucket) -> None:
    await bucket.put_all({"prod/": "", "prod/apps/": "", "prod/apps/a.yaml": "1"})
    source = opened(prefix="prod")

    assert await contents(source, await source.fetch()) == {"apps/a.yaml": "1"}


async def test_an_empty_bucket_declares_nothing(opened: Opened, bucket: Bucket) -> None:
    await bucket.put("a.yaml", "1")
    source = opened()
    await source.fetch()
    await bucket.delete("a.yaml")

    revision = await source.fetch()

    for call in (source.tree(revision).entries(""), source.tree(revision).id("apps")):
        with pytest.raises(NothingDeclared):
            await call


async def test_a_bucket_that_vanishes_is_an_error_and_what_is_held_stays(
    opened: Opened, s3_client: S3Client, bucket: Bucket
) -> None:
    version = await bucket.put("a.yaml", "1")
    source = opened()
    revision = await source.fetch()
    await bucket.delete_versions([("a.yaml", version)])
    await s3_client.delete_bucket(Bucket=bucket.name)

    with pytest.raises(SourceError, match="there is no bucket of this name at the endpoint"):
        await source.fetch()
    assert await contents(source, revision) == {"a.yaml": "1"}


async def test_links_name_bucket_key_and_version(opened: Opened, bucket: Bucket) -> None:
    version = await bucket.put("prod/a b.yaml", "1")
    source = opened(prefix="prod")
    revision = await source.fetch()
    await source.tree(revision).entries("")

    link = source.link(revision)

    assert link("a b.yaml", 3) == f"s3://{bucket.name}/prod/a%20b.yaml?versionId={version}"
    assert link("other.yaml", 1) == ""


async def test_the_copy_is_for_its_owner_alone(opened: Opened, bucket: Bucket, tmp_path: Path) -> None:
    await bucket.put("a.yaml", "1")
    await opened().fetch()

    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    for path in (tmp_path / "data").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600


async def test_large_objects_are_few_at_a_time(opened: Opened, bucket: Bucket, between: Between) -> None:
    await bucket.put_all({f"{number}.yaml": b"#" * (1024 * 1024 + number) for number in range(1, 7)})
    await bucket.put_all({f"small-{number}.yaml": "1" for number in range(6)})
    under_way, most = 0, 0

    async def before(request: web.Request) -> web.StreamResponse | None:
        nonlocal under_way, most
        if request.path.rpartition("/")[2].startswith("small-") or "list-type" in request.query:
            return None
        under_way += 1
        most = max(most, under_way)
        # Long enough for others to come, if they may.
        await asyncio.sleep(0.05)
        under_way -= 1
        return None

    between.before = before
    source = opened()

    revision = await source.fetch()

    assert len(await source.tree(revision).entries("")) == 12
    assert most == 2
