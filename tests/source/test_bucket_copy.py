"""What lies on disk of a bucket, and what becomes of it when it is damaged, left behind or too much."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web

from guard.base.errors import SourceError
from guard.source import BucketSource
from guard.source.bucket import localcopy as bucketcopy
from guard.source.bucket.revision import digest_of
from tests.source.between import Between
from tests.source.conftest import Opened, until
from tests.source.test_bucket import contents
from tools.s3client import Bucket
from tools.s3server import S3Server

# As a Guard that fetches; it is killed.
FETCH = """
import asyncio, os, pathlib
from guard.source import BucketCredentials, BucketSource

async def main():
    login = BucketCredentials(access_key=os.environ["KEY"], secret_key=os.environ["SECRET"])
    await BucketSource(
        name=os.environ["NAME"], endpoint=os.environ["URL"], credentials=login, directory=pathlib.Path(os.environ["DATA"])
    ).fetch()

asyncio.run(main())
"""


def copy_of(tmp_path: Path) -> Path:
    (copy,) = (tmp_path / "data").glob("*.bucket")
    return copy


async def fetched(source: BucketSource) -> dict[str, str]:
    return await contents(source, await source.fetch())


async def test_after_a_kill_in_mid_fetch_only_the_rest_is_fetched(
    opened: Opened, bucket: Bucket, between: Between, tmp_path: Path, s3_server: S3Server
) -> None:
    total, passed = 500, 450
    await bucket.put_all({f"{number}.yaml": str(number) for number in range(total)})

    async def before(_request: web.Request) -> None:
        if len(between.asked) > passed:
            await asyncio.sleep(60)

    between.before = before
    environment = {"KEY": s3_server.access_key, "SECRET": s3_server.secret_key, "NAME": bucket.name, "URL": between.url}
    killed = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", FETCH),
        env=environment | {"DATA": str(tmp_path / "data"), "PATH": os.defpath, "no_proxy": "127.0.0.1"},
    )
    await until(lambda: len(between.asked) > passed or killed.returncode is not None)
    killed.send_signal(signal.SIGKILL)
    assert await killed.wait() == -signal.SIGKILL
    between.before = None
    between.taken()

    assert await fetched(opened()) == {f"{number}.yaml": str(number) for number in range(total)}
    assert len(between.taken()) < total - 150


def _nonsense(copy: Path) -> None:
    copy.write_bytes(b"this is no database" * 1000)


def _torn(copy: Path) -> None:
    data = copy.read_bytes()
    copy.write_bytes(data[: len(data) // 2])


def _emptied(copy: Path) -> None:
    copy.write_bytes(b"")


def _gone(copy: Path) -> None:
    copy.unlink()


@pytest.mark.parametrize("damage", [_nonsense, _torn, _emptied, _gone])
async def test_a_copy_that_is_damaged_is_made_anew(
    opened: Opened, bucket: Bucket, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    held = {f"{number}.yaml": str(number) * 1000 for number in range(20)}
    await bucket.put_all(dict(held))
    first = opened()
    await first.fetch()
    await first.close()
    damage(copy_of(tmp_path))

    assert await fetched(opened()) == held


async def test_a_content_that_is_damaged_is_noticed_and_fetched_anew(
    opened: Opened, bucket: Bucket, between: Between, tmp_path: Path
) -> None:
    await bucket.put_all({"a.yaml": "1", "b.yaml": "2"})
    source, other = opened(), opened()
    revision = await source.fetch()
    await other.fetch()
    with sqlite3.connect(copy_of(tmp_path)) as database:
        database.execute("UPDATE blobs SET data = ? WHERE data = ?", (b"3", b"2"))
    database.close()

    with pytest.raises(SourceError, match="the local copy lacks the file content"):
        await contents(source, revision)
    between.taken()
    assert await source.fetch() == revision
    assert between.taken() == ["list", "b.yaml"]
    assert await contents(source, revision) == {"a.yaml": "1", "b.yaml": "2"}
    assert await fetched(other) == {"a.yaml": "1", "b.yaml": "2"}


async def test_a_listing_that_is_damaged_is_noticed_and_made_anew(opened: Opened, bucket: Bucket, tmp_path: Path) -> None:
    await bucket.put("a.yaml", "1")
    first = opened()
    revision = await first.fetch()
    await first.close()
    with sqlite3.connect(copy_of(tmp_path)) as database:
        database.execute("UPDATE revisions SET objects = '[]'")
    database.close()

    with pytest.raises(SourceError, match="is damaged"):
        await contents(opened(), revision)
    assert await fetched(opened()) == {"a.yaml": "1"}
    pinned = opened(pinned=digest_of(revision))
    assert await pinned.fetch() == revision


async def test_one_sync_that_makes_a_copy_anew_does_not_leave_another_behind(
    opened: Opened, bucket: Bucket, tmp_path: Path
) -> None:
    await bucket.put("a.yaml", "1")
    first, second = opened(), opened()
    await first.fetch()
    await second.fetch()
    copy_of(tmp_path).unlink()
    await first.fetch()
    await bucket.put("a.yaml", "2")

    assert await fetched(second) == {"a.yaml": "2"}
    assert await contents(first, await first.fetch()) == {"a.yaml": "2"}


async def test_revisions_that_nobody_keeps_go_when_there_are_many(
    opened: Opened, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucketcopy, "MOST_REVISIONS", 3)
    await bucket.put("same.yaml", "same")
    source, other = opened(), opened(include=["same.yaml"])
    seen: list[str] = []
    for number in range(20):
        await bucket.put("a.yaml", str(number))
        seen.append(await source.fetch())
        if number == 1:
            await source.keep(seen[1], owner="guard-system/apps")
            await source.keep(seen[0], owner="guard-system/other")
            await source.keep(seen[1], owner="guard-system/other")
            await other.fetch()

    assert await contents(source, seen[1]) == {"a.yaml": "1", "same.yaml": "same"}
    assert await contents(source, seen[-1]) == {"a.yaml": "19", "same.yaml": "same"}
    assert await fetched(other) == {"same.yaml": "same"}
    with pytest.raises(SourceError, match="is not in the local copy"):
        await opened().tree(seen[0]).entries("")
    with sqlite3.connect(copy_of(tmp_path)) as database:
        asked = ("SELECT count(*) FROM revisions", "SELECT count(*) FROM blobs", "SELECT count(*) FROM objects")
        counts = [database.execute(each).fetchone()[0] for each in asked]
    database.close()
    assert all(count <= 2 * 3 + 4 for count in counts), counts


async def test_large_revisions_are_not_kept_side_by_side(
    opened: Opened, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucketcopy, "MOST_BYTES", 1000)
    source = opened()
    for number in range(8):
        await bucket.put("a.yaml", str(number) * 400)
        await source.fetch()

    with sqlite3.connect(copy_of(tmp_path)) as database:
        (size,) = database.execute("SELECT total(length(data)) FROM blobs").fetchone()
    database.close()
    assert size <= 1000 + 400


async def test_a_revision_that_is_not_held_cannot_be_kept_or_read(opened: Opened, bucket: Bucket) -> None:
    await bucket.put("a.yaml", "1")
    source = opened()
    await source.fetch()
    unknown = f"{bucket.name}@sha256:{'0' * 64}"

    for call in (source.keep(unknown, owner="x"), source.tree(unknown).id("")):
        with pytest.raises(SourceError, match="is not in the local copy"):
            await call
    for odd in ("main@sha1:" + "0" * 40, f"{bucket.name}@sha256:12", "x"):
        with pytest.raises(SourceError, match="is not a revision of a bucket"):
            source.tree(odd)


async def test_a_folder_that_cannot_be_written_is_told(opened: Opened, bucket: Bucket, tmp_path: Path) -> None:
    await bucket.put("a.yaml", "1")
    (tmp_path / "data").write_text("not a folder")
    with pytest.raises(SourceError, match="the local copy cannot be used"):
        await opened().fetch()
