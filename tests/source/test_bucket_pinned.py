"""An earlier revision of a bucket, asked for by its digest."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from guard.base.errors import SourceError
from guard.source.bucket import history as buckethistory
from guard.source.bucket import source as buckets
from guard.source.bucket.answers import Version
from guard.source.bucket.revision import digest_of
from tests.source.between import Between
from tests.source.conftest import Opened
from tests.source.test_bucket import contents
from tools.s3client import Bucket, S3Client


async def revisions(opened: Opened, bucket: Bucket) -> list[tuple[str, dict[str, str]]]:
    """Some, each with what it held, of a bucket that was written to in many ways."""
    source = opened(prefix="prod", directory="writer")
    found: list[tuple[str, dict[str, str]]] = []

    async def take() -> None:
        revision = await source.fetch()
        found.append((revision, await contents(source, revision)))

    await bucket.put_all({"prod/a.yaml": "1", "prod/b.yaml": "1", "other/c.yaml": "1"})
    await take()
    await bucket.put("prod/a.yaml", "2")
    await bucket.put("prod/d.yaml", "2")
    await take()
    await bucket.delete("prod/b.yaml")
    await take()
    await bucket.put_all({"prod/b.yaml": "4", "prod/a.yaml": "4"})
    await bucket.delete("prod/d.yaml")
    await take()
    await bucket.delete("prod/a.yaml", "prod/b.yaml")
    await bucket.put("prod/e.yaml", "5")
    await take()
    return found


async def test_every_earlier_revision_is_found_in_the_history(opened: Opened, bucket: Bucket) -> None:
    for number, (revision, held) in enumerate(await revisions(opened, bucket)):
        source = opened(prefix="prod", pinned=digest_of(revision), directory=f"pinned-{number}")

        assert await source.fetch() == revision
        assert await contents(source, revision) == held


async def test_one_that_is_held_costs_no_request(opened: Opened, bucket: Bucket, between: Between) -> None:
    found = await revisions(opened, bucket)
    between.taken()
    for revision, held in found:
        source = opened(prefix="prod", pinned=digest_of(revision), directory="writer")

        assert await source.fetch() == revision
        assert await contents(source, revision) == held
    assert between.taken() == []


async def test_one_that_was_found_is_held_from_then_on(opened: Opened, bucket: Bucket, between: Between) -> None:
    (revision, _), *_ = await revisions(opened, bucket)
    source = opened(prefix="prod", pinned=digest_of(revision))
    between.taken()
    await source.fetch()
    assert between.taken()[0] == "versions"

    assert await source.fetch() == revision
    assert between.taken() == []


async def test_one_that_never_was_is_told(opened: Opened, bucket: Bucket) -> None:
    await bucket.put("a.yaml", "1")
    with pytest.raises(SourceError, match="neither in Guard's copy nor in the history of the bucket"):
        await opened(pinned="0" * 64).fetch()


async def test_one_that_is_not_there_is_looked_for_once_in_each_history(
    opened: Opened, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Playing a long history backwards takes seconds of a core."""
    searches: list[int] = []

    def counted(versions: Sequence[Version], digest: str, *, wanted: Callable[[str], bool]) -> tuple[Version, ...] | None:
        searches.append(len(versions))
        return buckethistory.find(versions, digest, wanted=wanted)

    monkeypatch.setattr(buckets, "find", counted)
    await bucket.put("a.yaml", "1")
    source = opened(pinned="0" * 64)
    for _ in range(3):
        with pytest.raises(SourceError, match="neither in Guard's copy nor in the history"):
            await source.fetch()
    assert searches == [1]
    await bucket.put("a.yaml", "2")
    with pytest.raises(SourceError, match="neither in Guard's copy nor in the history"):
        await source.fetch()
    assert searches == [1, 2]
    monkeypatch.setattr(buckethistory, "MOST_HASHED", 0)
    pinned = opened(pinned="1" * 64)
    for _ in range(2):
        with pytest.raises(SourceError, match="too far back in the history"):
            await pinned.fetch()
    assert searches == [1, 2, 2]


async def test_one_whose_versions_were_taken_away_is_told(opened: Opened, bucket: Bucket) -> None:
    version = await bucket.put("a.yaml", "1")
    pinned = digest_of(await opened(directory="other").fetch())
    await bucket.put("a.yaml", "2")
    await bucket.delete_versions([("a.yaml", version)])

    with pytest.raises(SourceError, match="neither in Guard's copy nor in the history"):
        await opened(pinned=pinned).fetch()


async def test_without_versions_only_the_copy_has_it(opened: Opened, s3_client: S3Client, bucket: Bucket) -> None:
    plain = await Bucket.make(s3_client, f"{bucket.name}-plain", versioning="")
    await plain.put("a.yaml", "1")
    writer = opened(name=plain.name, directory="writer")
    first = await writer.fetch()
    assert await opened(name=plain.name, pinned=digest_of(first), directory="early").fetch() == first
    await plain.put("a.yaml", "2")
    await writer.fetch()

    assert await contents(writer, await opened(name=plain.name, pinned=digest_of(first), directory="writer").fetch()) == {
        "a.yaml": "1"
    }
    with pytest.raises(SourceError, match="neither in Guard's copy nor in the history"):
        await opened(name=plain.name, pinned=digest_of(first)).fetch()


async def test_objects_from_before_the_bucket_was_versioned_can_be_pinned_as_long_as_they_stay(
    opened: Opened, s3_client: S3Client, bucket: Bucket
) -> None:
    plain = await Bucket.make(s3_client, f"{bucket.name}-plain", versioning="")
    await plain.put_all({"a.yaml": "1", "b.yaml": "1"})
    await plain.version("Enabled")
    await plain.put("c.yaml", "1")
    writer = opened(name=plain.name, directory="writer")
    revision = await writer.fetch()
    assert writer.trust.weakness.startswith("2 of 3 objects have no version in the bucket")
    await plain.put("a.yaml", "2")

    source = opened(name=plain.name, pinned=digest_of(revision))
    assert await source.fetch() == revision
    assert await contents(source, revision) == {"a.yaml": "1", "b.yaml": "1", "c.yaml": "1"}
    assert source.trust == writer.trust
