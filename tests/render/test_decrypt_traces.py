"""Decrypted values are in Guard's own memory and nowhere else."""

from __future__ import annotations

import asyncio
import os
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from guard.base.errors import RenderError
from guard.render import keys
from guard.render.cache import Cache
from guard.render.decrypt import Decryption
from guard.render.parse import Parser
from guard.render.render import Renderer
from guard.state.snapshot import File
from tests.e2e.searching import Marks
from tests.render.locksmith import Key, Locksmith, edited
from tests.render.trees import MemoryTree

VALUE = "correct-horse-battery-staple"
SECRET = f"apiVersion: v1\nkind: Secret\nmetadata: {{name: login}}\nstringData: {{password: {VALUE}}}\n"
MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {level: debugging-everything}\n"
ONLY_DATA = ("--encrypted-regex", "^stringData$")


@pytest.fixture
async def parser(tmp_path: Path) -> AsyncIterator[Parser]:
    cache = Cache(tmp_path / "cache" / "manifests.db", today=lambda: 1)
    made = Parser(cache=cache)
    yield made
    await made.close()
    await cache.close()


def marking(*values: str) -> Marks:
    marks = Marks()
    for value in values:
        marks.also(value)
    return marks


def decryption(key: Key, parser: Parser, folder: Path) -> Decryption:
    return Decryption(keys.read(key.values, place="the Secret apps/sops"), directory=folder / "scratch", turns=parser.openings)


async def test_a_search_finds_what_is_there(parser: Parser, tmp_path: Path) -> None:
    plain = File(path="a.yaml", blob="1", data=MAP.encode())
    await parser.parse([plain])
    (found,) = marking("debugging-everything").in_files(tmp_path)
    assert "manifests.db" in found
    (tmp_path / "file").write_text("x" + VALUE.encode().hex())
    (found,) = marking(VALUE).in_files(tmp_path)
    assert str(tmp_path / "file") in found
    child = await asyncio.create_subprocess_exec("cat", "-", stdin=PIPE, stdout=PIPE)
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(f"{VALUE}\n".encode())
    assert await child.stdout.readline() == f"{VALUE}\n".encode()
    places = marking(VALUE).below(os.getpid())
    child.stdin.close()
    await child.wait()
    assert {place.split()[0] for place in places} == {str(child.pid)}


async def test_no_file_and_no_child_holds_a_value(parser: Parser, locksmith: Locksmith, tmp_path: Path) -> None:
    age, pgp = locksmith.age(), locksmith.pgp()
    files = {
        "a.yaml": locksmith.encrypt("a.yaml", SECRET, age, options=ONLY_DATA),
        "b.yaml": MAP,
        "c.yaml": locksmith.encrypt("c.yaml", SECRET.replace("login", "other"), pgp, options=ONLY_DATA),
    }
    opened = Decryption(
        keys.read({**age.values, **pgp.values}, place="the Secret apps/sops"),
        directory=tmp_path / "scratch",
        turns=parser.openings,
    )
    groups = await Renderer(parser).render(MemoryTree(files), "", decryption=opened)
    assert groups["c.yaml"][0].body["stringData"]["password"] == VALUE

    secret = next(line for line in age.private.decode().splitlines() if line.startswith("AGE-SECRET-KEY"))
    marks = marking(VALUE, secret)
    assert marks.in_files(tmp_path) == []
    assert marks.below(os.getpid()) == []


async def test_a_failure_leaves_no_value_either(parser: Parser, locksmith: Locksmith, tmp_path: Path) -> None:
    key = locksmith.age()
    text = locksmith.encrypt("a.yaml", SECRET, key, options=ONLY_DATA)
    for broken in (
        edited(text, "name: login", "name: admin"),
        locksmith.encrypt("a.yaml", SECRET.replace("{name: login}", "{}"), key, options=ONLY_DATA),
    ):
        with pytest.raises(RenderError):
            await Renderer(parser).render(MemoryTree({"a.yaml": broken}), "", decryption=decryption(key, parser, tmp_path))
    assert marking(VALUE).in_files(tmp_path) == []
    assert marking(VALUE).below(os.getpid()) == []
