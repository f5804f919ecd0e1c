"""Whatever happens to a bucket, a source of it agrees with a plain dictionary."""

from __future__ import annotations

import random

from guard.base.errors import NothingDeclared
from guard.source import BucketSource
from guard.source.bucket.revision import digest_of
from tests.source.conftest import Opened
from tests.source.test_bucket import contents
from tools.s3client import Bucket

STEPS = 120


async def held(source: BucketSource, revision: str) -> dict[str, str]:
    try:
        return await contents(source, revision)
    except NothingDeclared:
        return {}


async def changed(source: BucketSource, revision: str, before: dict[str, str], since: str) -> dict[str, str]:
    """What was there before, with the changes since then."""
    tree = source.tree(revision)
    changes = await tree.changes("", since)
    assert changes
    read = await tree.read(entry.blob for entry in changes.put)
    after = {path: text for path, text in before.items() if path not in changes.gone}
    return after | {entry.path: read[entry.blob].decode() for entry in changes.put}


async def test_contents_changes_and_pins_agree_with_what_was_done(opened: Opened, bucket: Bucket) -> None:
    draw = random.Random(random.random())  # noqa: S311 (no secret)
    source = opened(prefix="prod")
    model: dict[str, str] = {}
    seen: dict[str, dict[str, str]] = {}
    last: tuple[str, dict[str, str]] | None = None
    for step in range(STEPS):
        path = f"{draw.choice('abc')}/{draw.randrange(6)}.yaml"
        match draw.choices(("put", "delete", "look", "restart"), (10, 5, 4, 1))[0]:
            case "put":
                model[path] = str(step)
                await bucket.put(f"prod/{path}", model[path])
            case "delete":
                model.pop(path, None)
                await bucket.delete(f"prod/{path}")
            case "restart":
                await source.close()
                source = opened(prefix="prod")
            case _:
                revision = await source.fetch()
                assert await held(source, revision) == model
                seen[revision] = dict(model)
                if model:
                    if last is not None:
                        assert await changed(source, revision, last[1], last[0]) == model
                    last = await source.tree(revision).id(""), dict(model)

    for number, (revision, was) in enumerate(seen.items()):
        pinned = opened(prefix="prod", pinned=digest_of(revision), directory=f"pinned-{number}")
        assert await pinned.fetch() == revision
        assert await held(pinned, revision) == was
