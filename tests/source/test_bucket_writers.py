"""Others write to the bucket while Guard reads it."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import re
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from guard.base.errors import SourceError
from guard.source.bucket import answers as s3answers
from guard.source.bucket import source as buckets
from tests.source.between import Between
from tests.source.conftest import Opened
from tests.source.test_bucket import contents
from tools.s3client import Bucket, S3Client


def once(key: str, act: Callable[[], Awaitable[object]]) -> Callable[[web.Request], Awaitable[None]]:
    """Act before the first request for that key goes on."""
    is_done = False

    async def before(request: web.Request) -> None:
        nonlocal is_done
        if request.path.endswith(f"/{key}") and not is_done:
            is_done = True
            await act()

    return before


async def test_what_was_listed_is_fetched_though_it_was_replaced_meanwhile(
    opened: Opened, bucket: Bucket, between: Between
) -> None:
    await bucket.put_all({"a.yaml": "1", "b.yaml": "1"})
    undisturbed = await opened(directory="other").fetch()
    source = opened()
    between.before = once("b.yaml", lambda: bucket.put("b.yaml", "2"))

    revision = await source.fetch()

    assert revision == undisturbed
    assert await contents(source, revision) == {"a.yaml": "1", "b.yaml": "1"}
    assert await contents(source, await source.fetch()) == {"a.yaml": "1", "b.yaml": "2"}


async def test_the_version_that_was_listed_is_fetched_though_the_same_was_put_again_meanwhile(
    opened: Opened, bucket: Bucket, between: Between
) -> None:
    """Otherwise the revision would be a state that never was, with this version beside older ones of what changed before it."""
    await bucket.put_all({"a.yaml": "1", "b.yaml": "1"})
    undisturbed = await opened(directory="other").fetch()
    source = opened()

    async def put() -> None:
        # S3 tells times by the second.
        await asyncio.sleep(1.1)
        await bucket.put("a.yaml", "2")
        await bucket.put("b.yaml", "1")

    between.before = once("b.yaml", put)

    assert await source.fetch() == undisturbed
    latest = await source.fetch()
    assert latest == await opened(directory="other").fetch() != undisturbed
    assert await contents(source, latest) == {"a.yaml": "2", "b.yaml": "1"}


async def test_what_was_listed_is_fetched_though_it_was_deleted_meanwhile(
    opened: Opened, bucket: Bucket, between: Between
) -> None:
    await bucket.put_all({"a.yaml": "1", "b.yaml": "1"})
    source = opened()
    between.before = once("b.yaml", lambda: bucket.delete("b.yaml"))

    assert await contents(source, await source.fetch()) == {"a.yaml": "1", "b.yaml": "1"}
    assert await contents(source, await source.fetch()) == {"a.yaml": "1"}


async def test_what_is_gone_for_good_is_listed_anew(opened: Opened, bucket: Bucket, between: Between) -> None:
    await bucket.put("a.yaml", "1")
    version = await bucket.put("b.yaml", "1")
    source = opened()
    between.before = once("b.yaml", lambda: bucket.delete_versions([("b.yaml", version)]))

    assert await contents(source, await source.fetch()) == {"a.yaml": "1"}
    assert between.asked.count("list") == 2
    assert between.asked.count("a.yaml") == 1


async def test_without_versions_what_changed_meanwhile_is_listed_anew(
    opened: Opened, s3_client: S3Client, bucket: Bucket, between: Between
) -> None:
    plain = await Bucket.make(s3_client, f"{bucket.name}-plain", versioning="")
    await plain.put_all({"a.yaml": "1", "b.yaml": "1"})
    source = opened(name=plain.name)

    async def replace() -> None:
        await plain.put_all({"a.yaml": "2", "b.yaml": "2"})

    between.before = once("b.yaml", replace)

    assert await contents(source, await source.fetch()) == {"a.yaml": "2", "b.yaml": "2"}


async def test_a_bucket_that_never_holds_still_is_given_up_for_now(
    opened: Opened, s3_client: S3Client, bucket: Bucket, between: Between
) -> None:
    plain = await Bucket.make(s3_client, f"{bucket.name}-plain", versioning="")
    await plain.put("a.yaml", "0")
    source = opened(name=plain.name)
    first = await source.fetch()
    numbers = itertools.count(1)

    async def before(request: web.Request) -> None:
        if request.path.endswith("/a.yaml"):
            await plain.put("a.yaml", str(next(numbers)))

    await plain.put("a.yaml", "new")
    between.taken()
    between.before = before

    with pytest.raises(SourceError, match=r"changes faster than it can be fetched.*a\.yaml"):
        await source.fetch()
    assert between.asked.count("list") == buckets.ROUNDS
    assert await contents(source, first) == {"a.yaml": "0"}
    between.before = None
    assert (await contents(source, await source.fetch()))["a.yaml"] == str(buckets.ROUNDS)


async def test_with_a_writer_that_goes_on_all_the_time_every_revision_is_a_listing(
    opened: Opened, bucket: Bucket, between: Between
) -> None:
    """What each listing said is written down on the way; what was fetched has to be the last of them, content by content."""
    await bucket.put_all({f"{number}.yaml": f"{number} first" for number in range(30)})
    listings: list[dict[str, str]] = []
    source = opened()

    async def write() -> None:
        for number in itertools.count():
            key = f"{number * 7 % 30}.yaml"
            if number % 5 == 4:
                await bucket.delete(key)
            else:
                await bucket.put(key, f"{key} {number}")

    async def note(request: web.Request) -> web.Response | None:
        if "list-type" not in request.query:
            return None
        between.before = None
        answer = await between.answer(request)
        between.before = note
        assert isinstance(answer, web.Response)
        assert isinstance(answer.body, bytes)
        listings.append({each.key: each.etag.strip('"') for each in s3answers.page(answer.body).objects})
        return answer

    between.before = note
    writer = asyncio.create_task(write())
    try:
        seen: set[str] = set()
        for _ in range(15):
            revision = await source.fetch()
            seen.add(revision)
            found = await contents(source, revision)
            assert {
                key: hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() for key, text in found.items()
            } == listings[-1]
            assert not writer.done()
    finally:
        writer.cancel()
        await asyncio.gather(writer, return_exceptions=True)

    assert len(seen) > 1
    assert all(re.fullmatch(rf"{bucket.name}@sha256:[0-9a-f]{{64}}", revision) for revision in seen)
    # It ends with what the bucket holds.
    found = await contents(source, await source.fetch())
    assert {key: hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() for key, text in found.items()} == listings[-1]
