from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from guard.base.errors import RenderError
from guard.render.cache import Cache
from guard.render.parse import Parser
from guard.state.snapshot import File

MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
# About a second of parsing.
LARGE = (MAP + "data:\n" + "".join(f"  key{n}: value {n}\n" for n in range(40)) + "---\n") * 5000


@pytest.fixture
async def parser() -> AsyncIterator[Parser]:
    made = Parser()
    yield made
    await made.close()


def files(**texts: str) -> list[File]:
    return [File(path=f"{name}.yaml", blob=f"{name}{hash(text)}", data=text.encode()) for name, text in texts.items()]


def children() -> set[int]:
    """The worker processes of this one."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        found |= {int(pid) for pid in (task / "children").read_text().split()}
    return {pid for pid in found if b"guard.render.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()}


async def started() -> int:
    while not (found := children()):  # noqa: ASYNC110 (another process has no event to wait for)
        await asyncio.sleep(0.01)
    return found.pop()


async def test_many_files_are_shared_among_children_and_come_back_in_order(parser: Parser) -> None:
    many = files(**{f"n{number}": MAP.replace("name: a", f"name: n{number}") for number in range(500)})

    parsed = await parser.parse(many)

    assert [each.manifests[0].body["metadata"]["name"] for each in parsed] == [f"n{number}" for number in range(500)]


async def test_a_file_of_many_parts_comes_whole(parser: Parser) -> None:
    (parsed,) = await parser.parse(files(a=LARGE[: len(LARGE) // 10]))

    assert len(parsed.manifests) == 500
    assert parsed.manifests[-1].line == 45 * 499 + 1


async def test_a_child_serves_the_next_revision_too(parser: Parser) -> None:
    await parser.parse(files(a=MAP))
    first = children()
    await parser.parse(files(b=MAP))

    assert children() == first
    assert len(first) == 1
    await parser.close()
    assert not children()


async def test_a_child_that_died_while_nobody_asked_is_replaced(parser: Parser) -> None:
    await parser.parse(files(a=MAP))
    (child,) = children()
    os.kill(child, signal.SIGKILL)
    while child in children():  # noqa: ASYNC110 (another process has no event to wait for)
        await asyncio.sleep(0.01)

    (parsed,) = await parser.parse(files(b=MAP))

    assert len(parsed.manifests) == 1


async def test_a_parser_that_takes_too_long_is_killed() -> None:
    parser = Parser(timeout=0.3)
    with pytest.raises(RenderError, match=r"^a\.yaml: parsing took longer than 0\.3 s"):
        await parser.parse(files(a=LARGE))

    assert not children()
    await parser.close()


async def test_a_parser_that_dies_names_the_file(parser: Parser) -> None:
    parsing = asyncio.create_task(parser.parse(files(bad=LARGE)))
    child = await started()
    await asyncio.sleep(0.1)
    os.kill(child, signal.SIGKILL)

    with pytest.raises(RenderError, match=r"^bad\.yaml: the parser ended unexpectedly \(signal 9\)"):
        await parsing


async def test_cancelled_parsing_leaves_no_child(parser: Parser) -> None:
    parsing = asyncio.create_task(parser.parse(files(a=LARGE)))
    await started()
    parsing.cancel()

    with pytest.raises(asyncio.CancelledError):
        await parsing
    assert not children()


def test_the_worker_loads_neither_aiohttp_nor_the_cluster_client() -> None:
    code = "import sys, guard.render.worker; print({'aiohttp', 'kubernetes_asyncio', 'git', 'asyncio'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"


async def test_a_cache_that_is_damaged_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    path.write_bytes(b"not a database, but long enough to be taken for one" * 100)
    cache = Cache(path, today=lambda: 1)
    parser = Parser(cache=cache)

    (parsed,) = await parser.parse(files(a=MAP))
    (again,) = await parser.parse(files(a=MAP))

    assert parsed == again
    assert len(parsed.manifests) == 1
    assert path.stat().st_mode & 0o777 == 0o600
    await parser.close()
    await cache.close()


async def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = Cache(tmp_path / "file" / "cache.db", today=lambda: 1)
    parser = Parser(cache=cache)

    (parsed,) = await parser.parse(files(a=MAP))

    assert len(parsed.manifests) == 1
    await parser.close()
    await cache.close()


async def test_what_nobody_asked_for_in_a_month_is_forgotten(tmp_path: Path) -> None:
    async def known(day: int, *, ask: bytes) -> bool:
        cache = Cache(tmp_path / "cache.db", today=lambda: day)
        found = await cache.parsed([ask])
        await cache.close()
        return bool(found)

    cache = Cache(tmp_path / "cache.db", today=lambda: 1)
    await cache.keep_parsed({b"asked": [], b"forgotten": []})
    await cache.close()

    assert await known(20, ask=b"asked")
    assert await known(40, ask=b"asked")
    assert not await known(40, ask=b"forgotten")


async def test_what_is_past_the_limit_goes_while_the_cache_is_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guard.render.cache.MOST_BYTES", 10_000)
    cache = Cache(tmp_path / "cache.db", today=lambda: 1)

    for number in range(100):
        await cache.keep_output(str(number), os.urandom(1_000))

    assert sum([await cache.output(str(number)) is not None for number in range(100)]) < 15
    assert await cache.output("99") is not None
    await cache.close()
