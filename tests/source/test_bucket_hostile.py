"""Stores that mean no good, or are broken; and keys that are no files."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from aiohttp import web

from guard.base.errors import RenderError, SourceError
from guard.source.bucket import source as buckets
from guard.source.bucket import store as s3store
from guard.source.bucket import tree as buckettree
from tests.source.between import Answer, Between
from tests.source.conftest import Opened
from tests.source.test_bucket import contents
from tools.s3client import Bucket

ONE = '<Contents><Key>{key}</Key><ETag>"1"</ETag><Size>1</Size><LastModified>2026-01-02T03:04:05.000Z</LastModified></Contents>'


def page(*contents: str, more: str = "") -> str:
    end = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{more}</NextContinuationToken>" if more else ""
    return f"<ListBucketResult>{''.join(contents)}{end}</ListBucketResult>"


def listing(text: Callable[[web.Request], str], *, others: str = "1") -> Answer:
    """Lists that, and hands out the others whatever is asked."""

    async def before(request: web.Request) -> web.Response:
        return web.Response(text=text(request) if "list-type" in request.query else others)

    return before


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<ListBucketResult>",
        "<Other/>",
        page(ONE.format(key="")),
        page(ONE.format(key="a").replace(">1</Size", ">-1</Size")),
        page(ONE.format(key="a").replace(">1</Size", ">१</Size")),
        page(ONE.format(key="a").replace(">1</Size", f">{'9' * 30}</Size")),
        page(ONE.format(key="a").replace('"1"', "")),
        page(ONE.format(key="a").replace('"1"', "a&#10;X-Other: b")),
        "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        '<!DOCTYPE a [<!ENTITY b "c">]><ListBucketResult>&b;</ListBucketResult>',
        "<a>" * 100_000,
        # Well-formed, and made to keep a parser busy.
        page("<a/>" * 50_000),
        page("<a>" * 10 + "</a>" * 10),
        page("<a" + "".join(f" a{number}='>'" for number in range(5_000)) + "/>"),
        page(f"<?a {' ' * 100_000}?>"),
        page("<Other>" + "x" * 100_000 + "</Other>"),
    ],
)
async def test_what_is_no_listing_is_refused(opened: Opened, between: Between, text: str) -> None:
    between.before = listing(lambda _: text)
    with pytest.raises(SourceError, match="what answers is not an S3 store"):
        await opened().fetch()


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
async def test_other_encodings_are_refused(opened: Opened, between: Between, encoding: str) -> None:
    body = f'<?xml version="1.0" encoding="{encoding}"?><ListBucketResult>ü</ListBucketResult>'.encode(encoding)

    async def before(_request: web.Request) -> web.Response:
        return web.Response(body=body)

    between.before = before
    with pytest.raises(SourceError, match="what answers is not an S3 store"):
        await opened().fetch()


async def test_a_listing_that_goes_in_circles_is_given_up(opened: Opened, between: Between) -> None:
    tokens = itertools.cycle(("a", "b", "c"))
    between.before = listing(lambda _: page(more=next(tokens)))
    with pytest.raises(SourceError, match="does not come to an end"):
        await opened().fetch()
    assert len(between.asked) <= 4


async def test_a_listing_without_end_is_given_up(opened: Opened, between: Between, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3store, "MOST_PAGES", 20)
    numbers = itertools.count()
    between.before = listing(lambda _: page(more=str(next(numbers))))
    with pytest.raises(SourceError, match="does not come to an end"):
        await opened().fetch()
    assert len(between.asked) == 20

    monkeypatch.setattr(s3store, "MOST_LISTED", 10)
    between.before = listing(lambda _: page(ONE.format(key=next(numbers)), more=str(next(numbers))))
    with pytest.raises(SourceError, match="more than 10 objects are below the prefix"):
        await opened().fetch()


async def test_a_page_without_end_is_given_up(opened: Opened, between: Between, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3store, "MOST_IN_PAGE", 100_000)
    sent = 0

    async def before(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while sent < 100_000_000:
            await response.write(b" " * 10_000)
            sent += 10_000
        return response

    between.before = before
    with pytest.raises(SourceError, match="a page of the store's listing is larger than"):
        await opened().fetch()
    assert sent < 50_000_000


@pytest.mark.parametrize("keys", [("a", "a"), ("other/a",)])
async def test_keys_that_were_not_asked_for_are_refused(opened: Opened, between: Between, keys: tuple[str, ...]) -> None:
    between.before = listing(lambda _: page(*(ONE.format(key=f"prod/{key}" if key == "a" else key) for key in keys)))
    with pytest.raises(SourceError, match="lists a key twice, or one that was not asked for"):
        await opened(prefix="prod").fetch()


@pytest.mark.parametrize("body", ["", "22", "2" * 5_000_000])
async def test_an_object_of_another_size_than_listed_is_refused(opened: Opened, between: Between, body: str) -> None:
    between.before = listing(lambda _: page(ONE.format(key="a.yaml")), others=body)
    with pytest.raises(SourceError, match=r"another size of 'a\.yaml' than it lists"):
        await opened().fetch()


async def test_an_object_of_another_etag_than_listed_counts_as_changed(opened: Opened, between: Between) -> None:
    async def before(request: web.Request) -> web.Response:
        if "list-type" in request.query:
            return web.Response(text=page(ONE.format(key="a.yaml")))
        return web.Response(text="1", headers={"ETag": '"2"'})

    between.before = before
    with pytest.raises(SourceError, match=r"changes faster than it can be fetched|not an S3 store"):
        await opened().fetch()


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("prod//a.yaml", "has an empty name in it"),
        ("prod/a/../../b.yaml", "leads out of its folder"),
        ("prod/./a.yaml", "leads out of its folder"),
        ("prod/a%0Ab.yaml", "holds control characters"),
        ("prod/a%E2%80%AEb.yaml", "holds control characters"),
        ("prod/folder/", "has an empty name in it"),
        (f"prod/{'n' * 256}", "is too long"),
        (f"prod/{'d/' * 101}a", "is too long"),
    ],
)
async def test_keys_that_cannot_be_files_are_refused_unless_left_out(
    opened: Opened, between: Between, key: str, said: str
) -> None:
    coded = page(ONE.format(key=key), ONE.format(key="prod/fine.yml")).replace(
        "<ListBucketResult>", "<ListBucketResult><EncodingType>url</EncodingType>"
    )
    between.before = listing(lambda _: coded)
    with pytest.raises(SourceError, match=said) as caught:
        await opened(prefix="prod").fetch()
    assert str(caught.value).isprintable()
    await opened(prefix="prod", include=["*.yml"]).fetch()


async def test_a_key_that_is_file_and_folder_at_once_is_refused(opened: Opened, between: Between) -> None:
    between.before = listing(lambda _: page(ONE.format(key="a"), ONE.format(key="a-b"), ONE.format(key="a/b/c.yaml")))
    with pytest.raises(SourceError, match=r"the key 'a' is an object, and a folder of 'a/b/c\.yaml'"):
        await opened().fetch()


async def test_a_large_object_is_not_fetched(opened: Opened, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (buckets, buckettree):
        monkeypatch.setattr(module, "MOST_IN_FILE", 4)
    await bucket.put_all({"large.bin": "12345", "fine.yaml": "1234"})
    source = opened()
    tree = source.tree(await source.fetch())
    blobs = {entry.path: entry.blob for entry in await tree.entries("")}

    assert await tree.read([blobs["fine.yaml"]]) == {blobs["fine.yaml"]: b"1234"}
    with pytest.raises(RenderError, match=r"^large\.bin: is larger than"):
        await tree.read(blobs.values())
    assert source.trust.weakness == ""
    since = await tree.id("")
    await bucket.put("large.bin", "54321")
    changes = await source.tree(await source.fetch()).changes("", since)
    assert changes
    assert [entry.path for entry in changes.put] == ["large.bin"]


async def test_no_more_is_fetched_or_read_at_once_than_fits(
    opened: Opened, bucket: Bucket, between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bucket.put_all({"a.yaml": "1" * 100, "b.yaml": "2" * 100})
    monkeypatch.setattr(buckets, "MOST_IN_FETCH", 150)
    with pytest.raises(SourceError, match="what is below the prefix is more than"):
        await opened().fetch()
    assert between.asked == ["list"]
    monkeypatch.setattr(buckets, "MOST_IN_FETCH", 250)
    monkeypatch.setattr(buckettree, "MOST_IN_ALL", 150)
    source = opened()
    revision = await source.fetch()
    with pytest.raises(RenderError, match="the files to be read hold more than"):
        await contents(source, revision)


async def test_a_version_id_that_cannot_be_one_is_refused(opened: Opened, between: Between) -> None:
    async def before(request: web.Request) -> web.Response:
        if "list-type" in request.query:
            return web.Response(text=page(ONE.format(key="a.yaml")))
        return web.Response(text="1", headers={"x-amz-version-id": "v" * 5000})

    between.before = before
    with pytest.raises(SourceError, match="what answers is not an S3 store"):
        await opened().fetch()
